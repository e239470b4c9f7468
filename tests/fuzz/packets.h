// The binary protocol, by a second reading of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fuzz/model.h"

namespace fuzz {

class packets : public model {
 public:
  using model::model;

  [[nodiscard]] std::optional<std::string> missing() const override;
  [[nodiscard]] std::string last_question() const override;

 private:
  static constexpr std::size_t header_size = 24;

  // Of the parts of a body.
  enum class presence { none, maybe, one };

  struct command {
    void (packets::*run)();
    std::string word;  // what the text protocol calls it, or would
    bool quiet;
    std::size_t extlen;  // where there are extras
    presence extras;
    presence key;
    presence value;
  };
  static const std::map<unsigned, command>& commands();

  struct request {
    unsigned opcode;
    std::string opaque;
    std::uint64_t cas;
    std::size_t extlen;
    std::size_t value_size;
    const command* what;
    std::string extras;
    std::string key;
  };

  // What a reply says besides opcode and opaque.
  struct reply {
    unsigned status = 0;
    std::string extras{};
    std::string key{};
    std::string value{};
    std::uint64_t cas = 0;
  };

  // What comes next.
  enum class part { header, extras_and_key, value, nothing_of_use };

  void receive() override;
  void await(part what, std::size_t size);
  void take_part();
  void judge(std::string_view header);
  void run(std::string_view extras_and_key);
  void store(const std::string& value);

  void get();
  void touch();
  void update();
  void remove();
  void count();
  void flush();
  void stat();
  void version();
  void noop();
  void quit();
  void sasl();

  void say_item(const contents::item& it);
  void say_miss();
  void say_unless_quiet(const reply& r);
  void refuse(unsigned status);
  void refuse(verdict why);
  void swallow(std::size_t size) { await(part::nothing_of_use, size); }
  void hang_up(unsigned status);
  [[nodiscard]] std::string encode(const reply& r) const;
  [[nodiscard]] std::optional<entry> entry_of_list(std::string_view heard, std::string_view instead) const override;

  request request_{};
  part next_ = part::header;
  std::size_t wanted_ = header_size;
};

}  // namespace fuzz
