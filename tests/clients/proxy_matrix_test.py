"""Two proxies before two kinds of servers: ours and Debian's nutcracker, chapter 12 and Debian's memcached.

    proxy_matrix_test.py PROXY SERVER [TEST]...

Real clients must not notice which of the four they talk to. And the bytes that the two proxies answer are the same, but for
what DIFFERENCES lists.
"""
import random
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from unittest import TestCase, TestLoader, TestSuite

import client_test
from client_test import ClientTest, find_tool, import_from
from proxy import HOST, Pool, Proxy, shown
from server import Server

pymemcache = import_from("python3-pymemcache", "pymemcache.client.base")
pylibmc = import_from("python3-pylibmc", "pylibmc")
memcache = import_from("python3-memcache", "memcache")

MEMCACHED = find_tool("memcached", "memcached")
NUTCRACKER = find_tool("nutcracker", "nutcracker")
TOOLS = {name: find_tool(name) for name in ("memccp", "memccat", "memcexist", "memctouch", "memcrm", "memcslap")}

SERVERS = 3
SEED = 14
CONVERSATIONS = 40
COMMANDS = 80  # in a conversation
CLOSED = b"<closed>"


class Front:
    """A proxy with servers of its own. Owns: all their processes."""

    def __init__(self, proxy: str, server: str, more: str = ""):
        flags = ("-U", "0") if server == MEMCACHED else ()
        self.servers = [Server(server, *flags) for _ in range(SERVERS)]
        try:
            self.proxy = Proxy(proxy, [Pool([s.address for s in self.servers], more)])
        except BaseException:
            self._stop_servers()
            raise
        self.address = f"{HOST}:{self.proxy.port}"

    def stop(self) -> None:
        try:
            self.proxy.stop()
        finally:
            self._stop_servers()

    def _stop_servers(self) -> None:
        """All at once: each looks but once a second whether it is to stop."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(Server.stop, self.servers))


class Clients:
    """What real clients do, for each corner of the matrix."""

    corner: tuple[str, str]  # the proxy's and the server's program

    @classmethod
    def setUpClass(cls) -> None:
        cls.front = Front(*cls.corner)
        cls.addClassCleanup(cls.front.stop)

    def setUp(self) -> None:
        self.key = self.id().rpartition(".")[2]

    # ---- pymemcache ----

    def pymemcache(self, **options):
        client = pymemcache.Client((HOST, self.front.proxy.port), connect_timeout=10, timeout=10, no_delay=True, **options)
        self.addCleanup(client.close)
        return client

    def test_pymemcache(self):
        client, key = self.pymemcache(default_noreply=False), self.key
        self.assertIsNone(client.get(key))
        self.assertTrue(client.set(key, b"\r\nEND\r\n"))
        self.assertEqual(client.get(key), b"\r\nEND\r\n")
        self.assertFalse(client.add(key, b"x"))
        self.assertTrue(client.replace(key, b"b"))
        self.assertTrue(client.append(key, b"c"))
        self.assertTrue(client.prepend(key, b"a"))
        value, unique = client.gets(key)
        self.assertEqual(value, b"abc")
        self.assertTrue(client.cas(key, b"10", unique))
        self.assertFalse(client.cas(key, b"11", unique))
        self.assertIsNone(client.cas(f"{key}-none", b"11", unique))
        self.assertEqual(client.incr(key, 5), 15)
        self.assertEqual(client.decr(key, 100), 0)
        self.assertIsNone(client.incr(f"{key}-none", 1))
        self.assertTrue(client.touch(key, 100))
        self.assertTrue(client.delete(key))
        self.assertFalse(client.delete(key))

    def test_pymemcache_with_noreply(self):
        client, key = self.pymemcache(default_noreply=True), self.key
        client.set(key, b"1")
        for _ in range(100):
            client.incr(key, 1, noreply=True)
        client.append(key, b"0")
        self.assertEqual(client.get(key), b"1010")
        client.delete(key)
        self.assertIsNone(client.get(key))

    def test_pymemcache_with_many_keys(self):
        client = self.pymemcache(default_noreply=False)
        values = {f"{self.key}{i}": b"%d" % i * (i + 1) for i in range(500)}
        self.assertEqual(client.set_many(values), [])
        self.assertEqual(client.get_many(list(values)), values)
        self.assertEqual(client.get_many([*values, "none"]), values)
        self.assertEqual(len(client.gets_many(list(values))), len(values))
        self.assertTrue(client.delete_many(list(values)))
        self.assertEqual(client.get_many(list(values)), {})

    def test_pymemcache_with_values_of_all_sizes(self):
        client = self.pymemcache(default_noreply=False)
        for size in [0, 1, *range(16370, 16400, 3), 65536, 1_000_000]:
            value = random.Random(size).randbytes(size)
            self.assertTrue(client.set(self.key, value))
            self.assertEqual(client.get(self.key), value)

    # ---- libmemcached ----

    def pylibmc(self, **behaviours):
        behaviours = {"tcp_nodelay": True, "receive_timeout": 10_000_000} | behaviours
        client = pylibmc.Client([self.front.address], behaviors=behaviours)
        self.addCleanup(client.disconnect_all)
        return client

    def test_pylibmc(self):
        client, key = self.pylibmc(cas=True), self.key
        for value in (b"bytes", "text", 7, True, ["a", {"b": None}]):
            self.assertTrue(client.set(key, value))
            self.assertEqual(client.get(key), value)
        self.assertFalse(client.add(key, "x"))
        self.assertTrue(client.replace(key, b"b"))
        client.append(key, b"c")
        client.prepend(key, b"a")
        value, unique = client.gets(key)
        self.assertEqual(value, b"abc")
        self.assertTrue(client.cas(key, 10, unique))
        self.assertEqual(client.incr(key, 5), 15)
        self.assertEqual(client.decr(key), 14)
        self.assertTrue(client.touch(key, 100))
        self.assertTrue(client.delete(key))
        self.assertIsNone(client.get(key))

    def test_pylibmc_with_many_keys(self):
        for number, behaviours in enumerate(({}, {"no_block": True})):
            with self.subTest(behaviours):
                client = self.pylibmc(**behaviours)
                values = {f"{self.key}{number}-{i}": b"v" * i for i in range(500)}
                self.assertEqual(client.set_multi(values), [])
                self.assertEqual(client.get_multi([*values, "none"]), values)
                self.assertTrue(client.delete_multi(list(values)))
                self.assertEqual(client.get_multi(list(values)), {})

    def run_tool(self, name: str, *words: str, status: int = 0) -> str:
        return ClientTest.run_tool(self, TOOLS[name], f"--servers={self.front.address}", *words, status=status)

    def test_tools(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / self.key
            path.write_text("x" * 900_000, encoding="ascii")
            self.run_tool("memccp", str(path))
        self.assertEqual(self.run_tool("memccat", self.key).rstrip("\n"), "x" * 900_000)
        self.run_tool("memcexist", self.key)
        self.run_tool("memctouch", "--expire=100", self.key)
        self.run_tool("memcrm", self.key)
        self.run_tool("memcexist", self.key, status=1)

    def test_memcslap(self):
        """It empties the server first, which no proxy does for it: so no test that counts."""
        for test in ("set", "get"):
            load = ("--concurrency=4", "--execute-number=500", "--initial-load=500")
            said = self.run_tool("memcslap", f"--test={test}", *load)
            self.assertRegex(said, rf"Time to {test}")

    # ---- python-memcache ----

    def test_memcache(self):
        client, key = memcache.Client([self.front.address], socket_timeout=10, cache_cas=True), self.key
        self.addCleanup(client.disconnect_all)
        self.assertTrue(client.set(key, ["a", {"b": None}]))
        self.assertEqual(client.get(key), ["a", {"b": None}])
        self.assertFalse(client.add(key, "x"))
        self.assertTrue(client.replace(key, "10"))
        client.gets(key)
        self.assertTrue(client.cas(key, "20"))
        self.assertEqual(client.incr(key, 5), 25)
        self.assertTrue(client.append(key, "5"))
        self.assertEqual(client.get(key), "255")
        self.assertTrue(client.touch(key, 100))
        client.set(f"{key}-silent", "x", noreply=True)
        self.assertEqual(client.get(f"{key}-silent"), "x")
        values = {f"{key}{i}": "v" * i for i in range(300)}
        self.assertEqual(client.set_multi(values), [])
        self.assertEqual(client.get_multi([*values, "none"]), values)
        self.assertTrue(client.delete_multi(list(values)))
        self.assertIsNone(client.get(f"{key}7"))


# ---- the same bytes ----


@dataclass(frozen=True)
class Difference:
    """The replies to `sent`, whose keys are a to h and have their names as values; then both are asked for their version."""

    sent: bytes
    nutcracker: bytes
    ours: bytes
    reason: str


VERSION = re.compile(rb"VERSION \S+\r\n\Z")  # nutcracker's is the server's
HITS = b"".join(b"VALUE %c 0 1\r\n%c\r\n" % (c, c) for c in b"abcdefgh") + b"END\r\n"
ALL = b"get a b c d e f g h\r\n"
BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
FOR_ONE_SERVER = b"CLIENT_ERROR this is a proxy, and many servers are behind it\r\n"

DIFFERENCES = [
    Difference(b"nonsense\r\n", CLOSED, b"ERROR\r\n" + CLOSED, "we tell why"),
    Difference(b"\r\n", CLOSED, b"ERROR\r\n" + CLOSED, "we tell why"),
    Difference(b"get\r\n", CLOSED, b"ERROR\r\n", "as memcached"),
    Difference(b"gat 0\r\n", CLOSED, b"ERROR\r\n", "as memcached"),
    Difference(b"flush_all\r\n", CLOSED, FOR_ONE_SERVER, "we tell why"),
    Difference(b"stats\r\n", CLOSED, FOR_ONE_SERVER, "we tell why"),
    Difference(b"verbosity 1\r\n", CLOSED, FOR_ONE_SERVER, "we tell why"),
    Difference(b"set a 0 0 x\r\n", CLOSED, BAD_FORMAT + CLOSED, "we tell why"),
    Difference(b"set a 0 0 -1\r\n", CLOSED, BAD_FORMAT + CLOSED, "we tell why"),
    Difference(b"set b 0 0 3\r\nwrong\r\n", CLOSED, b"CLIENT_ERROR bad data chunk\r\nERROR\r\n" + CLOSED, "we tell why"),
    Difference(b"set c 0 -1 1\r\nx\r\nget c\r\n", CLOSED, b"STORED\r\nEND\r\n", "as memcached: it has expired already"),
    Difference(b"touch e x\r\n", CLOSED, b"CLIENT_ERROR invalid exptime argument\r\n", "as memcached"),
    Difference(b"incr e x\r\n", CLOSED, b"CLIENT_ERROR invalid numeric delta argument\r\n", "as memcached"),
    Difference(b"delete e 0\r\n", CLOSED, b"DELETED\r\n", "as memcached: a time of 0 is allowed"),
    Difference(b"delete " + b"k" * 251 + b"\r\n", CLOSED, BAD_FORMAT, "as memcached"),
    Difference(b"get " + b"k" * 251 + b"\r\n", CLOSED, BAD_FORMAT, "as memcached"),
]


class TwoProxies(TestCase):
    """Each with its own servers, so that both have heard the same."""

    server_program: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.fronts = []
        for proxy in (NUTCRACKER, ClientTest.program):
            cls.fronts.append(Front(proxy, cls.server_program, "hash: murmur"))
            cls.addClassCleanup(cls.fronts[-1].stop)

    def replies(self, front: Front, sent: bytes, cuts: list[int] = []) -> bytes:
        """Up to the version, or to the end of the connection."""
        peer = front.proxy.connect()
        heard = b""
        try:
            sent += b"version\r\n"
            edges = [0, *sorted(cuts), len(sent)]
            for begin, end in zip(edges, edges[1:]):
                peer.say(sent[begin:end])
            while not (version := VERSION.search(heard)):
                if not (part := peer.socket.recv(1 << 20)):
                    return heard + CLOSED
                heard += part
        except (ConnectionResetError, BrokenPipeError):
            return heard + CLOSED
        except TimeoutError:
            return heard + b"<silent>"
        finally:
            peer.close()
        return heard[: version.start()]

    def compare(self, sent: bytes, cuts: list[int] = []) -> None:
        theirs, ours = (self.replies(front, sent, cuts) for front in self.fronts)
        if theirs != ours:
            at = next((i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b), min(len(theirs), len(ours)))
            around = slice(max(0, at - 60), at + 60)
            self.fail(f"{shown(sent)}\n  nutcracker: … {theirs[around]}\n  ours:       … {ours[around]}")


class Bytes(TwoProxies):
    """Whatever goes to one proxy goes to the other: even the numbers of cas are the same."""

    def test_each_command(self):
        """One after the other, each with what it leaves behind."""
        key = b"each-command"
        for line in (
            b"get %b", b"set %b 7 0 1\r\n5", b"get %b", b"gets %b", b"add %b 0 0 1\r\nx", b"replace %b 8 0 2\r\n41",
            b"get  %b ", b"incr %b 1", b"decr %b 40", b"incr %b 18446744073709551615", b"append %b 0 0 2\r\n\r\n",
            b"prepend %b 0 0 0\r\n", b"gets %b", b"cas %b 1 0 3 1\r\ncas", b"cas %b 1 0 3 99999\r\ncas", b"get %b",
            b"touch %b 100", b"get %b", b"delete %b", b"get %b", b"set %b 0 0 1\r\nx", b"delete %b", b"delete %b",
            b"incr %b 1", b"touch %b 1", b"append %b 0 0 1\r\nx", b"replace %b 0 0 1\r\nx", b"cas %b 0 0 1 1\r\nx",
            b"set %b 0 0 2000000\r\n" + b"x" * 2_000_000, b"get %b",
        ):
            with self.subTest(line[:40]):
                self.compare(line % key + b"\r\n")

    def test_noreply(self):
        key = b"noreply"
        for line in (
            b"set %b 0 0 1 noreply\r\n5", b"add %b 0 0 1 noreply\r\nx", b"incr %b 7 noreply", b"decr %b 2 noreply",
            b"append %b 0 0 1 noreply\r\n0", b"prepend %b 0 0 1 noreply\r\n9", b"replace %b 0 0 2 noreply\r\n77",
            b"touch %b 9 noreply", b"cas %b 0 0 1 1 noreply\r\nx", b"delete %b noreply", b"delete %b noreply",
        ):
            with self.subTest(line):
                self.compare(line % key + b"\r\nget %b\r\n" % key)

    def test_pipelines(self):
        keys = [b"pipeline%d" % n for n in range(300)]
        sets = b"".join(b"set %b 0 0 %d\r\n%b\r\n" % (key, len(key), key) for key in keys)
        self.compare(sets + b"".join(b"get %b\r\n" % key for key in keys))
        self.compare(sets + b"".join(b"get %b\r\nincr %b 1\r\ndelete %b\r\n" % (key, key, key) for key in keys))

    def test_gets_of_many_keys_that_are_there(self):
        keys = [b"many%d" % n for n in range(500)]
        self.compare(b"".join(b"set %b 0 0 %d\r\n%b\r\n" % (key, len(key) * 20, key * 20) for key in keys))
        dice = random.Random(SEED)
        for count in (2, 3, 10, 100, 500):
            some = dice.choices(keys, k=count)
            with self.subTest(count):
                self.compare(b"get %b\r\n" % b" ".join(some))
                self.compare(b"gets %b\r\n" % b" ".join(some) * 5)

    def test_random_conversations_in_random_pieces(self):
        dice = random.Random(SEED)
        for _ in range(CONVERSATIONS):
            sent = b"".join(random_command(dice) for _ in range(COMMANDS))
            cuts = [dice.randrange(len(sent)) for _ in range(dice.choice((0, 1, 3, 20)))]
            self.compare(sent, cuts)


class Differences(TwoProxies):
    def test_documented_differences(self):
        sets = b"".join(b"set %c 0 0 1\r\n%c\r\n" % (c, c) for c in b"abcdefgh")
        for front in self.fronts:
            self.assertEqual(self.replies(front, sets), b"STORED\r\n" * 8)
            self.assertEqual(self.replies(front, ALL), HITS)
        for d in DIFFERENCES:
            with self.subTest(d.sent[:40], reason=d.reason):
                self.assertEqual([self.replies(front, d.sent) for front in self.fronts], [d.nutcracker, d.ours])

    def test_a_miss_within_a_split_get(self):
        """nutcracker's items lose their order; ours keep it. The items are the same."""
        keys = [b"miss%d" % n for n in range(40)]
        for front in self.fronts:
            self.replies(front, b"".join(b"set %b 0 0 1\r\nx\r\n" % key for key in keys[::2]))
        request = b"get %b\r\n" % b" ".join(keys)
        theirs, ours = (self.replies(front, request) for front in self.fronts)
        self.assertEqual(ours, b"".join(b"VALUE %b 0 1\r\nx\r\n" % key for key in keys[::2]) + b"END\r\n")
        items = [sorted(replies.removesuffix(b"END\r\n").split(b"VALUE ")) for replies in (theirs, ours)]
        self.assertEqual(*items)
        self.assertNotEqual(theirs, ours)


