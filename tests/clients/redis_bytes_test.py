"""The same bytes: what Debian's redis-server says it says through our proxy, too, and through Debian's nutcracker.

    redis_bytes_test.py PROXY [TEST]...

Each has servers of its own, and all of them hear the same. DIFFERENCES lists what we do otherwise, and why.
"""
import random
import unittest
from dataclasses import dataclass

from client_test import ClientTest, main
from proxy import Peer, shown
from redis_server import NUTCRACKER, Front, RedisServer, command, word

SEED = 19
CONVERSATIONS = 60
COMMANDS = 60  # in a conversation
CLOSED = b"<closed>"
END = b"the end of what is asked"
ONE_SERVER, SOME_SERVERS = 1, 3


def replies(peer: Peer, sent: bytes, cuts: list[int] = []) -> bytes:
    """Up to where the end is stored, read and taken away, or to the end of the connection."""
    heard, done = b"", b"+OK\r\n" + word(END) + b":1\r\n"
    sent += command("SET", END, END) + command("GET", END) + command("DEL", END)
    try:
        edges = [0, *sorted(cuts), len(sent)]
        for begin, stop in zip(edges, edges[1:]):
            peer.say(sent[begin:stop])
        while not heard.endswith(done):
            if not (part := peer.socket.recv(1 << 20)):
                return heard + CLOSED
            heard += part
    except (ConnectionResetError, BrokenPipeError):
        return heard + CLOSED
    except TimeoutError:
        return heard + b"<silent>"
    finally:
        peer.close()
    return heard.removesuffix(done)


