"""What the demos share: the page that is printed, what a program says on stderr, and what a server replies."""
import contextlib
import os
import queue
import re
import select
import shutil
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable

from server import ServerFailed

INDENT = "     "
LABEL = 8  # columns for who says it
DEADLINE = 10  # seconds, for whatever is waited for
LOOK_AGAIN = 0.01  # seconds, where nothing tells that it has happened
# The last line of a reply.
REPLY_ENDS = re.compile(rb"^(?:END|STORED|ERROR|(?:VERSION|SERVER_ERROR|CLIENT_ERROR) [^\r\n]*)\r\n", re.MULTILINE)


def reply(client: socket.socket, count: int = 1) -> bytes:
    """The next one, or so many."""
    received = b""
    while len(REPLY_ENDS.findall(received)) < count:
        data = client.recv(65536)
        if not data:
            raise ServerFailed(f"the server closed the connection after {received!r}")
        received += data
    return received


def wait_until(happened: Callable[[], object], what: str) -> object:
    """Returns what `happened` returns, as soon as that is true."""
    deadline = time.monotonic() + DEADLINE
    while not (result := happened()):
        if time.monotonic() > deadline:
            raise ServerFailed(f"after {DEADLINE} s still not: {what}")
        select.select([], [], [], LOOK_AGAIN)
    return result


class Said:
    """What a program says on stderr, line by line. Owns: the thread that reads it, which ends with the program.

    Which of its threads says it is left out, unless `threads`.
    """

    def __init__(self, stream, threads: bool = False):
        self._left_out = re.compile("" if threads else r"^\[(?:master|worker \d+)\] ")
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream) -> None:
        with contextlib.suppress(ValueError):  # closed while it was read
            for line in stream:
                self._lines.put(self._left_out.sub("", line.decode(errors="replace").rstrip()))
        self._lines.put(None)

    def next(self, seconds: float) -> str | None:
        """None: nothing for so long, or nothing ever again."""
        with contextlib.suppress(queue.Empty):
            return self._lines.get(timeout=seconds)
        return None

    def until(self, pattern: str, what: str) -> list[str]:
        """All lines up to the first that matches."""
        lines: list[str] = []
        deadline = time.monotonic() + DEADLINE
        while (left := deadline - time.monotonic()) > 0:
            if (line := self.next(left)) is None:
                break
            lines.append(line)
            if re.search(pattern, line):
                return lines
        raise ServerFailed("\n".join([f"the log does not say {what}. It says:", *lines]))


class ReaderGone(Exception):
    """Whoever was reading the page has seen enough (| head)."""


class Page:
    """The terminal. Colour and pauses only where a person is looking."""

    def __init__(self, fast: bool):
        tty = sys.stdout.isatty()
        self._colour = tty and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.is_paced = tty and not fast
        self._width = min(shutil.get_terminal_size().columns, 80)
        self._steps = 0
        fancy = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.rule, self.arrow, self.asleep, self.line_end = ("─", "→", "●", "↵") if fancy else ("-", ">", "*", "\\r\\n")

    def paint(self, style: str, text: str) -> str:
        codes = {"bold": "1", "dim": "2", "client": "36", "server": "32", "proxy": "35", "state": "33", "refused": "31"}
        return f"\x1b[{codes[style]}m{text}\x1b[0m" if self._colour and text else text

    def pause(self, seconds: float) -> None:
        with self._reader():
            sys.stdout.flush()
        if self.is_paced:
            time.sleep(seconds)

    def line(self, text: str = "") -> None:
        with self._reader():
            print(text)

    @staticmethod
    @contextlib.contextmanager
    def _reader():
        """Tells a pipe that nobody reads from a server that has gone."""
        try:
            yield
        except BrokenPipeError:
            raise ReaderGone from None

    def heading(self, text: str) -> None:
        rule = self.rule * max(0, self._width - len(text) - 7)
        self.line(f"\n  {self.paint('dim', self.rule * 2)} {self.paint('bold', text)} {self.paint('dim', rule)}")

    def paragraph(self, text: str, indent: str = "  ") -> None:
        for part in textwrap.wrap(text, self._width - len(indent) - 2):
            self.line(indent + part)

    def step(self, title: str, explanation: str) -> None:
        """What is about to happen."""
        self._steps += 1
        self.line()
        self.line(f"  {self.paint('dim', str(self._steps))}  {self.paint('bold', title)}")
        self.paragraph(explanation, INDENT)
        self.line()
        self.pause(1.0)

    def meaning(self, text: str) -> None:
        """What it was that happened."""
        self.pause(0.5)
        self.line()
        self.paragraph(text, INDENT)
        self.pause(1.0)

    def row(self, label: str, text: str, style: str, end: str = "") -> None:
        self.line(f"{INDENT}{self.paint('dim', f'{label:<{LABEL}}')}{self.paint(style, text)}{self.paint('dim', end)}")

    def rows(self, label: str, texts: list[str], style: str) -> None:
        for i, text in enumerate(texts):
            self.row(label if i == 0 else "", text, style)

    def flow(self, label: str, pieces: list[str], style: str) -> None:
        """As many pieces in a row as there is room for. One that is longer than a row goes on in the next."""
        room = self._width - len(INDENT) - LABEL - 1
        rows: list[str] = []
        for piece in pieces:
            if rows and len(rows[-1] + piece.rstrip()) <= room:
                rows[-1] += piece
            elif len(piece.rstrip()) <= room:
                rows.append(piece)
            else:
                rows += textwrap.wrap(piece, room, subsequent_indent="  ")
        self.rows(label, [row.rstrip() for row in rows], style)

    def log(self, label: str, lines: list[str], style: str) -> None:
        """What a program has said itself."""
        self.flow(label, [f"{line}   " for line in lines], style)

    def bytes(self, label: str, data: bytes, style: str) -> None:
        """Line by line, each line end made visible; what is too long to show is told by its length."""
        for i, part in enumerate(data.split(b"\r\n")):
            ended = data.count(b"\r\n") > i
            if part or ended:
                text = part.decode(errors="replace") if len(part) <= 60 else f"({len(part):,} bytes)"
                shade = "refused" if b"ERROR" in part[:12] and label == "server" else style
                self.row(label if i == 0 else "", text, shade, self.line_end if ended else "")

    def stream(self, label: str, data: bytes, style: str) -> None:
        """As bytes(), for short lines: they follow each other, as they do in the socket."""
        lines = data.decode(errors="replace").replace("\r\n", "\n").splitlines(keepends=True)
        refused = lines[0].startswith("SERVER_ERROR")
        self.flow(label, [line.replace("\n", self.line_end) for line in lines], "refused" if refused else style)

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
        self.line(f"{INDENT}{self.paint('dim', f'{label:<{LABEL}}')}{line}")