KEYS = [b"random%d" % n for n in range(12)]


def random_command(dice: random.Random) -> bytes:
    """About few keys, so that commands meet. No get that is split names a key that is not there."""
    key, silent = dice.choice(KEYS), dice.choice((b"", b"", b" noreply"))
    value = dice.choice((b"", b"0", b"10", b"x" * 100, b"\r\n\0\xff", b"v" * 20_000))
    number = dice.choice((b"0", b"1", b"99", b"18446744073709551615"))
    match dice.randrange(8):
        case 0 | 1:
            return b"get%b %b\r\n" % (dice.choice((b"", b"s")), key)
        case 2 | 3:
            command = dice.choice((b"set", b"set", b"add", b"replace", b"append", b"prepend"))
            return b"%b %b %d 0 %d%b\r\n%b\r\n" % (command, key, dice.choice((0, 1, 65535)), len(value), silent, value)
        case 4:
            return b"%b %b %b%b\r\n" % (dice.choice((b"incr", b"decr")), key, number, silent)
        case 5:
            return b"delete %b%b\r\n" % (key, silent)
        case 6:
            return b"touch %b %b%b\r\n" % (key, dice.choice((b"0", b"100", b"-1")), silent)
        case _:
            return b"cas %b 0 0 1 %d%b\r\nx\r\n" % (key, dice.randrange(1, 50), silent)


def load_tests(loader: TestLoader, *_) -> TestSuite:
    proxies = {"ours": ClientTest.program, "nutcracker": NUTCRACKER}
    backends = {"chapter12": TwoProxies.server_program, "memcached": MEMCACHED}
    classes = [
        type(f"Clients_{p}_{s}", (Clients, TestCase), {"corner": (proxy, server)})
        for p, proxy in proxies.items()
        for s, server in backends.items()
    ]
    classes += [
        type(f"{of.__name__}_{s}", (of,), {"server_program": server})
        for of in (Bytes, Differences)
        for s, server in backends.items()
    ]
    return TestSuite(map(loader.loadTestsFromTestCase, classes))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} PROXY SERVER [TEST]...")
    TwoProxies.server_program = sys.argv.pop(2)
    client_test.main()
