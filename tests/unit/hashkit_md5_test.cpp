// common/hashkit/md5.h against the test suite of RFC 1321, appendix A.5.
#include "common/hashkit/md5.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace {

// As md5sum prints it.
std::string hex(const hashkit::md5_digest& digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const auto number : digest) {
    for (int shift = 0; shift < 32; shift += 8) {
      text += digits[number >> (shift + 4) & 0xf];
      text += digits[number >> shift & 0xf];
    }
  }
  return text;
}

}  // namespace

TEST_CASE("md5 of the texts in the RFC") {
  CHECK(hex(hashkit::md5("")) == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(hex(hashkit::md5("a")) == "0cc175b9c0f1b6a831c399e269772661");
  CHECK(hex(hashkit::md5("abc")) == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(hex(hashkit::md5("message digest")) == "f96b697d7cb7938d525a2f31aaf161d0");
  CHECK(hex(hashkit::md5("abcdefghijklmnopqrstuvwxyz")) == "c3fcd3d76192e4007dfb496cca67e13b");
  CHECK(hex(hashkit::md5("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")) ==
        "d174ab98d277d9f5a5611c2c9f419d9f");
  CHECK(hex(hashkit::md5("12345678901234567890123456789012345678901234567890123456789012345678901234567890")) ==
        "57edf4a22be3c955ac49da2e2107b67a");
}
