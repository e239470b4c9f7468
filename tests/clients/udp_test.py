"""The same datagrams to a chapter and to Debian's memcached; what comes back is compared byte for byte, frames included.

    udp_test.py PROGRAM [--seed N] [--datagrams N] [--oracle MEMCACHED]

First the conversations below, then random ones made from the seed. Both servers have one worker, which keeps the order:
a request whose answer is known marks where the answers before it end. Nothing waits for a silence.
"""
import argparse
import random
import re
import select
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from client_test import capabilities, not_run
from differential import bytes_of, shown, shrink
from server import HOST, Server

HEADER = struct.Struct(">HHHH")  # the request's number, which datagram of it this is, of how many, nothing
MOST = 1400  # bytes of a reply's datagram, with its header
MARK = HEADER.pack(65535, 0, 1, 0)
DEADLINE = 10  # seconds
REFUSED = b"SERVER_ERROR multi-packet request not supported\r\n"
TOO_LONG = b"CLIENT_ERROR line too long\r\n"
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"


@dataclass(frozen=True)
class D:
    """One datagram to send: a write in the notation of conversations.txt, with packets of the binary protocol in <>.

    <getkq a><noop>   two packets, and no line end after them
    """

    write: str
    count: int = 1
    sequence: int = 0
    reserved: int = 0
    framed: bool = True
    cut: int | None = None  # so many bytes of it are sent, the frame not counted
    marked: bool = True  # False: the answer shows with the next one's
    client: int = 0  # which of two sockets sends it
    tcp: bool = False  # for what no datagram can hold

    def __str__(self) -> str:
        fields = {"count": 1, "sequence": 0, "reserved": 0, "framed": True, "cut": None, "tcp": False}
        said = [f"{name}={getattr(self, name)}" for name, usual in fields.items() if getattr(self, name) != usual]
        return " ".join([*said, self.write])

    def bytes(self, number: int) -> bytes:
        frame = HEADER.pack(number, self.sequence, self.count, self.reserved) if self.framed else b""
        return frame + body_of(self.write)[: self.cut]


PACKETS = {
    "get": 0x00, "set": 0x01, "add": 0x02, "delete": 0x04, "incr": 0x05, "quit": 0x07, "flush": 0x08, "getq": 0x09,
    "noop": 0x0A, "version": 0x0B, "getk": 0x0C, "getkq": 0x0D, "append": 0x0E, "stat": 0x10, "setq": 0x11, "quitq": 0x17,
    "touch": 0x1C, "gat": 0x1D, "unknown": 0x60,
}  # fmt: skip
EXTRAS = {
    "set": struct.pack(">II", 5, 0),
    "setq": struct.pack(">II", 5, 0),
    "add": struct.pack(">II", 5, 0),
    "incr": struct.pack(">QQI", 3, 10, 0),
    "touch": struct.pack(">I", 100),
    "gat": struct.pack(">I", 100),
}


def body_of(write: str) -> bytes:
    *parts, last = re.split(r"(<[^<>]*>)", write)
    body = b"".join(packet_of(part[1:-1]) if part[:1] == "<" else bytes_of(part + "~", {}) for part in parts)
    return body + (bytes_of(last, {}) if last or not parts else b"")


def packet_of(words: str) -> bytes:
    """A request by name, key and value. Its opaque number is made of its name, so that an answer cannot be another's."""
    name, key, value, *_ = *words.split(" ", 2), "", ""
    key, value = (bytes_of(word + "~", {}) for word in (key, value))
    extras = EXTRAS.get(name, b"")
    body, opaque = extras + key + value, name[:4].ljust(4).encode()
    header = struct.pack(">BBHBBHI", 0x80, PACKETS[name], len(key), len(extras), 0, 0, len(body))
    return header + opaque + bytes(8) + body


# ---- what comes back ----


@dataclass(frozen=True)
class Answer:
    """A datagram of a reply."""

    number: int
    sequence: int
    count: int
    reserved: int
    body: bytes

    @staticmethod
    def of(data: bytes) -> "Answer":
        return Answer(*HEADER.unpack_from(data), comparable(data[HEADER.size :]))

    def __str__(self) -> str:
        return f"{self.number}, {self.sequence} of {self.count}, {self.reserved}: {shown(self.body, 120)}"


