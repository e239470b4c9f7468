"""What a proxy does when servers fail, clients misbehave, and everything comes in pieces.

Most tests stand on both sides of it: they are the client, and the server behind.
"""
import contextlib
import os
import random
import re
import resource
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from client_test import ClientTest, find_tool, main
from proxy import DEADLINE, Fake, Peer, Pool, Proxy, can, listening_ports, wait_until
from server import Server

MEMCACHED = find_tool("memcached", "memcached")
NUTCRACKER = find_tool("nutcracker", "nutcracker")

MIB = 1 << 20
REFUSED = b"SERVER_ERROR Connection refused\r\n"
RESET = b"SERVER_ERROR Connection reset by peer\r\n"
TIMED_OUT = b"SERVER_ERROR Connection timed out\r\n"
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
VERSION = b"VERSION 1.4.25\r\n"  # the proxy's own
NO_MEMORY = b"SERVER_ERROR Cannot allocate memory\r\n"
MANY_CLIENTS = 1000
MUCH = 64 * MIB  # more than the kernel's buffers take, and no proxy should keep

servers: list[Server] = []  # five memcached, for all tests


def setUpModule() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    for _ in range(5):
        servers.append(Server(MEMCACHED, "-U", "0", "-I", "2m", "-c", "4096"))


def tearDownModule() -> None:
    """All at once: each looks but once a second whether it is to stop."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(Server.stop, servers))


def item(key: bytes, value: bytes) -> bytes:
    return b"VALUE %b 0 %d\r\n%b\r\n" % (key, len(value), value)


def hit(key: bytes, value: bytes) -> bytes:
    return item(key, value) + b"END\r\n"


def still_serves(client: Peer) -> None:
    """The proxy answers this itself: by then it has seen whatever anybody has sent before."""
    client.ask(b"version\r\n", VERSION)


def hear_lines(client: Peer, most: int) -> list[bytes]:
    """Fewer, if the end comes first."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while heard.count(b"\n") < most and (part := client.socket.recv(65536)):
            heard += part
    return heard.splitlines(keepends=True)


