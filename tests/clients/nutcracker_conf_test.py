"""Which nutcracker.yml our proxy takes, with Debian's nutcracker as the oracle: for each file here, `-t -c FILE` of
both must agree, or the table says why not. Ours must also name the place and the reason.
"""
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

from client_test import ClientTest, find_tool, main
from proxy import can

NUTCRACKER = find_tool("nutcracker", package="nutcracker")
EX_USAGE = 64


class Case(NamedTuple):
    what: str
    text: str | bytes
    error: str = ""  # what ours says behind the file's name; "": it takes the file
    differs: str = ""  # why nutcracker decides otherwise; "": it does not


def pool(name: str = "p", listen: str = "127.0.0.1:22121", more: str = "", servers: tuple[str, ...] = ()) -> str:
    """`listen` is in the second line, `more` in the third, and the servers from the fourth or fifth on."""
    lines = [f"{name}:", f"  listen: {listen}", *([f"  {more}"] if more else []), "  servers:"]
    return "\n".join([*lines, *(f"  - {server}" for server in servers or ("h:11211:1",)), ""])


def with_line(line: str, error: str = "", differs: str = "") -> Case:
    return Case(line, pool(more=line), error, differs)


def listening(where: str, error: str = "", differs: str = "") -> Case:
    return Case(f"listen: {where}", pool(listen=where), error, differs)


def of_servers(*servers: str, error: str = "", differs: str = "") -> Case:
    return Case(f"servers: {', '.join(servers)}", pool(servers=servers), error, differs)


WRAPS = "nutcracker counts on in 32 bits"
YAML = "nutcracker reads a part of YAML"
REDIS = "this proxy has no redis"
MODE = "nutcracker takes what is no mode for 0"

