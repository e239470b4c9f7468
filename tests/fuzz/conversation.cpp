// The client's part, and the checks at its end.
#include "tests/fuzz/conversation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <tuple>

namespace fuzz {
namespace {

void listen(subject& server, model& m) {
  m.heard(server.hear());
  if (server.has_hung_up()) m.heard_end();
}

void say(subject& server, model& m, std::string_view bytes) {
  m.sent(bytes);
  server.send(bytes);
}

// A line that was cut off may begin a value, so completing one thing may begin another.
void take_leave(subject& server, model& m) {
  while (!m.over()) {
    const std::optional<std::string> rest = m.missing();
    if (!rest) return;
    if (rest->empty()) break;
    say(server, m, *rest);
    listen(server, m);
  }
  if (!m.over()) ask_for_everything(server, m);
}

}  // namespace

script::part script::next() noexcept {
  const std::uint8_t plan = input_[1 + parts_++ % (plan_size - 1)];
  const std::string_view left = text().substr(sent_);
  const std::size_t wanted = (plan & 0x7f) == 0 ? left.size() : plan & 0x7f;
  const std::string_view bytes = left.substr(0, wanted);
  sent_ += bytes.size();
  return {bytes, (plan & 0x80) == 0};
}

void converse(subject& server, model& m, script s) {
  while (!s.done() && !m.over()) {
    const auto [bytes, now_listen] = s.next();
    say(server, m, bytes);
    if (now_listen) listen(server, m);
  }
  if (!s.is_polite()) return;
  listen(server, m);
  m.check_at_rest();
  take_leave(server, m);
}

void ask_for_everything(subject& server, model& m) {
  say(server, m, m.last_question());
  listen(server, m);
  m.check_at_rest();
}

void check_memory(storage::store& store, const contents& stored) {
  unsigned slab_class = 0;
  for (const std::string& key : stored.keys()) std::ignore = store.remove(key, 0, slab_class);

  std::size_t used_chunks = 0;
  const add_stat sum_up = [&](std::string_view name, std::string_view value) {
    if (name.ends_with(":used_chunks")) used_chunks += std::stoull(std::string(value));
  };
  store.add_slabs_stats(sum_up, [](unsigned) {});
  if (used_chunks > 0) fail("all items are removed, but " + std::to_string(used_chunks) + " chunks are in use");
}

void fail(std::string_view what) {
  std::fprintf(stderr, "\nFound: %s\n", std::string(what).c_str());
  std::abort();
}

}  // namespace fuzz
