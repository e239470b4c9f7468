// The states of a chapter as a diagram for Mermaid (https://mermaid.js.org/syntax/stateDiagram.html).
#pragma once

#include <event2/event.h>

#include <string>
#include <string_view>

// What the machine sleeps for on a way: "", "EV_READ", "EV_WRITE", or both.
[[nodiscard]] inline std::string_view event_names(short events) noexcept {
  if ((events & EV_READ) != 0 && (events & EV_WRITE) != 0) return "EV_READ or EV_WRITE";
  if ((events & EV_READ) != 0) return "EV_READ";
  return (events & EV_WRITE) != 0 ? "EV_WRITE" : "";
}

// A line for each way: from, to, cause, and what it sleeps for. `transition` has those members, and its states have a
// state_text() of their own. May throw std::bad_alloc.
template <typename transition, std::size_t count>
[[nodiscard]] std::string state_diagram(const transition (&ways)[count]) {
  std::string text = "stateDiagram-v2\n    [*] --> conn_listening\n";
  for (const transition& way : ways) {
    text.append("    ").append(state_text(way.from)).append(" --> ").append(state_text(way.to));
    text.append(" : ").append(way.cause);
    if (way.sleeps_for != 0) text.append(" (asleep, ").append(event_names(way.sleeps_for)).append(")");
    text.append("\n");
  }
  return text + "    note right of conn_closing : every state of a client may end here\n";
}
