// unix: the same protocol over a socket in the file system (-s), whose mode -a sets.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/contract/harness/client.h"
#include "tests/contract/harness/server_process.h"

namespace contract {

TEST_SUITE("unix") {
  TEST_CASE("a unix socket") {
    const server_process server{{"-a", "0770"}, listening::on_unix_socket};
    client c{server.unix_socket()};
    CHECK(c.ask("version").starts_with("VERSION "));
    struct stat found {};
    REQUIRE(::stat(server.unix_socket().c_str(), &found) == 0);
    CHECK(S_ISSOCK(found.st_mode));
    CHECK((found.st_mode & 0777) == 0770);
    c.send("quit\r\n");
    CHECK(c.receive_rest() == "");
  }
}

}  // namespace contract
