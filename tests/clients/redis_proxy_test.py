"""What a proxy for redis does when servers fail, clients misbehave, and lengths lie.

    redis_proxy_test.py PROXY [TEST]...

In most tests the server behind is one that says what the test wants; the others have Debian's redis-server.
"""
import contextlib
import select
import unittest
import zlib

from client_test import ClientTest, find_tool, main
from proxy import Fake, Peer, Pool, Proxy
from redis_server import RedisServer, array, command, word
from server import Server

MEMCACHED = find_tool("memcached", "memcached")

MIB = 1 << 20
MUCH = 64 * MIB  # more than the kernel's buffers take, and no proxy should keep
PING, PONG = command("PING"), b"+PONG\r\n"
REFUSED = b"-ERR Connection refused\r\n"
RESET = b"-ERR Connection reset by peer\r\n"
TIMED_OUT = b"-ERR Connection timed out\r\n"
NOT_ALLOWED = b"-ERR Permission denied\r\n"
NO_PASSWORD = b"-NOAUTH Authentication required.\r\n"
BY_CRC = "hash: crc32\ndistribution: modula"


def still_serves(client: Peer) -> None:
    """The proxy answers this itself: by then it has seen whatever anybody has sent before."""
    client.ask(PING, PONG)


class RedisProxyTest(unittest.TestCase):
    def fake(self, listens: bool = True) -> Fake:
        fake = Fake(listens)
        self.addCleanup(fake.close)
        return fake

    def redis(self, *flags: str) -> RedisServer:
        server = RedisServer(*flags)
        self.addCleanup(server.stop)
        return server

    def start(self, *pools: Pool) -> Proxy:
        proxy = Proxy(ClientTest.program, pools)
        self.addCleanup(proxy.stop)
        return proxy

    def front(self, *addresses: str, more: str = "") -> Proxy:
        return self.start(Pool(addresses, f"redis: true\n{BY_CRC}\n{more}"))

    def connect(self, proxy: Proxy, pool: int = 0) -> Peer:
        peer = proxy.connect(pool)
        self.addCleanup(peer.close)
        return peer

    def accept(self, fake: Fake) -> Peer:
        peer = fake.accept()
        self.addCleanup(peer.close)
        return peer


