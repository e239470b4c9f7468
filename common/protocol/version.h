// Which memcached we say we are. Numeric, because clients parse it.
#pragma once

#include <string_view>

namespace protocol {

inline constexpr std::string_view version_reply = "VERSION 1.4.25\r\n";
inline constexpr std::string_view version_line =
    version_reply.substr(0, version_reply.size() - 2);  // the reply to "version"
inline constexpr std::string_view version = version_line.substr(version_line.find(' ') + 1);

}  // namespace protocol
