// Laying out the points as nutcracker 0.5.0 does. Two proxies that disagree about a point disagree about keys, so even
// the rounding of a float is a part of the contract.
#include "common/hashkit/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/hashkit/md5.h"

namespace hashkit {
namespace {

constexpr float digests_per_server = 40;  // of four points each
// Of "name-39" no more is hashed.
constexpr std::size_t label_max_length = 272;

struct live_sums {
  std::uint32_t servers = 0;
  std::uint32_t weight = 0;
};

// twemproxy lets the sum of weights wrap, and then modula passes servers over. We refuse such a list.
live_sums add_up(std::span<const server> servers) {
  live_sums live;
  std::uint64_t weight = 0;
  for (const auto& s : servers) {
    if (s.weight == 0) throw std::invalid_argument("a server has weight 0");
    weight += s.weight;
    if (weight > std::numeric_limits<std::uint32_t>::max())
      throw std::invalid_argument("the servers' weights add up to more than 4294967295");
    if (!s.live) continue;
    ++live.servers;
    live.weight += s.weight;
  }
  return live;
}

// twemproxy sorts a pool's servers by name, and a shorter name comes before a longer one. So it is the names, and not
// the lines of the configuration, that say which server is modula's first, or has a point that two of ketama's want.
std::vector<std::uint32_t> in_order_of_names(std::span<const server> servers) {
  std::vector<std::uint32_t> order(servers.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, {},
                           [&](std::uint32_t i) { return std::pair(servers[i].name.size(), servers[i].name); });
  return order;
}

// The servers share 40 digests times their number by weight; one that is light enough gets none, and no keys. In float,
// as twemproxy counts: of 25 equal servers each has 39 digests, not 40.
int digests_of(const server& s, const live_sums& live) noexcept {
  const float share = static_cast<float>(s.weight) / static_cast<float>(live.weight);
  return static_cast<int>(std::floor(share * digests_per_server * static_cast<float>(live.servers)));
}

}  // namespace

std::optional<distribution_type> distribution_type_of(std::string_view name) noexcept {
  const auto found = std::ranges::find(distribution_names, name);
  if (found == distribution_names.end()) return std::nullopt;
  return static_cast<distribution_type>(found - distribution_names.begin());
}

continuum::continuum(distribution_type distribution, std::span<const server> servers) : distribution_(distribution) {
  const live_sums live = add_up(servers);
  if (distribution == distribution_type::random) generator_.seed(std::random_device{}());

  for (const std::uint32_t i : in_order_of_names(servers)) {
    const server& s = servers[i];
    if (!s.live) continue;
    switch (distribution) {
      case distribution_type::ketama: scatter_points(i, s.name, digests_of(s, live)); break;
      case distribution_type::modula: append_run(i, s.weight); break;
      case distribution_type::random: append_run(i, 1); break;
    }
  }
  std::ranges::stable_sort(points_, {}, &point::place);
}

void continuum::scatter_points(std::uint32_t server, std::string_view name, int digests) {
  for (int digest = 0; digest < digests; ++digest) {
    std::string label = std::string(name) + '-' + std::to_string(digest);
    if (label.size() > label_max_length) label.resize(label_max_length);
    for (const auto place : md5(label)) points_.push_back({place, server});
  }
}

void continuum::append_run(std::uint32_t server, std::uint32_t places) {
  const std::uint32_t begin = points_.empty() ? 0 : points_.back().place + 1;
  points_.push_back({begin + (places - 1), server});
}

std::optional<std::size_t> continuum::dispatch(std::uint32_t hash) const noexcept {
  if (points_.empty()) return std::nullopt;
  const auto next = std::ranges::lower_bound(points_, place_of(hash), {}, &point::place);
  return next == points_.end() ? points_.front().server : next->server;
}

std::uint32_t continuum::place_of(std::uint32_t hash) const noexcept {
  const std::uint32_t last = points_.back().place;
  switch (distribution_) {
    case distribution_type::ketama: return hash;
    case distribution_type::modula: return hash % (last + 1);
    case distribution_type::random: return std::uniform_int_distribution<std::uint32_t>{0, last}(generator_);
  }
  return 0;
}

}  // namespace hashkit
