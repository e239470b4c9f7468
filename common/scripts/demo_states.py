"""The demo of a memcached chapter: a client talks to the server, and the server tells which states the connection passes.

What is shown follows from what the chapter can do (its capabilities in chapters/meson.build).
"""
import re
import socket
import subprocess
import time
from dataclasses import dataclass

from chapters import Chapter
from demo_stage import DEADLINE, INDENT, Page, Said, reply
from server import Server, ServerFailed

# A connection that says nothing for so long sleeps in libevent. Only the layout of the demo hangs on it.
QUIET = 0.08
# Of a server that is no chapter.
ALL = frozenset({"line", "store", "multiget", "bulk", "swallow", "threads"})



def what_next(chapter: Chapter) -> list[tuple[str, str]]:
    """Commands for a reader, each with what it is for."""
    words = r"'set k 0 0 5\r\n' 'hel' 'lo\r\n' 'get k\r\n'" if "store" in chapter.capabilities else r"'ver' 'sion\r\n' 'quit\r\n'"
    difference = [(f"tests/ladder.py diff {chapter.number}", f"what it changes in {chapter.parent}")] if chapter.parent else []
    return [
        (f"notes/{chapter.name}.md", "the page to read, beside the code"),
        *difference,
        (f"chapters/run {chapter.number} -p 11222 -vvv", "serve, and talk to it from a second terminal:"),
        (f"common/scripts/talk.py 11222 {words}", ""),
        (f"tests/run {chapter.number}", "what real clients and the tests say of it"),
    ]


@dataclass(frozen=True)
class Send:
    """Bytes for the server, and what to say once they have gone."""

    data: bytes
    answered: bool = True
    remark: str = ""


@dataclass(frozen=True)
class Step:
    title: str
    explanation: str
    sends: tuple[Send, ...]


def script(can: frozenset[str]) -> list[Step]:
    """The client's part, for a chapter that can do this."""
    steps = [
        Step(
            "A line in, a line out",
            "The bytes are read, they hold a whole line, the line is a command, the reply is written. Then the "
            "connection goes back to sleep and the thread is free for others.",
            (Send(b"version\r\n"),),
        )
    ]
    if "store" not in can:
        return steps + [
            Step(
                "A line in two pieces",
                "A socket knows no lines. What has arrived stays in the buffer until the rest comes; nobody waits for it.",
                (Send(b"vers", answered=False, remark="no line yet: asleep again"), Send(b"ion\r\n")),
            ),
            Step("Something that is no command", "A bad line costs one ERROR and nothing else.", (Send(b"sing\r\n"),)),
        ]
    steps += [
        Step(
            "A value of known length",
            "The line announces 5 bytes. From here on lines mean nothing: the connection counts bytes until the value "
            "is whole.",
            (Send(b"set greeting 0 0 5\r\nhello\r\n"),),
        ),
        Step(
            "A value in two pieces",
            "The client stops in the middle. The connection sleeps inside conn_nread and goes on there when the rest "
            "arrives: the state is its whole memory.",
            (
                Send(b"set farewell 0 0 9\r\ngood", answered=False, remark="5 bytes and a line end are missing: asleep"),
                Send(b"-bye!\r\n"),
            ),
        ),
        Step("And out again", "The value comes back as it was sent.", (Send(b"get farewell\r\n"),)),
    ]
    if "multiget" in can:
        steps.append(
            Step(
                "Two values in one reply",
                "conn_mwrite sends straight from the stored items; each is held by a reference until its last byte "
                "has gone."
                if "bulk" in can
                else "Both are copied into one buffer, and the buffer is written.",
                (Send(b"get greeting farewell\r\n"),),
            )
        )
    if "swallow" in can:
        steps += [
            Step(
                "A value that is too large",
                "It is refused, but its bytes are under way all the same. conn_swallow reads and forgets them, or they "
                "would be taken for commands.",
                (Send(b"set giant 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\n"),),
            ),
            Step("The stream is still in step", "The next line is a command again.", (Send(b"get greeting\r\n"),)),
        ]
    return steps


