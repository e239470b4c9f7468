"""Real clients of redis, before our proxy and before Debian's nutcracker: redis-cli, Python's redis, and redis-benchmark.

    redis_clients_test.py PROXY [TEST]...

They must not notice which of the two they talk to, nor that there is one at all, as far as a proxy goes.
"""
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from unittest import TestCase, TestLoader, TestSuite

from client_test import ClientTest, find_tool, import_from, main
from proxy import HOST
from redis_server import NUTCRACKER, Front

redis = import_from("python3-redis", "redis")

CLI = find_tool("redis-cli", "redis-tools")
BENCHMARK = find_tool("redis-benchmark", "redis-tools")
SERVERS = 3
LOADS = ("set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "sadd", "hset", "zadd", "lrange_100", "mset")


class Clients:
    proxy: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.front = Front(cls.proxy, SERVERS)
        cls.addClassCleanup(cls.front.stop)
        cls.port = cls.front.proxy.port

    def setUp(self) -> None:
        # Tests share servers but no key.
        self.key = self.id().rpartition(".")[2]

    # ---- Python's redis ----

    def client(self, **options):
        client = redis.Redis(HOST, self.port, socket_timeout=10, **options)
        self.addCleanup(client.close)
        return client

    def test_strings(self):
        client, key = self.client(), self.key
        self.assertTrue(client.ping())
        self.assertIsNone(client.get(key))
        self.assertTrue(client.set(key, b"\r\n$3\r\n", ex=100))
        self.assertEqual(client.get(key), b"\r\n$3\r\n")
        self.assertTrue(0 < client.ttl(key) <= 100)
        self.assertIsNone(client.set(key, "x", nx=True))
        self.assertEqual(client.getset(key, 10), b"\r\n$3\r\n")
        self.assertEqual(client.incrby(key, 5), 15)
        self.assertEqual(client.append(key, "0"), 3)
        self.assertEqual(client.delete(key), 1)
        self.assertEqual(client.delete(key), 0)

    def test_structures(self):
        client, key = self.client(decode_responses=True), self.key
        self.assertEqual(client.rpush(f"{key}-list", "a", "b", "c"), 3)
        self.assertEqual(client.lrange(f"{key}-list", 0, -1), ["a", "b", "c"])
        self.assertEqual(client.hset(f"{key}-hash", mapping={"a": 1, "b": 2}), 2)
        self.assertEqual(client.hgetall(f"{key}-hash"), {"a": "1", "b": "2"})
        self.assertEqual(client.sadd(f"{key}-set", 1, 2, 3), 3)
        self.assertEqual(client.smembers(f"{key}-set"), {"1", "2", "3"})
        self.assertEqual(client.zadd(f"{key}-sorted", {"a": 1, "b": 2}), 2)
        self.assertEqual(client.zrange(f"{key}-sorted", 0, -1, withscores=True), [("a", 1.0), ("b", 2.0)])
        self.assertEqual(sorted(client.sscan_iter(f"{key}-set")), ["1", "2", "3"])
        self.assertEqual(client.eval("return {KEYS[1], ARGV[1], 3}", 1, key, "x"), [key, "x", 3])

    def test_many_keys(self):
        client = self.client()
        values = {f"{self.key}{n}": b"%d" % n * (n + 1) for n in range(500)}
        self.assertTrue(client.mset(values))
        self.assertEqual(client.mget([*values, "none"]), [*values.values(), None])
        self.assertEqual(client.touch(*values), 500)
        self.assertEqual(client.delete(*list(values)[:200], "none"), 200)
        self.assertEqual(client.unlink(*values), 300)

    def test_pipelines(self):
        pipeline = self.client().pipeline(transaction=False)
        for n in range(1000):
            pipeline.set(f"{self.key}{n}", n).get(f"{self.key}{n}").incr(f"{self.key}{n}")
        wanted = [part for n in range(1000) for part in (True, b"%d" % n, n + 1)]
        self.assertEqual(pipeline.execute(), wanted)

    def test_values_of_all_sizes(self):
        client = self.client()
        for size in [0, 1, *range(16370, 16400, 3), 65536, 1_000_000]:
            value = random.Random(size).randbytes(size)
            self.assertTrue(client.set(self.key, value))
            self.assertEqual(client.get(self.key), value)

    def test_errors(self):
        client = self.client()
        client.set(self.key, "x")
        with self.assertRaisesRegex(redis.ResponseError, "WRONGTYPE"):
            client.lpush(self.key, "x")
        with self.assertRaisesRegex(redis.ResponseError, "not an integer"):
            client.incr(self.key)
        self.assertEqual(client.get(self.key), b"x")

    def test_many_threads(self):
        client = self.client()

        def work(number: int) -> list:
            name = f"{self.key}{number}"
            return [client.incr(name) for _ in range(100)]

        with ThreadPoolExecutor(20) as threads:
            for counted in threads.map(work, range(20)):
                self.assertEqual(counted, list(range(1, 101)))

    # ---- redis-cli and redis-benchmark ----

    def cli(self, *words: str, stdin: str | None = None) -> str:
        done = subprocess.run([CLI, "-p", str(self.port), *words], input=stdin, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_redis_cli(self):
        names = [f"{self.key}{n}" for n in range(5)]
        self.assertEqual(self.cli("ping"), "PONG\n")
        self.assertEqual(self.cli("mset", *(w for name in names for w in (name, name))), "OK\n")
        self.assertEqual(self.cli("--no-raw", "mget", names[0], "none"), f'1) "{names[0]}"\n2) (nil)\n')
        self.assertEqual(self.cli("del", *names), "5\n")
        self.assertEqual(self.cli(stdin=f"set {self.key} 1\nincr {self.key}\nget {self.key}\n"), "OK\n2\n2\n")

    def test_redis_benchmark(self):
        for pipeline in ("1", "32"):
            with self.subTest(pipeline=pipeline):
                where = ("-p", str(self.port), "-q", "-t", ",".join(LOADS), "-r", "1000")
                load = ("-n", "2000", "-c", "20", "-P", pipeline)
                done = subprocess.run([BENCHMARK, *where, *load], capture_output=True, text=True, timeout=120)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertNotRegex(done.stdout + done.stderr, r"(?i)error")
                self.assertGreaterEqual(len(re.findall(r"requests per second", done.stdout)), len(LOADS))


class Ours(Clients, TestCase):
    """Before our proxy they may do more."""

    def test_exists_of_many_keys(self):
        client = self.client()
        names = [f"{self.key}{n}" for n in range(50)]
        client.mset(dict.fromkeys(names, 1))
        self.assertEqual(client.exists(*names, "none"), 50)

    def test_what_is_refused_leaves_the_client_connected(self):
        client = self.client(single_connection_client=True)
        for refused in (client.keys, client.dbsize, client.flushall, client.randomkey, client.info, client.scan):
            with self.assertRaises(redis.ResponseError):
                refused()
        with self.assertRaisesRegex(redis.ResponseError, "share"):
            client.pipeline(transaction=True).set(self.key, 1).execute()
        self.assertTrue(client.set(self.key, 1))

    def test_redis_cli_says_goodbye(self):
        self.assertEqual(self.cli("quit"), "OK\n")

    def test_redis_cli_in_bulk(self):
        """It asks for an ECHO at the end."""
        said = self.cli("--pipe", stdin="".join(f"*3\r\n$3\r\nSET\r\n$4\r\n{n:04}\r\n$1\r\nx\r\n" for n in range(5000)))
        self.assertIn("errors: 0, replies: 5000", said)


def load_tests(loader: TestLoader, *_) -> TestSuite:
    Ours.proxy = ClientTest.program
    theirs = type("Nutcracker", (Clients, TestCase), {"proxy": NUTCRACKER})
    return TestSuite(map(loader.loadTestsFromTestCase, (Ours, theirs)))


if __name__ == "__main__":
    main()
