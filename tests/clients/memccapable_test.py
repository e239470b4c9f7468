"""memccapable, libmemcached's own check of what a server can do, test by test."""
import re
import subprocess

from client_test import ClientTest, capabilities, find_tool, main, needs

MEMCCAPABLE = find_tool("memccapable")

# Its tests that a chapter fails, and why that is right. A gap that is no longer one fails the test: then strike it out.
# test -> (the capability that closes the gap, the reason)
KNOWN_GAPS: dict[str, tuple[str, str]] = {}


class Memccapable(ClientTest):
    def check(self, protocol: str, at_least: int) -> None:
        command = [MEMCCAPABLE, protocol, "-t", "10", "-h", "127.0.0.1", "-p", str(self.server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, errors="replace")
        # The verdict follows the name on stdout if it is a good one; a bad one goes to stderr.
        verdicts = re.findall(r"((?:ascii|binary)(?: \w+)+) {2,}(\[pass\])?", done.stdout)
        self.assertGreaterEqual(len(verdicts), at_least, done.stdout + done.stderr)
        failed = {name for name, passed in verdicts if not passed}
        can = capabilities(self.program)
        gaps = {name for name, (closed_by, _) in KNOWN_GAPS.items() if closed_by not in can}
        how = f"{done.stderr}\nTo see one of them: memccapable -v -T NAME -h 127.0.0.1 -p PORT"
        self.assertEqual(failed - gaps, set(), f"these fail, and are no known gaps:\n{how}")
        self.assertEqual(gaps - failed, set(), "these are no gaps any more; strike them out")

    def test_text_protocol(self):
        self.check("-a", 27)

    @needs("binary")
    def test_binary_protocol(self):
        self.check("-b", 20)


if __name__ == "__main__":
    main()
