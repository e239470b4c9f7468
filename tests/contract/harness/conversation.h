// A table row of the contract: what a client sends, and what the server must answer to the byte.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server_process.h"

namespace contract {

// Text in which
//   @   stands for six characters that no other playing of a conversation has: "@a" is a fresh key of seven
//   $1  to $9, in an answer, match a decimal number and remember it; in what is sent, they stand for the number
//   remembered $n  in an answer matches a decimal number
//   $*  in an answer matches the rest of the line
// and everything else stands for itself.
struct exchange {
  std::string send;
  std::string expect;
};

enum class ending_with {
  connection_in_step,  // nothing follows the last answer, and the next command is answered as a command
  connection_closed,   // the server closes after the last answer
};

// An unknown command is answered. A proxy then hangs up: it cannot tell what belongs to it.
[[nodiscard]] ending_with after_what_is_unknown();

struct conversation {
  std::string name;
  std::vector<exchange> exchanges;
  ending_with then = ending_with::connection_in_step;
};

// Plays every row against the server, each many times over fresh connections and keys: its bytes in one piece, cut in
// two at every boundary (long ones: at a spread of boundaries, all of those near line ends among them), and one at a
// time. Each cut is a real one: the second piece leaves when the server has read the first. What remembers numbers is
// sent exchange by exchange, everything else as one stream. A row that is answered wrongly fails the test once, with
// its name and the cut; three rows whose deadline passes end the table.
void play(const server_process& server, std::span<const conversation> table);

// How often a string is repeated in tables.
[[nodiscard]] std::string repeat(std::string_view text, std::size_t times);

}  // namespace contract