def comparable(body: bytes) -> bytes:
    """Without the version's number."""
    body = re.sub(rb"\AVERSION \S+\r\n\Z", b"VERSION\r\n", body)
    return re.sub(rb"(?s)\A(\x81\x0b.{6})....(.{12})[0-9.]+\Z", rb"\1\2", body)


def text_of(answers: list[Answer]) -> bytes:
    return b"".join(answer.body for answer in answers)


def is_one_reply(answers: list[Answer]) -> bool:
    """Numbered from 0, each but the last one full, each saying how many they are."""
    return len(answers) == (answers[0].count if answers else 0) and are_replies(answers)


def are_replies(answers: list[Answer]) -> bool:
    while answers:
        first = answers[0]
        reply, answers = answers[: first.count], answers[max(first.count, 1) :]
        frames = [(a.number, a.sequence, a.count, a.reserved) for a in reply]
        full = all(len(a.body) == MOST - HEADER.size for a in reply[:-1])
        if not full or frames != [(first.number, i, first.count, 0) for i in range(first.count)] or not frames:
            return False
    return True


# ---- where Debian's 1.6.18 is not what we follow ----


def cut_otherwise(ours: list[Answer], theirs: list[Answer]) -> bool:
    return are_replies(ours) and ours != theirs and text_of(ours) == text_of(theirs)


def with_empty_ones(ours: list[Answer], theirs: list[Answer]) -> bool:
    return are_replies(ours) and ours == [a for a in theirs if (a.sequence, a.count, a.body) != (0, 0, b"")]


def refused_by_us(ours: list[Answer], theirs: list[Answer]) -> bool:
    return text_of(ours) == REFUSED and is_one_reply(ours) and not theirs


def names(answers: list[Answer]) -> set[bytes]:
    """Of statistics, in lines or in packets."""
    text, found = text_of(answers), set()
    while text[:2] == b"\x81\x10":
        key, body = struct.unpack_from(">H4xI", text, 2)
        found.add(text[24 : 24 + key])
        text = text[24 + body :]
    return found or set(re.findall(rb"^STAT (\S+) ", text, re.MULTILINE))


def more_statistics(ours: list[Answer], theirs: list[Answer]) -> bool:
    known = names(theirs) | {b"expirezero_does_not_evict"}  # 1.4.25 has it
    return is_one_reply(ours) and is_one_reply(theirs) and len(names(ours)) > 10 and names(ours) < known


def says(ours: list[bytes], theirs: list[bytes]) -> Callable[[list[Answer], list[Answer]], bool]:
    """The bodies, where each of them is a reply."""

    def meant(mine: list[Answer], memcached: list[Answer]) -> bool:
        whole = all(is_one_reply([answer]) for answer in [*mine, *memcached])
        return whole and ([a.body for a in mine], [a.body for a in memcached]) == (ours, theirs)

    return meant


@dataclass(frozen=True)
class Difference:
    """`sent` is a pattern for the whole write. Those that were sent before anything was compared have a + between them."""

    sent: str
    meant: Callable[[list[Answer], list[Answer]], bool]
    reason: str
    needs: str = "udp"


