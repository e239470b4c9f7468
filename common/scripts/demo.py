#!/usr/bin/env python3
"""A guided demo of one chapter: a client talks to the real server, and the server tells which states it passes.

    demo.py [--fast] PROGRAM [FLAG]...

What is shown follows from what the chapter can do (its capabilities in chapters/meson.build).
"""
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import chapters
from server import Server, ServerFailed

INDENT = "     "
# The last line of every reply that the demo waits for.
REPLY_ENDS = re.compile(rb"(?:^|\n)(?:END|STORED|ERROR|(?:VERSION|SERVER_ERROR|CLIENT_ERROR) [^\r\n]*)\r\n\Z")
# A connection that says nothing for so long sleeps in libevent. Only the layout of the demo hangs on it.
QUIET = 0.08
DEADLINE = 10


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


class Trace:
    """What the server says on stderr with -vvv, for one client. Owns: the thread that reads it."""

    def __init__(self, stream):
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()
        self._sfd = ""
        self.state = ""

    def _read(self, stream) -> None:
        for line in stream:
            self._lines.put(line.decode(errors="replace").rstrip())

    def accepted(self) -> str:
        """Waits for the client to be accepted; returns the server's words."""
        deadline = time.monotonic() + DEADLINE
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if match := re.match(r"<(\d+) new .*client connection", line):
                self._sfd = match[1]
                return line
        raise ServerFailed("the server did not say that it has accepted the client")

    def states(self) -> list[str]:
        """The states since the last call, the one that it slept in first; ends when the connection has gone quiet."""
        passed = [self.state] if self.state else []
        while True:
            try:
                line = self._lines.get(timeout=QUIET)
            except queue.Empty:
                return passed
            if match := re.match(rf"{self._sfd}: going from (\w+) to (\w+)", line):
                if not passed:
                    passed.append(match[1])
                passed.append(match[2])
                self.state = match[2]


class Page:
    """The terminal. Colour and pauses only where a person is looking."""

    def __init__(self, fast: bool):
        tty = sys.stdout.isatty()
        self._colour = tty and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._pace = 0.0 if fast or not tty else 1.0
        self._width = min(shutil.get_terminal_size().columns, 80)
        fancy = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.rule, self.arrow, self.asleep, self.line_end = ("─", "→", "●", "↵") if fancy else ("-", ">", "*", "\\r\\n")

    def paint(self, style: str, text: str) -> str:
        codes = {"bold": "1", "dim": "2", "client": "36", "server": "32", "state": "33", "refused": "31"}
        return f"\x1b[{codes[style]}m{text}\x1b[0m" if self._colour and text else text

    def pause(self, seconds: float) -> None:
        sys.stdout.flush()
        if self._pace:
            time.sleep(seconds * self._pace)

    def line(self, text: str = "") -> None:
        print(text)

    def heading(self, text: str) -> None:
        rule = self.rule * max(0, self._width - len(text) - 7)
        self.line(f"\n  {self.paint('dim', self.rule * 2)} {self.paint('bold', text)} {self.paint('dim', rule)}")

    def paragraph(self, text: str, indent: str = "  ") -> None:
        for part in textwrap.wrap(text, self._width - len(indent) - 2):
            self.line(indent + part)

    def row(self, label: str, text: str, style: str, end: str = "") -> None:
        self.line(f"{INDENT}{self.paint('dim', f'{label:<8}')}{self.paint(style, text)}{self.paint('dim', end)}")

    def bytes(self, label: str, data: bytes, style: str) -> None:
        """Line by line, each line end made visible; what is too long to show is told by its length."""
        for i, part in enumerate(data.split(b"\r\n")):
            ended = data.count(b"\r\n") > i
            if part or ended:
                text = part.decode(errors="replace") if len(part) <= 60 else f"({len(part):,} bytes)"
                shade = "refused" if b"ERROR" in part[:12] and label == "server" else style
                self.row(label if i == 0 else "", text, shade, self.line_end if ended else "")

    def states(self, passed: list[str]) -> None:
        """The way of the connection; the mark stands where it sleeps, and nowhere if it has ended."""
        if not passed:
            return
        ended = passed[-1] in ("conn_closing", "conn_closed")
        label, line, length = "states", "", 0
        for i, state in enumerate(passed):
            last = i == len(passed) - 1
            mark = f"{self.asleep} " if last and not ended else ""
            lead = f" {self.arrow} " if i else ""
            if length + len(lead + mark + state) > self._width - len(INDENT) - 10:
                self.row(label, line, "state")
                label, line, length, lead = "", "", 0, lead.lstrip()
            shown = self.paint("state", state) if not last else self.paint("bold", mark + state)
            line += self.paint("dim", lead) + shown
            length += len(lead + mark + state)
        self.line(f"{INDENT}{self.paint('dim', f'{label:<8}')}{line}")