GOOD_SERVERS = (
    *("127.0.0.1:11211:1", "h:1:2147483647", "h:65535:1 name", "h:1:1 a:b:1", "::1:11211:1", "/tmp/s:1"),
    *("/tmp/s:1 name", "no.such.host.invalid:1:1", "'[::1]:11211:1'"),
)
BAD_SERVERS = (
    *("h", "h:1", "h:1:1:name", "'h::1'", "h:0:1", "h:65536:1", "h:x:1", "h:+1:1", "h:1:0", "h:1:-1", "h:1:x"),
    *("h:1:2147483648", "h:1:1  name", "h:1:1 na me", "/tmp/s", "/tmp/s:0", "/tmp/a:b:1", "/tmp/a b:1", "''"),
    *("a: b", "- h:1:1", "~"),
)
HASHES = (
    *("one_at_a_time", "md5", "crc16", "crc32", "crc32a", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32", "hsieh"),
    *("murmur", "jenkins"),
)
NUMBERS = (
    *("timeout", "backlog", "client_connections", "server_connections"),
    *("server_retry_timeout", "server_failure_limit"),
)
BOOLEANS = ("preconnect", "tcpkeepalive", "auto_eject_hosts", "redis")
NOT_NUMBERS = ("abc", "-1", "+1", "1.5", "0x10", "5 6", "5#", "true", "''", "", "~", "{}", "[1]")
NOT_BOOLEANS = ("0", "1", "yes", "True", "'true '", "''", "", "~", "{}")

CASES = (
    *(with_line(f"hash: {name}") for name in HASHES),
    *(with_line(f"hash: {bad}", ":3:9: 'hash' wants one of") for bad in ("MD5", "fnv", "0", "''")),
    *(with_line(f"distribution: {name}") for name in ("ketama", "modula", "random")),
    with_line("distribution: modulo", ":3:17: 'distribution' wants one of ketama, modula, random, not 'modulo'"),
    *(with_line(f"hash_tag: {tag}") for tag in ('"{}"', "$$", "'::'", "11", '"é"')),
    *(with_line(f"hash_tag: {tag}", ":3:13: 'hash_tag' wants two characters") for tag in ("'{'", "abc", "''", "{}")),
    *(with_line(f"{key}: {n}") for key in NUMBERS for n in ("1", "007", "'5'", "2147483647")),
    *(with_line(f"{key}: 0") for key in NUMBERS if key != "server_connections"),
    with_line("server_connections: 0", ":3:23: 'server_connections' wants a number of connections (1 to 2147483647)"),
    *(with_line(f"{key}: {bad}", f": '{key}' wants a number of ") for key in NUMBERS for bad in NOT_NUMBERS),
    *(with_line(f"{key}: 2147483648", f": '{key}' wants a number of ") for key in NUMBERS),
    *(with_line(f"{key}: 4294967297", f": '{key}' wants a number of ", WRAPS) for key in NUMBERS),
    *(with_line(f"{key}: false") for key in BOOLEANS),
    *(with_line(f"{key}: 'true'") for key in BOOLEANS if key != "redis"),
    *(with_line(f"{key}: {bad}", f": '{key}' wants true or false") for key in BOOLEANS for bad in NOT_BOOLEANS),
    with_line("tiemout: 5", ":3:3: unknown key 'tiemout'; known are listen, "),
    with_line("Timeout: 5", ":3:3: unknown key 'Timeout'"),
    Case("no space behind a colon", pool() + "  timeout:5\n", ":5:3: unknown key 'timeout:5'"),
    with_line("'timeout': 5 # five"),
    # Where to listen.
    *(listening(where) for where in ("localhost:1", "0.0.0.0:65535", "127.0.0.1:0022121", "'::1:22121'")),
    *(listening(where) for where in ("/tmp/x", "/tmp/x 0666", "/tmp/x 7", "/tmp/a b 0777", "/" + 106 * "a", "/")),
    listening("127.0.0.1:0", differs="so that tests need not guess a free port"),
    *(listening(bad, ":2:11: 'listen' wants host:port or /path [mode]") for bad in ("127.0.0.1", "22121", "''")),
    *(listening(f"127.0.0.1:{bad}", ":2:11: ") for bad in ("65536", "-1", "x", "1x")),
    listening("'127.0.0.1:'", ":2:11: '127.0.0.1:' wants a port (0 to 65535), not ''"),
    listening(":22121", ":2:11: ':22121' has no host"),
    listening("no.such.host.invalid:1", ":2:11: no host 'no.such.host.invalid' to listen on: "),
    listening("256.0.0.1:1", ":2:11: no host '256.0.0.1' to listen on: "),
    listening("'[::1]:22121'", ":2:11: no host '[::1]' to listen on: "),
    listening("'*:22121'"),
    listening("*:22121", ":2:11: this is not YAML: "),
    *(listening(f"/tmp/x {bad}", ":2:11: 'listen' wants an octal mode") for bad in ("1777", "-1")),
    *(listening(f"/tmp/x {bad}", ":2:11: 'listen' wants an octal mode", MODE) for bad in ("888", "rw", "0666x")),
    listening("/" + 107 * "a", ":2:11: the path of a unix socket has at most 107 bytes; this one has 108"),
    # Servers.
    *(of_servers(good) for good in GOOD_SERVERS),
    of_servers("h:1:1 a", "h:1:1 b"),
    of_servers(*(f"h:{port}:1" for port in range(1, 1000))),
    *(of_servers(bad, error=":4:5: ") for bad in BAD_SERVERS),
    of_servers("h:1:4294967297", error=":4:5: 'h:1:4294967297' wants a weight", differs=WRAPS),
    of_servers("h:1:2147483647", "h:2:2147483647", "h:3:2", error=":6:5: the weights of the servers", differs=WRAPS),
    of_servers("':11211:1'", error=":4:5: ':11211:1' has no host", differs="nutcracker connects to nowhere"),
    of_servers("'h:1:1 '", error=":4:5: 'h:1:1 ' has a space", differs="nutcracker hashes an empty name"),
    of_servers(f"/{108 * 'a'}:1", error=":4:5: the path of a unix socket", differs="nutcracker sees it later"),
    # What stands twice.
    with_line("hash: md5\n  hash: md5", ":4:3: the key 'hash' is in line 3 already"),
    with_line("listen: 127.0.0.1:22122", ":3:3: the key 'listen' is in line 2 already"),
    with_line("servers:\n  - h:1:1", ":5:3: the key 'servers' is in line 3 already"),
    with_line("servers: h:1:1", ":3:12: 'servers' wants a list", "nutcracker takes one server more before the list"),
    of_servers("h:1:1", "h:1:2", error=":5:5: the server name 'h:1' is in line 4 already"),
    of_servers("h:1:1 a", "h:2:1 a", error=":5:5: the server name 'a' is in line 4 already"),
    of_servers("h:11211:1", "h:2:1 h", error=":5:5: the server name 'h' is in line 4 already"),
    of_servers("h:1:1", "h:2:1 h:1", error=":5:5: the server name 'h:1' is in line 4 already"),
    of_servers("/tmp/s:1", "/tmp/s:2", error=":5:5: the server name '/tmp/s:' is in line 4 already"),
    of_servers("/tmp/s:1", "'/tmp/t:1 /tmp/s:'", error=":5:5: the server name '/tmp/s:' is in line 4 already"),
    of_servers("/tmp/s:1", "/tmp/t:1 /tmp/s"),
    Case("two pools", pool() + pool("q", "127.0.0.1:22122")),
    Case("one name twice", pool() + pool("p", "/tmp/x"), ":5:1: the pool 'p' is in line 1 already"),
    Case("one address twice", pool() + pool("q"), ":6:11: the address '127.0.0.1:22121' is in line 2 already"),
    Case("one address by two names", pool() + pool("q", "localhost:22121")),
    Case(
        "one socket with two modes",
        pool(listen="/tmp/x 600") + pool("q", "/tmp/x 700"),
        ":6:11: the address '/tmp/x' is in line 2 already",
        "nutcracker's second pool takes the socket from the first",
    ),
    # The shape of a pool.
    Case("no listen", "p:\n  servers:\n  - h:1:1\n", ":1:1: pool 'p' has no 'listen'"),
    Case("no servers", "p:\n  listen: /tmp/x\n", ":1:1: pool 'p' has no 'servers'"),
    Case("servers of nothing", "p:\n  listen: /tmp/x\n  servers:\n", ":4:1: 'servers' wants a list"),
    Case("servers as a map", "p:\n  listen: /tmp/x\n  servers:\n    a: b\n", ":4:5: 'servers' wants a list"),
    Case("servers first", "p:\n  servers:\n  - h:1:1\n  hash: md5\n  listen: /tmp/x\n"),
    Case("listen as a list", "p:\n  listen:\n  - /tmp/x\n  servers:\n  - h:1:1\n", ":3:3: 'listen' wants host:port"),
    Case("an empty pool", "p:\n" + pool("q"), ":1:1: pool 'p' wants lines such as"),
    Case("a pool that is a word", "p: x\n", ":1:1: pool 'p' wants lines such as"),
    Case("a pool that is a list", "p:\n- x\n", ":1:1: pool 'p' wants lines such as"),
    Case("an empty name", pool("''"), ":1:1: a pool wants a name, not ''"),
    Case("a name of several words", pool("a pool of 'ours'")),
    Case("a name of ~", pool("~"), ":1:1: a pool wants a name", "to YAML ~ is nothing"),
    # The file.
    Case("nothing", "", ": there are no pools in it"),
    Case("a comment", "# pools\n", ": there are no pools in it"),
    Case("a word", "hello\n", ":1:1: there should be pools here"),
    Case("a list", "- a\n", ":1:1: there should be pools here"),
    Case("comments around", "# before\n" + pool() + "# after\n"),
    Case("no newline at the end", pool().rstrip("\n")),
    Case("lines of DOS", pool().replace("\n", "\r\n")),
    Case("a byte order mark", "\ufeff" + pool()),
    Case("a tab", "p:\n\tlisten: /tmp/x\n", ":2:8: YAML is indented with spaces, not with tabs"),
    Case("a quote left open", "p:\n  listen: '/tmp/x", ":2:18: this is not YAML: "),
    Case("a line too far left", pool() + " hash: md5\n", ":5:2: this is not YAML: "),
    Case("an unknown anchor", pool(listen="*x"), ":2:11: this is not YAML: "),
    Case("a control character", pool(more="hash: \x01"), ":3:9: a control character (byte 1)"),
    Case("a NUL", pool() + "\0", ":5:1: a control character (byte 0)"),
    Case("a comma first", "," + pool(), ":1:1: the YAML document ends here"),
    Case("two documents", pool() + "---\n" + pool(), ":5:1: the YAML document ends here"),
    Case("a value in the next line", pool(more="hash:\n    md5")),
    Case("a block of text", pool(more="hash: >-\n    md5")),
    Case("a block of text with its newline", pool(more="hash: |\n    md5"), ":3:9: 'hash' wants one of"),
    Case("a key that is a list", pool(more="? [a]\n  : b"), ":3:5: a key wants a name, not a list"),
    Case("UTF-16", pool().encode("utf-16"), ":1:4: a control character (byte 0)", "nutcracker reads UTF-16"),
    Case("bytes that are no UTF-8", pool().encode() + b"# \xff\n", "", "nutcracker wants all of the file to be UTF-8"),
    Case("---", "---\n" + pool(), "", YAML),
    Case("...", pool() + "...\n", "", YAML),
    Case("a directive", "%YAML 1.1\n---\n" + pool(), "", YAML),
    Case("an anchor", pool("p: &anchor").replace("&anchor:", "&anchor"), "", YAML),
    Case("a tag", pool(more="timeout: !!int 5"), "", YAML),
    Case("a list in brackets", "p:\n  listen: /tmp/x\n  servers: ['h:1:1']\n", "", YAML),
    Case("JSON", '{"p": {"listen": "/tmp/x", "servers": ["h:1:1"]}}\n', "", YAML),
)

# Of a proxy that does not speak it.
WITHOUT_REDIS = (
    with_line("redis: true", ":3:10: 'redis' belongs to redis", REDIS),
    with_line("redis_db: 1", ":3:13: 'redis_db' belongs to redis", REDIS),
    with_line("redis_auth: secret", ":3:15: 'redis_auth' belongs to redis"),
)


def of_redis(line: str, error: str = "", differs: str = "") -> Case:
    """The line is the fourth of the file."""
    return with_line(f"redis: true\n  {line}", error, differs)


PASSWORD, DATABASE = "'redis_auth' wants a password", "'redis_db' wants the number of a database"
ONLY_REDIS = "'redis_auth' is for a pool with 'redis: true'"

WITH_REDIS = (
    *(with_line(line) for line in ("redis: true", "redis: 'true'", "redis_db: 1", "redis_auth: secret\n  redis: true")),
    *(of_redis(f"redis_auth: {word}") for word in ("foo", "'a b'", "123", "true", "'~'", '"a\\nb"', "é", "a#b", "'a: b'", 1000 * "a")),
    *(of_redis(f"redis_auth: {bad}", f":4:15: {PASSWORD}") for bad in ("''", "{}", "[a]")),
    of_redis("redis_auth:", f":5:3: {PASSWORD}"),
    of_redis("redis_auth: ~", f":4:15: {PASSWORD}", "to YAML ~ is nothing"),
    of_redis("redis_auth: a\n  redis_auth: b", ":5:3: the key 'redis_auth' is in line 4 already"),
    with_line("redis_auth: foo", f":3:15: {ONLY_REDIS}"),
    with_line("redis: false\n  redis_auth: foo", f":4:15: {ONLY_REDIS}"),
    *(of_redis(f"redis_db: {n}") for n in ("0", "15", "007", "'5'", "2147483647")),
    *(of_redis(f"redis_db: {bad}", f": {DATABASE}") for bad in (*NOT_NUMBERS, "2147483648")),
    of_redis("redis_db: 4294967297", f":4:13: {DATABASE}", WRAPS),
    *(of_redis(line) for line in ("hash_tag: '{}'", "distribution: random", "timeout: 5", "preconnect: true")),
    Case("a pool of each kind", pool() + pool("q", "127.0.0.1:22122", "redis: true", ("h:6379:1",))),
)


def run(program: str, *flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program, *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=20,
        encoding="utf-8",
        errors="replace",
    )


class NutcrackerConf(unittest.TestCase):
    def setUp(self) -> None:
        directory = self.enterContext(tempfile.TemporaryDirectory())
        self.path = Path(directory) / "nutcracker.yml"

    @staticmethod
    def both(path: Path) -> list[subprocess.CompletedProcess]:
        return [run(program, "-t", "-c", str(path)) for program in (ClientTest.program, NUTCRACKER)]

    def test_each_file(self):
        of_redis = WITH_REDIS if can(ClientTest.program, "redis") else WITHOUT_REDIS
        for case in CASES + of_redis:
            with self.subTest(case.what):
                text = case.text if isinstance(case.text, bytes) else case.text.encode()
                self.path.write_bytes(text)
                ours, theirs = self.both(self.path)
                self.assertEqual(ours.returncode, 1 if case.error else 0, ours.stderr)
                self.assertIn(theirs.returncode, (0, 1), theirs.stderr)
                agree = ours.returncode == theirs.returncode
                self.assertEqual(agree, not case.differs, f"nutcracker: {theirs.returncode}, ours: {ours.stderr}")
                if case.error:
                    self.assertRegex(ours.stderr, r"\A[^\n]+\n\Z")
                    self.assertIn(f"{self.path}:", ours.stderr)
                    self.assertIn(case.error, ours.stderr)

    def test_no_file(self):
        for path, why in ((self.path, "No such file or directory"), (self.path.parent, "Is a directory")):
            ours, theirs = self.both(path)
            self.assertEqual((ours.returncode, theirs.returncode), (1, 1))
            self.assertIn(f"{path}: {why}\n", ours.stderr)


class NutcrackerCommandLine(unittest.TestCase):
    """Beside a good file."""

    TAKEN = (
        *(("-m", "512"), ("-m", "16777216"), ("-v", "0"), ("-v", "11"), ("-s", "1"), ("-s", "65535"), ("-i", "1")),
        *(("-a", "127.0.0.1"), ("-o", ""), ("-d",), ("--mbuf-size=512",), ("--verbose=6",), ("--stats-port=1",)),
        *(("--stats-addr=::1",), ("--stats-interval=5",), ("--output=x",), ("--pid-file=x",), ("--daemonize",)),
    )
    REFUSED = (
        *(("-m", "511"), ("-m", "16777217"), ("-m", "x"), ("-v", "-1"), ("-v", "x"), ("-s", "65536"), ("-s", "-1")),
        *(("-s", "x"), ("-i", "-1"), ("-i", "x"), ("-x",), ("-s",), ("--pools",), ("--daemonize=yes",)),
    )
    OURS_REFUSES = (("-v", "12"), ("-i", "0"), ("-a", ""), ("left over",))
    OURS_TAKES = (("-s", "0"),)

    @classmethod
    def setUpClass(cls) -> None:
        cls.path = Path(cls.enterClassContext(tempfile.TemporaryDirectory())) / "nutcracker.yml"
        cls.path.write_text(pool(), encoding="utf-8")

    def statuses(self, flags: tuple[str, ...]) -> tuple[int, int]:
        ours, theirs = (
            run(program, "-t", "-c", str(self.path), *flags) for program in (ClientTest.program, NUTCRACKER)
        )
        if ours.returncode == EX_USAGE:
            self.assertRegex(ours.stderr, r"\A[^\n]+\n\Z")
        return ours.returncode, theirs.returncode

    def test_options(self):
        for table, expected in (
            (self.TAKEN, (0, 0)),
            (self.REFUSED, (EX_USAGE, 1)),
            (self.OURS_REFUSES, (EX_USAGE, 0)),
            (self.OURS_TAKES, (0, 1)),
        ):
            for flags in table:
                with self.subTest(" ".join(flags)):
                    wanted = expected if self.has(flags[0]) else (EX_USAGE, expected[1])
                    self.assertEqual(self.statuses(flags), wanted)

    @staticmethod
    def has(flag: str) -> bool:
        """Statistics come in a later chapter than the others."""
        return can(ClientTest.program, "counters") or not flag.startswith(("-s", "-i", "-a", "--stats"))


if __name__ == "__main__":
    main()