DIFFERENCES = [
    Difference(
        r"(count=\d+|framed=False) .*",
        refused_by_us,
        "memcached means to say so, but a state set afterwards (conn_waiting in 1.4, too) loses the line on its way",
    ),
    Difference(
        r"(.*\|)?gets? \S+ \S.*",
        cut_otherwise,
        "1.6 numbers each item's datagrams by themselves, so that nobody can tell how many there are",
    ),
    Difference(r"quit", with_empty_ones, "1.6 sends a header for the reply that is not there: the first of none"),
    Difference(r".*<(set|get|getk|quit)q.*", with_empty_ones, "the same for quiet commands", "binary"),
    Difference(
        r"set a 0 0 17\|half~ \+ get a",
        says([REFUSED, b"END\r\n"], [b"STORED\r\n"]),
        "memcached waits in conn_nread, and takes the next datagram for the rest of the value, its frame included",
    ),
    Difference(
        r"set a 0 0 1000\|xy~ \+ \{990\*x\}",
        says([TOO_LARGE, b"ERROR\r\n"], [TOO_LARGE]),
        "the same in conn_swallow",
    ),
    Difference(
        r"cut=\d+ <set a \S+> \+ <noop> \+ <get a>",
        lambda ours, theirs: [a.body[1] for a in ours] == [PACKETS["noop"], PACKETS["get"]]
        and [a.body[1] for a in theirs] == [PACKETS["set"], PACKETS["get"]]
        and theirs[1].body.endswith(HEADER.pack(2, 0, 1, 0) + packet_of("noop")),
        "the same for a packet: here it comes to nothing, as half a header does",
        "binary",
    ),
    Difference(
        r"\\x80\{23\*\\xff\}~",
        lambda ours, theirs: is_one_reply(ours) and ours[0].body[24:] == b"Invalid arguments" and not theirs,
        "a header that promises a key of 65,535 bytes: 1.6 waits for the key before it judges",
        "binary",
    ),
    Difference(
        r"\{(2000|3000|60000)\*x\}~?",
        lambda ours, theirs: [a.body for a in ours] == [TOO_LONG] and [a.body for a in theirs] in ([b"ERROR\r\n"], []),
        "memcached bounds a line only where it waits for its end",
    ),
    Difference(r"stats|stats settings|<stat>|<stat settings>", more_statistics, "1.6 counts more"),
]

LONG = "{7143*abcdefghijklmn}"  # 14 letters, so that no datagram of 1,392 bytes is like the next
Conversation = list[D | str]
CONVERSATIONS: dict[str, Conversation] = {
    "frames": [
        "version", D("version", sequence=5), D("version", reserved=7), D("version", sequence=65535, reserved=65535),
        "set a 5 0 3|abc", "get a", "get b", "gets a", "get a\\n",
    ],
    "two clients": [
        "set a 0 0 1|x", D("get a", client=1), "get a", D("set a 0 0 1|y", client=1), "get a",
        "set b 0 0 3000|{3000*b}", D("get b", client=1), "get b", D("nonsense", client=1),
    ],
    "a reply of several datagrams": [
        "set a 0 0 10000|{10000*v}", "get a", "gets a", "set a 0 0 60000|{4000*fifteen letters}", "get a",
        D(f"set a 0 0 100002|{LONG}", tcp=True), "get a", "gets a", "get nothing",
    ],
    # A line of 16 bytes, the value, \r\nEND\r\n; 1,392 bytes to a datagram.
    "the last datagram is just full, or not quite": [
        write for size in (*range(1365, 1374), *range(2756, 2766)) for write in (f"set a 0 0 {size}|{{{size}*v}}", "get a")
    ],
    "several keys": [
        "set a 1 0 1|a", "set b 2 0 0|", "set c 3 0 3000|{300*c123456789}", "get a b", "get b a", "get c a", "get a c",
        "get a a a", "get nothing a", "get nothing nobody", "gets a b c", "get {100*a c }", "get {50*k l }",
    ],
    "storage commands": [
        "set a 0 0 1|b", "add a 0 0 1|x", "add b 0 0 1|y", "replace a 0 0 1|c", "replace z 0 0 1|c", "append a 0 0 1|d",
        "prepend a 0 0 1|a", "gets a", "cas a 0 0 1 1|x", "cas a 0 0 1 5|x", "cas z 0 0 1 1|x", "gets b", "set n 0 0 1|5",
        "incr n 10", "decr n 1", "incr a 1", "incr z 1", "touch a 100", "touch z 100", "delete a", "delete a",
        "set a 0 -1 1|x", "get a", "flush_all", "get b",
    ],
    "a large set": [
        "set a 0 0 1400|{1400*v}", "get a", "set a 0 0 8184|{8184*v}", "get a", "set a 0 0 65000|{65000*v}", "get a",
        "set a 0 0 65480|{65480*w}", "get a",
    ],
    "noreply": [
        "set a 0 0 1 noreply|x", "get a", "delete a noreply", "get a", "set n 0 0 1 noreply|5|incr n 1 noreply|get n",
        "verbosity 0 noreply", "flush_all noreply", "get n", "add n 0 0 1 noreply|1|add n 0 0 1 noreply|2|get n",
    ],
    "several commands in a datagram": [
        "set a 0 0 1|x|get a", "get a|version|get b|nonsense|get a", "set b 0 0 3000|{3000*b}|get b|set b 0 0 1|c|get b",
        "set a 0 0 1|1|incr a 1|incr a 1|decr a 2|delete a|delete a|touch a 0", "version|version|vers~", "get b",
        "|".join(["version"] * 50),
    ],
    "commands that are none": [
        "", "nonsense", "get", "set", "set a 0 0 x", "get {251*k}", "{1000*x}", "{3000*x}", "{60000*x}", "verbosity",
    ],
    "bad values": ["set a 0 0 3|abcde", "get a", "set a 0 0 -1", "set a x 0 1", "set {251*k} 0 0 1", "get a"],
    "a command without a line end": [
        "vers~", "ion", "get a~", "version", "{2000*x}~", "version", "{60000*x}~", "version", "get {200*a }~", "version",
    ],
    "no frame": [
        D("~", framed=False), D("x~", framed=False), D("version~", framed=False), D("version\\n", framed=False),
        D("version\\r\\n", framed=False), "~", "version",
    ],
    "one of several datagrams": [
        "set a 0 0 1|a", *(D("get a", count=n) for n in (0, 2, 3, 255, 256, 257, 65535)), D("get a", count=2, sequence=1),
        D("set a 0 0 1|b", count=2), "get a",
    ],
    "quit": ["quit", "version", "set a 0 0 1|x", "quit", "get a"],
    "half a value": [
        # 15 bytes are missing: the next frame and the command after it have as many.
        D("set a 0 0 17|half~", marked=False), "get a", "set a 0 0 1|x", "get a",
    ],
    "a value that is too large": [D("set a 0 0 1000|xy~", marked=False), "{990*x}", "get a", "version"],
    "statistics": ["stats", "stats settings", "stats reset", "stats nonsense", "version"],
}  # fmt: skip
# For both servers, and for memcached alone.
FLAGS = {"a value that is too large": (("-I", "1k"), ("-o", "slab_chunk_max=1"))}

