"""pylibmc, libmemcached from Python: the text protocol as C programs speak it."""
from client_test import ClientTest, import_from, main, needs

pylibmc = import_from("python3-pylibmc", "pylibmc")

BEHAVIOURS = {"cas": True, "tcp_nodelay": True, "connect_timeout": 10_000, "receive_timeout": 10_000_000}


class Pylibmc(ClientTest):
    behaviours: dict[str, object] = {}

    def setUp(self) -> None:
        super().setUp()
        self.client = pylibmc.Client([self.server.address], behaviors=BEHAVIOURS | self.behaviours)
        self.addCleanup(self.client.disconnect_all)

    def test_every_type_comes_back(self):
        for value in (b"bytes", "text", 7, 2**40, True, 3.5, ["a", {"b": None}]):
            self.assertTrue(self.client.set(self.key, value))
            self.assertEqual(self.client.get(self.key), value)

    def test_get_of_nothing(self):
        self.assertIsNone(self.client.get(self.key))

    def test_a_value_of_nearly_a_mebibyte(self):
        value = bytes(range(256)) * 4094
        self.client.set(self.key, value)
        self.assertEqual(self.client.get(self.key), value)

    @needs("swallow")
    def test_a_value_that_is_too_large(self):
        with self.assertRaises(pylibmc.Error):
            self.client.set(self.key, b"x" * 2_000_000)
        self.client.set("after", b"still in step")
        self.assertEqual(self.client.get("after"), b"still in step")

    def test_add_and_replace(self):
        self.assertFalse(self.client.replace(self.key, b"nothing there"))
        self.assertTrue(self.client.add(self.key, b"first"))
        self.assertFalse(self.client.add(self.key, b"second"))
        self.assertTrue(self.client.replace(self.key, b"third"))
        self.assertEqual(self.client.get(self.key), b"third")

    def test_append_and_prepend(self):
        self.client.set(self.key, b"b")
        self.client.append(self.key, b"c")
        self.client.prepend(self.key, b"a")
        self.assertEqual(self.client.get(self.key), b"abc")

    def test_cas(self):
        self.client.set(self.key, b"one")
        _, unique = self.client.gets(self.key)
        self.assertTrue(self.client.cas(self.key, b"two", unique))
        self.assertFalse(self.client.cas(self.key, b"three", unique))
        self.assertEqual(self.client.get(self.key), b"two")

    def test_incr_and_decr(self):
        self.client.set(self.key, 10)
        self.assertEqual(self.client.incr(self.key, 5), 15)
        self.assertEqual(self.client.decr(self.key, 100), 0)
        with self.assertRaises(pylibmc.NotFound):
            self.client.incr(f"{self.key}-nothing")

    def test_touch_and_delete(self):
        self.assertFalse(self.client.touch(self.key, 100))
        self.client.set(self.key, b"value")
        self.assertTrue(self.client.touch(self.key, 100))
        self.assertTrue(self.client.delete(self.key))
        self.assertFalse(self.client.delete(self.key))

    def test_500_keys_at_once(self):
        values = {f"{self.key}{i}": b"v" * i for i in range(500)}
        self.assertEqual(self.client.set_multi(values), [])
        self.assertEqual(self.client.get_multi([*values, "one_that_is_not_there"]), values)
        self.assertTrue(self.client.delete_multi(list(values)))
        self.assertEqual(self.client.get_multi(list(values)), {})

    def test_stats(self):
        ((_, stats),) = self.client.get_stats()
        self.assertEqual(int(stats["pid"]), self.server.process.pid)

    def test_flush_all(self):
        self.client.set(self.key, b"value")
        self.assertTrue(self.client.flush_all())
        self.assertIsNone(self.client.get(self.key))


class PylibmcNonBlocking(Pylibmc):
    """libmemcached keeps several requests in flight."""

    behaviours = {"no_block": True}


if __name__ == "__main__":
    main()