class Same(unittest.TestCase):
    """Whatever goes to one goes to the other."""

    def compare(self, sent: bytes, cuts: list[int] = []) -> None:
        theirs, ours = (replies(who.connect(), sent, cuts) for who in (self.oracle, self.ours))
        if theirs != ours:
            at = next((i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b), min(len(theirs), len(ours)))
            around = slice(max(0, at - 60), at + 60)
            self.fail(f"{shown(sent)}\n  oracle: … {theirs[around]}\n  ours:   … {ours[around]}")

    def compare_at_random_cuts(self, vocabulary: list[tuple], seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(CONVERSATIONS):
            sent = b"".join(random_command(dice, vocabulary) for _ in range(COMMANDS))
            self.compare(sent, [dice.randrange(len(sent)) for _ in range(dice.choice((0, 1, 3, 20)))])


KEYS = [b"key%d" % n for n in range(10)]
VALUES = (b"", b"0", b"10", b"-7", b"x" * 100, b"\r\n\0\xff", b"$3\r\nabc\r\n", b"v" * 20_000)

# Words to be chosen: K is a key, V a value, N a number. What redis-server answers hangs on no chance.
VOCABULARY: list[tuple] = [
    *[("GET", "K")] * 3, *[("SET", "K", "V")] * 3, ("set", "K", "V", "NX"), ("SET", "K", "V", "GET"), ("SETNX", "K", "V"),
    ("GETSET", "K", "V"), ("GETDEL", "K"), ("GETEX", "K", "PERSIST"), ("APPEND", "K", "V"), ("STRLEN", "K"), ("INCR", "K"),
    ("DECRBY", "K", "N"), ("INCRBYFLOAT", "K", "N"), ("SETRANGE", "K", "N", "V"), ("GETRANGE", "K", "0", "N"),
    ("SETBIT", "K", "N", "1"), ("GETBIT", "K", "N"), ("BITCOUNT", "K"), ("BITPOS", "K", "1"), ("TYPE", "K"), ("EXISTS", "K"),
    ("DEL", "K"), ("TTL", "K"), ("PERSIST", "K"), ("EXPIRE", "K", "N"), ("DUMP", "K"), ("LPUSH", "K", "V", "V"),
    ("RPUSH", "K", "V"), ("LRANGE", "K", "0", "-1"), ("LLEN", "K"), ("LPOP", "K"), ("LINDEX", "K", "N"), ("LTRIM", "K", "0", "N"),
    ("SADD", "K", "N", "N"), ("SMEMBERS", "K"), ("SISMEMBER", "K", "N"), ("SCARD", "K"), ("SSCAN", "K", "0"),
    ("ZADD", "K", "N", "V"), ("ZRANGE", "K", "0", "-1"), ("ZSCORE", "K", "V"), ("ZINCRBY", "K", "N", "V"), ("ZCARD", "K"),
    ("HSET", "K", "V", "V"), ("HGET", "K", "V"), ("HGETALL", "K"), ("HDEL", "K", "V"), ("HINCRBY", "K", "V", "N"), ("HLEN", "K"),
    ("PFADD", "K", "V"), ("PFCOUNT", "K"), ("GEOADD", "K", "1.5", "N", "V"), ("GEOPOS", "K", "V"), ("PING",),
    ("EVAL", "return redis.call('GET', KEYS[1])", "1", "K"), ("EVAL", "return {1, 'two', {3}}", "1", "K", "V"),
]  # fmt: skip
SPLIT: list[tuple] = [
    ("MGET", "K", "K", "K"), ("MGET", "K", "K", "K", "K", "K", "K", "K"), ("MSET", "K", "V", "K", "V"), ("DEL", "K", "K"),
    ("MSET", "K", "V", "K", "V", "K", "V", "K", "V"), ("UNLINK", "K", "K", "K"), ("TOUCH", "K", "K", "K", "K"),
]  # fmt: skip
# What nutcracker does not know, or passes on whether its keys are with one server or not.
OURS: list[tuple] = [
    ("EXISTS", "K", "K"), ("ECHO", "V"), ("PING", "V"), ("OBJECT", "ENCODING", "K"), ("RENAME", "K", "K"), ("COPY", "K", "K"),
    ("BITOP", "OR", "K", "K", "K"), ("MSETNX", "K", "V", "K", "V"), ("SINTER", "K", "K"), ("SUNIONSTORE", "K", "K", "K"),
    ("RPOPLPUSH", "K", "K"), ("LMOVE", "K", "K", "LEFT", "RIGHT"), ("SMOVE", "K", "K", "N"), ("PFMERGE", "K", "K"),
    ("LCS", "K", "K"), ("ZUNIONSTORE", "K", "2", "K", "K"), ("ZINTER", "2", "K", "K", "WITHSCORES"),
    ("SINTERCARD", "2", "K", "K"), ("LMPOP", "2", "K", "K", "LEFT"),
    ("XADD", "K", "1-N", "V", "V"), ("XRANGE", "K", "-", "+"), ("XLEN", "K"), ("XINFO", "STREAM", "K", "FULL"),
    ("EVAL", "return {redis.call('GET', KEYS[1]), {{{{KEYS[2]}}, 5}, {}}}", "2", "K", "K"), ("COMMAND", "INFO", "get", "none"),
    ("GET",), ("GET", "K", "K"), ("MSET", "K"), ("SET", "K", "V", "SYNTAX"), ("PING", "V", "V"),
]  # fmt: skip


def random_command(dice: random.Random, vocabulary: list[tuple]) -> bytes:
    """About few keys, so that commands meet."""
    choices = {
        "K": lambda: dice.choice(KEYS),
        "V": lambda: dice.choice(VALUES),
        "N": lambda: b"%d" % dice.randrange(60),
        "1-N": lambda: b"1-%d" % dice.randrange(1, 60),
    }
    return command(*(choices[w]() if w in choices else w for w in dice.choice(vocabulary)))


class OneServer(Same):
    """The proxy has one server: it might not be there."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.oracle = RedisServer()
        cls.addClassCleanup(cls.oracle.stop)
        cls.ours = Front(ClientTest.program, ONE_SERVER)
        cls.addClassCleanup(cls.ours.stop)

    def test_conversations_at_random_cuts(self):
        self.compare_at_random_cuts(VOCABULARY + SPLIT * 3 + OURS, SEED)

    def test_a_conversation_byte_by_byte(self):
        dice = random.Random(SEED)
        sent = b"".join(random_command(dice, VOCABULARY[:20] + SPLIT) for _ in range(20))
        self.compare(sent, list(range(1, min(len(sent), 3000))))

    def test_what_asks_for_nothing(self):
        self.compare(b"\r\n*0\r\nPING\r\n\n*-1\r\nping\n")

    def test_quit(self):
        self.compare(command("SET", "quit", "x") + command("QUIT") + command("GET", "quit"))

    def test_what_is_no_request(self):
        """The text may be another; the error comes behind all answers, and then the end."""
        words = (b":4\r\n", b"$-1\r\n", b"$536870913\r\n", b"$04\r\nPING\r\n")
        for broken in (b"*x\r\n", b"*2147483648\r\n", *(b"*1\r\n" + one for one in words)):
            with self.subTest(broken):
                sent = command("SET", "broken", "x") + command("GET", "broken") + broken
                theirs, ours = (replies(who.connect(), sent) for who in (self.oracle, self.ours))
                answers = b"+OK\r\n" + word("x")
                for heard in (theirs, ours):
                    self.assertRegex(heard.removeprefix(answers), rb"\A-ERR Protocol error: [^\r\n]+\r\n<closed>\Z")

    def test_values_of_64_mb(self):
        value = random.Random(SEED).randbytes(64 << 20)
        self.compare(command("SET", "large", value) + command("STRLEN", "large") + command("GET", "large"))
        self.compare(command("DEL", "large"))

    def test_arrays_of_100_000(self):
        names = [b"array%d" % n for n in range(100_000)]
        pairs = [text for name in names for text in (name, name)]
        self.compare(command("MSET", *pairs) + command("MGET", *names) + command("EXISTS", *names) + command("DEL", *names))
        self.compare(command("RPUSH", "list", *names) + command("LRANGE", "list", 0, -1) + command("DEL", "list"))

    def test_every_command_of_the_server(self):
        """Each is passed on, or answered by the proxy, or refused with a reason; and then the stream is in step."""
        peer = self.oracle.connect()
        self.addCleanup(peer.close)
        peer.say(command("COMMAND", "LIST"))
        count = int(peer.hear_line()[1:])
        names = []
        for _ in range(count):
            size = int(peer.hear_line()[1:])
            names.append(peer.hear_line()[:size].decode())
        refused = set()
        for name in names:
            if "|" in name:  # of a command that is in the list, too
                continue
            for words in range(8):
                heard = replies(self.ours.connect(), command(name, *(["1"] * words)))
                with self.subTest(f"{name} with {words} words"):
                    self.assertNotIn(b"knows no such command", heard)
                    self.assertEqual(heard.endswith(CLOSED), name == "quit", heard)
                if heard.startswith(REASONS):
                    refused.add(name)
        self.assertEqual(refused, REFUSED)


REFUSED = set(
    """
    multi exec discard watch unwatch client hello reset select readonly readwrite asking replconf
    blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin wait xread xreadgroup
    psubscribe publish pubsub punsubscribe spublish ssubscribe subscribe sunsubscribe unsubscribe monitor psync sync
    keys scan randomkey dbsize flushall flushdb swapdb
    acl bgrewriteaof bgsave cluster config debug failover function info lastsave latency migrate module pfdebug pfselftest
    replicaof restore-asking role save script shutdown slaveof slowlog time
    """.split()
)
REASONS = (b"-ERR it would change", b"-ERR it may wait", b"-ERR a proxy passes", b"-ERR it is about all", b"-ERR it is for one")


class TwoProxies(Same):
    """They place keys alike."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.oracle = Front(NUTCRACKER, SOME_SERVERS)
        cls.addClassCleanup(cls.oracle.stop)
        cls.ours = Front(ClientTest.program, SOME_SERVERS)
        cls.addClassCleanup(cls.ours.stop)


class SomeServers(TwoProxies):
    def test_conversations_at_random_cuts(self):
        self.compare_at_random_cuts(VOCABULARY + SPLIT * 5, SEED + 1)

    def test_many_keys(self):
        names = [b"many%d" % n for n in range(1000)]
        self.compare(b"".join(command("SET", name, name * 20) for name in names))
        dice = random.Random(SEED)
        for count in (2, 3, 10, 100, 1000):
            some = dice.choices(names, k=count)
            with self.subTest(count):
                self.compare(command("MGET", *some) * 5 + command("TOUCH", *some))
        self.compare(command("DEL", *names[:500]) + command("UNLINK", *names) + command("MGET", *names))


# ---- what we do otherwise ----


@dataclass(frozen=True)
class Difference:
    """What is answered to `sent`, where the keys a to h are with three servers and have their names as values."""

    sent: bytes
    nutcracker: bytes
    ours: bytes
    reason: str


APART = b"-ERR these keys are not all with one server\r\n"
EIGHT = [bytes([c]) for c in b"abcdefgh"]
COUNT = b"-ERR the number of keys must be 1 or more, and as many must follow it\r\n"


def arity(name: str) -> bytes:
    return f"-ERR wrong number of arguments for '{name}' command\r\n".encode()


DIFFERENCES = [
    Difference(command("EXISTS", *EIGHT), b":3\r\n", b":8\r\n", "nutcracker asks the first key's server alone"),
    Difference(command("SUNION", *EIGHT), b"-WRONGTYPE", APART, "the same: it would miss what others have"),
    Difference(command("PFCOUNT", *EIGHT), b"-WRONGTYPE", APART, "the same"),
    Difference(command("NONSENSE"), CLOSED, b"-ERR this proxy knows no such command\r\n", "we tell why"),
    Difference(command("MULTI"), CLOSED, b"-ERR it would change the connection", "we tell why"),
    Difference(command("GET"), CLOSED, arity("get"), "as redis-server"),
    Difference(command("MSET", "a"), CLOSED, arity("mset"), "as redis-server"),
    Difference(command("PING", "hello"), CLOSED, word("hello"), "as redis-server"),
    Difference(command("ECHO", "hello"), CLOSED, word("hello"), "as redis-server"),
    Difference(command("QUIT"), CLOSED, b"+OK\r\n" + CLOSED, "as redis-server"),
    Difference(b"\r\n*0\r\n", CLOSED, b"", "as redis-server: nothing is asked"),
    Difference(b"GET a\r\n", CLOSED, b"-ERR Protocol error: this proxy takes no inline command", "we tell why"),
    Difference(command("AUTH", "x"), *2 * [b"-ERR Client sent AUTH"], "redis-server's text is a longer one"),
    Difference(command("OBJECT", "ENCODING", "a"), CLOSED, word("embstr"), "one key, at another place"),
    Difference(command("RENAME", "a", "a"), CLOSED, b"+OK\r\n", "keys that are with one server"),
    Difference(command("EVAL", "return 1", 0), CLOSED, COUNT, "we tell why"),
    Difference(command("SORT", "a", "STORE", "b"), b"-WRONGTYPE", b"-ERR STORE names", "b may be with another server"),
]


class Differences(TwoProxies):
    def test_documented_differences(self):
        for who in (self.oracle, self.ours):
            self.assertEqual(replies(who.connect(), command("MSET", *(w for key in EIGHT for w in (key, key)))), b"+OK\r\n")
        for d in DIFFERENCES:
            with self.subTest(d.sent[:60], reason=d.reason):
                for who, wanted in ((self.oracle, d.nutcracker), (self.ours, d.ours)):
                    self.assertEqual(replies(who.connect(), d.sent)[: len(wanted)], wanted)


if __name__ == "__main__":
    main()
