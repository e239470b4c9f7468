#!/usr/bin/env python3
"""The same bytes to a chapter and to Debian's memcached; the replies are compared byte for byte.

    differential.py PROGRAM [--seed N] [--commands N | --seconds N] [--oracle MEMCACHED]

First the differences that are meant: each must still be one, and the only one in its example. Then the fixed
conversations of conversations.txt, then random ones made from the seed. A random one that fails is shrunk to the few
writes that still make the difference, and printed with the command that repeats it.
"""
import argparse
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from client_test import capabilities, not_run
from server import Server

CONVERSATIONS = Path(__file__).with_name("conversations.txt")
# As it was in the days of 1.4: without the threads that touch items behind the commands' back, so that whether a number
# is changed in its place does not hang on them.
ORACLE_FLAGS = ("-o", "no_modern")
MOST_SECONDS_OF_SHRINKING = 30
DEADLINE = 5  # seconds for the answer to one write


@dataclass(frozen=True)
class Difference:
    """Where Debian's 1.6.18 is not what we follow. `sent` is a pattern for the whole write, `ours` for our whole reply.

    `example` is a conversation that ends in such a write.
    """

    sent: str
    ours: bytes
    reason: str
    example: tuple[str, ...]
    needs: frozenset[str] = frozenset()


DIFFERENCES = [
    Difference(
        r"(version|quit) .+",
        rb"ERROR\r\n",
        "1.4.25 takes no word after them, and memccapable holds every server that says it is older than 1.6 to that",
        ("version foo bar",),
    ),
    Difference(
        r"(slabs|lru_crawler) .+", rb"ERROR\r\n", "they steer threads that no chapter has", ("lru_crawler disable",)
    ),
    Difference(
        r"(append|prepend) a 0 0 100000.*",
        rb"SERVER_ERROR object too large for cache\r\n",
        "a value that has grown too large: we say why; up to 1.6.18 that is NOT_STORED",
        ("set a 0 0 1000000|{1000000*x}", "append a 0 0 100000|{100000*y}"),
        frozenset({"swallow"}),
    ),
    Difference(
        r"\{3000\*x\}!",
        rb"CLIENT_ERROR line too long\r\n<closed>",
        "memcached hangs up without a word",
        ("{3000*x}!",),
    ),
    Difference(r"cache_memlimit 64", rb"ERROR\r\n", "came after 1.4.25", ("cache_memlimit 64",)),
    Difference(r"ms a 1.x", rb"ERROR\r\nERROR\r\n", "the meta commands came with 1.5.15", ("ms a 1|x",)),
    Difference(
        r"(gats?|m[gdae]) .*|mn", rb"ERROR\r\n", "gat came with 1.5.3, the meta commands with 1.5.15", ("gat 0 a",)
    ),
]


@dataclass
class Conversation:
    title: str
    needs: frozenset[str] = frozenset()
    writes: list[str] = field(default_factory=list)


def read_conversations(path: Path) -> list[Conversation]:
    conversations: list[Conversation] = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if match := re.fullmatch(r"== (.*?)(?: \[(.*)\])?", line):
            conversations.append(Conversation(match[1], frozenset((match[2] or "").split())))
        elif conversations and line:
            conversations[-1].writes.append(line)
    return conversations


def bytes_of(write: str, cas: dict[bytes, bytes]) -> bytes:
    """What a write stands for, on a connection that was given these numbers of cas. conversations.txt has the notation."""
    ended = not write.endswith(("~", "!", "\\n"))
    data = write.removesuffix("~").removesuffix("!")
    data = re.sub(r"\{(\d+)\*(.*?)\}", lambda m: m[2] * int(m[1]), data)
    data = re.sub(r"\{cas:(\w+)\}", lambda m: cas.get(m[1].encode(), b"999999999999").decode(), data)
    data = data.replace("|", "\r\n") + ("\r\n" if ended else "")
    return re.sub(r"\\(x[0-9a-f]{2}|.)", lambda m: m[0].encode().decode("unicode_escape"), data).encode("latin-1")


