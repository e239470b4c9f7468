"""The machine that a chapter declares (--diagram) and the one that runs (-vvv): every way that is seen is declared, and
every way that is declared is taken here.

    states_test.py PROGRAM

Clients take the ways: whole commands and halves, values that are refused, replies that nobody reads, datagrams, packets.
"""
import contextlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from client_test import capabilities
from server import HOST, Server

DEADLINE = 20  # seconds, for whatever is waited for
PROGRAM = sys.argv[1]
CAN = capabilities(PROGRAM)
LARGE = 1_000_000  # bytes of a value: more than the kernel takes for a client that does not read
TOO_LARGE = 2_000_000
VERSION = b"VERSION 1.4.25\r\n"
# A readable socket that has nothing to read: that is luck, but for datagrams, of which a short one is no request.
LUCK = set() if "udp" in CAN else {("conn_read", "conn_waiting")}


class Way(NamedTuple):
    """How the machine goes on; `sleeps` names the events that it waits for on the way, if any."""

    start: str
    end: str
    sleeps: frozenset[str]


def declared() -> list[Way]:
    diagram = subprocess.run([PROGRAM, "--diagram"], capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^    (conn_\w+) --> (conn_\w+) : ([^:;\n]+)$", diagram, re.MULTILINE)
    assert len(lines) == diagram.count(" --> conn_") - 1, f"a line that Mermaid would not read:\n{diagram}"
    return [Way(start, end, frozenset(re.findall(r"EV_\w+", cause))) for start, end, cause in lines]


class Log:
    """What the server says at -vvv. Owns: the file."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile("ab")

    def wait_for(self, pattern: str, times: int = 1) -> None:
        deadline = time.monotonic() + DEADLINE
        while len(re.findall(pattern, self.text(), re.MULTILINE)) < times:
            assert time.monotonic() < deadline, f"not seen: {pattern}\n{self.text()[-3000:]}"
            time.sleep(0.002)

    def text(self) -> str:
        return Path(self.file.name).read_text(errors="replace")  # not through `file`, whose offset is the server's too

    def seen(self) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """The changes of state, and in which state who waited for what. The first state of a connection is not told."""
        states: dict[str, str] = {}
        changes, sleeps = set(), set()
        pattern = r"^(?:\[.*?\] )?<?(\d+):? (?:going from (\w+) to (\w+)|asleep, waiting for (.+)|new client connection)$"
        for sfd, start, end, events in re.findall(pattern, self.text(), re.MULTILINE):
            if not end and not events:  # a new connection has the number of an old one
                states.pop(sfd, None)
            elif end:
                states[sfd] = end
                changes.add((start, end))
            elif sfd in states:
                sleeps |= {(states[sfd], event) for event in re.findall(r"EV_\w+", events)}
        return changes, sleeps


class Client:
    """A client of one server. Owns: its socket."""

    def __init__(self, server: Server, log: Log, receive_buffer: int | None = None):
        self.socket = socket.socket()
        if receive_buffer:  # before it connects: it says how much may be sent
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect((HOST, server.port))
        self.log = log

    def ask(self, request: bytes, reply: bytes) -> None:
        self.socket.sendall(request)
        self.hear(reply)

    def hear(self, reply: bytes) -> None:
        heard = b""
        while len(heard) < len(reply):
            part = self.socket.recv(len(reply) - len(heard))
            assert part, f"{heard[:200]!r} and then the end"
            heard += part
        assert heard == reply, f"{heard[:200]!r}, not {reply[:200]!r}"

    def in_two_parts(self, first: bytes, rest: bytes, reply: bytes, state: str) -> None:
        """The rest comes when the machine sleeps in the state."""
        before = len(re.findall("asleep", self.log.text()))
        self.socket.sendall(first)
        self.log.wait_for("asleep", before + 1)
        self.log.wait_for(rf"to {state}$")
        self.ask(rest, reply)


def nobody_reads(server: Server, log: Log, request: bytes, state: str) -> None:
    """Asks, and reads nothing, until the machine sleeps with a reply."""
    client = Client(server, log, receive_buffer=4096)
    client.socket.settimeout(0.1)
    deadline = time.monotonic() + DEADLINE
    while (state, "EV_WRITE") not in log.seen()[1]:
        assert time.monotonic() < deadline, f"never slept in {state}"
        with contextlib.suppress(TimeoutError):
            client.socket.sendall(request)
    client.socket.close()


def take_the_ways_of_text(server: Server, log: Log) -> None:
    client = Client(server, log)
    first_state = "conn_read" if "fairness" not in CAN else "conn_waiting"
    client.ask(b"version\r\n", VERSION)
    client.in_two_parts(b"ver", b"sion\r\n", VERSION, first_state)
    if "store" in CAN:
        client.ask(b"set key 0 0 5 noreply\r\nvalue\r\nget key\r\n", b"VALUE key 0 5\r\nvalue\r\nEND\r\n")
        client.in_two_parts(b"set key 0 0 5\r\nval", b"ue\r\n", b"STORED\r\n", "conn_nread")
        client.ask(b"delete nothing noreply\r\nversion\r\n", VERSION)
    if "swallow" in CAN:
        value = b"v" * TOO_LARGE + b"\r\n"
        refused = b"SERVER_ERROR object too large for cache\r\n"
        head = b"set key 0 0 %d" % TOO_LARGE
        client.ask(head + b"\r\n" + value + b"version\r\n", refused + VERSION)
        client.in_two_parts(head + b" noreply\r\n" + value[:9], value[9:] + b"version\r\n", VERSION, "conn_swallow")
    if "fairness" in CAN:
        client.ask(b"version\r\n" * 50, VERSION * 50)
    client.socket.sendall(b"quit\r\n")
    assert client.socket.recv(1) == b""


def take_the_ways_of_slow_readers(server: Server, log: Log) -> None:
    long_reply = b"stats\r\n" if "store" in CAN else b"version\r\n" * 100
    nobody_reads(server, log, long_reply * 100, "conn_write")
    if "bulk" in CAN:
        Client(server, log).ask(b"set large 0 0 %d\r\n" % LARGE + b"v" * LARGE + b"\r\n", b"STORED\r\n")
        nobody_reads(server, log, b"get" + b" large" * 20 + b"\r\n", "conn_mwrite")


def take_the_ways_of_datagrams(server: Server, log: Log) -> None:
    lines = (Path(server._directory.name) / "port").read_text(encoding="ascii").splitlines()
    port = next(int(line.rpartition(" ")[2]) for line in lines if line.startswith("UDP INET"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE)
        client.connect((HOST, port))
        client.send(struct.pack(">HHHH", 1, 0, 2, 0) + b"version\r\n")
        assert b"multi-packet" in client.recv(2000)
        client.send(b"short")
        client.send(struct.pack(">HHHH", 2, 0, 1, 0) + b"quit\r\n")
        log.wait_for("conn_closing to conn_read")
        log.wait_for("conn_read to conn_waiting")


def take_the_ways_of_packets(server: Server, log: Log) -> None:
    client = Client(server, log)
    Client(server, log).ask(b"set key 0 0 5\r\nvalue\r\n", b"STORED\r\n")
    client.socket.sendall(struct.pack(">BBHBBHIIQ", 0x80, 0, 3, 0, 0, 0, 3, 0, 0) + b"key")  # get
    status = struct.unpack(">BBHBBHIIQ", client.socket.recv(24))[5]
    assert status == 0, f"status {status}"
    log.wait_for("conn_nread to conn_mwrite")
    client.socket.close()


def main() -> int:
    few, many = (("-R", "5"), ("-R", "100000")) if "fairness" in CAN else ((), ())  # commands in one event
    log, log_of_slow = Log(), Log()
    udp = ("-U", "-1") if "udp" in CAN else ()
    with Server(PROGRAM, "-vvv", *few, *udp, stderr=log.file.fileno()) as server:
        take_the_ways_of_text(server, log)
        if "udp" in CAN:
            take_the_ways_of_datagrams(server, log)
        if "binary" in CAN:
            take_the_ways_of_packets(server, log)
        log.wait_for("descriptor given back")
    with Server(PROGRAM, "-vvv", *many, stderr=log_of_slow.file.fileno()) as server:
        take_the_ways_of_slow_readers(server, log_of_slow)

    machine = declared()
    ways = {(way.start, way.end) for way in machine}
    changes, sleeps = map(set.union, log.seen(), log_of_slow.seen())
    in_place = {(state, state) for state, _ in sleeps}
    faults = [f"taken, and not declared: {a} to {b}" for a, b in changes - ways if b != "conn_closing"]
    for state, event in sleeps:
        if not any(way.end == state and event in way.sleeps for way in machine):
            faults.append(f"sleeps in {state} for {event}, and that is not declared")
    for a, b in ways - changes - in_place - LUCK - {("conn_listening", "conn_listening")}:
        faults.append(f"declared, and not taken: {a} to {b}")
    print(*faults, sep="\n")
    print(f"{len(machine)} ways, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
