"""python-memcache, the oldest of the Python clients."""
from client_test import ClientTest, import_from, main, needs

memcache = import_from("python3-memcache", "memcache")


class Memcache(ClientTest):
    def setUp(self) -> None:
        super().setUp()
        self.client = memcache.Client(
            [self.server.address], socket_timeout=10, cache_cas=True, server_max_value_length=4_000_000
        )
        self.addCleanup(self.client.disconnect_all)

    def test_every_type_comes_back(self):
        for value in (b"bytes", "text", 7, 2**40, True, ["a", {"b": None}], b"", b"\r\nEND\r\n"):
            self.assertTrue(self.client.set(self.key, value))
            self.assertEqual(self.client.get(self.key), value)

    def test_get_of_nothing(self):
        self.assertIsNone(self.client.get(self.key))

    def test_a_value_of_nearly_a_mebibyte(self):
        value = bytes(range(256)) * 4094
        self.assertTrue(self.client.set(self.key, value))
        self.assertEqual(self.client.get(self.key), value)

    @needs("swallow")
    def test_a_value_that_is_too_large(self):
        self.assertFalse(self.client.set(self.key, b"x" * 2_000_000))
        self.assertTrue(self.client.set("after", b"still in step"))
        self.assertEqual(self.client.get("after"), b"still in step")

    def test_add_replace_append_prepend(self):
        self.assertFalse(self.client.replace(self.key, "nothing there"))
        self.assertFalse(self.client.append(self.key, "nothing there"))
        self.assertTrue(self.client.add(self.key, "b"))
        self.assertFalse(self.client.add(self.key, "x"))
        self.assertTrue(self.client.append(self.key, "c"))
        self.assertTrue(self.client.prepend(self.key, "a"))
        self.assertEqual(self.client.get(self.key), "abc")

    def test_cas(self):
        self.client.set(self.key, "one")
        self.client.gets(self.key)
        other = memcache.Client([self.server.address])
        other.set(self.key, "between")
        other.disconnect_all()
        self.assertFalse(self.client.cas(self.key, "two"))
        self.client.gets(self.key)
        self.assertTrue(self.client.cas(self.key, "two"))
        self.assertEqual(self.client.get(self.key), "two")

    def test_incr_and_decr(self):
        self.assertIsNone(self.client.incr(self.key))
        self.client.set(self.key, "10")
        self.assertEqual(self.client.incr(self.key, 5), 15)
        self.assertEqual(self.client.decr(self.key, 100), 0)

    def test_touch_and_delete(self):
        self.client.set(self.key, "value")
        self.assertTrue(self.client.touch(self.key, 100))
        self.assertTrue(self.client.delete(self.key))
        self.assertIsNone(self.client.get(self.key))

    def test_500_keys_at_once(self):
        values = {f"{self.key}{i}": "v" * i for i in range(500)}
        self.assertEqual(self.client.set_multi(values), [])
        self.assertEqual(self.client.get_multi([*values, "one_that_is_not_there"]), values)
        self.assertTrue(self.client.delete_multi(list(values)))
        self.assertEqual(self.client.get_multi(list(values)), {})

    def test_noreply(self):
        self.client.set(self.key, "value", noreply=True)
        self.client.delete("nothing", noreply=True)
        self.assertEqual(self.client.get(self.key), "value")

    def test_stats(self):
        ((_, stats),) = self.client.get_stats()
        self.assertEqual(int(stats["pid"]), self.server.process.pid)

    def test_flush_all(self):
        self.client.set(self.key, "value")
        self.client.flush_all()
        self.assertIsNone(self.client.get(self.key))


if __name__ == "__main__":
    main()