class Peer:
    """One side: a connection to one server, and the numbers of cas that it has seen there."""

    def __init__(self, server: Server):
        self._connection = server.connect(DEADLINE)
        self._cas: dict[bytes, bytes] = {}
        self._order: dict[bytes, int] = {}

    def close(self) -> None:
        self._connection.close()

    def say(self, write: str, marker: bytes, cuts: list[float]) -> bytes:
        """Sends one write, in pieces if there are cuts (shares of its length); returns the reply in comparable form.

        A value that is stored and read back under the marker's name tells where the reply ends, unless the write ended
        within a line: then the marker would become a part of it, and the next write shows what came of this one. Nor
        is it sent to a server that is about to hang up: what is written to a closed connection has the kernel drop
        the bytes that have not been read yet.
        """
        data = bytes_of(write, self._cas)
        try:
            edges = [0, *(int(len(data) * cut) for cut in sorted(cuts)), len(data)]
            for start, end in zip(edges, edges[1:]):
                self._connection.sendall(data[start:end])
            if write.endswith("~"):
                return b""
            if not write.endswith("!"):
                self._connection.sendall(b"set ~ 0 0 %d\r\n%b\r\nget ~\r\n" % (len(marker), marker))
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self._comparable(self._receive(b"STORED\r\nVALUE ~ 0 %d\r\n%b\r\nEND\r\n" % (len(marker), marker)))

    def _receive(self, end: bytes) -> bytes:
        received = bytearray()
        try:
            while not received.endswith(end):
                data = self._connection.recv(1 << 20)
                if not data:
                    return bytes(received) + b"<closed>"
                received += data
        except ConnectionResetError:
            return bytes(received) + b"<closed>"
        except TimeoutError:
            return bytes(received) + b"<silent>"
        return bytes(received.removesuffix(end))

    def _comparable(self, reply: bytes) -> bytes:
        """Versions made equal; numbers of cas replaced by the order in which they were first seen."""
        out, at = [], 0
        while at < len(reply):
            end = reply.find(b"\r\n", at)
            end = len(reply) if end < 0 else end + 2
            line = reply[at:end]
            if match := re.fullmatch(rb"VALUE (\S+) (\d+) (\d+)(?: (\d+))?\r\n", line):
                key, flags, length, cas = match.groups()
                if cas:
                    self._cas[key] = cas
                    order = self._order.setdefault(cas, len(self._order) + 1)
                    line = b"VALUE %b %b %b cas#%d\r\n" % (key, flags, length, order)
                end += int(length) + 2
                line += reply[end - int(length) - 2 : end]
            elif line.startswith(b"VERSION "):
                line = b"VERSION\r\n"
            out.append(line)
            at = end
        return b"".join(out)


@dataclass
class Mismatch:
    at: int
    ours: bytes
    theirs: bytes


class Comparison:
    """Two servers, and what has been compared on them so far."""

    def __init__(self, ours: Server, theirs: Server):
        self._servers = (ours, theirs)
        self._markers = 0

    def run(
        self,
        writes: Sequence[str],
        cut: Callable[[str], list[float]] = lambda write: [],
        allowed: Sequence[Difference] = DIFFERENCES,
    ) -> Mismatch | None:
        """One conversation. None: no difference but those that are allowed."""
        peers = [Peer(server) for server in self._servers]
        try:
            for peer in peers:
                peer.say("flush_all", b"start", [])
            for at, write in enumerate(writes):
                self._markers += 1
                cuts = cut(write)
                ours, theirs = (peer.say(write, b"marker %d" % self._markers, cuts) for peer in peers)
                if ours != theirs and not any(
                    re.fullmatch(meant.sent, write) and re.fullmatch(meant.ours, ours) for meant in allowed
                ):
                    return Mismatch(at, ours, theirs)
                if ours.endswith((b"<closed>", b"<silent>")) or theirs.endswith((b"<closed>", b"<silent>")):
                    break
        finally:
            for peer in peers:
                peer.close()
        return None


