"""Whose is a key? Our proxy and Debian's nutcracker must agree, for every hash and every distribution that has rules.

Five memcached hold all the keys, each its own number as the value of every one. So what a proxy answers to `get` is the
server that it asked.
"""
import random
import socket
import subprocess
import tempfile
import time
import unittest
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from client_test import ClientTest, find_tool, main
from proxy import can
from server import HOST, Server

NUTCRACKER = find_tool("nutcracker", "nutcracker")
MEMCACHED = find_tool("memcached", "memcached")

HASHES = "one_at_a_time md5 crc16 crc32 crc32a fnv1_64 fnv1a_64 fnv1_32 fnv1a_32 hsieh murmur jenkins".split()
DISTRIBUTIONS = ("ketama", "modula")
WEIGHTS = (1, 2, 3, 7, 40)
NAMES = ("alpha", "beta", "gamma:11211", "10.0.0.1:11211:1", "e")
EJECT = "auto_eject_hosts: true\nserver_failure_limit: 1\nserver_retry_timeout: 3600000"
SEED = 14
NUMBER_OF_KEYS = 10_000
KEYS_AT_A_TIME = 250
DEADLINE = 10  # seconds
STARTS = 5


def make_keys() -> list[bytes]:
    """Keys as programs make them, keys with hash tags whole and broken, and any bytes that a key may have."""
    dice = random.Random(SEED)
    graphic = bytes(range(0x21, 0x7F))
    above_ascii = bytes(range(0x80, 0x100))

    def some(alphabet: bytes, most: int) -> bytes:
        return bytes(dice.choices(alphabet, k=dice.randint(1, most)))

    makers = (
        lambda: b"user:%d:name" % dice.randrange(10**6),
        lambda: b"key%08d" % dice.randrange(10**4),
        lambda: some(b"{}$ab1", 12),
        lambda: b"user:{%d}:%b" % (dice.randrange(10**4), some(b"xyz", 5)),
        lambda: some(graphic, 40),
        lambda: some(graphic + above_ascii, 40),
        lambda: some(graphic + above_ascii, 250),
    )
    keys: dict[bytes, None] = {}
    while len(keys) < NUMBER_OF_KEYS:
        keys[dice.choice(makers)()] = None
    return list(keys)


@dataclass(frozen=True)
class Pool:
    name: str
    hash: str
    distribution: str
    servers: list[str]
    more: str = ""
    dead: int = 0  # how many servers' keys are answered with an error

    def yaml(self, socket_path: Path) -> str:
        return (
            f"{self.name}:\n  listen: {socket_path} 0777\n  hash: {self.hash}\n  distribution: {self.distribution}\n"
            + "".join(f"  {line}\n" for line in self.more.splitlines())
            + "  servers:\n"
            + "".join(f"   - {line}\n" for line in self.servers)
        )


def make_pools(addresses: list[str], dead: str) -> Iterator[Pool]:
    """`dead` is an address at which nobody listens, on whatever port."""
    plain = [f"{a}:1" for a in addresses]
    weighted = [f"{a}:{w}" for a, w in zip(addresses, WEIGHTS)]
    named = [f"{line} {name}" for line, name in zip(weighted, NAMES)]
    # Names so long that of "name-39" one digit is hashed, or none; the first two differ where it no longer counts.
    ends = ("n" * 10 + "1", "n" * 10 + "2", "3", "4", "5")
    long = [f"{line} {'n' * 269}{end}" for line, end in zip(plain, ends)]

    for distribution in DISTRIBUTIONS:
        for hash_name in HASHES:
            yield Pool(f"{distribution}-{hash_name}", hash_name, distribution, named, 'hash_tag: "{}"')
        yield Pool(f"{distribution}-plain", "murmur", distribution, plain)
        yield Pool(f"{distribution}-weighted", "murmur", distribution, weighted)
        yield Pool(f"{distribution}-one-sign", "murmur", distribution, plain, 'hash_tag: "$$"')
        yield Pool(f"{distribution}-ejected", "murmur", distribution, [*named, f"{dead}:1:9 nobody"], EJECT)
    yield Pool("ketama-long-names", "murmur", "ketama", long)
    # The address alone is what is hashed.
    yield Pool("ketama-11211", "murmur", "ketama", [*plain, f"{dead}:11211:1"], dead=1)


