"""libmemcached's two load generators: many connections at once, and the values that come back are compared."""
import re

from client_test import ClientTest, find_tool, main

MEMCASLAP = find_tool("memcaslap")
MEMCSLAP = find_tool("memcslap")


class Memcaslap(ClientTest):
    def load(self, *flags: str) -> dict[str, int]:
        said = self.run_tool(MEMCASLAP, f"--servers={self.server.address}", "--threads=2", "--verify=1.0", *flags)
        counts = {name: int(count) for name, count in re.findall(r"^(\w+): (\d+)$", said, re.MULTILINE)}
        for name in ("get_misses", "verify_misses", "verify_failed"):
            self.assertEqual(counts[name], 0, said)
        return counts

    def test_values_come_back_as_they_were_sent(self):
        counts = self.load("--concurrency=16", "--execute_number=20000")
        self.assertEqual(counts["cmd_get"] + counts["cmd_set"], 20000)

    def test_gets_of_many_keys(self):
        self.load("--concurrency=16", "--execute_number=20000", "--division=20")

    def test_large_values(self):
        self.load("--concurrency=4", "--execute_number=2000", "--fixed_size=100000", "--win_size=1k")

    def test_256_connections(self):
        self.load("--concurrency=64", "--conn_sock=4", "--execute_number=20000")


class Memcslap(ClientTest):
    def load(self, test: str, *flags: str) -> None:
        said = self.run_tool(
            MEMCSLAP, f"--servers={self.server.address}", f"--test={test}", "--concurrency=4",
            "--execute-number=1000", "--initial-load=1000", *flags,
        )
        self.assertRegex(said, rf"Time to {test}")

    def test_set(self):
        self.load("set")

    def test_set_with_noreply(self):
        self.load("set", "--noreply")

    def test_get(self):
        self.load("get")

    def test_mget(self):
        self.load("mget")


if __name__ == "__main__":
    main()
