// Datagrams. Their socket is a "connection" of many clients: who asked is known for one request only.
// New in this chapter: all of it.
#pragma once

#include <sys/socket.h>

#include <cstddef>

#include "states.h"

struct conn;

// Of a UDP reply, in bytes, with its header: what fits into one Ethernet frame.
inline constexpr std::size_t udp_max_payload_size = 1400;
inline constexpr std::size_t udp_header_size = 8;

// As many datagrams as the headers can count: a question of one may ask for the same large value ten thousand times.
inline constexpr std::size_t udp_most_datagrams = 65535;

// The largest datagram that a client can send.
inline constexpr std::size_t udp_read_buffer_size = 65536;

// Whose request this is, and so where its reply goes.
struct udp_peer {
  sockaddr_storage request_addr;
  socklen_t request_addr_size = 0;
  unsigned request_id = 0;  // in the client's own count
};

// conn_read on a datagram socket: one datagram, which is one request. Its header of 8 bytes is the client's count of
// requests, which datagram of the request it is, of how many, and two bytes of nothing.
step try_read_udp(conn& c);

// A value that is not whole in its datagram never will be.
step no_rest_will_come(conn& c);

// UDP: writes each message's header, which could not be known before the number of messages was.
void build_udp_headers(conn& c);

// conn_closing on a datagram socket: it is not only this client's, and stays.
void forget_client(conn& c) noexcept;
