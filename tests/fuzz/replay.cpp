// Runs a fuzz target once on every file of the directories that are named, without libFuzzer: what was found once is
// tested with any compiler.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::filesystem::path> files_in(const char* directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::uint8_t> bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The name comes first: a target that finds something aborts.
int replay(const char* directory) {
  int passed = 0;
  for (const std::filesystem::path& file : files_in(directory)) {
    std::printf("%s\n", file.filename().c_str());
    std::fflush(stdout);
    const std::vector<std::uint8_t> bytes = bytes_of(file);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    ++passed;
  }
  return passed;
}

}  // namespace

int main(int argc, char** argv) try {
  int passed = 0;
  for (int i = 1; i < argc; ++i) passed += replay(argv[i]);
  std::printf("%d passed, 0 failed\n", passed);
  return passed == 0 ? 1 : 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