IN_PACKETS: dict[str, Conversation] = {
    "packets": [
        "<version>", "<noop>", "<set a hello>", "<get a>", "<getk a>", "<get nothing>", "<getk nothing>", "<getq a>",
        "<incr n>", "<incr n>", "<append a .>", "<touch a>", "<gat a>", "<add a x>", "<delete a>", "<delete a>",
        "<unknown>", "<get>", "<noop x>", "<get {251*k}>", "<stat reset>", "<stat nonsense>", "<flush>", "<get n>",
    ],
    "packets in several datagrams": [
        *(write for size in range(1358, 1366) for write in (f"<set a {{{size}*v}}>", "<get a>")),
        "<set a {10000*v}>", "<get a>", "<getk a>", "<getkq a><getkq a><noop>", "<set a {65000*w}>", "<get a>",
        D(f"set b 0 0 100002|{LONG}", tcp=True), "<getk b>",
    ],
    "quiet packets": [
        "<getq nothing>", "<setq a hello>", "<get a>", "<setq b x><noop>", "<getkq a><getkq nothing><getkq b><noop>",
        "<getq a><getq nothing>", "<quitq>", "<get b>",
    ],
    "each datagram chooses": [
        "set a 0 0 1|x", "<get a>", "get a", "<set a yy>", "get a", "<noop>", "version", D("<noop>", client=1), "version",
        "version|<noop>", "<noop>version", "<noop>", "version",
    ],
    "packets that are none": [
        *(D("<noop>", cut=n) for n in (1, 2, 23)), "<noop>", "version", "\\x81{23*x}~", "<noop>",
        "\\x80{23*\\xff}~", "<noop>", D("<noop>", count=2), "<noop>", "<quit>", "<noop>",
    ],
    # Of the value 32 bytes are missing: a frame and a noop have as many.
    "half a packet": [
        D("<set a {40*v}>", cut=24 + 8 + 1 + 8, marked=False), D("<noop>", marked=False), "<get a>", "<noop>",
    ],
    "statistics in packets": ["<stat>", "<stat settings>", "<noop>"],
}  # fmt: skip


