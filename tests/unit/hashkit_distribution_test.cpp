// common/hashkit/distribution.h: who has which keys.
#include "common/hashkit/distribution.h"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/hashkit/hash.h"
#include "common/hashkit/md5.h"

using hashkit::continuum;
using hashkit::distribution_type;
using hashkit::server;
using namespace std::string_view_literals;

namespace {

constexpr distribution_type all[] = {distribution_type::ketama, distribution_type::modula, distribution_type::random};
constexpr std::uint32_t largest = std::numeric_limits<std::uint32_t>::max();

continuum make(distribution_type distribution, const std::vector<server>& servers) { return {distribution, servers}; }

// The servers of key0, key1, … in digits.
std::string owners(const continuum& c, int keys) {
  std::string text;
  for (int i = 0; i < keys; ++i)
    text += std::to_string(*c.dispatch(hashkit::hash(hashkit::hash_type::murmur, "key" + std::to_string(i))));
  return text;
}

// Of the four places of a digest of this server, how many are found to be the server's.
int owned(const continuum& c, const std::vector<server>& servers, std::size_t index, int digest) {
  int count = 0;
  for (const auto place : hashkit::md5(std::string(servers[index].name) + '-' + std::to_string(digest)))
    count += c.dispatch(place) == index ? 1 : 0;
  return count;
}

// How many digests the first of `count` equal servers has. A place that it has not may be its own all the same, if its
// next point is the next one of all.
int digests_of_equals(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("server" + std::to_string(i));
  std::vector<server> servers;
  for (const auto& name : names) servers.push_back({name});
  const continuum c(distribution_type::ketama, servers);
  int digests = 0;
  while (owned(c, servers, 0, digests) == 4) ++digests;
  return digests;
}

}  // namespace

TEST_CASE("every distribution has its name") {
  CHECK(hashkit::distribution_type_of("ketama") == distribution_type::ketama);
  CHECK(hashkit::distribution_type_of("modula") == distribution_type::modula);
  CHECK(hashkit::distribution_type_of("random") == distribution_type::random);
  for (const auto name : {""sv, "Ketama"sv, "ketam"sv, "modulo"sv}) CHECK(!hashkit::distribution_type_of(name));
}

TEST_CASE("keys are where nutcracker 0.5.0 puts them") {
  std::vector<server> servers = {{"alpha", 1}, {"beta", 2}, {"gamma", 7}, {"nu", 4}};
  CHECK(owners(make(distribution_type::ketama, servers), 40) == "2103313133321332302120232323232332220213");
  CHECK(owners(make(distribution_type::modula, servers), 40) == "0012122202220222303033012122222221223322");

  // Without a server: as if the list had never named it, but for the numbers of those behind it.
  servers[2].live = false;
  CHECK(owners(make(distribution_type::ketama, servers), 40) == "3303313133331333331131133133333333131333");
  CHECK(owners(make(distribution_type::modula, servers), 40) == "0011133003100103303033010133130101033301");
}

TEST_CASE("no live server, no answer") {
  for (const auto distribution : all) {
    CHECK(!make(distribution, {}).dispatch(0));
    CHECK(!make(distribution, {{"a", 1, false}, {"b", 7, false}}).dispatch(0));
  }
}

