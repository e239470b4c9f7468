// Pools of redis. New in this chapter.
#include "nc_redis.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/protocol/redis.h"
#include "nc_core.h"

namespace {

using namespace protocol::redis;

const request_frame& frame_of(const msg& request) { return std::get<request_frame>(request.redis); }

msg_parse_result redis_parse(msg& m, mbuf& in) {
  step s{};
  if (m.request) {
    auto& f = std::get<request_frame>(m.redis);
    f.is_stranger = !m.owner->authenticated && !pool_of(*m.owner).conf.redis_auth.empty();
    s = frame_request(f, in.unread());
    if (!f.error.empty()) m.mhdr.forget();  // no server is to see it
    m.out_of_step = s.so_far == progress::broken;
  } else {
    s = frame_reply(std::get<reply_frame>(m.redis), in.unread());
    if (s.so_far == progress::broken) return MSG_PARSE_ERROR;
  }
  if (s.bytes > 0) in.move_to(m.mhdr, s.bytes);
  return s.so_far == progress::more ? MSG_PARSE_AGAIN : MSG_PARSE_OK;
}

// A header lies in one slice, for it was taken in one piece; and so does a word that we look at, together with it.
header front_header(const mbuf_reader& from) noexcept { return *read_header(from.front()); }

std::string_view front_word(const mbuf_reader& from) noexcept {
  const header h = front_header(from);
  return from.front().substr(h.size, static_cast<std::size_t>(h.number));
}

void skip_value(mbuf_reader& from) { from.skip(size_of_value(front_header(from))); }

// At the word of this number.
mbuf_reader words_from(const msg& request, std::uint32_t number) {
  mbuf_reader from(request.mhdr);
  from.skip(front_header(from).size);
  for (std::uint32_t i = 0; i < number; ++i) skip_value(from);
  return from;
}

std::string line_of(char type, std::int64_t number) { return type + std::to_string(number) + "\r\n"; }

std::string value_of(std::string_view bytes) {
  return line_of('$', static_cast<std::int64_t>(bytes.size())).append(bytes).append("\r\n");
}

// Puts a message together from values of others. What is small is copied, one value behind the other: a writev has no
// place for hundreds of slices.
struct gathering {
  void take_value(mbuf_reader& from) {
    constexpr std::size_t small = 1024;
    const std::size_t size = size_of_value(front_header(from));
    if (size > small) return from.move_to(finish(), size);
    for (const std::size_t end = text.size() + size; text.size() < end;) {
      const std::string_view part = from.front().substr(0, end - text.size());
      text += part;
      from.skip(part.size());
    }
  }

  mbuf_chain& finish() {
    if (!text.empty()) bytes.append_copy(std::exchange(text, {}));
    return bytes;
  }

