// The states' names, and what the map says.
#include "states.h"

#include <algorithm>

#include "common/trace/diagram.h"

std::string_view state_text(conn_states state) noexcept {
  switch (state) {
    case conn_listening: return "conn_listening";
    case conn_read: return "conn_read";
    case conn_nread: return "conn_nread";
    case conn_swallow: return "conn_swallow";
    case conn_write: return "conn_write";
    case conn_mwrite: return "conn_mwrite";
    case conn_closing: return "conn_closing";
  }
  return "?";
}

std::string diagram() { return state_diagram(transitions); }

bool is_legal(conn_states from, conn_states to) noexcept {
  if (to == conn_closing) return from != conn_listening;
  return from == to ||
         std::ranges::any_of(transitions, [=](const transition& way) { return way.from == from && way.to == to; });
}
