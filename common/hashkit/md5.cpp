// MD5.
#include "common/hashkit/md5.h"

#include <md5.h>  // libmd's

#include <cstddef>

namespace hashkit {

md5_digest md5(std::string_view bytes) noexcept {
  MD5_CTX context;
  MD5Init(&context);
  MD5Update(&context, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  std::array<unsigned char, sizeof(md5_digest)> result;
  MD5Final(result.data(), &context);

  md5_digest numbers{};
  for (std::size_t i = result.size(); i-- > 0;) numbers[i / 4] = numbers[i / 4] << 8 | result[i];
  return numbers;
}

}  // namespace hashkit