class Proxy:
    """Owns: a proxy's process, and a directory with its configuration, its log and a socket for each pool."""

    def __init__(self, program: str, pools: list[Pool]):
        self._directory = tempfile.TemporaryDirectory(prefix="drive_machine-")
        self._path = Path(self._directory.name)
        conf = self._path / "conf"
        conf.write_text("".join(pool.yaml(self._socket(pool)) for pool in pools), encoding="latin-1")
        command = [program, "-c", str(conf), "-o", str(self._path / "log"), "-p", str(self._path / "pid")]
        # Somebody may take the port between our finding it and the proxy's; then it ends, and we try the next.
        stats = can(program, "counters")
        if not any(self._start([*command, *(self._statistics() if stats else ())], pools[-1]) for _ in range(STARTS)):
            self.stop()
            raise AssertionError(f"{' '.join(command)}: did not start\n{self.said}")

    @staticmethod
    def _statistics() -> tuple[str, ...]:
        return "-a", HOST, "-s", str(free_port())

    def _socket(self, pool: Pool) -> Path:
        return self._path / pool.name

    def _start(self, command: list[str], last: Pool) -> bool:
        """False: it has ended."""
        deadline = time.monotonic() + DEADLINE
        with open(self._path / "stderr", "ab") as stderr:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        while True:
            try:
                self.connect(last).close()
                return True
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{' '.join(command)}: does not listen after {DEADLINE} s\n{self.said}")
            try:
                self._process.wait(0.01)
                return False
            except subprocess.TimeoutExpired:
                pass

    def connect(self, pool: Pool) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        try:
            connection.connect(str(self._socket(pool)))
        except OSError:
            connection.close()
            raise
        return connection

    def stop(self) -> None:
        """What it said is kept."""
        self._process.kill()
        self._process.wait()
        files = (self._path / "stderr", self._path / "log")
        self.said = "".join(f.read_text(encoding="utf-8", errors="replace")[-2000:] for f in files if f.exists())
        self._directory.cleanup()

    def servers_of(self, pool: Pool, keys: list[bytes]) -> list[str]:
        """The server of each key: its number, or the line that came in the place of a value."""
        with self.connect(pool) as connection, connection.makefile("rb") as replies:

            def answer(key: bytes) -> str:
                line = replies.readline()
                if line != b"VALUE %b 0 1\r\n" % key:
                    return line.decode(errors="replace").rstrip()
                value = replies.readline().decode().rstrip()
                return value if replies.readline() == b"END\r\n" else f"{value} without END"

            def ask(some: list[bytes]) -> list[str]:
                connection.sendall(b"".join(b"get %b\r\n" % key for key in some))
                return [answer(key) for key in some]

            if pool.more == EJECT:
                # The first key of the server that is not there has it ejected. One at a time: those behind it in a
                # pipeline would fail with it.
                next((key for key in keys if not ask([key])[0].isdigit()), None)
            return [server for some in parts_of(keys) for server in ask(some)]

    def servers_by_multiget(self, pool: Pool, keys: list[bytes]) -> list[str]:
        """The same, from commands that name many keys. Their values come in any order."""
        found: dict[bytes, str] = {}
        with self.connect(pool) as connection, connection.makefile("rb") as replies:
            for some in parts_of(keys):
                connection.sendall(b"get %b\r\n" % b" ".join(some))
                while (line := replies.readline()).startswith(b"VALUE "):
                    found[line.split(b" ")[1]] = replies.readline().decode().rstrip()
        return [found.get(key, "nowhere") for key in keys]


def parts_of(keys: list[bytes]) -> list[list[bytes]]:
    return [keys[i : i + KEYS_AT_A_TIME] for i in range(0, len(keys), KEYS_AT_A_TIME)]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]


class NutcrackerKeys(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.keys = make_keys()
        cls.servers: list[Server] = []
        cls.addClassCleanup(cls.stop_servers)
        for number in range(len(WEIGHTS)):
            cls.servers.append(Server(MEMCACHED, "-U", "0"))
            with cls.servers[-1].connect() as connection:
                sets = b"".join(b"set %b 0 0 1 noreply\r\n%d\r\n" % (key, number) for key in cls.keys)
                connection.sendall(sets + b"version\r\n")
                if not connection.recv(100).startswith(b"VERSION"):
                    raise AssertionError("memcached did not take the keys")
        # Of the 16 million addresses of this machine alone, one that nobody else will have thought of.
        dead = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
        cls.pools = list(make_pools([server.address for server in cls.servers], dead))
        cls.proxies = []
        for program in (NUTCRACKER, ClientTest.program):
            cls.proxies.append(Proxy(program, cls.pools))
            cls.addClassCleanup(cls.proxies[-1].stop)

    @classmethod
    def stop_servers(cls) -> None:
        """All at once: each looks but once a second whether it is to stop."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(Server.stop, cls.servers))

    def compare(self, keys: list[bytes], theirs: list[str], ours: list[str]) -> None:
        differences = [d for d in zip(keys, theirs, ours) if d[1] != d[2]]
        if differences:
            shortest = sorted(differences, key=lambda d: len(d[0]))[:5]
            self.fail(
                f"{len(differences)} of {len(keys)} keys went elsewhere; key, nutcracker's server, ours:\n"
                + "\n".join(map(str, shortest))
            )

    def test_each_key(self):
        for pool in self.pools:
            if pool.more == EJECT and not can(ClientTest.program, "ejection"):
                continue
            with self.subTest(pool.name):
                theirs, ours = (proxy.servers_of(pool, self.keys) for proxy in self.proxies)
                self.compare(self.keys, theirs, ours)
                servers = Counter(theirs)
                strangers = {s for s in servers if not s.isdigit()}
                self.assertLessEqual(len(strangers), pool.dead, f"answers that are no server's: {strangers}")
                # crc32 has but 15 bits, and all of them lie in front of ketama's first point.
                if pool.name != "ketama-crc32":
                    self.assertGreater(len(servers), 1, "all keys on one server show nothing")

    def test_keys_of_a_multiget(self):
        if not can(ClientTest.program, "fragments"):
            return
        keys = self.keys[:2000]
        for pool in self.pools:
            if pool.hash == "murmur" and pool.more != EJECT and not pool.dead:
                with self.subTest(pool.name):
                    theirs, ours = (proxy.servers_by_multiget(pool, keys) for proxy in self.proxies)
                    self.compare(keys, theirs, ours)
                    self.assertNotIn("nowhere", theirs)


if __name__ == "__main__":
    main()
