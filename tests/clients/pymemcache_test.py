"""pymemcache, a client in pure Python: every command that it has, with and without noreply."""
from client_test import ClientTest, import_from, main, needs

base = import_from("python3-pymemcache", "pymemcache.client.base")
exceptions = import_from("python3-pymemcache", "pymemcache.exceptions")


class Pymemcache(ClientTest):
    noreply = False

    def setUp(self) -> None:
        super().setUp()
        address = ("127.0.0.1", self.server.port)
        self.client = base.Client(
            address, connect_timeout=10, timeout=10, no_delay=True, default_noreply=self.noreply
        )
        self.addCleanup(self.client.close)

    def expect(self, answer, wanted) -> None:
        """With noreply the client does not learn the answer, and says True to everything."""
        self.assertEqual(answer, True if self.noreply else wanted)

    def holds(self, wanted, key: str | None = None) -> None:
        self.assertEqual(self.client.get(key or self.key), wanted)

    def test_set_and_get(self):
        self.expect(self.client.set(self.key, b"value"), True)
        self.holds(b"value")

    def test_get_of_nothing(self):
        self.holds(None)

    def test_empty_value(self):
        self.client.set(self.key, b"")
        self.holds(b"")

    def test_value_that_looks_like_the_protocol(self):
        value = b"END\r\nVALUE x 0 3\r\nabc\r\nSTORED\r\n\0\xff"
        self.client.set(self.key, value)
        self.holds(value)

    def test_every_size_around_the_read_buffer(self):
        for size in [*range(2030, 2060), 4096, 8192, 16384, 65536]:
            value = bytes(i % 251 for i in range(size))
            self.client.set(self.key, value)
            self.holds(value)

    def test_a_value_of_nearly_a_mebibyte(self):
        value = bytes(range(256)) * 4094
        self.client.set(self.key, value)
        self.holds(value)

    @needs("swallow")
    def test_a_value_that_is_too_large(self):
        self.client.set(self.key, b"small")
        with self.assertRaises(exceptions.MemcacheServerError) as refused:
            self.client.set(self.key, b"x" * 2_000_000, noreply=False)
        self.assertIn("object too large for cache", str(refused.exception))
        self.client.set("after", b"still in step")
        self.holds(b"still in step", "after")

    def test_flags(self):
        self.client.set(self.key, b"value", flags=65535)
        self.assertEqual(self.client.get(self.key), b"value")

    def test_add(self):
        self.expect(self.client.add(self.key, b"first"), True)
        self.expect(self.client.add(self.key, b"second"), False)
        self.holds(b"first")

    def test_replace(self):
        self.expect(self.client.replace(self.key, b"nothing there"), False)
        self.client.set(self.key, b"old")
        self.expect(self.client.replace(self.key, b"new"), True)
        self.holds(b"new")

    def test_append_and_prepend(self):
        self.expect(self.client.append(self.key, b"nothing there"), False)
        self.expect(self.client.prepend(self.key, b"nothing there"), False)
        self.client.set(self.key, b"b")
        self.expect(self.client.append(self.key, b"c"), True)
        self.expect(self.client.prepend(self.key, b"a"), True)
        self.holds(b"abc")

    def test_cas(self):
        self.client.set(self.key, b"one")
        value, unique = self.client.gets(self.key)
        self.assertEqual(value, b"one")
        self.assertEqual(self.client.cas(self.key, b"two", unique, noreply=False), True)
        self.assertEqual(self.client.cas(self.key, b"three", unique, noreply=False), False)
        self.assertEqual(self.client.cas("nobody", b"x", unique, noreply=False), None)
        self.holds(b"two")

    def test_gets_many_gives_each_its_own_number(self):
        keys = [f"{self.key}{i}" for i in range(20)]
        self.client.set_many({key: b"v" for key in keys})
        answer = self.client.gets_many(keys)
        self.assertEqual(len({unique for _, unique in answer.values()}), 20)

    def test_incr_and_decr(self):
        self.assertEqual(self.client.incr(self.key, 1, noreply=False), None)
        self.client.set(self.key, b"10")
        self.assertEqual(self.client.incr(self.key, 5, noreply=False), 15)
        self.assertEqual(self.client.decr(self.key, 6, noreply=False), 9)
        self.assertEqual(self.client.decr(self.key, 100, noreply=False), 0)
        self.client.incr(self.key, 2**63, noreply=True)
        self.client.incr(self.key, 2**63, noreply=True)
        self.assertEqual(self.client.incr(self.key, 7, noreply=False), 7)

    def test_incr_of_a_word(self):
        self.client.set(self.key, b"word")
        with self.assertRaises(exceptions.MemcacheClientError) as refused:
            self.client.incr(self.key, 1, noreply=False)
        self.assertIn("cannot increment or decrement non-numeric value", str(refused.exception))

    def test_touch(self):
        self.expect(self.client.touch(self.key, 100), False)
        self.client.set(self.key, b"value")
        self.expect(self.client.touch(self.key, 100), True)
        self.holds(b"value")
        self.client.touch(self.key, -1)
        self.holds(None)

    def test_delete(self):
        self.expect(self.client.delete(self.key), False)
        self.client.set(self.key, b"value")
        self.expect(self.client.delete(self.key), True)
        self.holds(None)

    def test_a_time_that_has_passed(self):
        self.client.set(self.key, b"value", expire=-1)
        self.holds(None)

    def test_500_keys_at_once(self):
        values = {f"{self.key}{i}": f"value {i}".encode() * (i % 50 + 1) for i in range(500)}
        self.assertEqual(self.client.set_many(values), [])
        self.assertEqual(self.client.get_many([*values, "one_that_is_not_there"]), values)
        self.client.delete_many(list(values)[::2])
        self.assertEqual(self.client.get_many(values), {k: values[k] for k in list(values)[1::2]})

    def test_flush_all(self):
        self.client.set(self.key, b"value")
        self.assertTrue(self.client.flush_all())
        self.holds(None)
        self.client.set(self.key, b"again")
        self.holds(b"again")

    def test_version_is_numeric(self):
        self.assertRegex(self.client.version(), rb"^\d+\.\d+\.\d+")

    def test_stats(self):
        before = self.client.stats()
        self.client.set(self.key, b"value")
        self.holds(b"value")
        after = self.client.stats()
        self.assertEqual(int(after[b"pid"]), self.server.process.pid)
        self.assertEqual(after[b"cmd_set"], before[b"cmd_set"] + 1)
        self.assertEqual(after[b"get_hits"], before[b"get_hits"] + 1)

    def test_a_key_of_250_bytes(self):
        key = "k" * 250
        self.client.set(key, b"value")
        self.holds(b"value", key)


class PymemcacheNoreply(Pymemcache):
    noreply = True


if __name__ == "__main__":
    main()
