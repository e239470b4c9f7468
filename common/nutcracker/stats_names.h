// What nutcracker counts, and what it calls it.
#pragma once

#include <array>
#include <string_view>

enum class stats_type : unsigned char { counter, gauge, timestamp };

struct stats_row {
  std::string_view name;
  stats_type type;
  std::string_view description;
};

// twemproxy's names, in its order; the enumerators below are indexes into these tables.
inline constexpr std::array<stats_row, 6> stats_pool_codec{{
    {"client_eof", stats_type::counter, "clients that have ended"},
    {"client_err", stats_type::counter, "clients that were lost by an error"},
    {"client_connections", stats_type::gauge, "clients now"},
    {"server_ejects", stats_type::counter, "times that a server was ejected"},
    {"forward_error", stats_type::counter, "requests that failed, and whose client was told"},
    {"fragments", stats_type::counter, "parts into which a get of many keys was split"},
}};
enum class stats_pool_field : unsigned char {
  client_eof,
  client_err,
  client_connections,
  server_ejects,
  forward_error,
  fragments,
};

inline constexpr std::array<stats_row, 13> stats_server_codec{{
    {"server_eof", stats_type::counter, "connections that the server has ended"},
    {"server_err", stats_type::counter, "connections to it that were lost by an error"},
    {"server_timedout", stats_type::counter, "connections to it that took too long"},
    {"server_connections", stats_type::gauge, "connections to it now"},
    {"server_ejected_at", stats_type::timestamp, "when it was ejected last, in microseconds since 1970"},
    {"requests", stats_type::counter, "requests given to it"},
    {"request_bytes", stats_type::counter, "and their bytes"},
    {"responses", stats_type::counter, "responses that somebody waited for"},
    {"response_bytes", stats_type::counter, "and their bytes"},
    {"in_queue", stats_type::gauge, "requests that wait to be sent"},
    {"in_queue_bytes", stats_type::gauge, "and their bytes"},
    {"out_queue", stats_type::gauge, "requests that wait for their response"},
    {"out_queue_bytes", stats_type::gauge, "and their bytes"},
}};
enum class stats_server_field : unsigned char {
  server_eof,
  server_err,
  server_timedout,
  server_connections,
  server_ejected_at,
  requests,
  request_bytes,
  responses,
  response_bytes,
  in_queue,
  in_queue_bytes,
  out_queue,
  out_queue_bytes,
};