def reply(client: socket.socket) -> bytes:
    received = b""
    while not REPLY_ENDS.search(received):
        data = client.recv(65536)
        if not data:
            raise ServerFailed(f"the server closed the connection after {received!r}")
        received += data
    return received


def talk(page: Page, server: Server, can: frozenset[str]) -> None:
    trace = Trace(server.process.stderr)
    number = 1

    def begin(title: str, explanation: str) -> None:
        nonlocal number
        page.line()
        page.line(f"  {page.paint('dim', str(number))}  {page.paint('bold', title)}")
        page.paragraph(explanation, INDENT)
        page.line()
        page.pause(1.0)
        number += 1

    with server.connect(DEADLINE) as client:
        begin(
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
            begin(step.title, step.explanation)
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
        begin("Good-bye", "The connection is closed; the server goes on.")
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
    page.heading("a crowd")
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


def what_next(page: Page, chapter: chapters.Chapter, table: list[chapters.Chapter]) -> None:
    page.heading("the chapters so far")
    chapters.print_list(table)
    page.heading("what next")
    number = chapter.number
    commands = [
        (f"chapters/run {number} -p 11222 -vvv", "serve, and talk to it from a second terminal:"),
        ("telnet localhost 11222", "set, get, stats, quit"),
        (f"less notes/{chapter.name}.md", "the note to read beside the code"),
        (f"tests/run {number}", "what real clients and the tests say of it"),
    ]
    if chapter.parent:
        commands.insert(2, (f"diff -u chapters/{chapter.parent} chapters/{chapter.name}", ""))
    for command, meaning in commands:
        if len(command) > 32:
            page.line("  " + page.paint("client", command))
            continue
        page.line(f"  {page.paint('client', f'{command:<32}')}{meaning}")
    page.line()


def main(arguments: list[str]) -> int:
    fast = arguments[:1] == ["--fast"]
    program, *flags = arguments[1:] if fast else arguments
    table = chapters.read_table()
    chapter = next((c for c in table if c.name == Path(program).name), None)
    can = chapter.capabilities if chapter else frozenset({"line", "store", "multiget", "bulk", "swallow", "threads"})
    page = Page(fast)
    try:
        page.heading(Path(program).name)
        if chapter:
            page.paragraph(chapter.idea[0].upper() + chapter.idea[1:] + ".")
            page.line()
        page.paragraph(
            "What follows happens now: a client talks to the server through a socket, and the server tells with -vvv "
            f"which states the connection passes. {page.asleep} is the state in which it sleeps, in libevent, until "
            "the socket is ready again."
        )
        page.pause(1.5)
        with Server(program, "-vvv", *flags, stderr=subprocess.PIPE) as server:
            talk(page, server, can)
        if "maxconns" in can:
            page.pause(1.0)
            with Server(program, "-t", "4", "-c", "60", *flags) as server:
                crowd(page, server)
        page.pause(1.0)
        if chapter:
            what_next(page, chapter, table)
    except KeyboardInterrupt:
        page.line()
        return 130
    except (ServerFailed, OSError) as problem:
        sys.stdout.flush()
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
