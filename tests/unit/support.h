// What unit tests of sockets, files and processes need: a directory that goes away, a child process, files as text.
#pragma once

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "common/net/unique_fd.h"

namespace unit {

// Owns: a new directory, removed with all that is in it.
class temporary_directory {
 public:
  temporary_directory() : path_(std::filesystem::temp_directory_path() / "unit-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
  }
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

[[nodiscard]] inline std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// All that arrives until the last writer closes.
[[nodiscard]] inline std::string read_all(int fd) {
  std::string all;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(n));
  return all;
}

struct child_result {
  int status;           // what exit() was given; -1: killed
  std::string answer;   // what `work` returned, or "threw: " and the exception's text
  std::string streams;  // what it wrote to stdout and stderr
};

// Runs `work` in a process of its own, for what changes a process for good. `work` may fork away (a daemon): its answer
// counts.
[[nodiscard]] inline child_result in_child(const std::function<std::string()>& work) {
  int answers[2], outputs[2];
  if (pipe(answers) != 0 || pipe(outputs) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  net::unique_fd answer(answers[0]), answer_end(answers[1]), output(outputs[0]), output_end(outputs[1]);

  std::fflush(nullptr);  // or the child's exit() prints what this process has still in its buffers
  std::cout.flush();
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    dup2(output_end.get(), STDOUT_FILENO);
    dup2(output_end.get(), STDERR_FILENO);
    output_end.reset();
    std::string said;
    try {
      said = work();
    } catch (const std::exception& e) {
      said = std::string("threw: ") + e.what();
    }
    const bool whole = write(answer_end.get(), said.data(), said.size()) == static_cast<ssize_t>(said.size());
    _exit(whole ? 0 : 1);
  }
  answer_end.reset();
  output_end.reset();
  child_result result{-1, read_all(answer.get()), read_all(output.get())};
  int status = 0;
  if (waitpid(child, &status, 0) == child && WIFEXITED(status)) result.status = WEXITSTATUS(status);
  return result;
}

// The text of the exception that `work` throws; "" if it throws none.
template <typename exception>
[[nodiscard]] std::string thrown_text(const std::function<void()>& work) {
  try {
    work();
  } catch (const exception& e) {
    return e.what();
  }
  return "";
}

}  // namespace unit
