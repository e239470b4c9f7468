// A table row of the contract: what a client sends, and what the server must answer to the byte.
#include "conversation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <stdexcept>

#include "client.h"
#include "printable.h"
#include "target.h"

namespace contract {

namespace {

// Inputs up to this length are cut at every boundary. A sanitizer sees no more in a hundred cuts in the middle of a
// value than in ten.
constexpr std::size_t cut_everywhere = 600;
constexpr std::size_t cut_everywhere_sanitized = 60;
// Inputs up to this length are also sent byte by byte, longer ones in odd pieces, huge ones in few.
constexpr std::size_t bytewise = 5'000;
constexpr std::size_t odd_piece = 4'093;
constexpr std::size_t huge = 100'000;
constexpr std::size_t huge_piece = 65'521;

// After so many rows that ended in a deadline, a table is given up: the server is broken, and each row more costs a
// deadline.
constexpr std::size_t unanswered_at_most = 3;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The numbers that $1 to $9 stand for in one playing.
using memory = std::array<std::string, 10>;

// Values have a megabyte, and are copied and compared thousands of times: by whole stretches, not by characters.

std::string with_prefix(std::string_view text, std::string_view prefix) {
  std::string result;
  for (std::size_t at = text.find('@'); at != std::string_view::npos; at = text.find('@')) {
    result.append(text.substr(0, at)).append(prefix);
    text.remove_prefix(at + 1);
  }
  return result.append(text);
}

std::string with_numbers(std::string_view text, const memory& numbers) {
  std::string result;
  for (std::size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$')) {
    const bool number = at + 1 < text.size() && is_digit(text[at + 1]);
    result.append(text.substr(0, number ? at : at + 1));
    if (number) result += numbers[static_cast<std::size_t>(text[at + 1] - '0')];
    text.remove_prefix(number ? at + 2 : at + 1);
  }
  return result.append(text);
}

bool remembers(const conversation& c) {
  return std::ranges::any_of(c.exchanges, [](const exchange& e) {
    const std::size_t dollar = e.send.find('$');
    return dollar != std::string::npos && dollar + 1 < e.send.size() && is_digit(e.send[dollar + 1]);
  });
}

struct match {
  enum class verdict { whole, so_far, wrong };
  verdict is;
  std::size_t position;  // in the bytes: how many have matched
};

// How the bytes received compare with the answer expected. Numbers met on the way are remembered.
match compare(std::string_view expected, std::string_view bytes, memory& numbers) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] != '$' || i + 1 == expected.size()) {
      const std::string_view stretch = expected.substr(i, expected.find('$', i + 1) - i);
      const std::string_view received = bytes.substr(at, stretch.size());
      if (stretch.starts_with(received)) {
        at += received.size();
        if (received.size() < stretch.size()) return {match::verdict::so_far, at};
        i += stretch.size() - 1;
        continue;
      }
      if (bytes[at] != expected[i]) return {match::verdict::wrong, at};
      ++at;
      continue;
    }
    const char what = expected[++i];
    const std::size_t start = at;
    if (what == '*') {
      while (at < bytes.size() && bytes[at] != '\r') ++at;
    } else {
      while (at < bytes.size() && is_digit(bytes[at])) ++at;
      if (at < bytes.size() && at == start) return {match::verdict::wrong, at};
      if (is_digit(what)) numbers[static_cast<std::size_t>(what - '0')] = bytes.substr(start, at - start);
    }
  }
  return {at == bytes.size() ? match::verdict::whole : match::verdict::wrong, at};
}

// Where to cut an input in two.
std::set<std::size_t> cuts(std::string_view input) {
  std::set<std::size_t> places;
  const auto around = [&](std::size_t middle, std::size_t reach) {
    for (std::size_t p = middle - std::min(middle, reach); p <= middle + reach; ++p) {
      if (p > 0 && p < input.size()) places.insert(p);
    }
  };
  if (input.size() <= (under_test().sanitized ? cut_everywhere_sanitized : cut_everywhere)) {
    around(0, input.size());
    return places;
  }
  std::size_t line_end = input.find("\r\n");
  if (input.size() > huge && under_test().sanitized) {
    around(line_end + 1, 1);
    around(input.size() - 1, 0);
    return places;
  }
  const bool few = input.size() > huge || under_test().sanitized;
  around(0, few ? 2 : 60);
  around(input.size(), few ? 3 : 24);
  for (int i = 0; i < (input.size() > huge ? 2 : 24) && line_end != std::string_view::npos; ++i) {
    around(line_end + 1, few ? 1 : 2);
    line_end = input.find("\r\n", line_end + 1);
  }
  const std::size_t spread = few ? 3 : 24;
  for (std::size_t i = 1; i < spread; ++i) around(input.size() * i / spread, 0);
  return places;
}

// How one exchange's bytes leave. piece: its length; first: where to cut the input in two instead.
struct manner {
  std::size_t exchange;  // the one to which this applies; all others leave in one piece
  std::size_t first;     // the length of the first piece
  std::size_t piece;     // the length of the others
};

void send_in_pieces(client& c, std::string_view bytes, std::size_t first, std::size_t piece) {
  for (std::size_t length = first; !bytes.empty(); length = piece) {
    const std::string_view now = bytes.substr(0, length);
    bytes.remove_prefix(now.size());
    c.send(now);
    if (!bytes.empty()) c.wait_until_consumed();
  }
}