class Trace(Said):
    """What the server says with -vvv, for one client."""

    def __init__(self, stream):
        super().__init__(stream, threads=True)
        self._sfd = ""
        self._state = ""

    def accepted(self) -> str:
        """Waits for the client to be accepted; returns the server's words."""
        line = self.until(r"<\d+ new .*client connection", "that the client is accepted")[-1]
        self._sfd = re.search(r"<(\d+)", line)[1]
        return line

    def states(self) -> list[str]:
        """The states since the last call, the one that it slept in first; ends when the connection has gone quiet."""
        passed = [self._state] if self._state else []
        while (line := self.next(QUIET)) is not None:
            if match := re.search(rf"\b{self._sfd}: going from (\w+) to (\w+)", line):
                if not passed:
                    passed.append(match[1])
                passed.append(match[2])
                self._state = match[2]
        return passed


def talk(page: Page, server: Server, can: frozenset[str]) -> None:
    trace = Trace(server.process.stderr)
    with server.connect(DEADLINE) as client:
        page.step(
            "A client connects",
            "Nobody sits in accept(). libevent reports that the listening socket is readable, event_handler calls "
            "drive_machine, and that accepts."
            + (" Through a queue and a pipe the connection then moves to a worker thread." if "threads" in can else ""),
        )
        page.row("client", "connect()", "client")
        page.row("server", trace.accepted(), "server")
        page.states(trace.states())
        for step in script(can):
            page.pause(0.5)
            page.step(step.title, step.explanation)
            for send in step.sends:
                page.bytes("client", send.data, "client")
                page.pause(0.3)
                client.sendall(send.data)
                if send.answered:
                    page.bytes("server", reply(client), "server")
                page.states(trace.states())
                if send.remark:
                    page.row("", send.remark, "dim")
                page.pause(0.3)
        page.pause(0.5)
        page.step("Good-bye", "The connection is closed; the server goes on.")
        client.sendall(b"quit\r\n")
        page.bytes("client", b"quit\r\n", "client")
        if client.recv(1):
            raise ServerFailed("the server answered 'quit'")
        page.states(trace.states())


def statistics(client: socket.socket, *names: str) -> str:
    """These of the server's statistics, as one line."""
    client.sendall(b"stats\r\n")
    values = dict(line.split(" ")[1:3] for line in reply(client).decode().split("\r\n") if line.startswith("STAT "))
    return "   ".join(f"{name} {values[name]}" for name in names)


def crowd(page: Page, server: Server) -> None:
    """A burst of clients, until the descriptors run out; and what becomes of the one who has to wait."""
    page.paragraph(
        "Four workers, and no more than 60 descriptors. Clients come as fast as they can; each asks for the version, and "
        "stays."
    )
    page.line()
    everyone: list[socket.socket] = []
    inside: list[socket.socket] = []
    try:
        while True:
            waiting = server.connect(0.3)
            everyone.append(waiting)
            waiting.sendall(b"version\r\n")
            try:
                reply(waiting)
            except TimeoutError:
                break
            inside.append(waiting)
            if len(inside) > 60:
                raise ServerFailed("60 descriptors were enough for more than 60 clients")
        page.row("clients", f"{len(inside)} are served; the next one is connected, but nobody answers", "client")
        page.row("stats", statistics(inside[0], "curr_connections", "accepting_conns", "listen_disabled_num"), "server")
        page.pause(1.5)
        page.line()
        page.paragraph("The listeners are muted. Every 10 ms the master looks whether somebody has left. Now five do.", INDENT)
        page.line()
        page.pause(1.0)
        for _ in range(5):
            inside.pop().close()
        start = time.monotonic()
        waiting.settimeout(DEADLINE)
        answer = reply(waiting).decode().strip()
        page.row("clients", f"the one who waited has its answer {(time.monotonic() - start) * 1e3:.0f} ms later: {answer}", "client")
        page.row("stats", statistics(inside[0], "accepting_conns", "time_in_listen_disabled_us"), "server")
    finally:
        for client in everyone:
            client.close()


def show(page: Page, program: str, flags: list[str], can: frozenset[str]) -> None:
    page.paragraph(
        "What follows happens now: a client talks to the server through a socket, and the server tells with -vvv "
        f"which states the connection passes. {page.asleep} is the state in which it sleeps, in libevent, until "
        "the socket is ready again."
    )
    page.pause(1.5)
    with Server(program, "-vvv", *flags, stderr=subprocess.PIPE) as server:
        talk(page, server, can)


def show_crowd(page: Page, program: str, flags: list[str]) -> None:
    with Server(program, "-t", "4", "-c", "60", *flags) as server:
        crowd(page, server)
