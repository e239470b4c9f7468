// A message: a request, which comes from a client and goes to a server, or a response, which goes the other way.
//
//     client                       proxy                          server
//     ── request ──> req_recv_done ─> imsg_q ── req_send_next ──> (omsg_q)
//                    omsg_q <──────── peer ─── rsp_recv_done <──  response
//     <── response ─ rsp_send_next
//
// A get of keys that several servers have becomes a request for each of them, its fragments; their responses are
// joined.
//
// A client's omsg_q keeps its requests in their order. A response is tied to its request as its `peer`, and waits there
// until all requests before it have had theirs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "common/pool/pool.h"
#include "common/protocol/framing.h"
#include "common/protocol/redis.h"
#include "nc_connection.h"
#include "nc_mbuf.h"

// The links of a message: a request is in its client's queue and in one of a server's at the same time.
inline constexpr std::size_t in_client_queue = 0;
inline constexpr std::size_t in_server_queue = 1;

// A request that was split: what it becomes again. Owns: the responses that are there.
struct split {
  struct wanted {
    std::string_view key;
    std::size_t frag;  // which fragment asks for it
  };
  std::vector<wanted> keys;      // in the order of the request
  std::vector<msg_ref> replies;  // by fragment
  std::size_t missing = 0;       // how many of them are still to come
};

// Owns: its bytes. A request is held by its client, until its response is sent, and by the server's queues, until it is
// answered. Whoever lets go last frees it.
struct msg : pooled<msg> {
  msg(bool is_request, conn* from) noexcept : request(is_request), owner(from) {
    if (!is_request) redis.emplace<protocol::redis::reply_frame>();
  }

  std::array<msg_ref, 2> next;  // in a queue
  mbuf_chain mhdr;              // its bytes
  std::size_t sent = 0;         // how many of them are sent

  // msg_parse: how far it has come.
  std::size_t scanned = 0;  // so many unread bytes hold no line end
  std::size_t vlen = 0;     // so many bytes of a value are still to come
  bool last_line = false;   // no line is still to come
  std::variant<protocol::redis::request_frame, protocol::redis::reply_frame> redis;

  bool request;

  // Of a request.
  protocol::request_kind kind = protocol::request_kind::general;
  bool many_keys = false;
  bool noreply = false;
  bool answered_early = false;  // by the server, before it was sent whole
  bool greeting = false;        // the proxy's own, before all others
  bool out_of_step = false;     // nobody knows where the next request begins
  conn* owner;                  // the client that waits for the response; nullptr: it is gone, or nobody waits
  std::uint64_t id = 0;         // its number
  std::string_view key;         // the first one, where there is any
  std::string_view keys;        // of a retrieval: all of them
  // Not empty: the proxy's own reply. The request is whole with its line; vlen bytes after it are to be skipped.
  std::string_view refusal;
  msg_ref peer;    // the response; nullptr: there is none yet
  msec since = 0;  // when the proxy began to send it; 0: not yet

  // Of a fragment.
  msg_ref parent;        // what the client has sent
  std::size_t frag = 0;  // which of its fragments this is

  // Of a request that was split.
  std::unique_ptr<split> parts;

  // Of a response.
  bool failure = false;            // no server's: the proxy tells what went wrong
  bool of_fragment = false;        // it will be joined to others, and is a get's:
  bool has_items = false;          // it has lines of VALUE
  bool complete_get = false;       // it ends in END
  std::vector<std::size_t> items;  // how long each of its items is, with its header line
};

// The client that waits for the response to a request, or to what it is a fragment of. nullptr: it is gone.
[[nodiscard]] inline conn* client_of(const msg& request) noexcept {
  return request.parent ? request.parent->owner : request.owner;
}

enum class [[nodiscard]] msg_parse_result{
    MSG_PARSE_OK,     // it is whole
    MSG_PARSE_AGAIN,  // it wants bytes that have not come yet
    MSG_PARSE_ERROR,  // these bytes are no message
};
using enum msg_parse_result;

// What hangs on the protocol that a pool's clients and servers speak; nothing else does.
struct proto {
  // Takes from the front of `in` what belongs to the message, and no byte more. Any split of the stream will do.
  msg_parse_result (*parse)(msg& m, mbuf& in);
  // A request is whole: answers it, or gives it to a server, or to several in fragments.
  void (*recv_done)(context& ctx, conn& c, const msg_ref& request);
  // One response of those to all fragments.
  msg_ref (*join)(context& ctx, const msg& request);
  std::string_view error;  // what an error of the proxy's begins with
};

extern const proto memcache_proto;

msg_parse_result memcache_parse(msg& m, mbuf& in);
void memcache_recv_done(context& ctx, conn& c, const msg_ref& request);
[[nodiscard]] msg_ref memcache_join(context& ctx, const msg& request);

// One of several requests that one of a client's becomes.
struct fragment {
  server* srv;
  mbuf_chain bytes;
};
void req_split(context& ctx, conn& c, const msg_ref& request, std::unique_ptr<split> parts, std::vector<fragment> all);

// Gives a request to a server. nullptr: there is none that could have the key.
void req_forward(context& ctx, conn& c, const msg_ref& request, server* srv);

// Its first line, without its end, for the trace.
[[nodiscard]] std::string_view first_line(const msg& m) noexcept;

// New ones. Throw std::bad_alloc.
[[nodiscard]] msg_ref req_get(context& ctx, conn* client);
[[nodiscard]] msg_ref rsp_get(context& ctx);

// Both kinds of connections, both directions: whole messages in, whole messages out.
rstatus_t msg_recv(context& ctx, conn& c);
rstatus_t msg_send(context& ctx, conn& c);

// Requests come from clients …
msg* req_recv_next(context& ctx, conn& c);
void req_recv_done(context& ctx, conn& c);
void req_client_enqueue_omsgq(conn& c, msg_ref request) noexcept;
void req_client_dequeue_omsgq(conn& c) noexcept;

// Whether the client was held back, and has taken enough since, and so has the server that it waits for.
[[nodiscard]] bool req_may_resume(const conn& c) noexcept;

// Goes on with it.
rstatus_t req_resume(context& ctx, conn& c);

// A server's connection has caught up, or is gone: so may those go on that wait for it.
void req_relieve(context& ctx, conn& s) noexcept;

// … and go to the server.
msg* req_send_next(context& ctx, conn& s);
void req_send_done(context& ctx, conn& s);
void req_server_enqueue_imsgq(conn& s, msg_ref request) noexcept;
msg_ref req_server_dequeue_imsgq(conn& s) noexcept;
void req_server_enqueue_omsgq(conn& s, msg_ref request) noexcept;
msg_ref req_server_dequeue_omsgq(conn& s) noexcept;

// Responses come from the server …
msg* rsp_recv_next(context& ctx, conn& s);
void rsp_recv_done(context& ctx, conn& s);

// … and go to clients.
msg* rsp_send_next(context& ctx, conn& c);
void rsp_send_done(context& ctx, conn& c);

// The request has its response: if it is its client's turn, the client has something to send. Of a fragment: if all
// others have theirs.
void req_answered(context& ctx, msg& request, msg_ref response) noexcept;

// It will never have one: its client hears "SERVER_ERROR Connection refused", or whatever `err` (errno) means.
void req_failed(context& ctx, msg& request, int err) noexcept;
