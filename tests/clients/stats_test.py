#!/usr/bin/env python3
"""The values of `stats` and its groups, beside those of Debian's memcached after the same traffic.

Where the two differ and are meant to, a row of DIFFERENCES says why. Each row must still find a difference.
"""
import re
import shutil
import time
from dataclasses import dataclass

from client_test import ClientTest, capabilities, main, needs, not_run
from server import Server

# As it was in the days of 1.4, and counting sizes as it did then.
ORACLE_FLAGS = ("-U", "0", "-o", "no_modern,no_lru_crawler,track_sizes")
FLAGS = ("-m", "8", "-c", "500", "-n", "64", "-f", "1.5", "-b", "100")

DEADLINE = 5  # seconds
VALUE = 100_000  # large enough for a few of them to fill the memory

Group = dict[str, str]


@dataclass(frozen=True)
class Difference:
    """Where Debian's 1.6.18 is not what we follow. `names` is a pattern for whole names of the group."""

    group: str
    names: str
    reason: str
    unless: str = ""  # a capability: chapters that have it do not differ


ITS_OWN = "of the process, or of the moment"
SMALLER = "1.4.25 keeps flags and length in the item as text; without that, an item of 1.6 is smaller"
LACKING = "what steers a thread or a list that no chapter has reads 0 or no"

DIFFERENCES = [
    Difference("", "pid|rusage_user|rusage_system", ITS_OWN),
    Difference("", "uptime", "memcached's clock starts two seconds before the process"),
    Difference("", "version", "we say whom we follow"),
    Difference("", "bytes", SMALLER),
    Difference("", "connection_structures", "who leaves takes his with him", unless="reuse"),
    Difference("", "reserved_fds", "no thread but the first, and no descriptor for others", unless="threads"),
    Difference("settings", "oldest", "we keep no second of the last flush, but the number of the last item before it"),
    Difference("settings", "hashpower_init", "0 is memcached's word for its default; we say how many there are"),
    Difference("settings", "hash_algorithm", "another one"),
    Difference("settings", "lru_crawler_sleep|hot_lru_pct|warm_lru_pct", LACKING),
    Difference("settings", "expirezero_does_not_evict", "1.6 has it no more"),
    Difference("slabs", r"\d+:mem_requested", "1.6 tells it under items"),
    Difference("sizes", "64|96", SMALLER),
]


class Peer:
    """A connection."""

    def __init__(self, server: Server):
        self._connection = server.connect()
        self._replies = self._connection.makefile("rb")

    def say(self, words: str) -> None:
        self._connection.sendall(words.replace("|", "\r\n").encode() + b"\r\n")

    def ask(self, words: str) -> str:
        self.say(words)
        return self._line()

    def get(self, words: str) -> list[str]:
        self.say(words)
        lines: list[str] = []
        while not lines or lines[-1] not in ("END", "ERROR"):
            lines.append(self._line())
        return lines

    def stats(self, group: str = "") -> Group:
        lines = self.get(f"stats {group}".rstrip())
        return dict((line.split(" ", 2) + [""])[1:3] for line in lines[:-1])

    def leave(self) -> None:
        """Returns when the server has closed its end."""
        self.say("quit")
        self._replies.read()
        self.close()

    def close(self) -> None:
        self._replies.close()
        self._connection.close()

    def _line(self) -> str:
        return self._replies.readline().decode().removesuffix("\r\n")


def traffic(peer: Peer) -> None:
    """Something of everything that a chapter of Part I can do and that is counted."""
    for key, flags, size in (("a", 0, 1), ("b", 5, 1000), ("c", 4294967295, 5000), ("n", 0, 20)):
        peer.ask(f"set {key} {flags} 0 {size}|{size * '1'}")
    for command in ("add a", "replace a", "append a", "prepend none"):
        peer.ask(f"{command} 0 0 1|x")
    for line in ("get a b none", "gets a", "get none", "get a a a"):
        peer.get(line)
    for line in ("incr n 5", "incr none 5", "decr n 5", "decr none 5", "touch a 100", "touch none 0", "delete b"):
        peer.ask(line)
    peer.ask("delete b")
    unique = peer.get("gets a")[0].rpartition(" ")[2]
    for line in ("cas a 0 0 1 999999999|x", "cas none 0 0 1 999|x", f"cas a 0 0 1 {unique}|x", "set dead 0 -1 1|x"):
        peer.ask(line)
    peer.get("get dead")
    for number in range(200):
        peer.ask(f"set large{number} 0 {number % 2} {VALUE}|{VALUE * 'v'}")
    peer.get("get large0 large199")
    for line in ("flush_all 1000", "nonsense", "verbosity 0", "stats detail on"):
        peer.ask(line)