TEST_CASE("the only live server has every key") {
  for (const auto distribution : all) {
    const auto c = make(distribution, {{"a", 5, false}, {"b", 1}, {"c", 5, false}});
    for (const std::uint32_t hash : {0u, 1u, 0x8000'0000u, largest}) CHECK(c.dispatch(hash) == 1);
  }
}

TEST_CASE("weights that no distribution can count with") {
  for (const auto distribution : all) {
    CHECK_THROWS_AS(make(distribution, {{"a", 1}, {"b", 0}}), std::invalid_argument);
    CHECK_THROWS_AS(make(distribution, {{"a", largest}, {"b", 1}}), std::invalid_argument);
    CHECK_NOTHROW(make(distribution, {{"a", largest - 1}, {"b", 1}}));
    // Whether it lives does not matter.
    CHECK_THROWS_AS(make(distribution, {{"a", 1}, {"b", 0, false}}), std::invalid_argument);
    CHECK_THROWS_AS(make(distribution, {{"a", largest, false}, {"b", 1}}), std::invalid_argument);
  }
}

TEST_CASE("ketama: a server has the four places of each of its digests") {
  const std::vector<server> servers = {{"a"}, {"b"}, {"c"}, {"d"}};
  const continuum c(distribution_type::ketama, servers);
  for (std::size_t i = 0; i < servers.size(); ++i) {
    for (int digest = 0; digest < 40; ++digest) CHECK(owned(c, servers, i, digest) == 4);
  }
}

TEST_CASE("ketama: a place belongs to the next point, and the last ones to the first point") {
  const std::vector<server> servers = {{"a"}, {"c"}};
  const continuum c(distribution_type::ketama, servers);
  const auto place = hashkit::md5("a-0")[0];
  CHECK(c.dispatch(place) == 0);
  CHECK(c.dispatch(place - 1) == 0);

  std::map<std::uint32_t, std::size_t> owner;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    for (int digest = 0; digest < 40; ++digest) {
      for (const auto point : hashkit::md5(std::string(servers[i].name) + '-' + std::to_string(digest)))
        owner[point] = i;
    }
  }
  const auto first = *owner.begin(), last = *owner.rbegin();
  REQUIRE(first.second != last.second);
  CHECK(c.dispatch(0) == first.second);
  CHECK(c.dispatch(last.first) == last.second);
  CHECK(c.dispatch(last.first + 1) == first.second);
  CHECK(c.dispatch(largest) == first.second);
}

TEST_CASE("ketama: the number of digests is rounded as floats are") {
  CHECK(digests_of_equals(24) == 40);
  CHECK(digests_of_equals(25) == 39);
  CHECK(digests_of_equals(26) == 40);
}

TEST_CASE("ketama: too light a server has no keys") {
  const std::vector<server> servers = {{"light", 1}, {"heavy", 100}};
  const continuum c(distribution_type::ketama, servers);
  for (int digest = 0; digest < 40; ++digest) CHECK(owned(c, servers, 0, digest) == 0);
  CHECK(make(distribution_type::ketama, {{"light", 1}, {"heavy", 79}}).dispatch(hashkit::md5("light-0")[0]) == 0);
}

TEST_CASE("ketama: of a name and its number 272 characters count") {
  const std::string name(272, 'n');
  const auto place = hashkit::md5(name)[0];
  CHECK(make(distribution_type::ketama, {{"m"}, {name}}).dispatch(place) == 1);

  // Where two want the same points, the name that comes first has them, wherever it stands in the list.
  const std::string first = name + "a", second = name + "b";
  CHECK(make(distribution_type::ketama, {{first}, {second}}).dispatch(place) == 0);
  CHECK(make(distribution_type::ketama, {{second}, {first}}).dispatch(place) == 1);
}

TEST_CASE("modula: as many places as the weights add up to") {
  const auto c = make(distribution_type::modula, {{"a", 2}, {"b", 1}, {"c", 3}});
  constexpr std::array<std::size_t, 6> owner = {0, 0, 1, 2, 2, 2};
  for (std::uint32_t hash = 0; hash < 24; ++hash) CHECK(c.dispatch(hash) == owner[hash % 6]);
  CHECK(c.dispatch(largest) == owner[largest % 6]);

  const auto huge = make(distribution_type::modula, {{"a", largest - 1}, {"b", 1}});
  CHECK(huge.dispatch(largest - 2) == 0);
  CHECK(huge.dispatch(largest - 1) == 1);
  CHECK(huge.dispatch(largest) == 0);
}

TEST_CASE("modula: shorter names first, then by their bytes") {
  const auto c = make(distribution_type::modula, {{"bb"}, {"\xe9"}, {"c"}, {"aa"}, {"a"}});
  constexpr std::array<std::size_t, 5> owner = {4, 2, 1, 3, 0};
  for (std::uint32_t hash = 0; hash < owner.size(); ++hash) CHECK(c.dispatch(hash) == owner[hash]);
}

TEST_CASE("random: live servers alike, whatever the hash and the weights") {
  const auto c = make(distribution_type::random, {{"a", 1}, {"b", 1, false}, {"c", 1'000'000}, {"d", 1}});
  std::array<int, 4> seen{};
  for (int i = 0; i < 3000; ++i) ++seen[*c.dispatch(7)];
  // 1,000 each are to be expected, with a standard deviation of 26.
  CHECK(seen[1] == 0);
  for (const auto i : {0u, 2u, 3u}) CHECK(std::abs(seen[i] - 1000) < 200);
}
