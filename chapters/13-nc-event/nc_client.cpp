// The role that serves a client. Nobody is behind it yet: it says which version it speaks, and that it knows nothing
// else.
#include "nc_client.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "common/net/sockets.h"
#include "common/protocol/text.h"
#include "common/protocol/version.h"
#include "nc_core.h"

namespace {

// A client who sends faster than we read would never let the loop go on. So after so many reads others have their turn.
constexpr int most_reads = 32;

// "verbosity N": how much the proxy tells on stderr.
std::string_view set_verbosity(context& ctx, std::string_view level) noexcept {
  unsigned n = 0;
  const auto [end, error] = std::from_chars(level.data(), level.data() + level.size(), n);
  if (error != std::errc{} || end != level.data() + level.size()) return "CLIENT_ERROR bad command line format";
  ctx.trace.set_verbosity(n);
  return "OK";
}

// The reply to a command line, both without their line ends. "": there is none.
std::string_view client_reply(context& ctx, conn& c, std::string_view line) {
  ctx.trace.command(c.sd.get(), line);
  if (protocol::line_too_long(line)) {
    c.eof = true;
    return protocol::line_too_long_text;
  }
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  if (line == "quit") {
    c.eof = true;
    return "";
  }
  if (line == "version") return protocol::version_line;
  if (line.starts_with("verbosity ")) return set_verbosity(ctx, line.substr(line.find(' ') + 1));
  return "ERROR";
}

// Answers the lines that are whole, and leaves the rest.
void client_answer(context& ctx, conn& c) {
  std::string_view input = c.rbuf;
  while (const auto end = protocol::find_line(input)) {
    const std::string_view reply = client_reply(ctx, c, input.substr(0, end->line));
    if (!reply.empty()) {
      c.wbuf.append(reply).append("\r\n");
      ctx.trace.reply(c.sd.get(), reply);
    }
    input.remove_prefix(end->consumed);
    if (c.eof) input = {};  // it has left, or nobody knows what it says
  }
  c.rbuf.erase(0, c.rbuf.size() - input.size());
}

// Reads, answers and sends, until there is no more to read, or no room to send. Nobody tells us of the same input
// twice: whoever stopped any earlier would not be called again.
rstatus_t client_serve(context& ctx, conn& c) {
  std::array<char, 2048> room;
  for (int reads = 0;; ++reads) {
    client_answer(ctx, c);
    while (!c.wbuf.empty() && c.send_ready) {
      const iovec all{c.wbuf.data(), c.wbuf.size()};
      const ssize_t n = conn_sendv(ctx, c, {&all, 1});
      if (n == -1) return NC_ERROR;
      c.wbuf.erase(0, static_cast<std::size_t>(n));
    }
    if (!c.wbuf.empty()) {
      event_add_out(ctx.evb, c);  // we hear when there is room again
      return NC_OK;
    }
    event_del_out(ctx.evb, c);
    c.done = c.eof;
    if (c.done || !c.recv_ready) return NC_OK;
    if (reads == most_reads) {
      event_again(ctx.evb, c);
      return NC_OK;
    }
    const ssize_t n = conn_recv(ctx, c, room);
    if (n == -1) return NC_ERROR;
    c.rbuf.append(room.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace

rstatus_t client_recv(context& ctx, conn& c) {
  c.recv_ready = true;
  return client_serve(ctx, c);
}

rstatus_t client_send(context& ctx, conn& c) { return client_serve(ctx, c); }

void client_close(context& ctx, conn& c) noexcept {
  if (c.recv_ready) net::drop_input(c.sd.get());  // or it might never hear our last words
  conn_put(ctx, c);
}