class Udp(Server):
    """One worker, and UDP on a port of the kernel's choice."""

    def __init__(self, program: str, *flags: str, udp_port: int = -1):
        super().__init__(program, "-U", str(udp_port), "-t", "1", *flags)

    def _wait_for_port(self, port_file: Path, seconds: float) -> int:
        port = super()._wait_for_port(port_file, seconds)
        lines = port_file.read_text(encoding="ascii").splitlines()
        self.udp_port = next(int(line.rpartition(" ")[2]) for line in lines if line.startswith("UDP INET"))
        return port


class Oracle(Udp):
    """memcached says SO_REUSEADDR, and then the kernel's choice may be a port that another memcached has already.

    So it gets one that a socket of ours has chosen, without saying so. From then on that socket says it, too, which lets
    memcached in, and is connected to nobody in particular, which leaves all datagrams to memcached. Owns: that socket.
    """

    def __init__(self, program: str, *flags: str):
        self._held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._held.bind((HOST, 0))
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.connect((HOST, 9))
        super().__init__(program, *flags, udp_port=self._held.getsockname()[1])

    def stop(self, seconds: float = 0) -> None:
        """It takes a second to end when it is asked to, and how it ends is nobody's question here."""
        self.kill()

    def kill(self) -> None:
        super().kill()
        self._held.close()


class Peer:
    """One side: a server of its own, and two clients. Owns: their sockets."""

    def __init__(self, server: Udp, stack: ExitStack):
        self._tcp = stack.enter_context(server.connect(DEADLINE))
        self._links = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for link in self._links:
            link.settimeout(DEADLINE)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # what finds no room is lost
            link.connect((HOST, server.udp_port))

    def say(self, datagram: D, number: int) -> list[Answer]:
        if datagram.tcp:
            self._tcp.sendall(body_of(datagram.write))
            reply = self._tcp.makefile("rb").readline()
            return [Answer(0, 0, 1, 0, reply)]
        link, other = self._links[datagram.client], self._links[1 - datagram.client]
        link.send(datagram.bytes(number))
        if not datagram.marked:
            return []
        link.send(MARK + b"verbosity 0\r\n")
        answers = []
        try:
            while not answers or answers[-1].number != 65535:
                answers.append(Answer.of(link.recv(65536)))
        except TimeoutError:
            return [*answers, Answer(0, 0, 0, 0, b"<silent>")]
        if select.select([other], [], [], 0)[0]:
            answers.append(Answer(0, 0, 0, 0, b"<to the other client> " + other.recv(65536)))
        return [a for a in answers if a != Answer(65535, 0, 1, 0, b"OK\r\n")]


@dataclass
class Mismatch:
    sent: str
    ours: list[Answer]
    theirs: list[Answer]


class Comparison:
    """Runs conversations, each on a pair of new servers, so that numbers of cas are the same on both."""

    def __init__(self, program: str, oracle: str):
        self._program = program
        self._oracle = oracle
        self.used: set[Difference] = set()

    def run(
        self, datagrams: Conversation, flags: tuple[str, ...] = (), oracle_flags: tuple[str, ...] = ()
    ) -> Mismatch | None:
        with ExitStack() as stack:
            ours = Peer(stack.enter_context(Udp(self._program, *flags)), stack)
            theirs = Peer(stack.enter_context(Oracle(self._oracle, "-o", "no_modern", *flags, *oracle_flags)), stack)
            waiting: list[str] = []
            for number, datagram in enumerate(datagrams, 1):
                datagram = D(datagram) if isinstance(datagram, str) else datagram
                mine, memcached = ours.say(datagram, number), theirs.say(datagram, number)
                waiting.append(str(datagram))
                if datagram.marked:
                    sent = " + ".join(waiting)
                    waiting.clear()
                    if mine != memcached and not self._is_meant(sent, mine, memcached):
                        return Mismatch(sent, mine, memcached)
        return None

    def _is_meant(self, sent: str, ours: list[Answer], theirs: list[Answer]) -> bool:
        for difference in DIFFERENCES:
            if re.fullmatch(difference.sent, sent) and difference.meant(ours, theirs):
                self.used.add(difference)
                return True
        return False


