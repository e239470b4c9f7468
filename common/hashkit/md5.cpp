// libcrypto's way to a digest: an algorithm that is looked up by name, and a context that is used again and again.
// Looking it up for each key would take longer than the digest does.
#include "common/hashkit/md5.h"

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <stdexcept>

namespace hashkit {
namespace {

struct free_with_openssl {
  void operator()(EVP_MD* algorithm) const noexcept { EVP_MD_free(algorithm); }
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

void check(bool worked) {
  if (!worked) throw std::runtime_error("libcrypto does not compute MD5");
}

// Owns: the algorithm and a context.
// Thread: the one that made it, since the context holds half-done work.
class md5_machine {
 public:
  md5_machine() { check(algorithm_ && context_); }

  [[nodiscard]] md5_digest digest(std::string_view bytes) {
    std::array<unsigned char, sizeof(md5_digest)> result;
    check(EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1 &&
          EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1 &&
          EVP_DigestFinal_ex(context_.get(), result.data(), nullptr) == 1);
    md5_digest numbers{};
    for (std::size_t i = result.size(); i-- > 0;) numbers[i / 4] = numbers[i / 4] << 8 | result[i];
    return numbers;
  }

 private:
  std::unique_ptr<EVP_MD, free_with_openssl> algorithm_{EVP_MD_fetch(nullptr, "MD5", nullptr)};
  std::unique_ptr<EVP_MD_CTX, free_with_openssl> context_{EVP_MD_CTX_new()};
};

}  // namespace

md5_digest md5(std::string_view bytes) {
  thread_local md5_machine machine;
  return machine.digest(bytes);
}

}  // namespace hashkit
