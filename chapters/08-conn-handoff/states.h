// The states of a connection, and the machine's map: which state may follow which.
#pragma once

#include <event2/event.h>

#include <string>
#include <string_view>

enum class conn_states {
  conn_listening,  // the socket that accepts clients
  conn_new_cmd,    // is done with a command; the next one, if its turn has come
  conn_waiting,    // has nothing to do until the client speaks
  conn_read,       // wants bytes from the network
  conn_parse_cmd,  // has bytes: is a whole command among them?
  conn_nread,      // wants the rlbytes bytes of a value
  conn_swallow,    // throws away the sbytes bytes of a refused value
  conn_write,      // has a reply to send
  conn_mwrite,     // has found items to send
  conn_closing,    // is to be closed
  conn_closed,     // is closed, and waits for its descriptor to come back
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
    {conn_new_cmd, conn_new_cmd, "it has had its share (-R)", EV_READ | EV_WRITE},
    {conn_new_cmd, conn_waiting, "no input is here"},
    {conn_new_cmd, conn_parse_cmd, "more input is here"},
    {conn_waiting, conn_read, "the client speaks", EV_READ},
    {conn_read, conn_waiting, "nothing has come"},
    {conn_read, conn_parse_cmd, "bytes have come"},
    {conn_parse_cmd, conn_new_cmd, "nothing to answer"},
    {conn_parse_cmd, conn_waiting, "no whole command is here"},
    {conn_parse_cmd, conn_nread, "a value follows"},
    {conn_parse_cmd, conn_swallow, "a value to refuse without a word"},
    {conn_parse_cmd, conn_write, "a line to answer"},
    {conn_parse_cmd, conn_mwrite, "items to send"},
    {conn_nread, conn_nread, "more of it is on its way", EV_READ},
    {conn_nread, conn_new_cmd, "stored, and noreply"},
    {conn_nread, conn_write, "stored"},
    {conn_swallow, conn_swallow, "more of it is on its way", EV_READ},
    {conn_swallow, conn_new_cmd, "it has passed"},
    {conn_write, conn_write, "the kernel takes no more", EV_WRITE},
    {conn_write, conn_new_cmd, "the reply is sent"},
    {conn_write, conn_swallow, "the refusal is sent"},
    {conn_mwrite, conn_mwrite, "the kernel takes no more", EV_WRITE},
    {conn_mwrite, conn_new_cmd, "the items are sent"},
    {conn_closing, conn_closed, "the descriptor is given back"},
};

// The map for Mermaid: what --diagram prints.
[[nodiscard]] std::string diagram();

[[nodiscard]] bool is_legal(conn_states from, conn_states to) noexcept;
