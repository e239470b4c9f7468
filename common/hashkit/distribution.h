// From a key's hash to a server of the pool: twemproxy's three distributions.
//
// Each is a ring of numbers on which the servers have points. A place on the ring belongs to the first point at or
// after it, and behind the last point to the first one again.
//
//                                 0      b        a    c      b          a     2^32 - 1
//     ketama   the key's hash     |------*--------*----*------*----------*-----|
//                                                   ^ a hash here belongs to c
//     modula   hash % 6           |  0   1 * 2 * 3   4   5 *  |     a has weight 2, b 1, c 3
//     random   any of 3           |  0 *  1 *  2 *  |               weights do not count
//
// When a server comes or goes, modula moves nearly every key, and ketama little more than those of that server: the
// others keep their points.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace hashkit {

enum class distribution_type : std::uint8_t { ketama, modula, random };

// As `distribution:` in a nutcracker.yml spells them, in the order of distribution_type.
inline constexpr std::array<std::string_view, 3> distribution_names = {"ketama", "modula", "random"};
// nullopt: no such distribution.
[[nodiscard]] std::optional<distribution_type> distribution_type_of(std::string_view name) noexcept;

// A line of `servers:` as a distribution sees it.
struct server {
  // Makes ketama's points, and modula's order. It is what the line gives as a name, else "host:port", or "host" alone
  // where the port is 11211, so that keys stay where libmemcached put them. twemproxy refuses a pool in which two
  // servers have the same one. Looked at during construction only.
  std::string_view name;
  std::uint32_t weight = 1;
  bool live = true;  // false: ejected, takes no keys
};

// Where the points are. It does not change: to eject a server or to take it back, make another.
// Thread: one at a time.
class continuum {
 public:
  // Throws std::invalid_argument for a weight of 0 and for weights that add up to 2^32 or more, whether live or not: a
  // list that was accepted once is accepted whoever of it lives.
  continuum(distribution_type distribution, std::span<const server> servers);

  // Which of `servers`, counted from 0, has the keys of this hash. nullopt: none of them is live. That is an answer and
  // no condition to be met beforehand, so that nobody can forget to ask: an ejection may have taken the last one.
  [[nodiscard]] std::optional<std::size_t> dispatch(std::uint32_t hash) const noexcept;

 private:
  struct point {
    std::uint32_t place;
    std::uint32_t server;
  };

  // Gives the server four points by each digest.
  void scatter_points(std::uint32_t server, std::string_view name, int digests);
  // Gives the server the next so many places, by a point on the last of them.
  void append_run(std::uint32_t server, std::uint32_t places);
  [[nodiscard]] std::uint32_t place_of(std::uint32_t hash) const noexcept;

  distribution_type distribution_;
  std::vector<point> points_;           // in their order on the ring
  mutable std::minstd_rand generator_;  // of random alone: each dispatch() draws a number
};

}  // namespace hashkit
