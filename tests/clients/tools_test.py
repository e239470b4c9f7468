"""libmemcached's command-line tools, one after the other as somebody at a shell uses them."""
import tempfile
from pathlib import Path

from client_test import ClientTest, find_tool, main

TOOLS = ("memccp", "memccat", "memcexist", "memctouch", "memcrm", "memcstat", "memcping", "memcflush")
for tool in TOOLS:
    find_tool(tool)


class Tools(ClientTest):
    def tool(self, name: str, *words: str, status: int = 0) -> str:
        return self.run_tool(name, f"--servers={self.server.address}", *words, status=status)

    def copy_in(self, text: str) -> None:
        """The file's name becomes the key."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / self.key
            path.write_text(text, encoding="utf-8")
            self.tool("memccp", str(path))

    def test_copy_in_and_print(self):
        self.copy_in("line one\nline two\n")
        self.assertEqual(self.tool("memccat", self.key).rstrip("\n"), "line one\nline two")

    def test_copy_in_a_large_file(self):
        self.copy_in("x" * 900_000)
        self.assertEqual(len(self.tool("memccat", self.key).rstrip("\n")), 900_000)

    def test_print_what_is_not_there(self):
        self.tool("memccat", self.key, status=1)

    def test_exists(self):
        self.tool("memcexist", self.key, status=1)
        self.copy_in("here")
        self.tool("memcexist", self.key)

    def test_touch(self):
        self.tool("memctouch", "--expire=100", self.key, status=1)
        self.copy_in("here")
        self.tool("memctouch", "--expire=100", self.key)
        self.assertEqual(self.tool("memccat", self.key).strip(), "here")

    def test_remove(self):
        self.copy_in("here")
        self.tool("memcrm", self.key)
        self.tool("memccat", self.key, status=1)
        self.tool("memcrm", self.key, status=1)

    def test_flush(self):
        self.copy_in("here")
        self.tool("memcflush")
        self.tool("memccat", self.key, status=1)

    def test_ping(self):
        self.tool("memcping")

    def test_statistics(self):
        self.assertRegex(self.tool("memcstat"), rf"pid: {self.server.process.pid}\b")


if __name__ == "__main__":
    main()
