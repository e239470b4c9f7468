// The states of a connection, and the machine's map: which state may follow which.
// New in this chapter: the state conn_nread.
#pragma once

#include <event2/event.h>

#include <string>
#include <string_view>

enum class conn_states {
  conn_listening,  // the socket that accepts clients
  conn_read,       // wants a command: from the buffer if one is there, else from the network
  conn_nread,      // wants the rlbytes bytes of a value
  conn_write,      // has a reply to send
  conn_closing,    // is to be closed
};
using enum conn_states;

// The state's name, as in the code.
[[nodiscard]] std::string_view state_text(conn_states state) noexcept;

// What a state decided: the next state, and whether to go back to libevent first.
struct [[nodiscard]] step {
  conn_states next;
  bool stop = false;
};

constexpr step go(conn_states next) noexcept { return {next}; }

// A way of the machine. With EV_READ or EV_WRITE it sleeps on the way until the socket can be read or written.
struct transition {
  conn_states from;
  conn_states to;
  std::string_view cause;
  short sleeps_for = 0;
};

// The machine's map. Besides, every state of a client may end in conn_closing (the client has gone or quits, or there
// was an error), and every state may stay as it is.
inline constexpr transition transitions[] = {
    {conn_listening, conn_listening, "a client was accepted", EV_READ},
    {conn_read, conn_read, "no whole command is here", EV_READ},
    {conn_read, conn_nread, "a value follows"},
    {conn_read, conn_write, "a line to answer"},
    {conn_nread, conn_nread, "more of it is on its way", EV_READ},
    {conn_nread, conn_read, "stored, and noreply"},
    {conn_nread, conn_write, "stored"},
    {conn_write, conn_write, "the kernel takes no more", EV_WRITE},
    {conn_write, conn_read, "the reply is sent"},
};

// The map for Mermaid: what --diagram prints.
[[nodiscard]] std::string diagram();

[[nodiscard]] bool is_legal(conn_states from, conn_states to) noexcept;