def report(title: str, mismatch: Mismatch, program: str) -> None:
    print(f"{title}: a difference after {shown(mismatch.sent.encode())}")
    for name, answers in ((Path(program).name, mismatch.ours), ("memcached", mismatch.theirs)):
        print(f"  {name}:" + "".join(f"\n    {answer}" for answer in answers[:20]) if answers else f"  {name}: nothing")


def fixed(comparison: Comparison, program: str) -> Iterator[bool]:
    can = capabilities(program)
    conversations = CONVERSATIONS | (IN_PACKETS if "binary" in can else {})
    for title, datagrams in conversations.items():
        mismatch = comparison.run(datagrams, *FLAGS.get(title, ()))
        if mismatch:
            report(title, mismatch, program)
        yield mismatch is None
    for difference in DIFFERENCES:
        if difference.needs in can and difference not in comparison.used:
            print(f"not a difference any more, strike it out: {difference.sent}: {difference.reason}")
            yield False


class Generator:
    """Random datagrams: lines or packets about three keys, values of up to some datagrams, and now and then garbage."""

    def __init__(self, seed: int, packets: bool):
        self._random = random.Random(seed)
        self._packets = packets

    def datagram(self) -> D | str:
        chance = self._random.random()
        if chance < 0.1:
            return D(self._garbage() + "~", framed=self._random.random() < 0.7)
        if chance < 0.15:
            return D(self._line(), count=self._random.choice((0, 2, 65535)))
        some = range(self._random.choice((1, 1, 1, 2, 3)))
        if self._packets and chance < 0.5:
            return "".join(self._packet() for _ in some)
        return "|".join(self._line() for _ in some)

    def _garbage(self) -> str:
        """It does not begin as a packet does: memcached would wait for the rest."""
        rest = range(self._random.choice((0, 7, 8, 9, 30, 300, 1500)))
        numbers = [self._random.randrange(0x80), *(self._random.randrange(0x100) for _ in rest)]
        return "".join(f"\\x{number:02x}" for number in numbers)

    def _value(self) -> tuple[int, str]:
        size = self._random.choice((0, 1, 100, self._random.randrange(1300, 1500), self._random.randrange(9000)))
        return size, f"{{{size}*{self._random.choice('vwxyz')}}}"

    def _line(self) -> str:
        key = self._random.choice("abc")
        size, value = self._value()
        noreply = self._random.choice(("", "", "", " noreply"))
        return self._random.choice(
            (
                f"set {key} 7 0 {size}{noreply}|{value}", f"append {key} 0 0 {size}{noreply}|{value}",
                f"set {key} 0 0 1|5", f"add {key} 0 0 1|5", f"get {key}", f"get {key}", f"gets {key}", f"get {key} a b c",
                f"delete {key}{noreply}", f"incr {key} 1{noreply}", "version", "nonsense",
            )
        )  # fmt: skip

    def _packet(self) -> str:
        key = self._random.choice("abc")
        value = self._value()[1]
        return self._random.choice(
            (
                f"<set {key} {value}>", f"<setq {key} {value}>", f"<append {key} {value}>", f"<get {key}>",
                f"<getk {key}>", f"<getkq {key}>", f"<incr {key}>", f"<delete {key}>", "<noop>", "<unknown>",
            )
        )  # fmt: skip


def randomised(comparison: Comparison, program: str, seed: int, most: int) -> Iterator[bool]:
    generator = Generator(seed, "binary" in capabilities(program))
    for sent in range(0, most, 50):
        datagrams = [generator.datagram() for _ in range(50)]
        mismatch = comparison.run(datagrams)
        if mismatch:
            datagrams = shrink(datagrams, lambda shorter: comparison.run(shorter) is not None)
            report(f"random datagrams of seed {seed}", comparison.run(datagrams) or mismatch, program)
            print("  after " + " + ".join(str(datagram) for datagram in datagrams)[:1000])
            print(f"  again: tests/clients/udp_test.py {program} --seed {seed} --datagrams {sent + 50}")
        yield mismatch is None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--datagrams", type=int, default=500)
    parser.add_argument("--oracle", default=shutil.which("memcached"))
    options = parser.parse_args()
    if not options.oracle:
        not_run("memcached")
    comparison = Comparison(options.program, options.oracle)
    results = [
        *fixed(comparison, options.program),
        *randomised(comparison, options.program, options.seed, options.datagrams),
    ]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
