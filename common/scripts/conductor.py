"""Holds the threads of a server that runs with `--conduct PATH`, where and as long as a schedule wants it.

    with Conductor("/tmp/c") as conductor:
        accept = conductor.hold("master", "call", text="accept4() = -1")
        ...                                # something that makes the master come there
        accept.wait_until_held()
        ...                                # something that others do meanwhile
        accept.release()

An event has the name that common/trace/tracer.h gives it (`kind`); `text` is a part of the line that -vvv prints of it.
When the `with` block ends, all threads go on.
"""
import socket
from pathlib import Path
from typing import NamedTuple


class ConductorFailed(OSError):
    """The server has gone, is about to end, or does not understand. One line for the reader."""


class Missed(ConductorFailed):
    """Nobody came in time to where it was to be held. The text lists what is held where, and what is waited for."""


class Held(NamedTuple):
    """Where a thread is held."""

    thread: str  # "master", "worker 1"; "main" is one without a name
    event: str
    connection: int  # a descriptor; -1: the event has none
    value: int  # the event's number: what a call returned, the worker, the length of the queue
    line: str  # as -vvv prints it


class Hold:
    """A place where one thread will be held, or is. Made by Conductor.hold()."""

    def __init__(self, conductor: "Conductor", number: str) -> None:
        self._conductor, self._number = conductor, number

    def wait_until_held(self, seconds: float | None = None) -> Held:
        """Waits until a thread has come there. Raises Missed when none has after `seconds` (the conductor's deadline)."""
        held = self.held_within(self._conductor.seconds if seconds is None else seconds)
        if held is None:
            raise Missed("nobody came in time to this place:\n" + "\n".join(self._conductor.where(self._number)))
        return held

    def held_within(self, seconds: float) -> Held | None:
        """As wait_until_held(), for where it is as well if nobody comes: then None."""
        answer = self._conductor.ask("wait", self._number, str(round(seconds * 1000)), patience=seconds)
        if answer[0] == "missed":
            return None
        _, _, thread, event, connection, value, line = answer
        return Held(thread, event, int(connection), int(value), line)

    def step(self, seconds: float | None = None) -> Held:
        """Lets the thread run to its next event, whatever that is, and waits until it is held there."""
        self._conductor.ask("step", self._number)
        return self.wait_until_held(seconds)

    def release(self) -> None:
        """The thread goes on. If none has come yet, none will be held."""
        self._conductor.ask("release", self._number)

    def pass_by(self, seconds: float | None = None) -> Held:
        """Waits until a thread has come there, and lets it go on. Returns where that was."""
        held = self.wait_until_held(seconds)
        self.release()
        return held


class Conductor:
    """The connection to one server. Owns: the socket; at its end all threads go on. `seconds` is every deadline."""

    def __init__(self, path: str | Path, seconds: float = 10) -> None:
        self.seconds = seconds
        self._link = socket.socket(socket.AF_UNIX)
        try:
            self._link.connect(str(path))
        except OSError as problem:
            self._link.close()
            raise ConductorFailed(f"no server can be conducted at {path} ({problem.strerror}): start it with --conduct") from None
        self._unread = b""

    def hold(self, thread: str = "", event: str = "", connection: int | None = None, text: str = "", count: int = 1) -> Hold:
        """Says where a thread is to be held: at the count-th event from now on that fits. What is left out fits all."""
        words = thread, event, "" if connection is None else str(connection), str(count), text
        return Hold(self, self.ask("hold", *words)[0].partition(" ")[2])

    def release(self) -> None:
        """All threads go on, and none will be held."""
        self.ask("release")

    def where(self, mark: str = "") -> list[str]:
        """What is held where, and what is waited for: lines for a reader. `mark`: the number of one to be marked."""
        lines = [self._line(self.seconds) for _ in range(int(self.ask("where")[0].partition(" ")[2]))]
        return [("* " if mark and line.startswith(f"{mark}:") else "  ") + line for line in lines]

    def ask(self, *words: str, patience: float = 0) -> list[str]:
        """Sends a request and returns the parts of its answer, which may take `patience` longer than others."""
        for word in words:
            if "\t" in word or "\n" in word:
                raise ConductorFailed(f"{word!r}: no tabs, no line ends")
        try:
            self._link.sendall(("\t".join(words) + "\n").encode())
        except OSError as problem:
            raise ConductorFailed(f"the server has gone: {problem.strerror}") from None
        answer = self._line(self.seconds + patience)
        if answer.startswith("error "):
            raise ConductorFailed(answer.removeprefix("error "))
        return answer.split("\t")

    def _line(self, seconds: float) -> str:
        self._link.settimeout(seconds)
        while b"\n" not in self._unread:
            try:
                data = self._link.recv(65536)
            except TimeoutError:
                raise ConductorFailed("no answer: does somebody else conduct this server?") from None
            except OSError as problem:
                raise ConductorFailed(f"the server has gone: {problem.strerror}") from None
            if not data:
                raise ConductorFailed("the server has gone")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace")

    def close(self) -> None:
        self._link.close()

    def __enter__(self) -> "Conductor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
