// Threads held on order.
#include "common/trace/conductor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>
#include <vector>

#include "common/basics/parsed.h"
#include "common/net/sockets.h"
#include "common/trace/deaf_while_alive.h"

namespace {

constexpr std::size_t longest_request = 4096;

[[nodiscard]] net::unique_fd make_eventfd() {
  net::unique_fd fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

[[nodiscard]] std::thread start_deaf(auto work) {
  const deaf_while_alive until_it_runs;
  return std::thread(std::move(work));
}

[[nodiscard]] std::vector<std::string> split_at_tabs(std::string_view line) {
  std::vector<std::string> parts;
  for (;;) {
    const auto tab = line.find('\t');
    parts.emplace_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return parts;
    line.remove_prefix(tab + 1);
  }
}

[[nodiscard]] std::string answer(const held_thread& held, unsigned number) {
  return "held\t" + std::to_string(number) + "\t" + held.thread + "\t" + std::string(kind_text(held.what)) + "\t" +
         std::to_string(held.sfd) + "\t" + std::to_string(held.number) + "\t" + held.line;
}

}  // namespace

conductor::conductor(std::string path)
    : path_(std::move(path)),
      wake_(make_eventfd()),
      listener_(net::listen_unix(path_, 0600, 1)),
      signals_(wake_.get()),
      holding_([this] {
        signals_.stand_in_front();
        eventfd_write(wake_.get(), 1);
      }),
      thread_(start_deaf([this] { serve(); })) {}

conductor::~conductor() {
  holding_.let_go();
  stop_ = true;
  eventfd_write(wake_.get(), 1);
  thread_.join();
  unlink(path_.c_str());
}

void conductor::serve() {
  tracer::name_this_thread("conductor");
  while (!stop_) {
    std::array<pollfd, 3> fds{{{wake_.get(), POLLIN, 0},
                               {server_ends_ ? -1 : signals_.waiting(), POLLIN, 0},
                               {client_ ? client_.get() : listener_.get(), POLLIN, 0}}};
    poll(fds.data(), fds.size(), milliseconds_left());
    eventfd_t times;
    eventfd_read(wake_.get(), &times);
    if (!server_ends_ && (signals_.has_come() || fds[1].revents != 0)) {
      server_ends_ = true;
      holding_.let_go();
    }
    if (fds[2].revents != 0) client_ ? read_requests() : accept_client();
    if (client_) answer_requests();
  }
}

// Of the wait that is not answered yet; -1: there is none.
int conductor::milliseconds_left() const noexcept {
  if (!waiting_) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(waiting_->until - clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

void conductor::accept_client() {
  client_.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  // The server may be out of descriptors. The client is still there: ask again in a while.
  if (!client_) poll(nullptr, 0, 10);
}

void conductor::hang_up() {
  holding_.release_all();
  client_.reset();
  unread_.clear();
  waiting_.reset();
}

void conductor::read_requests() {
  std::array<char, longest_request> room;
  const ssize_t n = read(client_.get(), room.data(), room.size());
  if (n == -1 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) unread_.append(room.data(), static_cast<std::size_t>(n));
  if (n <= 0 || unread_.size() > longest_request) hang_up();
}

// One after the other. A wait that nobody has answered yet keeps those behind it waiting.
void conductor::answer_requests() {
  for (;;) {
    if (waiting_ && !answer_wait()) return;
    const auto end = unread_.find('\n');
    if (end == std::string::npos) return;
    const std::string request = unread_.substr(0, end);
    unread_.erase(0, end + 1);
    if (std::string line = answer_to(request); !line.empty()) say(std::move(line));
    if (!client_) return;
  }
}

bool conductor::answer_wait() {
  if (const auto held = holding_.held(waiting_->number)) {
    say(answer(*held, waiting_->number));
  } else if (server_ends_) {
    say("error the server ends");
  } else if (clock::now() >= waiting_->until) {
    say("missed");
  } else {
    return false;
  }
  waiting_.reset();
  return true;
}

// "": a wait, to be answered later.
std::string conductor::answer_to(std::string_view request) {
  const std::vector<std::string> words = split_at_tabs(request);
  const auto& verb = words.front();
  if (server_ends_) return "error the server ends";
  if (verb == "hold" && words.size() == 6) return answer_hold(words);
  if (verb == "release" && words.size() == 1) {
    holding_.release_all();
    return "ok";
  }
  if (verb == "where" && words.size() == 1) {
    const std::vector<std::string> lines = holding_.where();
    std::string text = "ok " + std::to_string(lines.size());
    for (const std::string& line : lines) text += "\n" + line;
    return text;
  }
  const unsigned number = words.size() > 1 ? parsed<unsigned>(words[1]).value_or(0) : 0;  // 0: nobody's
  if (verb == "wait" && words.size() == 3) {
    const auto patience = parsed<unsigned>(words[2]);
    if (!patience) return "error " + words[2] + " is not a number of milliseconds";
    if (!holding_.knows(number)) return "error no rule has the number " + words[1];
    waiting_ = {number, clock::now() + std::chrono::milliseconds(*patience)};
    return "";
  }
  if (verb == "release" && words.size() == 2) {
    return holding_.release(number) ? "ok" : "error no rule has the number " + words[1];
  }
  if (verb == "step" && words.size() == 2) {
    return holding_.step(number) ? "ok" : "error nobody is held by a rule with the number " + words[1];
  }
  return "error it is: hold THREAD KIND SFD COUNT TEXT, wait NUMBER MILLISECONDS, step NUMBER, release [NUMBER], "
         "where; "
         "with tabs between";
}

std::string conductor::answer_hold(const std::vector<std::string>& words) {
  hold_rule rule{.thread = words[1], .text = words[5]};
  if (!words[2].empty() && !(rule.what = kind_of(words[2]))) return "error there is no event " + words[2];
  if (!words[3].empty() && !(rule.sfd = parsed<int>(words[3]))) return "error " + words[3] + " is not a descriptor";
  const auto count = parsed<unsigned>(words[4]);
  if (!count || *count == 0) return "error " + words[4] + " is not a count";
  rule.count = *count;
  return "ok " + std::to_string(holding_.hold(std::move(rule)));
}

// A client that does not read is sent away: for its sake nobody else waits.
void conductor::say(std::string line) {
  line += '\n';
  const ssize_t size = static_cast<ssize_t>(line.size());
  if (send(client_.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL) != size) hang_up();
}