@contextlib.contextmanager
def shouting(loud: Peer, words: bytes) -> Iterator[None]:
    """It says them without end, and takes whatever it is answered."""

    def shout() -> None:
        with contextlib.suppress(OSError):
            while True:
                loud.say(words)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while loud.socket.recv(MIB):
                pass

    threads = [threading.Thread(target=what) for what in (shout, listen)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it has been hung up on
            loud.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def without_memory(proxy: Proxy) -> Iterator[None]:
    """It gets no more than it has."""
    pid = proxy.process.pid
    size = int(re.search(r"VmSize:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))[1]) << 10
    if size > 1 << 40:
        raise unittest.SkipTest("a sanitizer takes more memory than there is")
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


class ProxyTest(unittest.TestCase):
    def setUp(self) -> None:
        self.key = self.id().rpartition(".")[2].encode()

    def fake(self, listens: bool = True) -> Fake:
        fake = Fake(listens)
        self.addCleanup(fake.close)
        return fake

    def start(self, *pools: Pool, flags: tuple[str, ...] = (), descriptors: int = 0) -> Proxy:
        proxy = Proxy(ClientTest.program, pools, flags, descriptors)
        self.addCleanup(proxy.stop)
        return proxy

    def connect(self, proxy: Proxy, pool: int = 0) -> Peer:
        peer = proxy.connect(pool)
        self.addCleanup(peer.close)
        return peer

    def accept(self, fake: Fake) -> Peer:
        peer = fake.accept()
        self.addCleanup(peer.close)
        return peer

    def chapter_12(self, *flags: str) -> Server:
        """It says at once that a value is too large. Debian's memcached reads it first."""
        program = Path(ClientTest.program).with_name("12-maxconns")
        if not program.exists():
            self.skipTest(f"{program} is not built")
        server = Server(program, *flags)
        self.addCleanup(server.stop)
        return server

    def sets_too_much(self, client: Peer, other: Peer) -> None:
        """Twice, to a server that takes 1 MiB; and what the other asks of it before and after is answered."""
        value = b"x" * 10_000_000
        for _ in range(2):
            other.say(b"get none\r\n" * 100)
            client.say(b"set a 0 0 %d\r\n%b\r\n" % (len(value), value))
            other.say(b"get none\r\n" * 100)
            client.hear(TOO_LARGE)
            other.hear(b"END\r\n" * 200)

    def directory(self) -> Path:
        return Path(self.enterContext(tempfile.TemporaryDirectory(prefix="drive_machine-")))

    def flood(self, proxy: Proxy, client: Peer, request: bytes, most: int = MUCH) -> None:
        """Says it again and again, until that is enough, or the proxy no longer reads, or it has closed."""
        other = self.connect(proxy)
        client.socket.setblocking(False)
        sent = refused = 0
        while sent < most and refused < 5:
            try:
                sent += client.socket.send(request[sent % len(request) :])
                refused = 0
            except BlockingIOError:
                still_serves(other)
                refused += 1
            except (ConnectionResetError, BrokenPipeError):
                break


class OneServer(ProxyTest):
    """From chapter 14 on."""

    def front(self, *addresses: str, flags: tuple[str, ...] = (), descriptors: int = 0) -> Proxy:
        return self.start(Pool(addresses or (servers[0].address,)), flags=flags, descriptors=descriptors)

    # ---- servers that fail ----

    def test_a_dead_server_and_its_return(self):
        fake = self.fake(listens=False)
        client = self.connect(self.front(fake.address))
        for _ in range(3):
            client.ask(b"get a\r\n", REFUSED)
        client.ask(b"set a 0 0 5\r\nhello\r\nget a\r\n", 2 * REFUSED)
        fake.listen()
        client.say(b"get a\r\n")
        self.accept(fake).answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")

    def test_noreply_to_a_dead_server(self):
        client = self.connect(self.front(self.fake(listens=False).address))
        client.ask(b"set a 0 0 1 noreply\r\nx\r\ndelete a noreply\r\nget a\r\n", REFUSED)

    def test_a_server_that_ends_within_a_reply(self):
        """After each of its bytes, by a close and by a reset."""
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        reply = item(b"a", b"hello") + hit(b"b", b"")
        for end in (Peer.close, Peer.reset):
            for size in range(len(reply)):
                client.say(b"get a b\r\n")
                behind = self.accept(fake)
                behind.answer(b"get a b\r\n", reply[:size])
                end(behind)
                client.hear(RESET)
        client.say(b"get a b\r\n")
        self.accept(fake).answer(b"get a b\r\n", reply)
        client.hear(reply)

    def test_a_server_that_ends_takes_with_it_what_it_has_not_answered(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        clients = [self.connect(proxy) for _ in range(3)]
        clients[0].say(b"get a\r\nget b\r\nget c\r\n")
        behind = self.accept(fake)
        behind.hear(b"get a\r\nget b\r\nget c\r\n")
        for client in clients[1:]:
            client.say(b"get d\r\n")
            behind.hear(b"get d\r\n")
        behind.say(b"END\r\n" + hit(b"b", b"whole") + b"VALUE c 0 10\r\nhalf")
        behind.close()
        clients[0].hear(b"END\r\n" + hit(b"b", b"whole") + RESET)
        for client in clients[1:]:
            client.hear(RESET)

    def test_a_server_that_leaves_while_nobody_waits(self):
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        for _ in range(3):
            client.say(b"get a\r\n")
            behind = self.accept(fake)
            behind.answer(b"get a\r\n", b"END\r\n")
            client.hear(b"END\r\n")
            behind.socket.shutdown(socket.SHUT_WR)
            behind.hear_end()

    def test_a_reply_that_nobody_has_asked_for(self):
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        for stray in (b"STORED\r\n", b"END\r\n", b"\r\n", hit(b"a", b"stray")):
            with self.subTest(stray):
                client.say(b"get a\r\n")
                behind = self.accept(fake)
                behind.answer(b"get a\r\n", b"END\r\n")
                client.hear(b"END\r\n")
                behind.say(stray)
                behind.hear_end()

    def test_a_reply_to_a_noreply(self):
        """It comes before anything that somebody waits for: nobody may take it for his."""
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        client.say(b"set a 0 0 1 noreply\r\nx\r\n")
        behind = self.accept(fake)
        behind.answer(b"set a 0 0 1 noreply\r\nx\r\n", b"SERVER_ERROR out of memory storing object\r\n")
        behind.hear_end()
        client.say(b"get a\r\n")
        self.accept(fake).answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")

    def test_what_is_no_reply(self):
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        for reply in (b"VALUE a 0\r\n", b"VALUE a 0 x\r\n", b"VALUE a 0 -1\r\n", b"hello world\r\n", b"ENDD\r\n", b"\r\n", b"x" * 70_000):
            with self.subTest(reply[:20]):
                client.say(b"get a\r\n")
                behind = self.accept(fake)
                behind.hear(b"get a\r\n")
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    behind.say(reply)
                self.assertRegex(client.hear_line(), rb"^SERVER_ERROR [A-Z][a-z ]+\r\n$")
                behind.hear_end()

    def test_a_server_that_answers_before_it_has_heard_all(self):
        """It refuses a value by the line that announces it, and reads the value to throw it away."""
        fake = self.fake()
        proxy = self.front(fake.address)
        client, other = self.connect(proxy), self.connect(proxy)
        line, value = b"set a 0 0 %d\r\n" % MUCH, b"x" * MUCH + b"\r\n"
        client.say(line + value)
        behind = self.accept(fake)
        behind.answer(line, TOO_LARGE)
        client.hear(TOO_LARGE)
        other.say(b"get a\r\n")
        client.say(b"get b\r\n")
        behind.hear(value)
        for _ in range(2):
            key = behind.hear_line().split()[1]
            behind.say(hit(key, key))
        other.hear(hit(b"a", b"a"))
        client.hear(hit(b"b", b"b"))
        # One answer is enough: a second is nobody's, and if the server ends, its client has been told.
        for then in (lambda peer: peer.say(TOO_LARGE), Peer.close):
            client.say(line + value)
            behind.answer(line, TOO_LARGE)
            client.hear(TOO_LARGE)
            then(behind)
            still_serves(other)
            client.say(b"get b\r\n")
            behind = self.accept(fake)
            behind.answer(b"get b\r\n", b"END\r\n")
            client.hear(b"END\r\n")

    def test_a_value_that_is_too_large_for_chapter_12(self):
        proxy = self.front(self.chapter_12("-I", "1m").address)
        self.sets_too_much(self.connect(proxy), self.connect(proxy))

    def test_a_server_that_answers_byte_by_byte(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        client, other = self.connect(proxy), self.connect(proxy)
        requests = b"get a\r\nset a 0 0 1\r\nx\r\nget a b\r\n"
        client.say(requests)
        behind = self.accept(fake)
        behind.hear(requests)
        reply = b"END\r\nSTORED\r\n" + item(b"a", b"\r\nEND\r\n") + hit(b"b", b"")
        for byte in reply:
            behind.say(bytes([byte]))
            still_serves(other)
        client.hear(reply)

    def test_a_server_that_ends_when_there_is_no_memory(self):
        """Many are to be told, and not all can be. Those who cannot are hung up on; none is left to wait."""
        fake = self.fake()
        proxy = self.front(fake.address)
        clients = [self.connect(proxy) for _ in range(200)]
        requests = b"get a\r\n" * 100
        for client in clients:
            client.say(requests)
        behind = self.accept(fake)
        behind.hear(requests * len(clients))
        with without_memory(proxy):
            behind.close()
            told = [hear_lines(client, 100) for client in clients]
        self.assertLessEqual({line for lines in told for line in lines}, {RESET, NO_MEMORY})
        self.assertLess(min(map(len, told)), 100)
        client = self.connect(proxy)
        client.say(b"get a\r\n")
        self.accept(fake).answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")

    # ---- clients that misbehave ----

    def test_a_client_that_leaves_with_requests_under_way(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        for leave in (Peer.close, Peer.reset):
            gone = proxy.connect()
            gone.say(b"get a\r\nget a a\r\nset a 0 0 1\r\nx\r\nget unfinis")
            if leave is Peer.close:
                behind = self.accept(fake)
            behind.hear(b"get a\r\nget a a\r\nset a 0 0 1\r\nx\r\n")
            leave(gone)
            client = self.connect(proxy)
            client.say(b"get b\r\n")
            behind.hear(b"get b\r\n")
            behind.say(hit(b"a", b"not for you") + item(b"a", b"nor this") + hit(b"a", b"x" * 100_000) + b"STORED\r\n")
            behind.say(hit(b"b", b"for you"))
            client.hear(hit(b"b", b"for you"))

    def test_a_client_that_sends_no_more_gets_all_replies(self):
        value = b"v" * 100_000
        client = self.connect(self.front())
        client.ask(b"set %b 0 0 %d\r\n%b\r\n" % (self.key, len(value), value), b"STORED\r\n")
        client.say(b"get %b\r\n" % self.key * 100 + b"get unfinis")
        client.socket.shutdown(socket.SHUT_WR)
        client.hear(hit(self.key, value) * 100)
        client.hear_end()

    def test_quit(self):
        proxy = self.front()
        client = self.connect(proxy)
        client.ask(b"quit\r\n", b"")
        client.hear_end()
        client = self.connect(proxy)
        client.ask(b"get none\r\nversion\r\nquit\r\nget none\r\n", b"END\r\n" + VERSION)
        client.hear_end()

    def test_a_client_that_never_reads(self):
        """Another one's request is behind its own: when that is answered, the proxy has all that it will take."""
        value = b"v" * MIB
        proxy = self.front()
        client = self.connect(proxy)
        client.ask(b"set %b 0 0 %d\r\n%b\r\n" % (self.key, len(value), value), b"STORED\r\n")
        client.ask(b"get %b\r\n" % self.key, hit(self.key, value))
        before = proxy.memory_peak()
        client.say(b"get %b\r\n" % self.key * 2000)
        for _ in range(3):
            self.connect(proxy).ask(b"get %b\r\n" % self.key, hit(self.key, value))
        self.assertLess(proxy.memory_peak() - before, 200 * MIB)
        # And when it does read, it has lost nothing.
        for _ in range(2000):
            client.hear(hit(self.key, value))

    def test_a_client_that_goes_on_after_quit(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        client = self.connect(proxy)
        client.say(b"get a\r\nquit\r\n")
        behind = self.accept(fake)
        behind.hear(b"get a\r\n")
        before = proxy.memory_peak()
        self.flood(proxy, client, b"x" * 65536)
        self.assertLess(proxy.memory_peak() - before, MUCH // 4)

    def test_noreply_for_a_server_that_does_not_read(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        client = self.connect(proxy)
        before = proxy.memory_peak()
        self.flood(proxy, client, b"set a 0 0 10000 noreply\r\n%b\r\n" % (b"x" * 10_000))
        self.assertLess(proxy.memory_peak() - before, MUCH // 4)

    def test_questions_between_noreplies_for_a_server_that_does_not_read(self):
        """The client is listened to again when the server has caught up, not when a question has been answered."""
        proxy = self.front(self.fake().address)
        client, other = self.connect(proxy), self.connect(proxy)
        before = proxy.memory_peak()
        words = b"version\r\nset a 0 0 10000 noreply\r\n%b\r\n" % (b"x" * 10_000)
        client.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < MUCH:
                sent += client.socket.send(words)
                still_serves(other)  # so the proxy always finds a question and a noreply
        self.assertLess(proxy.memory_peak() - before, MUCH // 4)

    def test_values_for_a_server_that_does_not_read(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        client = self.connect(proxy)
        before = proxy.memory_peak()
        self.flood(proxy, client, b"set a 0 0 1000000\r\n%b\r\n" % (b"x" * 1_000_000))
        self.assertLess(proxy.memory_peak() - before, MUCH // 4)

    def test_a_client_that_never_stops_leaves_time_for_others(self):
        proxy = self.front()
        loud, other = self.connect(proxy), self.connect(proxy)
        before = proxy.memory_peak()
        with shouting(loud, b"set %b 0 0 100 noreply\r\n%b\r\n" % (self.key, b"x" * 100) * 500):
            other.socket.settimeout(2)
            for _ in range(50):
                other.ask(b"get none\r\n", b"END\r\n")
        self.assertLess(proxy.memory_peak() - before, 2 * MUCH)

    def test_a_client_that_never_stops_asking_the_proxy_itself(self):
        """No server slows it down: it takes its answers, and there are as many again to give."""
        proxy = self.front()
        loud, other = self.connect(proxy), self.connect(proxy)
        with shouting(loud, b"version\r\n" * 50_000):
            other.socket.settimeout(3)
            begun = time.monotonic()
            for _ in range(200):
                still_serves(other)
            self.assertLess(time.monotonic() - begun, DEADLINE)

    def test_the_binary_protocol_is_not_spoken(self):
        client = self.connect(self.front())
        client.say(b"\x80" + bytes(23))
        client.hear_end()

    # ---- much, many, and in pieces ----

    def test_a_request_split_anywhere(self):
        key = self.key
        proxy = self.front()
        client, other = self.connect(proxy), self.connect(proxy)
        requests = b"set %b 0 0 7\r\na\r\nEND\n\r\nget %b none\r\ndelete %b noreply\r\nget %b\n" % ((key,) * 4)
        replies = b"STORED\r\n" + hit(key, b"a\r\nEND\n") + b"END\r\n"
        for at in range(1, len(requests)):
            client.say(requests[:at])
            still_serves(other)
            client.ask(requests[at:], replies)
        for byte in requests:
            client.say(bytes([byte]))
            still_serves(other)
        client.hear(replies)

    def test_1000_requests_at_once(self):
        client = self.connect(self.front())
        names = [b"%b%d" % (self.key, i) for i in range(250)]
        requests = b"".join(
            b"set %b 0 0 %d\r\n%b\r\nget %b\r\nincr %b 1\r\ndelete %b\r\n" % (n, len(n), n, n, n, n) for n in names
        )
        error = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        client.ask(requests, b"".join(b"STORED\r\n" + hit(n, n) + error + b"DELETED\r\n" for n in names))

    def test_values_of_a_mebibyte(self):
        client = self.connect(self.front())
        value = random.Random(1).randbytes(MIB)
        for _ in range(10):
            client.ask(b"set %b 0 0 %d\r\n%b\r\n" % (self.key, MIB, value), b"STORED\r\n")
            client.ask(b"get %b\r\n" % self.key, hit(self.key, value))
        client.ask(b"set %b 0 0 3000000\r\n%b\r\n" % (self.key, b"x" * 3_000_000), b"SERVER_ERROR object too large for cache\r\n")
        client.ask(b"version\r\n", VERSION)

    def test_noreply(self):
        client = self.connect(self.front())
        key = self.key
        client.say(b"set %b 0 0 1 noreply\r\n0\r\n" % key + b"incr %b 1 noreply\r\n" % key * 100)
        client.ask(b"get %b\r\n" % key, hit(key, b"100"))
        client.say(b"touch %b 0 noreply\r\ndecr %b 90 noreply\r\nappend %b 0 0 1 noreply\r\n5\r\n" % (key, key, key))
        # What servers do not take is not answered either.
        client.say(b"set %b x 0 1 noreply\r\n7\r\ndelete %b 5 noreply\r\n" % (key, key))
        client.ask(b"get %b\r\n" % key, hit(key, b"10 5"))

    def test_a_thousand_clients(self):
        proxy = self.front()
        clients = [self.connect(proxy) for _ in range(MANY_CLIENTS)]
        for n, client in enumerate(clients):
            client.say(b"set %b%d 0 0 4\r\n%04d\r\nget %b%d\r\n" % (self.key, n, n, self.key, n))
        for n, client in enumerate(clients):
            client.hear(b"STORED\r\n" + hit(b"%b%d" % (self.key, n), b"%04d" % n))

    def test_out_of_descriptors(self):
        """Those for whom there is none wait until another leaves, each in turn, and nobody is sent away."""
        proxy = self.front(descriptors=32)
        clients = [self.connect(proxy) for _ in range(50)]
        for client in clients:
            client.say(b"version\r\n")
        for _ in clients:
            served = wait_until(lambda: select.select([c.socket for c in clients], [], [], 0)[0], "somebody is served")
            self.assertLess(len(served), 32)
            first = next(c for c in clients if c.socket is served[0])
            first.hear(VERSION)
            first.close()
            clients.remove(first)

    # ---- lines on which servers and proxies may differ ----

    def test_numbers_that_servers_cannot_hold(self):
        """Whoever refuses the line must not take the value for a command: one reply would be too many."""
        client = self.connect(self.front())
        for number in (b"2147483648", b"4294967296", b"9223372036854775808", b"18446744073709551615", b"18446744073709551616"):
            for fields in (b"%b 0 7", b"0 %b 7", b"0 -%b 7"):
                for silent in (b"", b" noreply"):
                    line = b"set k " + fields % number + silent
                    with self.subTest(line):
                        client.say(line + b"\r\nversion\r\nget none\r\n")
                        replies = client.hear_line() if not silent else b""
                        while not replies.endswith(b"END\r\n"):
                            replies += client.hear_line()
                        # "version" is the value: it is stored, or thrown away, and never answered.
                        refusal = b"CLIENT_ERROR bad command line format\r\n"
                        replies = replies.removesuffix(b"END\r\n")
                        wanted = (b"",) if silent else (b"STORED\r\n", refusal)
                        self.assertIn(replies, wanted)

    def test_a_carriage_return_within_a_line(self):
        """It belongs to the key, here as with memcached."""
        client = self.connect(self.front())
        for line in (b"get \rnone", b"get \r", b"get none\rnone none", b"get \r none"):
            with self.subTest(line):
                client.ask(line + b"\r\n", b"END\r\n")
        client.ask(b"set a\rb 0 0 1\r\nx\r\nget none a\rb\r\n", b"STORED\r\n" + hit(b"a\rb", b"x"))
        client.ask(b"delete a\rb\r\n", b"DELETED\r\n")

    def test_a_key_that_is_too_long(self):
        client = self.connect(self.front())
        key, error = b"k" * 251, b"CLIENT_ERROR bad command line format\r\n"
        gets = (b"get %b", b"gets none %b none", b"get %b" % (b"none " * 100) + b"%b")
        for request in (*gets, b"delete %b", b"incr %b 1", b"touch %b 0"):
            client.ask(request % key + b"\r\nget none\r\n", error + b"END\r\n")

    def test_a_value_is_never_a_command(self):
        """It is thrown away where its length can be told; where it cannot, the proxy answers and hangs up."""
        proxy = self.front()
        judge = self.connect(proxy)
        victim = b"set %b 0 0 4\r\n%%b" % self.key
        judge.ask(victim % b"good\r\n", b"STORED\r\n")
        value = victim % b"evil"
        bad, error = b"CLIENT_ERROR bad command line format\r\n", b"ERROR\r\n"
        long_key = b"set %b 0 0 %d" % (b"k" * 251, len(value))
        for line in (long_key, b"set k x 0 %d" % len(value), b"cas k 0 0 %d x" % len(value)):
            with self.subTest(line):
                client = self.connect(proxy)
                client.ask(line + b"\r\n" + value + b"\r\nget none\r\n", bad + b"END\r\n")
        for line, answer in ((b"set k 0 0", error), (b"set k 0 0 x", bad), (b"set k 0 0 -1", bad), (b"set a b 0 0 5", bad),
                             (b"set k 0 0 1 2 3", error), (b"ms k 30", error), (b"nonsense", error), (b"", error)):
            with self.subTest(line):
                client = self.connect(proxy)
                client.ask(b"get none\r\n" + line + b"\r\nx\r\n" + value + b"\r\n", b"END\r\n" + answer)
                client.hear_end()
        for line in (b"set k 0 0 noreply", b"set k 0 0 x noreply"):
            client = self.connect(proxy)
            client.say(line + b"\r\n" + value + b"\r\n")
            client.hear_end()
        judge.ask(b"get %b\r\n" % self.key, hit(self.key, b"good"))

    def test_what_touches_as_it_gets(self):
        """A server that does not know the command says ERROR, and all are in step."""
        client = self.connect(self.front())
        client.ask(b"set %b 0 0 1\r\nx\r\n" % self.key, b"STORED\r\n")
        client.ask(b"gat 0 %b\r\ngat 100 none\r\ngat 0\r\ngats\r\n" % self.key, hit(self.key, b"x") + b"END\r\n" + b"ERROR\r\n" * 2)
        client = self.connect(self.front(self.chapter_12().address))
        client.ask(b"gat 0 a\r\nget a\r\n", b"ERROR\r\nEND\r\n")

    def test_the_version_is_the_proxys_own(self):
        client = self.connect(self.front(self.fake(listens=False).address))
        client.ask(b"version\r\nget a\r\nversion\r\n", VERSION + REFUSED + VERSION)

    # ---- the process ----

    def test_signals_that_end_it(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(how):
                fake = self.fake()
                proxy = Proxy(ClientTest.program, [Pool([fake.address])])
                client = self.connect(proxy)
                client.say(b"get a\r\nget ")
                self.accept(fake).hear(b"get a\r\n")
                proxy.stop(how)
                client.hear_end()


def owner(key: bytes, count: int) -> int:
    """Of so many servers with `BY_CRC`, the number of the key's own."""
    return (zlib.crc32(key) >> 16 & 0x7FFF) % count


def keys_of(number: int, count: int) -> list[bytes]:
    """Some keys that this server has."""
    return [key for key in (b"key%d" % i for i in range(100)) if owner(key, count) == number][:10]


BY_CRC = "hash: crc32\ndistribution: modula"
NO_TIMER, KEEPALIVE = "00", "02"  # in /proc/net/tcp


def other_end(peer: Peer) -> list[str]:
    """What /proc/net/tcp says of the proxy's end of this connection."""
    ends = [f":{name[1]:04X}" for name in (peer.socket.getpeername(), peer.socket.getsockname())]
    rows = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    return next(row for row in rows if [row[1][-5:], row[2][-5:]] == ends)


def timer(client: Peer) -> str:
    return other_end(client)[5].partition(":")[0]


def has_been_read(peer: Peer) -> bool:
    return int(other_end(peer)[4].partition(":")[2], 16) == 0


# ---- stories: what happens to a proxy, and what it will have counted when they are over ----


def refused(test: ProxyTest, start: Callable) -> tuple[Proxy, dict[str, int]]:
    proxy = start(test.fake(listens=False).address)
    test.connect(proxy).ask(b"get a\r\nset a 0 0 1\r\nx\r\n", 2 * REFUSED)
    test.connect(proxy).say(b"set a 0 0 1 noreply\r\nx\r\n")
    return proxy, {"pool.forward_error": 2, "pool.one.requests": 3, "pool.one.server_err": 2}


def heard(test: ProxyTest, start: Callable) -> tuple[Proxy, dict[str, int]]:
    fake = test.fake()
    proxy = start(fake.address)
    client, requests = test.connect(proxy), b"get a\r\nget bb\r\nset a 0 0 1 noreply\r\nx\r\n"
    client.say(requests)
    test.accept(fake).answer(requests, b"END\r\n")
    client.hear(b"END\r\n")
    return proxy, {"pool.one.requests": 3, "pool.one.responses": 1, "pool.one.out_queue": 1}


def never_reached(test: ProxyTest, start: Callable) -> tuple[Proxy, dict[str, int]]:
    """Others have filled the queue of those who want to be accepted: nobody says yes or no."""
    listener, *others = (test.enterContext(socket.socket()) for _ in range(3))
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for other in others:
        other.setblocking(False)
        other.connect_ex(listener.getsockname())
    proxy = start(f"127.0.0.1:{listener.getsockname()[1]}")
    test.connect(proxy).say(b"get a\r\nget bb\r\nset a 0 0 1 noreply\r\nx\r\n")
    return proxy, {"pool.one.requests": 3, "pool.one.in_queue": 3, "pool.one.server_connections": 0}


def hung_up_on(test: ProxyTest, start: Callable) -> tuple[Proxy, dict[str, int]]:
    fake = test.fake()
    proxy = start(fake.address)
    client = test.connect(proxy)
    for end in (Peer.close, Peer.reset):
        client.say(b"get a\r\nget a\r\n")
        behind = test.accept(fake)
        behind.answer(b"get a\r\nget a\r\n", b"VALUE a 0 10\r\nhalf")
        # nutcracker does not hear of an end that comes together with what it has to read first.
        wait_until(lambda: has_been_read(behind), "the proxy has read the half")
        end(behind)
        for _ in range(2):
            test.assertRegex(client.hear_line(), rb"^SERVER_ERROR ")
    return proxy, {"pool.forward_error": 4, "pool.one.server_eof": 1, "pool.one.server_err": 1}


def kept_waiting(test: ProxyTest, start: Callable) -> tuple[Proxy, dict[str, int]]:
    fake = test.fake()
    proxy = start(fake.address, "timeout: 100")
    test.connect(proxy).ask(b"get a\r\nget bb\r\n", 2 * TIMED_OUT)
    return proxy, {"pool.forward_error": 2, "pool.one.server_timedout": 1}


def without_servers(test: ProxyTest, start: Callable) -> tuple[Proxy, dict[str, int]]:
    rules = "auto_eject_hosts: true\nserver_failure_limit: 1\nserver_retry_timeout: 60000"
    proxy = start(test.fake(listens=False).address, rules)
    client = test.connect(proxy)
    client.ask(b"get a\r\n", REFUSED)
    client.ask(b"delete a noreply\r\nget a\r\nget a\r\n", 2 * REFUSED)
    return proxy, {"pool.forward_error": 3, "pool.one.requests": 1, "pool.server_ejects": 1}


def left_by_the_client(test: ProxyTest, start: Callable) -> tuple[Proxy, dict[str, int]]:
    fake = test.fake()
    proxy = start(fake.address)
    client = test.connect(proxy)
    client.say(b"get a\r\nget bb\r\n")
    behind = test.accept(fake)
    behind.hear(b"get a\r\nget bb\r\n")
    client.reset()
    proxy.wait_for_stats(lambda s: s["pool"]["client_err"] == 1, "the client has left")
    behind.say(b"END\r\n" + hit(b"bb", b"x"))
    return proxy, {"pool.one.responses": 0, "pool.one.out_queue": 0}



class Pools(ProxyTest):
    """From chapter 15 on: many servers, and a configuration file."""

    def test_a_get_over_several_servers(self):
        """Is refused, until a chapter splits it."""
        if can(ClientTest.program, "fragments"):
            return
        fakes = [self.fake() for _ in range(2)]
        client = self.connect(self.start(Pool([fake.address for fake in fakes], BY_CRC)))
        (a, c, *_), (b, *_) = keys_of(0, 2), keys_of(1, 2)
        client.say(b"get %b %b\r\ngets %b %b %b\r\n" % (a, b, a, c, b))
        for _ in range(2):
            self.assertRegex(client.hear_line(), rb"^CLIENT_ERROR .* several servers")
        client.say(b"get %b %b\r\n" % (a, c))
        self.accept(fakes[0]).answer(b"get %b %b\r\n" % (a, c), b"END\r\n")
        client.hear(b"END\r\n")
        self.assertFalse(fakes[1].is_wanted())

    def test_a_server_that_does_not_read_is_not_the_others_concern(self):
        """Nor that of who asks the others for more than the proxy keeps for a client at a time."""
        stuck = self.fake()
        proxy = self.start(Pool([stuck.address, servers[0].address], BY_CRC))
        (a, *_), (b, *_) = keys_of(0, 2), keys_of(1, 2)
        self.flood(proxy, self.connect(proxy), b"set %b 0 0 100000\r\n%b\r\n" % (a, b"x" * 100_000))
        client = self.connect(proxy)
        client.ask(b"delete %b\r\n" % b * 1000, b"NOT_FOUND\r\n" * 1000)

    def test_small_replies_that_wait_take_little_memory(self):
        silent, quick = self.fake(), self.fake()
        proxy = self.start(Pool([silent.address, quick.address], BY_CRC))
        (a, *_), (b, *_) = keys_of(0, 2), keys_of(1, 2)
        clients = [self.connect(proxy) for _ in range(20)]
        other = self.connect(proxy)
        for client in clients:
            client.say(b"get %b\r\n" % a)
        self.accept(silent).hear(b"get %b\r\n" % a * len(clients))
        before, behind = proxy.memory_peak(), None
        much = b"x" * 20_000
        for _ in range(100):
            for client in clients:
                client.say(b"get %b\r\n" % b)
                behind = behind or self.accept(quick)
                behind.answer(b"get %b\r\n" % b, b"END\r\n")
            other.say(b"get %b\r\n" % b)  # a block full, so that no two of the others share one
            behind.answer(b"get %b\r\n" % b, hit(b, much))
            other.hear(hit(b, much))
        self.assertLess(proxy.memory_peak() - before, 8 * MIB)

    def test_several_connections_to_a_server(self):
        """They are used in turn."""
        fake = self.fake()
        client = self.connect(self.start(Pool([fake.address], "server_connections: 3")))
        client.say(b"".join(b"get %d\r\n" % n for n in range(9)))
        behind = [self.accept(fake) for _ in range(3)]
        asked = [[peer.hear_line() for _ in range(3)] for peer in behind]
        self.assertEqual(sorted(asked), [[b"get %d\r\n" % (n + i) for i in (0, 3, 6)] for n in range(3)])
        # The last one answers first; the client hears them in its own order.
        for peer, lines in sorted(zip(behind, asked), key=lambda both: both[1], reverse=True):
            peer.say(b"".join(hit(line.split()[1], b"x") for line in lines))
        client.hear(b"".join(hit(b"%d" % n, b"x") for n in range(9)))
        self.assertFalse(fake.is_wanted())

    def test_preconnect(self):
        fake, dead = self.fake(), self.fake(listens=False)
        self.start(Pool([fake.address, dead.address], "preconnect: true\nserver_connections: 3"))
        for _ in range(3):
            self.accept(fake)

    def test_no_more_clients_than_allowed(self):
        fake = self.fake()
        proxy = self.start(Pool([fake.address], "client_connections: 2"))
        clients = [self.connect(proxy) for _ in range(2)]
        for client in clients:
            still_serves(client)
        for _ in range(3):
            self.connect(proxy).hear_end()
        still_serves(clients[1])
        clients.pop().close()

        def gets_in() -> bool:
            client = self.connect(proxy)
            with contextlib.suppress(AssertionError, ConnectionError):
                still_serves(client)
                return True
            return False

        wait_until(gets_in, "there is room for another")
        still_serves(clients[0])

    def test_several_pools_and_a_socket_that_is_a_file(self):
        here = self.directory()
        pools = [Pool([server.address], name=f"pool{n}") for n, server in enumerate(servers[:3])]
        pools.append(Pool([servers[3].address, servers[4].address], name="file", listen=f"{here}/socket 0600"))
        proxy = self.start(*pools)
        self.assertEqual(len(proxy.ports), 3)
        self.assertEqual((here / "socket").stat().st_mode & 0o777, 0o600)
        file = socket.socket(socket.AF_UNIX)
        file.connect(str(here / "socket"))
        clients = [*(self.connect(proxy, n) for n in range(3)), Peer(file)]
        self.addCleanup(clients[-1].close)
        for n, client in enumerate(clients):
            client.ask(b"set %b 0 0 1\r\n%d\r\n" % (self.key, n), b"STORED\r\n")
        for n, client in enumerate(clients):
            client.ask(b"get %b\r\n" % self.key, hit(self.key, b"%d" % n))
        for n, server in enumerate(servers[:3]):
            with server.connect() as connection:
                Peer(connection).ask(b"get %b\r\n" % self.key, hit(self.key, b"%d" % n))

    def test_a_listener_that_is_a_file_goes_with_the_proxy(self):
        path = self.directory() / "front"
        proxy = Proxy(ClientTest.program, [Pool([servers[0].address]), Pool([servers[0].address], name="b", listen=str(path))])
        self.assertTrue(path.is_socket())
        proxy.stop()
        self.assertFalse(path.exists())

    def test_a_server_whose_socket_is_a_file(self):
        here = self.directory()
        listener = self.enterContext(socket.socket(socket.AF_UNIX))
        client = self.connect(self.start(Pool([f"{here}/behind"])))
        client.ask(b"get a\r\n", b"SERVER_ERROR No such file or directory\r\n")
        listener.bind(f"{here}/behind")
        client.ask(b"get a\r\n", REFUSED)
        listener.listen()
        listener.settimeout(DEADLINE)
        client.say(b"get a\r\n")
        behind = Peer(listener.accept()[0])
        self.addCleanup(behind.close)
        behind.answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")

    def test_a_server_with_an_ipv6_address(self):
        listener = self.enterContext(socket.socket(socket.AF_INET6))
        try:
            listener.bind(("::1", 0))
        except OSError as problem:
            self.skipTest(f"this machine has no ::1: {problem}")
        listener.listen()
        listener.settimeout(DEADLINE)
        client = self.connect(self.start(Pool([f"::1:{listener.getsockname()[1]}"])))
        client.say(b"get a\r\n")
        behind = Peer(listener.accept()[0])
        self.addCleanup(behind.close)
        behind.answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")

    def test_whether_clients_are_asked_for_a_sign_of_life(self):
        for kept, wanted in (("true", KEEPALIVE), ("false", NO_TIMER)):
            with self.subTest(kept):
                proxy = self.start(Pool([servers[0].address], f"tcpkeepalive: {kept}"))
                client = self.connect(proxy)
                still_serves(client)
                # Until the client's kernel has acknowledged the answer, another timer hides this one.
                wait_until(lambda: timer(client) == wanted, f"its timer is {wanted}")

    def test_commands_that_are_for_no_server_in_particular(self):
        client = self.connect(self.start(Pool([server.address for server in servers])))
        for command in (b"flush_all", b"stats", b"verbosity 1", b"flush_all 10", b"stats items"):
            client.say(command + b"\r\n")
            self.assertRegex(client.hear_line(), rb"^CLIENT_ERROR ")
        client.ask(b"flush_all noreply\r\nverbosity 1 noreply\r\nversion\r\n", VERSION)

    def test_a_conf_is_tried(self):
        here = self.directory()
        conf = here / "conf"
        for text, status in ((Pool(["127.0.0.1:11211"]).yaml("127.0.0.1:0"), 0), ("pool:\n  listen: nowhere\n", 1)):
            conf.write_text(text, encoding="ascii")
            done = subprocess.run([ClientTest.program, "-t", "-c", conf], capture_output=True, text=True, timeout=DEADLINE)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertRegex(done.stderr, r"\A[^\n]+\n\Z")


class Fragments(ProxyTest):
    """From chapter 16 on: gets over several servers."""

    def test_what_touches_is_split_as_well(self):
        client = self.connect(self.start(Pool([server.address for server in servers])))
        keys = [b"%b%d" % (self.key, n) for n in range(20)]
        client.ask(b"".join(b"set %b 0 0 1\r\nx\r\n" % key for key in keys), b"STORED\r\n" * len(keys))
        client.ask(b"gat 100 %b\r\n" % b" ".join(keys), b"".join(item(key, b"x") for key in keys) + b"END\r\n")
        client.ask(b"gat -1 %b\r\n" % b" ".join(keys[1:]), b"".join(item(key, b"x") for key in keys[1:]) + b"END\r\n")
        client.ask(b"get %b\r\n" % b" ".join(keys), hit(keys[0], b"x"))

    def test_a_dead_server_is_not_the_others_concern(self):
        dead = self.fake(listens=False)
        client = self.connect(self.start(Pool([servers[0].address, dead.address], BY_CRC)))
        (ours, also_ours, *_), (lost, *_) = keys_of(0, 2), keys_of(1, 2)
        client.ask(b"set %b 0 0 2\r\nok\r\n" % ours, b"STORED\r\n")
        client.ask(b"delete %b noreply\r\n" % also_ours, b"")
        for _ in range(3):
            client.ask(b"get %b\r\n" % lost, REFUSED)
            client.ask(b"get %b %b\r\n" % (ours, lost), REFUSED)
            client.ask(b"get %b %b %b\r\n" % (lost, also_ours, lost), REFUSED)
            client.ask(b"get %b %b\r\n" % (ours, also_ours), hit(ours, b"ok"))
        client.ask(
            b"get %b\r\nget %b %b\r\nget %b\r\nget %b\r\n" % (ours, lost, ours, ours, lost),
            hit(ours, b"ok") + REFUSED + hit(ours, b"ok") + REFUSED,
        )

    def test_a_split_get_whose_servers_disagree(self):
        """One error stands for the whole. The next request goes on."""
        one, two = self.fake(), self.fake()
        client = self.connect(self.start(Pool([one.address, two.address], BY_CRC)))
        (a, *_), (b, *_) = keys_of(0, 2), keys_of(1, 2)
        client.say(b"get %b %b\r\n" % (a, b))
        first, second = self.accept(one), self.accept(two)
        first.hear(b"get %b\r\n" % a)
        second.hear(b"get %b\r\n" % b)
        first.say(hit(a, b"fine"))
        second.say(b"SERVER_ERROR out of memory writing get response\r\n")
        client.hear(b"SERVER_ERROR out of memory writing get response\r\n")
        client.say(b"gets %b %b\r\n" % (b, a))
        first.answer(b"gets %b\r\n" % a, b"VALUE %b 7 1 77\r\nx\r\nEND\r\n" % a)
        second.answer(b"gets %b\r\n" % b, b"VALUE %b 8 2 88\r\nyy\r\nEND\r\n" % b)
        client.hear(b"VALUE %b 8 2 88\r\nyy\r\nVALUE %b 7 1 77\r\nx\r\nEND\r\n" % (b, a))

    def test_servers_that_answer_a_split_get_byte_by_byte(self):
        fakes = [self.fake() for _ in range(3)]
        proxy = self.start(Pool([fake.address for fake in fakes], BY_CRC))
        client, other = self.connect(proxy), self.connect(proxy)
        keys = [keys_of(n, 3)[0] for n in (2, 0, 1)]
        client.say(b"get %b %b %b\r\n" % tuple(keys))
        replies = [hit(key, b"\r\nEND\r\n%d" % n) for n, key in enumerate(keys)]
        behind = [self.accept(fakes[n]) for n in (2, 0, 1)]
        for peer, key in zip(behind, keys):
            peer.hear(b"get %b\r\n" % key)
        for at in range(len(replies[0])):
            for peer, reply in zip(behind, replies):
                peer.say(reply[at : at + 1])
                still_serves(other)
        client.hear(b"".join(reply.removesuffix(b"END\r\n") for reply in replies) + b"END\r\n")

    def test_a_client_that_leaves_a_split_get_behind(self):
        fakes = [self.fake() for _ in range(2)]
        proxy = self.start(Pool([fake.address for fake in fakes], BY_CRC))
        (a, *_), (b, *_) = keys_of(0, 2), keys_of(1, 2)
        gone = proxy.connect()
        gone.say(b"get %b %b\r\n" % (a, b))
        behind = [self.accept(fake) for fake in fakes]
        behind[0].answer(b"get %b\r\n" % a, hit(a, b"not for you"))
        behind[1].hear(b"get %b\r\n" % b)
        gone.reset()
        client = self.connect(proxy)
        client.say(b"get %b %b\r\n" % (b, a))
        for peer, key in zip(behind, (a, b)):
            peer.hear(b"get %b\r\n" % key)
        behind[1].say(hit(b, b"nor this") + hit(b, b"but this"))
        behind[0].say(hit(a, b"and this"))
        client.hear(item(b, b"but this") + hit(a, b"and this"))

    def test_a_client_is_owed_what_waits_for_another_server(self):
        """Half of a split get is there, and that is much: the client is not listened to until it has taken it."""
        fakes = [self.fake() for _ in range(2)]
        proxy = self.start(Pool([fake.address for fake in fakes], BY_CRC))
        client, other = self.connect(proxy), self.connect(proxy)
        (a, c, *_), (b, *_) = keys_of(0, 2), keys_of(1, 2)
        client.say(b"get %b %b\r\n" % (a, b))
        quick, slow = (self.accept(fake) for fake in fakes)
        quick.hear(b"get %b\r\n" % a)
        slow.hear(b"get %b\r\n" % b)
        much = b"x" * (2 * MIB)
        quick.say(hit(a, much))
        for _ in range(2):  # when this is answered, the proxy has all that was sent before
            other.say(b"get %b\r\n" % a)
            quick.answer(b"get %b\r\n" % a, b"END\r\n")
            other.hear(b"END\r\n")
            client.say(b"get %b\r\n" % c)
        still_serves(other)
        slow.say(b"END\r\n")
        client.hear(hit(a, much))
        quick.answer(b"get %b\r\n" % c * 2, b"END\r\n" * 2)
        client.hear(b"END\r\n" * 2)

    def test_500_keys_over_five_servers(self):
        """With repeats and misses: what is found comes in the order in which it was asked for."""
        client = self.connect(self.start(Pool([server.address for server in servers])))
        there = [b"%b:%d" % (self.key, n) for n in range(300)]
        client.ask(
            b"".join(b"set %b 0 0 %d\r\n%b\r\n" % (key, len(key) * 10, key * 10) for key in there), b"STORED\r\n" * len(there)
        )
        dice = random.Random(14)
        for count in (1, 2, 3, 50, 500, 500, 500, 5000):
            keys = dice.choices(there + [b"%b:none%d" % (self.key, n) for n in range(100)], k=count)
            client.ask(
                b"get %b\r\n" % b"  ".join(keys),
                b"".join(item(key, key * 10) for key in keys if key in there) + b"END\r\n",
            )


class Ejection(ProxyTest):
    """From chapter 17 on: time-outs, and servers that leave the ring."""

    def test_a_server_may_hang_up_on_who_is_silent(self):
        """Four times, and is not ejected."""
        rules = BY_CRC + "\nauto_eject_hosts: true\nserver_failure_limit: 3\nserver_retry_timeout: 60000"
        fake = self.fake()
        proxy = self.start(Pool([servers[0].address, fake.address], rules + "\npreconnect: true\nserver_connections: 4"))
        for peer in [self.accept(fake) for _ in range(4)]:
            peer.socket.shutdown(socket.SHUT_WR)
            peer.hear_end()
        client, (key, *_) = self.connect(proxy), keys_of(1, 2)
        client.say(b"get %b\r\n" % key)
        self.accept(fake).answer(b"get %b\r\n" % key, b"END\r\n")
        client.hear(b"END\r\n")

    def test_a_proxy_that_is_late_does_not_blame_the_server(self):
        """It is stopped while the answer comes, for longer than a server may take."""
        fake = self.fake()
        proxy = self.start(Pool([fake.address], "timeout: 300"))
        client = self.connect(proxy)
        client.say(b"get a\r\n")
        behind = self.accept(fake)
        behind.hear(b"get a\r\n")
        proxy.process.send_signal(signal.SIGSTOP)
        try:
            behind.say(b"END\r\n")
            client.socket.settimeout(0.4)
            self.assertRaises(TimeoutError, client.socket.recv, 1)
        finally:
            proxy.process.send_signal(signal.SIGCONT)
        client.socket.settimeout(DEADLINE)
        client.hear(b"END\r\n")

    def test_a_server_that_never_answers(self):
        fake = self.fake()
        client = self.connect(self.start(Pool([servers[0].address, fake.address], BY_CRC + "\ntimeout: 100")))
        (ours, *_), (slow, *_) = keys_of(0, 2), keys_of(1, 2)
        client.ask(b"set %b 0 0 2\r\nok\r\n" % ours, b"STORED\r\n")
        client.say(b"get %b\r\nget %b\r\nget %b %b\r\n" % (slow, ours, ours, slow))
        behind = self.accept(fake)
        behind.hear(b"get %b\r\nget %b\r\n" % (slow, slow))
        client.hear(TIMED_OUT + hit(ours, b"ok") + TIMED_OUT)
        # Its late answer finds nobody.
        behind.hear_end()
        client.say(b"get %b\r\n" % slow)
        self.accept(fake).answer(b"get %b\r\n" % slow, hit(slow, b"in time"))
        client.hear(hit(slow, b"in time"))

    def test_a_server_that_stops_within_a_value(self):
        fake = self.fake()
        client = self.connect(self.start(Pool([fake.address], "timeout: 100")))
        client.say(b"get a\r\n")
        self.accept(fake).answer(b"get a\r\n", b"VALUE a 0 10\r\nhalf")
        client.hear(TIMED_OUT)

    def test_a_server_that_never_answers_a_client_that_was_held_back(self):
        """The client has asked so much else that its last request waited; from then on it is timed as any other."""
        fake = self.fake()
        client = self.connect(self.start(Pool([fake.address], "timeout: 400")))
        client.say(b"get a\r\n")
        behind = self.accept(fake)
        behind.answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")
        client.socket.settimeout(3)
        client.ask(b"version\r\n" * 200 + b"get a\r\n", VERSION * 200 + TIMED_OUT)

    def test_an_idle_server_is_not_late(self):
        fake = self.fake()
        proxy = self.start(Pool([fake.address], "timeout: 50"))
        client = self.connect(proxy)
        client.say(b"get a\r\n")
        behind = self.accept(fake)
        behind.answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")
        self.assertEqual(select.select([behind.socket], [], [], 0.2)[0], [], "the connection was closed")
        client.say(b"get a\r\n")
        behind.answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")

    def test_ejection_and_return(self):
        away = self.fake(listens=False)
        rules = BY_CRC + "\nauto_eject_hosts: true\nserver_failure_limit: 2\nserver_retry_timeout: 500"
        client = self.connect(self.start(Pool([servers[0].address, away.address], rules)))
        (lost, *_) = keys_of(1, 2)
        client.ask(b"get %b\r\n" % lost, REFUSED)
        client.ask(b"get %b\r\n" % lost, REFUSED)
        client.ask(b"set %b 0 0 4\r\nhere\r\nget %b\r\n" % (lost, lost), b"STORED\r\n" + hit(lost, b"here"))
        away.listen()

        def is_asked() -> bool:
            if not away.is_wanted():
                client.say(b"get %b\r\n" % lost)
                if not select.select([client.socket], [], [], 0.05)[0]:
                    return away.is_wanted()
                client.hear(hit(lost, b"here"))
            return away.is_wanted()

        wait_until(is_asked, "the server has its keys again")
        self.accept(away).answer(b"get %b\r\n" % lost, b"END\r\n")
        client.hear(b"END\r\n")

    def test_all_servers_ejected(self):
        away = [self.fake(listens=False) for _ in range(2)]
        rules = "auto_eject_hosts: true\nserver_failure_limit: 1\nserver_retry_timeout: 300"
        client = self.connect(self.start(Pool([fake.address for fake in away], rules)))
        for _ in range(5):
            client.ask(b"get a\r\nget a b c d e f\r\ndelete a noreply\r\n", 2 * REFUSED)
        for fake in away:
            fake.listen()

        def is_asked() -> bool:
            client.say(b"get a\r\n")
            if select.select([client.socket], [], [], 0.05)[0]:
                client.hear(REFUSED)
                return False
            return True

        wait_until(is_asked, "a server has its keys again")
        fake = wait_until(lambda: next((f for f in away if f.is_wanted()), None), "a server is asked")
        self.accept(fake).answer(b"get a\r\n", b"END\r\n")
        client.hear(b"END\r\n")


class Counters(ProxyTest):
    """Chapter 18: statistics, and a log that is opened anew."""

    def test_a_value_that_is_too_large_ejects_nobody(self):
        rules = "auto_eject_hosts: true\nserver_failure_limit: 2\nserver_retry_timeout: 60000"
        proxy = self.start(Pool([self.chapter_12("-I", "1m").address], rules), flags=("-i", "20"))
        self.sets_too_much(self.connect(proxy), self.connect(proxy))
        stats = proxy.wait_for_stats(lambda s: s["pool"]["one"]["responses"] == 402, "all is counted")
        self.assertEqual((stats["pool"]["server_ejects"], stats["pool"]["one"]["server_err"]), (0, 0))

    def test_an_ejection_is_counted(self):
        rules = BY_CRC + "\nauto_eject_hosts: true\nserver_failure_limit: 2"
        proxy = self.start(Pool([servers[0].address, self.fake(listens=False).address], rules), flags=("-i", "20"))
        client, (lost, *_) = self.connect(proxy), keys_of(1, 2)
        for _ in range(2):
            client.ask(b"get %b\r\n" % lost, REFUSED)
        stats = proxy.wait_for_stats(lambda s: s["pool"]["server_ejects"] == 1, "the ejection is counted")
        self.assertEqual(stats["pool"]["two"]["server_err"], 2)
        self.assertAlmostEqual(stats["pool"]["two"]["server_ejected_at"] / 1e6, stats["timestamp"], delta=30)
        self.assertEqual(stats["pool"]["one"]["server_ejected_at"], 0)

    def test_statistics_have_nutcrackers_names_and_types(self):
        pools = [Pool([servers[0].address, servers[1].address], name="a"), Pool([servers[2].address], name="b")]
        theirs = Proxy(NUTCRACKER, pools)
        try:
            wanted = theirs.stats()
        finally:
            theirs.stop()
        self.assertEqual(shape(self.start(*pools).stats()), shape(wanted))

    def test_statistics_count_what_nutcracker_counts(self):
        """The same happens to both."""
        for story in (refused, heard, never_reached, hung_up_on, kept_waiting, without_servers, left_by_the_client):
            with self.subTest(story.__name__):
                theirs, ours = (self.counted(program, story) for program in (NUTCRACKER, ClientTest.program))
                self.assertEqual(ours, theirs)

    def counted(self, program: str, story: Callable) -> dict[str, int]:
        """When all that the story promises has been counted."""
        with contextlib.ExitStack() as stack:

            def start(address: str, more: str = "") -> Proxy:
                proxy = Proxy(program, [Pool([address], more)], ("-i", "20"))
                stack.callback(proxy.stop)
                return proxy

            proxy, promised = story(self, start)
            stats = proxy.wait_for_stats(lambda s: numbers(s).items() >= promised.items(), f"{promised} are counted")
        return {name: n for name, n in numbers(stats).items() if not re.search("uptime$|timestamp$|ejected_at$", name)}

    def test_statistics_add_up(self):
        fake = self.fake(listens=False)
        pool = Pool([servers[0].address, servers[1].address, fake.address], BY_CRC, name="p")
        proxy = self.start(pool, flags=("-i", "20"))
        moved = {name for name, value in numbers(proxy.stats()).items() if value}
        self.assertLessEqual(moved, {"timestamp", "uptime", "total_connections", "curr_connections"})

        (a, *_), (b, *_), (lost, *_) = (keys_of(n, 3) for n in range(3))
        clients = [self.connect(proxy) for _ in range(3)]
        clients[0].ask(b"set %b 0 0 1\r\nx\r\n" % a, b"STORED\r\n")
        clients[0].ask(b"set %b 0 0 1 noreply\r\nx\r\n" % b, b"")
        for _ in range(100):
            clients[1].ask(b"get %b\r\n" % a, hit(a, b"x"))
        clients[1].ask(b"get %b %b\r\n" % (b, a), item(b, b"x") + hit(a, b"x"))
        clients[1].ask(b"get %b\r\n" % lost, REFUSED)
        clients[2].reset()
        sizes = {"set": len(b"set %b 0 0 1\r\nx\r\n" % a), "get": len(b"get %b\r\n" % a), "hit": len(hit(a, b"x"))}

        stats = proxy.wait_for_stats(lambda s: s["p"]["one"]["responses"] == 102 and s["p"]["client_err"], "all is counted")
        wanted = {"server_eof": 0, "server_err": 0, "server_timedout": 0, "server_connections": 1, "server_ejected_at": 0}
        wanted |= {"in_queue": 0, "in_queue_bytes": 0, "out_queue": 0, "out_queue_bytes": 0}
        one = {"requests": 102, "request_bytes": sizes["set"] + 101 * sizes["get"]}
        one |= {"responses": 102, "response_bytes": len(b"STORED\r\n") + 101 * sizes["hit"]}
        self.assertEqual(stats["p"]["one"], wanted | one)
        two = {"requests": 2, "request_bytes": len(b"set %b 0 0 1 noreply\r\nx\r\nget %b\r\n" % (b, b))}
        two |= {"responses": 1, "response_bytes": len(hit(b, b"x"))}
        self.assertEqual(stats["p"]["two"], wanted | two)
        three = {"server_err": 1, "server_connections": 0, "requests": 1, "request_bytes": len(b"get %b\r\n" % lost)}
        three |= {"responses": 0, "response_bytes": 0}
        self.assertEqual(stats["p"]["three"], wanted | three)
        pool_numbers = {name: value for name, value in stats["p"].items() if not isinstance(value, dict)}
        self.assertEqual(
            pool_numbers,
            {"client_eof": 0, "client_err": 1, "client_connections": 2, "server_ejects": 0, "forward_error": 1, "fragments": 2},
        )
        # As nutcracker: a listener, three clients, three servers; one client has left, and one server was never there.
        self.assertEqual((stats["total_connections"], stats["curr_connections"]), (7, 5))

    def test_statistics_of_what_is_under_way(self):
        fake = self.fake()
        proxy = self.start(Pool([fake.address]), flags=("-i", "20"))
        client = self.connect(proxy)
        client.say(b"get a\r\nget bb\r\n")
        behind = self.accept(fake)
        behind.hear(b"get a\r\nget bb\r\n")
        one = proxy.wait_for_stats(lambda s: s["pool"]["one"]["out_queue"] == 2, "two requests wait")["pool"]["one"]
        self.assertEqual((one["out_queue_bytes"], one["in_queue"], one["in_queue_bytes"]), (15, 0, 0))
        behind.say(b"END\r\n")
        client.hear(b"END\r\n")
        one = proxy.wait_for_stats(lambda s: s["pool"]["one"]["out_queue"] == 1, "one request waits")["pool"]["one"]
        self.assertEqual(one["out_queue_bytes"], 8)
        behind.close()
        client.hear(RESET)
        one = proxy.wait_for_stats(lambda s: s["pool"]["one"]["out_queue"] == 0, "nothing waits")["pool"]["one"]
        self.assertEqual((one["out_queue_bytes"], one["server_eof"], one["server_connections"]), (0, 1, 0))

    def test_statistics_for_somebody_who_does_not_read(self):
        """He does not keep the others waiting for ever."""
        proxy = self.start(Pool([servers[0].address]), flags=("-i", "20"))
        silent = [socket.create_connection(("127.0.0.1", proxy.stats_port)) for _ in range(10)]
        for connection in silent:
            self.addCleanup(connection.close)
        self.assertEqual(proxy.stats()["service"], "nutcracker")

    def test_statistics_without_descriptors(self):
        """Whoever asks for them waits, and costs no time."""
        proxy = self.start(Pool([servers[0].address]), descriptors=24)
        stats_port = proxy.stats_port
        clients = [self.connect(proxy) for _ in range(24)]
        still_serves(clients[0])
        before = proxy.processor_time()
        asks = socket.create_connection(("127.0.0.1", stats_port))
        self.addCleanup(asks.close)
        self.assertEqual(select.select([asks], [], [], 0.5)[0], [], "it was answered")
        self.assertLess(proxy.processor_time() - before, 0.25)
        for client in clients:
            client.close()
        asks.settimeout(DEADLINE)
        self.assertTrue(asks.recv(100).startswith(b'{"service":"nutcracker"'))

    def test_the_log_is_opened_anew(self):
        here = self.directory()
        log, moved = here / "log", here / "log.1"
        proxy = self.start(Pool([servers[0].address]), flags=("-o", str(log)))
        self.assertIn("listening", log.read_text(encoding="utf-8"))
        log.rename(moved)
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: log.exists() and log.read_text(encoding="utf-8"), "there is a new log")
        self.assertNotIn("listening", log.read_text(encoding="utf-8"))
        still_serves(self.connect(proxy))

    def test_a_log_that_cannot_be_opened_anew(self):
        """The old one goes on, and says why."""
        here = self.directory() / "here"
        here.mkdir()
        proxy = self.start(Pool([servers[0].address]), flags=("-o", str(here / "log")))
        moved = here.rename(here.with_name("moved")) / "log"
        before = len(moved.read_text(encoding="utf-8"))
        proxy.process.send_signal(signal.SIGHUP)
        said = wait_until(lambda: moved.read_text(encoding="utf-8")[before:], "it says something")
        self.assertRegex(said, r"\A[^\n]*No such file or directory\n\Z")
        still_serves(self.connect(proxy))

    def test_a_log_that_is_no_file_is_not_opened_anew(self):
        """Of two signals it hears the one with the lower number first."""
        proxy = self.start(Pool([servers[0].address]))
        said = lambda: (proxy.path / "stderr").read_text(encoding="utf-8")  # noqa: E731
        before = len(said())
        proxy.process.send_signal(signal.SIGHUP)
        proxy.process.send_signal(signal.SIGTTOU)
        wait_until(lambda: said()[before:].endswith("\n"), "it has heard the signals")
        self.assertRegex(said()[before:], r"\A[^\n]* warn\n\Z")

    def test_signals_that_make_the_log_say_more_or_less(self):
        here = self.directory()
        log = here / "log"
        proxy = self.start(Pool([servers[0].address]), flags=("-o", str(log), "-v", "5"))
        said = lambda: log.read_text(encoding="utf-8")  # noqa: E731
        still_serves(self.connect(proxy))
        self.assertNotIn("accept", said())
        for _ in range(2):
            before = len(said())
            proxy.process.send_signal(signal.SIGTTIN)
            wait_until(lambda: len(said()) > before, "it has heard the signal")
        still_serves(self.connect(proxy))
        wait_until(lambda: "accept" in said(), "it tells of a client")
        for _ in range(2):
            before = len(said())
            proxy.process.send_signal(signal.SIGTTOU)
            wait_until(lambda: len(said()) > before, "it has heard the signal")
        before = said().count("accept")
        still_serves(self.connect(proxy))
        self.assertEqual(said().count("accept"), before)

    def test_a_daemon_and_its_number(self):
        here = self.directory()
        conf, pid_file, ports = here / "conf", here / "pid", here / "ports"
        conf.write_text(Pool([servers[0].address]).yaml("127.0.0.1:0"), encoding="ascii")
        command = [ClientTest.program, "-d", "-c", conf, "-p", pid_file, "-s", "0", "-a", "127.0.0.1", "-o", here / "log"]
        done = subprocess.run(
            command, env=os.environ | {"MEMCACHED_PORT_FILENAME": str(ports)}, stdin=subprocess.DEVNULL, timeout=DEADLINE
        )
        self.assertEqual(done.returncode, 0)
        wait_until(ports.exists, "the daemon listens")
        number = int(pid_file.read_text(encoding="ascii"))
        life = os.pidfd_open(number)
        try:
            self.assertEqual(os.getsid(number), number)
            port = int(ports.read_text(encoding="ascii").splitlines()[0].rpartition(" ")[2])
            self.assertIn(port, listening_ports(number))
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
                Peer(connection).ask(b"version\r\n", VERSION)
        finally:
            os.kill(number, signal.SIGTERM)
            ended = select.select([life], [], [], DEADLINE)[0]
            os.close(life)
        self.assertTrue(ended)
        self.assertFalse(pid_file.exists())


def shape(stats: dict) -> dict:
    """Names and types."""
    return {name: shape(value) if isinstance(value, dict) else type(value) for name, value in stats.items()}


def numbers(stats: dict, path: str = "") -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in stats.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{path}{name}.")
        elif isinstance(value, int):
            found[path + name] = value
    return found


def load_tests(loader: unittest.TestLoader, *_) -> unittest.TestSuite:
    parts = {"proxy": OneServer, "pools": Pools, "fragments": Fragments, "ejection": Ejection, "counters": Counters}
    classes = [part for capability, part in parts.items() if can(ClientTest.program, capability)]
    return unittest.TestSuite(map(loader.loadTestsFromTestCase, classes))


if __name__ == "__main__":
    main()