def shrink(parts: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """Drops parts, first many at a time and then one by one, as long as it still fails."""
    size = max(1, len(parts) // 2)
    while True:
        at = 0
        while at < len(parts):
            shorter = parts[:at] + parts[at + size :]
            if shorter and fails(shorter):
                parts = shorter
            else:
                at += size
        if size == 1:
            return parts
        size //= 2


def shrink_conversation(writes: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """Whole writes first, then lines out of each that is left."""
    writes = shrink(writes, fails)
    for at, write in enumerate(writes):
        lines = shrink(write.split("|"), lambda some: fails([*writes[:at], "|".join(some), *writes[at + 1 :]]))
        writes[at] = "|".join(lines)
    return writes


class Generator:
    """Random conversations: mostly sound ones, about few keys, so that commands meet."""

    KEYS = ("a", "b", "c", "d", "n1", "n2", "key-with-a-longer-name", "{250*k}")
    NUMBERS = ("0", "1", "9", "10", "99", "007", "18446744073709551615", "9223372036854775808", "-1", "1x", " 5", "")
    DELTAS = ("0", "1", "5", "100", "18446744073709551615", "18446744073709551616", "-1", "x")
    SIZES = (0, 1, 2, 3, 10, 100, 1000, 2040, 2048, 2050, 4100, 8192, 20000, 70000, 300000)
    TIMES = ("0", "0", "0", "100", "2591999", "-1", "2592001", "2147483647", "x", "99999999999")
    FLAGS = ("0", "0", "0", "1", "65535", "4294967295", "-1", "x")
    NONSENSE = (
        "", " ", "x", "get", "set", "set a", "set a 0 0", "set a 0 0 x", "incr", "incr a", "delete", "touch a", "cas a 0 0 1",
        "delete {251*k}", "touch {251*k} 0", "incr {251*k} 1", "verbosity", "GET a", "flush_all x",
        "set {251*k} 0 0 1", "{900*z}",
    )

    def __init__(self, seed: int, can: frozenset[str]):
        self._random = random.Random(seed)
        self._can = can

    def conversation(self) -> list[str]:
        return [self._write() for _ in range(self._random.randint(5, 30))]

    def cuts(self, write: str) -> list[float]:
        return [self._random.random() for _ in range(self._random.choice((0, 0, 1, 2)))]

    def _write(self) -> str:
        if self._random.random() < 0.02:
            # By itself: 1.6.18 drops the replies that are still waiting when it meets this one.
            return "get a {251*k}"
        return "|".join(self._command() for _ in range(self._random.choice((1, 1, 1, 2, 3, 8))))

    def _command(self) -> str:
        return self._random.choices(
            (self._get, self._store, self._cas, self._count, self._remove, self._touch, self._nonsense, self._other),
            (30, 30, 8, 12, 6, 4, 6, 4),
        )[0]()

    def _key(self) -> str:
        return self._random.choice(self.KEYS)

    def _noreply(self) -> str:
        return " noreply" if self._random.random() < 0.15 else ""

    def _get(self) -> str:
        keys = " ".join(self._key() for _ in range(self._random.choice((1, 1, 1, 2, 3, 10, 40))))
        return f"{self._random.choice(('get', 'get', 'gets'))} {keys}"

    def _head(self, name: str, length: int, rest: str = "") -> tuple[str, bool]:
        """A command line with a value, and whether its fields are sound: else the value would be read as commands."""
        flags, exptime = self._random.choice(self.FLAGS), self._random.choice(self.TIMES)
        if self._random.random() < 0.9:
            flags, exptime = "0", self._random.choice(("0", "0", "0", "100", "-1"))
        sound = flags not in ("-1", "x") and exptime != "x"
        return f"{name} {self._key()} {flags} {exptime} {length}{rest}{self._noreply()}", sound

    def _store(self) -> str:
        name = self._random.choice(("set", "set", "set", "set", "add", "replace", "append", "prepend"))
        if self._random.random() < 0.3:
            value = self._random.choice(self.NUMBERS)
            head, sound = self._head(name, len(value))
            return f"{head}|{value}" if sound else head
        size = self._random.choices(self.SIZES, [1 / (1 + s / 2000) for s in self.SIZES])[0]
        if "swallow" in self._can and self._random.random() < 0.01:
            size = self._random.choice((1048576, 1048577, 1100000))
        head, sound = self._head(name, size)
        # Now and then a value that is not as long as was announced.
        if self._random.random() < 0.02:
            size += self._random.choice((1, 2, 7))
        return f"{head}|{{{size}*{self._random.choice('vwxyz')}}}" if sound else head

    def _cas(self) -> str:
        key = self._key()
        unique = self._random.choice((f"{{cas:{key}}}", f"{{cas:{key}}}", "999999999998")) if len(key) < 3 else "1x"
        if unique == "1x":
            return f"cas {key} 0 0 1 1x"
        return f"cas {key} 0 0 3 {unique}{self._noreply()}|cas"

    def _count(self) -> str:
        name = self._random.choice(("incr", "decr"))
        key = self._random.choice(("n1", "n2", self._key()))
        return f"{name} {key} {self._random.choice(self.DELTAS)}{self._noreply()}"

    def _remove(self) -> str:
        return f"delete {self._key()}{self._random.choice(('', '', ' 0', ' 5'))}{self._noreply()}"

    def _touch(self) -> str:
        return f"touch {self._key()} {self._random.choice(self.TIMES)}{self._noreply()}"

    def _nonsense(self) -> str:
        return self._random.choice(self.NONSENSE)

    def _other(self) -> str:
        return self._random.choice(("version", "verbosity 0", "flush_all", "flush_all 0", "flush_all noreply"))


def shown(data: bytes, limit: int = 300) -> str:
    text = repr(data)[1:]
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]} ({len(data)} bytes)"


def report(title: str, writes: Sequence[str], mismatch: Mismatch, program: str) -> None:
    print(f"{title}: a difference at write {mismatch.at + 1}")
    for write in writes[: mismatch.at + 1]:
        print(f"    {write[:300]}")
    print(f"  {Path(program).name}: {shown(mismatch.ours)}\n  memcached: {shown(mismatch.theirs)}")


def still_meant(comparison: Comparison, program: str) -> Iterator[bool]:
    """Without its entry in the table an example must show the difference, with all entries none."""
    can = capabilities(program)
    for difference in DIFFERENCES:
        if difference.needs <= can:
            others = [other for other in DIFFERENCES if other is not difference]
            title = f"the example of the difference {difference.sent!r} ({difference.reason})"
            needed = comparison.run(difference.example, allowed=others) is not None
            if not needed:
                print(f"{title}: there is none any more, or another entry has it; strike it out")
            mismatch = comparison.run(difference.example)
            if mismatch:
                report(title, difference.example, mismatch, program)
            yield needed and not mismatch


def fixed(comparison: Comparison, program: str) -> Iterator[bool]:
    can = capabilities(program)
    for conversation in read_conversations(CONVERSATIONS):
        if conversation.needs <= can:
            mismatch = comparison.run(conversation.writes)
            if mismatch:
                report(conversation.title, conversation.writes, mismatch, program)
            yield mismatch is None


def randomised(comparison: Comparison, program: str, seed: int, commands: int, seconds: float) -> Iterator[bool]:
    """Conversations until so many commands have been sent, or so much time has passed."""
    generator = Generator(seed, capabilities(program))
    begin, sent = time.monotonic(), 0
    while time.monotonic() - begin < seconds if seconds else sent < commands:
        writes = generator.conversation()
        sent += sum(write.count("|") + 1 for write in writes)
        mismatch = comparison.run(writes, generator.cuts)
        if mismatch:
            patience = time.monotonic() + MOST_SECONDS_OF_SHRINKING

            def fails(shorter: list[str]) -> bool:
                return time.monotonic() < patience and comparison.run(shorter) is not None

            if fails(writes):
                writes = shrink_conversation(writes[: mismatch.at + 1], fails)
                mismatch = comparison.run(writes) or mismatch
            else:
                print("(it differs only with the bytes split as they were, so it is not shrunk)")
            report(f"random conversation of seed {seed}", writes, mismatch, program)
            print(f"  again: tests/clients/differential.py {program} --seed {seed} --commands {sent}")
            yield False
            return
        yield True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--oracle", default=shutil.which("memcached"))
    options = parser.parse_args()
    if "DRIVE_MACHINE_LONG" in os.environ and not options.seconds:
        options.seed, options.seconds = random.randrange(1 << 32), 120
    if not options.oracle:
        not_run("memcached")
    with Server(options.program) as ours, Server(options.oracle, *ORACLE_FLAGS) as theirs:
        comparison = Comparison(ours, theirs)
        results = [
            *still_meant(comparison, options.program),
            *fixed(comparison, options.program),
            *randomised(comparison, options.program, options.seed, options.commands, options.seconds),
        ]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
