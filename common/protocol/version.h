// Which memcached we say we are. Numeric, because clients parse it.
#pragma once

#include <string_view>

namespace protocol {

inline constexpr std::string_view version_line = "VERSION 1.4.25";  // the reply to "version"
inline constexpr std::string_view version = version_line.substr(version_line.find(' ') + 1);

}  // namespace protocol