// One conversation, made ready to be played: placeholders for keys replaced, and joined if it may be.
class playing {
 public:
  playing(const server_process& server, const conversation& c, std::size_t number)
      : server_{server}, original_{c}, prefix_{std::to_string(100'000 + number % 900'000)} {
    for (const exchange& e : c.exchanges) {
      if (exchanges_.empty() || remembers(c)) exchanges_.push_back({});
      exchanges_.back().send += with_prefix(e.send, prefix_);
      exchanges_.back().expect += with_prefix(e.expect, prefix_);
    }
  }

  [[nodiscard]] const std::vector<exchange>& exchanges() const { return exchanges_; }

  // nullopt: all as it must be.
  [[nodiscard]] std::optional<std::string> problem(const manner& how) {
    client c{server_};
    std::optional<std::string> result;
    try {
      result = talk(c, how);
    } catch (const deadline_passed& e) {
      result = e.what();
    }
    // Thousands of connections in TIME_WAIT would use up the machine's ports.
    c.reset();
    return result;
  }

 private:
  std::optional<std::string> talk(client& c, const manner& how) {
    memory numbers;
    for (std::size_t i = 0; i < exchanges_.size(); ++i) {
      const std::string input = with_numbers(exchanges_[i].send, numbers);
      if (i == how.exchange) {
        send_in_pieces(c, input, how.first, how.piece);
      } else {
        c.send(input);
      }
      const bool last = i + 1 == exchanges_.size();
      if (last && original_.then == ending_with::connection_closed) return check_end(c, exchanges_[i].expect, numbers);
      if (auto wrong = check(c, exchanges_[i].expect, numbers)) return wrong;
    }
    c.send("version\r\n");
    auto wrong = check(c, "VERSION $*\r\n", numbers);
    if (wrong) *wrong += "\n  (the answer to a \"version\" that followed the conversation)";
    return wrong;
  }

  static std::optional<std::string> check(client& c, std::string_view expected, memory& numbers) {
    if (expected.empty()) return std::nullopt;
    std::string received;
    while (true) {
      const std::string more = c.receive_some();
      received += more;
      const match m = compare(expected, received, numbers);
      if (m.is == match::verdict::whole && !more.empty()) return std::nullopt;
      if (m.is == match::verdict::wrong) return difference(expected, received, m.position);
      if (more.empty()) return difference(expected, received, m.position) + " and then closed";
    }
  }

  static std::optional<std::string> check_end(client& c, std::string_view expected, memory& numbers) {
    std::string received;
    for (std::string more = c.receive_some(); !more.empty(); more = c.receive_some()) {
      received += more;
      if (received.size() > expected.size() + 1'000'000) break;
    }
    const match m = compare(expected, received, numbers);
    if (m.is == match::verdict::whole) return std::nullopt;
    return difference(expected, received, m.position) + " and then closed, as it should";
  }

  static std::string difference(std::string_view expected, std::string_view received, std::size_t position) {
    return "expected " + printable_around(expected, position) + "\n  received " + printable_around(received, position);
  }

  const server_process& server_;
  const conversation& original_;
  std::string prefix_;
  std::vector<exchange> exchanges_;
};

std::string description(const manner& how, std::string_view input) {
  if (how.first >= input.size()) return "in one piece";
  if (how.piece < input.size())
    return "in pieces of " + std::to_string(how.piece) + (how.piece == 1 ? " byte" : " bytes");
  return "cut after byte " + std::to_string(how.first) + " of " + std::to_string(input.size()) + ", between " +
         printable_around(input.substr(0, how.first), how.first) + " and " +
         printable_around(input.substr(how.first), 0);
}

// The ways in which a conversation is played.
std::vector<manner> manners(const std::vector<exchange>& exchanges) {
  std::vector<manner> all{{0, std::string::npos, std::string::npos}};
  for (std::size_t i = 0; i < exchanges.size(); ++i) {
    const std::string& input = exchanges[i].send;
    for (const std::size_t cut : cuts(input)) all.push_back({i, cut, std::string::npos});
    const std::size_t piece = input.size() <= bytewise ? 1 : input.size() <= huge ? odd_piece : huge_piece;
    if (piece < input.size()) all.push_back({i, piece, piece});
  }
  return all;
}

}  // namespace

void play(const server_process& server, std::span<const conversation> table) {
  std::size_t number = 0;
  std::size_t unanswered = 0;
  for (const conversation& c : table) {
    for (const manner& how : manners(playing{server, c, 0}.exchanges())) {
      playing p{server, c, number++};
      const auto start = std::chrono::steady_clock::now();
      const std::optional<std::string> problem = p.problem(how);
      if (!problem) continue;
      const std::string message =
          c.name + ", sent " + description(how, p.exchanges()[how.exchange].send) + ":\n  " + *problem;
      FAIL_CHECK(message);
      if (std::chrono::steady_clock::now() - start >= under_test().deadline) ++unanswered;
      break;
    }
    if (unanswered == unanswered_at_most) {
      FAIL_CHECK("so many deadlines have passed that the rest of the table is not played");
      return;
    }
  }
  CHECK(number >= table.size());
}

ending_with after_what_is_unknown() {
  return under_test().can("proxy") ? ending_with::connection_closed : ending_with::connection_in_step;
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string result;
  result.reserve(text.size() * times);
  for (std::size_t i = 0; i < times; ++i) result += text;
  return result;
}

}  // namespace contract