def different(ours: Group, theirs: Group) -> set[str]:
    """Names of what we tell and memcached does not, or not so. What it tells and we do not came after 1.4.25."""
    return {name for name, value in ours.items() if theirs.get(name) != value}


class StatsTest(ClientTest):
    flags = FLAGS

    @classmethod
    def setUpClass(cls) -> None:
        oracle = shutil.which("memcached") or not_run("memcached")
        super().setUpClass()
        cls.ours = Peer(cls.server)
        cls.addClassCleanup(cls.ours.close)
        threads = cls.ours.stats()["threads"]
        cls.oracle = Server(oracle, *FLAGS, "-t", threads, *ORACLE_FLAGS)
        cls.addClassCleanup(cls.oracle.stop)
        cls.theirs = Peer(cls.oracle)
        cls.addClassCleanup(cls.theirs.close)
        cls.theirs.ask("version")
        for peer, server in ((cls.ours, cls.server), (cls.theirs, cls.oracle)):
            peer.ask("stats reset")
            traffic(peer)
            another = Peer(server)
            another.ask("version")
            another.leave()
        # First of all: what the other tests ask for is not of the same length, and bytes_written would differ.
        cls.general = cls.ours.stats(), cls.theirs.stats()

    def compare(self, group: str) -> None:
        self.compare_values(group, self.ours.stats(group), self.theirs.stats(group))

    def compare_values(self, group: str, ours: Group, theirs: Group) -> None:
        self.assertTrue(ours)
        found = different(ours, theirs)
        for row in DIFFERENCES:
            if row.group == group and row.unless not in capabilities(self.program):
                meant = {name for name in found if re.fullmatch(row.names, name)}
                self.assertTrue(meant, f"{row.names!r} ({row.reason}): there is no difference any more; strike it out")
                found -= meant
        self.assertEqual({name: (ours[name], theirs.get(name)) for name in found}, {}, "ours, and memcached's")

    def compare_general(self, ours: Group, theirs: Group) -> None:
        self.assertLess(abs(int(ours["time"]) - int(theirs["time"])), 5)
        self.compare_values("", ours | {"time": theirs["time"]}, theirs)

    def test_the_general_group(self) -> None:
        self.compare_general(*self.general)

    def test_settings(self) -> None:
        self.compare("settings")

    def test_items(self) -> None:
        self.compare("items")

    def test_slabs(self) -> None:
        self.compare("slabs")

    def test_sizes(self) -> None:
        self.compare("sizes")

    @needs("maxconns")
    def test_conns(self) -> None:
        """Which connections there are, and what is said of each; not under which numbers."""

        def shapes(stats: Group) -> list[str]:
            lines = sorted((name.partition(":") for name in stats), key=lambda parts: parts[0])
            return sorted(
                re.sub(r"\d+$", "N", f"{word} {stats[number + colon + word]}")
                for number, colon, word in lines
                if word != "listen_addr"  # came after 1.4.25
            )

        with_an_idle_one = []
        for peer, server in ((self.ours, self.server), (self.theirs, self.oracle)):
            idle = Peer(server)
            idle.ask("version")
            end = time.monotonic() + DEADLINE
            # Its thread may still be on the way back from the reply.
            while "state conn_read" not in (seen := shapes(peer.stats("conns"))) and time.monotonic() < end:
                continue
            with_an_idle_one.append(seen)
            idle.leave()
        self.assertEqual(*with_an_idle_one)

    def test_zz_reset(self) -> None:
        """Last, for it ends what the others look at: what happened is forgotten, what is stays."""
        self.ours.ask("stats reset")
        self.theirs.ask("stats reset")
        self.compare_general(self.ours.stats(), self.theirs.stats())
        self.compare("items")


if __name__ == "__main__":
    main()