  std::string text;
  mbuf_chain bytes;  // what comes before it
};

// "AUTH password", or "AUTH default password".
std::string check_password(conn& c, const msg& request) {
  const std::string& password = pool_of(c).conf.redis_auth;
  const request_frame& f = frame_of(request);
  if (password.empty()) return "-ERR Client sent AUTH, but no password is set\r\n";
  const bool is_known = f.words == 2 || f.key == "default";
  if (!is_known || front_word(words_from(request, f.words - 1)) != password) return "-WRONGPASS invalid password\r\n";
  c.authenticated = true;
  return "+OK\r\n";
}

// What the proxy answers itself. "": the request goes to servers.
std::string own_answer(conn& c, const msg& request) {
  const request_frame& f = frame_of(request);
  if (!f.error.empty()) return answer_to(f);
  const treatment how = f.command->how;
  if (how == treatment::quit) return "+OK\r\n";
  if (how == treatment::auth) return check_password(c, request);
  if (how == treatment::echo || (how == treatment::ping && f.words > 1)) return value_of(f.key);
  return how == treatment::ping ? "+PONG\r\n" : "";
}

void answer(context& ctx, msg& request, std::string_view bytes) {
  msg_ref response = rsp_get(ctx);
  response->mhdr.append_copy(bytes);
  req_answered(ctx, request, std::move(response));
}

struct part {
  server* srv;
  std::int64_t words = 1;  // its name, and then keys with what belongs to them
};

// Which servers have the keys of a request, and which of them has which key.
std::vector<part> parts_of(context& ctx, server_pool& pool, const msg& request, std::vector<split::wanted>& keys) {
  const request_frame& f = frame_of(request);
  std::vector<part> parts;
  mbuf_reader from = words_from(request, 0);
  for (std::uint32_t i = 0; i <= f.last_key; ++i, skip_value(from)) {
    if (!is_key(f, i)) continue;
    const std::string_view key = front_word(from);
    server* const srv = server_pool_server(ctx, pool, key);
    auto at = std::ranges::find(parts, srv, &part::srv);
    if (at == parts.end()) at = parts.insert(at, {srv});
    at->words += f.command->key_step;
    keys.push_back({key, static_cast<std::size_t>(at - parts.begin())});
  }
  return parts;
}

// A request for each server that has some of the keys. All keys with one server: the request goes there as it is.
void redis_fragment(context& ctx, conn& c, const msg_ref& request) {
  const command_row& command = *frame_of(*request).command;
  auto wanted = std::make_unique<split>();
  const std::vector<part> parts = parts_of(ctx, pool_of(c), *request, wanted->keys);
  if (parts.size() == 1) return req_forward(ctx, c, request, parts.front().srv);
  if (!command.may_be_split()) return answer(ctx, *request, "-ERR these keys are not all with one server\r\n");

  std::vector<gathering> texts;
  for (const part& p : parts) texts.push_back({line_of('*', p.words) + value_of(command.name), {}});
  mbuf_reader from = words_from(*request, 1);
  for (const split::wanted& key : wanted->keys) {
    for (int i = 0; i < command.key_step; ++i) texts[key.frag].take_value(from);
  }
  std::vector<fragment> fragments;
  for (std::size_t i = 0; i < parts.size(); ++i) fragments.push_back({parts[i].srv, std::move(texts[i].finish())});
  req_split(ctx, c, request, std::move(wanted), std::move(fragments));
}

void redis_recv_done(context& ctx, conn& c, const msg_ref& request) {
  const request_frame& f = frame_of(*request);
  if (f.asks_for_nothing() && f.error.empty()) return;
  req_client_enqueue_omsgq(c, request);
  const std::string own = own_answer(c, *request);
  if (f.error.empty() && f.command->how == treatment::quit) request->kind = protocol::request_kind::quit;
  if (!own.empty()) return answer(ctx, *request, own);
  if (f.many_keys()) return redis_fragment(ctx, c, request);
  req_forward(ctx, c, request, server_pool_server(ctx, pool_of(c), f.key));
}

// Whether this one's answer is what its command answers if all is well.
bool is_well(const msg& request, std::size_t frag) {
  const auto& reply = std::get<reply_frame>(request.parts->replies[frag]->redis);
  const treatment how = frame_of(request).command->how;
  if (how == treatment::joined_sum) return reply.type == ':';
  if (how == treatment::joined_status) return reply.type == '+';
  const auto keys = std::ranges::count(request.parts->keys, frag, &split::wanted::frag);
  return reply.type == '*' && reply.only_values && reply.elements == keys;
}

// A server that has answered anything else, an error say, has answered for all.
msg_ref redis_join(context& ctx, const msg& request) {
  const split& parts = *request.parts;
  const treatment how = frame_of(request).command->how;
  std::vector<mbuf_reader> from;
  std::int64_t sum = 0;  // of numbers; or how many values there are
  for (std::size_t i = 0; i < parts.replies.size(); ++i) {
    if (!is_well(request, i)) return parts.replies[i];
    if (how == treatment::joined_status) continue;
    from.emplace_back(parts.replies[i]->mhdr);
    sum += front_header(from.back()).number;
    from.back().skip(front_header(from.back()).size);
  }
  if (how == treatment::joined_status) return parts.replies.front();
  gathering joined{line_of(how == treatment::joined_array ? '*' : ':', sum), {}};
  if (how == treatment::joined_array) {
    for (const split::wanted& key : parts.keys) joined.take_value(from[key.frag]);
  }
  msg_ref response = rsp_get(ctx);
  response->mhdr = std::move(joined.finish());
  return response;
}

void greet(context& ctx, conn& s, std::string_view command, std::string_view word) {
  msg_ref request = req_get(ctx, nullptr);
  request->greeting = true;
  request->mhdr.append_copy(line_of('*', 2) + value_of(command) + value_of(word));
  req_server_enqueue_imsgq(s, std::move(request));
  ++s.greetings;
  core_unsent(ctx, s);
}

}  // namespace

const proto redis_proto{redis_parse, redis_recv_done, redis_join, "-ERR "};

void redis_post_connect(context& ctx, conn& s) {
  const nutcracker::pool_conf& conf = pool_of(s).conf;
  if (!conf.redis_auth.empty()) greet(ctx, s, "AUTH", conf.redis_auth);
  if (conf.redis_db > 0) greet(ctx, s, "SELECT", std::to_string(conf.redis_db));
}

void redis_greeted(context& ctx, conn& s, const msg& answer) {
  --s.greetings;
  core_unsent(ctx, s);
  if (std::get<reply_frame>(answer.redis).type == '+') return;
  ctx.log.line(nutcracker::log_level::warn, "server '", server_of(s).conf.name, "' refuses the password or database");
  s.err = EACCES;
  s.done = true;
}