class Servers(RedisProxyTest):
    """What comes from servers, or does not."""

    def test_a_dead_server_and_its_return(self):
        fake = self.fake(listens=False)
        client = self.connect(self.front(fake.address))
        for _ in range(3):
            client.ask(command("GET", "a") + PING, REFUSED + PONG)
        fake.listen()
        client.say(command("GET", "a"))
        self.accept(fake).answer(command("GET", "a"), b"$-1\r\n")
        client.hear(b"$-1\r\n")

    def test_a_server_that_ends_within_a_reply(self):
        """After each of its bytes, by a close and by a reset."""
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        reply = array(word("a"), array(b":1\r\n", b"$-1\r\n", b"*0\r\n"), b"+OK\r\n")
        request = command("LRANGE", "k", 0, 9)
        for end in (Peer.close, Peer.reset):
            for size in range(len(reply)):
                client.say(request)
                behind = self.accept(fake)
                behind.answer(request, reply[:size])
                end(behind)
                client.hear(RESET)
        client.say(request)
        self.accept(fake).answer(request, reply)
        client.hear(reply)

    def test_a_server_that_answers_byte_by_byte(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        client, other = self.connect(proxy), self.connect(proxy)
        requests = command("GET", "a") + command("SET", "a", "") + command("LRANGE", "a", 0, 1)
        client.say(requests)
        behind = self.accept(fake)
        behind.hear(requests)
        reply = word("\r\n$3\r\n") + b"+OK\r\n" + array(array(array(b":-1\r\n")), word(""), b"-ERR *3\r\n")
        for byte in reply:
            behind.say(bytes([byte]))
            still_serves(other)
        client.hear(reply)

    def test_what_is_no_reply(self):
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        bombs = (b"*1\r\n" * 33, b"*2147483648\r\n", b"$536870913\r\n", b"+" + b"x" * 70_000)
        for reply in (b"STORED\r\n", b"$-2\r\n", b"$1\r\nxyz", b":x\r\n", b"*1\r\n_\r\n", b"%1\r\n", b"\r\n", b"+OK\n", *bombs):
            with self.subTest(reply[:20]):
                client.say(command("GET", "a"))
                behind = self.accept(fake)
                behind.hear(command("GET", "a"))
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    behind.say(reply)
                client.hear(b"-ERR Protocol error\r\n")
                behind.hear_end()

    def test_nesting_that_is_not_too_deep(self):
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        reply = b"*1\r\n" * 32 + b"*0\r\n"
        client.say(command("EVAL", "deep", 1, "a"))
        self.accept(fake).answer(command("EVAL", "deep", 1, "a"), reply)
        client.hear(reply)

    def test_a_reply_that_nobody_has_asked_for(self):
        fake = self.fake()
        client = self.connect(self.front(fake.address))
        for stray in (b"+OK\r\n", b"*0\r\n", word("stray")):
            client.say(command("GET", "a"))
            behind = self.accept(fake)
            behind.answer(command("GET", "a"), b"$-1\r\n")
            client.hear(b"$-1\r\n")
            behind.say(stray)
            behind.hear_end()

    def test_a_length_that_lies_takes_no_memory(self):
        """Half a gigabyte is announced, and a few bytes come."""
        fake = self.fake()
        proxy = self.front(fake.address)
        client, other = self.connect(proxy), self.connect(proxy)
        before = proxy.memory_peak()
        client.say(command("GET", "a"))
        behind = self.accept(fake)
        behind.answer(command("GET", "a"), b"*2147483647\r\n$536870912\r\nabc")
        other.say(b"*1048576\r\n$3\r\nSET\r\n$536870912\r\nabc")
        still_serves(self.connect(proxy))
        self.assertLess(proxy.memory_peak() - before, MIB)

    def test_parts_of_an_answer_that_do_not_fit(self):
        """Whoever answers with something else has answered for all; and the stream is in step."""
        one, two = self.fake(), self.fake()
        client = self.connect(self.front(one.address, two.address))
        a, b = keys_of(0, 2)[0], keys_of(1, 2)[0]
        cases = (
            (command("MGET", a, b), array(word("1")), b"-LOADING wait\r\n", b"-LOADING wait\r\n"),
            (command("MGET", a, b), array(word("1"), word("2")), array(word("3")), array(word("1"), word("2"))),
            (command("MGET", a, b), array(word("1")), b":3\r\n", b":3\r\n"),
            (command("MGET", a, b), b"*-1\r\n", array(word("3")), b"*-1\r\n"),
            (command("MGET", a, b), array(array()), array(word("3")), array(array())),
            (command("MGET", a, b), array(word("1")), array(word("3")), array(word("1"), word("3"))),
            (command("DEL", a, b), b":1\r\n", b"+OK\r\n", b"+OK\r\n"),
            (command("DEL", a, b), b":1\r\n", b":1\r\n", b":2\r\n"),
            (command("MSET", a, 1, b, 2), b"+OK\r\n", b"-OOM full\r\n", b"-OOM full\r\n"),
            (command("MSET", a, 1, b, 2), b"+OK\r\n", b"+OK\r\n", b"+OK\r\n"),
        )
        behind: list[Peer] = []
        for request, from_one, from_two, joined in cases:
            with self.subTest(request, one=from_one, two=from_two):
                client.say(request)
                behind = behind or [self.accept(one), self.accept(two)]
                for peer, reply in zip(behind, (from_one, from_two)):
                    hear_request(peer)
                    peer.say(reply)
                client.hear(joined)
                still_serves(client)

    def test_a_dead_server_among_others(self):
        dead, alive = self.fake(listens=False), self.redis()
        client = self.connect(self.front(dead.address, alive.address))
        a, b = keys_of(0, 2)[0], keys_of(1, 2)[0]
        client.ask(command("MSET", a, 1, b, 2), REFUSED)
        client.ask(command("MGET", a, b) + command("DEL", b, a) + command("GET", b), REFUSED + REFUSED + b"$-1\r\n")

    def test_time_out_and_ejection(self):
        silent, alive = self.fake(), self.redis()
        rules = "timeout: 100\nauto_eject_hosts: true\nserver_failure_limit: 1\nserver_retry_timeout: 60000"
        client = self.connect(self.front(silent.address, alive.address, more=rules))
        key = keys_of(0, 2)[0]
        client.ask(command("GET", key), TIMED_OUT)
        client.ask(command("SET", key, "x") + command("GET", key), b"+OK\r\n" + word("x"))

    def test_statistics_are_those_of_any_pool(self):
        one, two = self.redis(), self.redis()
        proxy = Proxy(ClientTest.program, [Pool([one.address, two.address], f"redis: true\n{BY_CRC}")], ("-i", "20"))
        self.addCleanup(proxy.stop)
        client = self.connect(proxy)
        client.ask(command("MSET", keys_of(0, 2)[0], 1, keys_of(1, 2)[0], 2) + PING, b"+OK\r\n" + PONG)
        stats = proxy.wait_for_stats(lambda s: s["pool"]["one"]["responses"] == 1, "it is counted")["pool"]
        self.assertEqual((stats["fragments"], stats["one"]["requests"], stats["two"]["requests"]), (2, 1, 1))


class Clients(RedisProxyTest):
    """What comes from clients."""

    def test_no_word_is_run_as_a_command(self):
        """Whatever is refused is read to its end; where that cannot be told, the client is hung up on."""
        proxy = self.front(self.redis().address)
        evil = command("SET", "victim", "evil")
        client = self.connect(proxy)
        for words in (("NONSENSE", evil), ("MULTI", evil), ("GET", evil, evil), ("SORT", "a", "STORE", evil)):
            client.say(command(*words))
            self.assertRegex(client.hear_line(), rb"\A-ERR ")
        client.ask(command("GET", "victim"), b"$-1\r\n")
        for request in (b"*2\r\n$3\r\nGET\r\n$5\r\n" + evil, b"SET a\r\n" + evil, b"*1\r\n$-1\r\n" + evil, b"*3\r\n" + evil):
            hung_up_on = self.connect(proxy)
            hung_up_on.say(request)
            self.assertRegex(hung_up_on.hear_line(), rb"\A-ERR Protocol error")
            hung_up_on.hear_end()
        client.ask(command("GET", "victim"), b"$-1\r\n")

    def test_other_protocols(self):
        proxy = self.front(self.redis().address)
        for words in (b"get a\r\n", b"\x80" + bytes(23) + b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"x" * 100):
            client = self.connect(proxy)
            client.say(words)
            self.assertRegex(client.hear_line(), rb"\A-ERR Protocol error")
            client.hear_end()

    def test_much_that_is_refused_is_not_kept(self):
        proxy = self.front(self.redis().address)
        client = self.connect(proxy)
        before = proxy.memory_peak()
        client.say(command("NONSENSE", b"x" * MUCH) + command("GET", "a", b"x" * MUCH))
        self.assertRegex(client.hear_line(), rb"\A-ERR this proxy knows no such command")
        self.assertRegex(client.hear_line(), rb"\A-ERR wrong number of arguments for 'get'")
        still_serves(client)
        self.assertLess(proxy.memory_peak() - before, MUCH // 8)

    def test_a_key_that_is_too_large(self):
        client = self.connect(self.front(self.redis().address))
        key = b"k" * MIB
        client.ask(command("SET", key, "v") + command("GET", key), b"+OK\r\n" + word("v"))
        client.say(command("GET", key + b"k") + command("MGET", key, key + b"k") + PING)
        for _ in range(2):
            client.hear(b"-ERR the key is too large for this proxy\r\n")
        client.hear(PONG)

    def test_a_request_that_is_too_large(self):
        client = self.connect(self.front(self.redis().address))
        client.say(b"*1048577\r\n")
        client.hear(b"-ERR Protocol error: the request is too large for this proxy\r\n")
        client.hear_end()

    def test_a_client_that_never_reads(self):
        server = self.redis()
        proxy = self.front(server.address)
        client, value = self.connect(proxy), b"v" * MIB
        client.ask(command("SET", "k", value) + command("GET", "k"), b"+OK\r\n" + word(value))
        before = proxy.memory_peak()
        client.say(command("GET", "k") * 1000)
        for _ in range(3):
            self.connect(proxy).ask(command("GET", "k"), word(value))
        self.assertLess(proxy.memory_peak() - before, 200 * MIB)
        for _ in range(1000):
            client.hear(word(value))

    def test_a_server_that_does_not_read(self):
        proxy = self.front(self.fake().address)
        client, other = self.connect(proxy), self.connect(proxy)
        before = proxy.memory_peak()
        client.socket.setblocking(False)
        request, sent, refused = command("SET", "a", b"x" * 100_000), 0, 0
        while sent < MUCH and refused < 5:
            try:
                sent += client.socket.send(request[sent % len(request) :])
                refused = 0
            except BlockingIOError:
                still_serves(other)
                refused += 1
        self.assertLess(proxy.memory_peak() - before, MUCH // 4)

    def test_a_client_that_leaves_with_requests_under_way(self):
        fake = self.fake()
        proxy = self.front(fake.address)
        gone = proxy.connect()
        gone.say(command("GET", "a") + command("MGET", "b", "c") + b"*3\r\n$3\r\nSE")
        behind = self.accept(fake)
        behind.hear(command("GET", "a") + command("MGET", "b", "c"))
        gone.reset()
        client = self.connect(proxy)
        client.say(command("GET", "d"))
        behind.hear(command("GET", "d"))
        behind.say(word("not for you") + array(word(b"x" * 100_000), b"$-1\r\n") + word("for you"))
        client.hear(word("for you"))

    def test_quit(self):
        client = self.connect(self.front(self.redis().address))
        client.say(command("GET", "none") + command("QUIT") + command("GET", "none"))
        client.hear(b"$-1\r\n+OK\r\n")
        client.hear_end()


class PasswordAndDatabase(RedisProxyTest):
    def test_the_password_is_asked_of_clients_and_said_to_servers(self):
        server = self.redis("--requirepass", "secret")
        proxy = self.front(server.address, more="redis_auth: secret")
        client = self.connect(proxy)
        for request in (PING, command("GET", "a"), command("SET", "a", b"x" * 100_000), command("MULTI")):
            client.ask(request, NO_PASSWORD)
        client.ask(command("AUTH", "wrong"), b"-WRONGPASS invalid password\r\n")
        client.ask(command("AUTH", "somebody", "secret"), b"-WRONGPASS invalid password\r\n")
        client.ask(PING, NO_PASSWORD)
        client.ask(command("AUTH", "secret") + PING + command("SET", "a", "x"), b"+OK\r\n+PONG\r\n+OK\r\n")
        client.ask(command("GET", "a"), word("x"))
        client.ask(command("AUTH", "wrong") + PING, b"-WRONGPASS invalid password\r\n" + PONG)
        other = self.connect(proxy)
        other.ask(command("AUTH", "default", "secret") + command("GET", "a"), b"+OK\r\n" + word("x"))
        another = self.connect(proxy)
        another.ask(command("QUIT"), b"+OK\r\n")
        another.hear_end()

    def test_a_stranger_takes_no_memory(self):
        proxy = self.front(self.fake().address, more="redis_auth: secret")
        client = self.connect(proxy)
        before = proxy.memory_peak()
        client.ask(command("SET", "a", b"x" * MUCH), NO_PASSWORD)
        self.assertLess(proxy.memory_peak() - before, MUCH // 8)

    def test_a_password_that_nobody_wants(self):
        client = self.connect(self.front(self.redis().address))
        client.ask(command("AUTH", "secret") + PING, b"-ERR Client sent AUTH, but no password is set\r\n" + PONG)

    def test_the_password_comes_before_the_database(self):
        """And what clients ask waits for the answers to both."""
        fake = self.fake()
        proxy = self.front(fake.address, more="redis_auth: secret\nredis_db: 3")
        client, other = self.connect(proxy), self.connect(proxy)
        client.ask(command("AUTH", "secret"), b"+OK\r\n")
        client.say(command("GET", "a"))
        behind = self.accept(fake)
        behind.hear(command("AUTH", "secret") + command("SELECT", 3))
        for _ in range(2):
            other.ask(PING, NO_PASSWORD)
            self.assertEqual(select.select([behind.socket], [], [], 0)[0], [], "it has sent more")
            behind.say(b"+OK\r\n")
        behind.answer(command("GET", "a"), word("x"))
        client.hear(word("x"))

    def test_a_server_that_wants_another_password_or_has_no_such_database(self):
        """Nothing that clients ask gets there: it would go to a database that it is not for."""
        for answers in (b"-WRONGPASS no\r\n-NOAUTH no\r\n", b"+OK\r\n-ERR DB index is out of range\r\n"):
            fake = self.fake()
            proxy = self.front(fake.address, more="redis_auth: secret\nredis_db: 3")
            client = self.connect(proxy)
            client.ask(command("AUTH", "secret"), b"+OK\r\n")
            client.say(command("SET", "a", "x") + command("GET", "a"))
            behind = self.accept(fake)
            behind.answer(command("AUTH", "secret") + command("SELECT", 3), answers)
            client.hear(NOT_ALLOWED * 2)
            behind.hear_end()

    def test_the_database(self):
        server = self.redis()
        client = self.connect(self.front(server.address, more="redis_db: 5"))
        client.ask(command("SET", "a", "x"), b"+OK\r\n")
        direct = server.connect()
        self.addCleanup(direct.close)
        direct.ask(command("EXISTS", "a") + command("SELECT", 5) + command("GET", "a"), b":0\r\n+OK\r\n" + word("x"))

    def test_password_and_database(self):
        """nutcracker 0.5.0 says them in the other order, and writes to database 0."""
        server = self.redis("--requirepass", "secret")
        proxy = self.front(server.address, more="redis_auth: secret\nredis_db: 5\nserver_connections: 3")
        client = self.connect(proxy)
        client.ask(command("AUTH", "secret"), b"+OK\r\n")
        for number in range(10):
            client.ask(command("SET", number, "x"), b"+OK\r\n")
        direct = server.connect()
        self.addCleanup(direct.close)
        direct.ask(command("AUTH", "secret") + command("DBSIZE"), b"+OK\r\n:0\r\n")
        direct.ask(command("SELECT", 5) + command("DBSIZE"), b"+OK\r\n:10\r\n")


class Mixed(RedisProxyTest):
    def test_a_pool_of_each_kind(self):
        memcached, redis = Server(MEMCACHED, "-U", "0"), self.redis()
        self.addCleanup(memcached.stop)
        proxy = self.start(Pool([memcached.address], name="one"), Pool([redis.address], "redis: true", name="two"))
        of_memcached, of_redis = self.connect(proxy), self.connect(proxy, 1)
        for _ in range(10):
            of_memcached.say(b"set k 0 0 1\r\nm\r\nget k\r\n")
            of_redis.say(command("SET", "k", "r") + command("GET", "k"))
            of_memcached.hear(b"STORED\r\nVALUE k 0 1\r\nm\r\nEND\r\n")
            of_redis.hear(b"+OK\r\n" + word("r"))
        of_memcached.ask(command("GET", "k")[:4], b"ERROR\r\n")
        of_redis.say(b"get k\r\n")
        self.assertRegex(of_redis.hear_line(), rb"\A-ERR Protocol error")
        of_redis.hear_end()

    def test_hash_tags(self):
        """Keys with one tag are with one server, and so may be asked for together."""
        servers = [self.redis() for _ in range(3)]
        client = self.connect(self.front(*(s.address for s in servers), more='hash_tag: "{}"'))
        names = [b"{tag}%d" % n for n in range(10)]
        client.ask(b"".join(command("SADD", name, n) for n, name in enumerate(names)), b":1\r\n" * 10)
        client.ask(command("SUNIONSTORE", *names), b":9\r\n")
        client.ask(command("RENAME", names[0], names[1]) + command("EXISTS", *names), b"+OK\r\n:9\r\n")
        apart = [b"%d" % n for n in range(10)]
        client.ask(command("SUNION", *apart), b"-ERR these keys are not all with one server\r\n")


def owner(key: bytes, count: int) -> int:
    """Of so many servers with BY_CRC, the number of the key's own."""
    return (zlib.crc32(key) >> 16 & 0x7FFF) % count


def keys_of(number: int, count: int) -> list[bytes]:
    return [key for key in (b"key%d" % i for i in range(100)) if owner(key, count) == number][:10]


def hear_request(peer: Peer) -> None:
    """Whatever it is."""
    for _ in range(int(peer.hear_line()[1:])):
        size = int(peer.hear_line()[1:])
        left = size + 2
        while left > 0:
            left -= len(peer.socket.recv(left))


if __name__ == "__main__":
    main()
