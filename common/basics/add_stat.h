// How whoever counts something adds its lines to a reply to "stats": name and value, without "STAT" and line end.
// memcached's ADD_STAT.
#pragma once

#include <functional>
#include <string_view>

using add_stat = std::function<void(std::string_view name, std::string_view value)>;
