"""A server that lives as long as a `with` block: a chapter's program or Debian's memcached, on a port of the kernel's choice."""
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HOST = "127.0.0.1"


class ServerFailed(Exception):
    """It did not start, or did not end as it should. The text holds what it said on stderr."""


def held_port() -> socket.socket:
    """A port of the kernel's choice that stays ours while the socket lives. Whoever connects is refused, until a server
    listens there: both say SO_REUSEADDR, so it may come, go, and come again, and no other program gets the port meanwhile.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    return held


class Process:
    """Any program that writes where it listens into the file named by MEMCACHED_PORT_FILENAME.

    Owns: the process, ended by stop() or kill(); and a directory for its port file and its stderr.
    `stderr` is subprocess.PIPE for a caller that reads it, else what the program says is kept for the error's text.
    """

    def __init__(self, command: Sequence[str | Path], stderr: int | None = None, seconds: float = 20):
        self._directory = tempfile.TemporaryDirectory(prefix="drive_machine-")
        self._log = open(Path(self._directory.name) / "stderr", "w+b")
        port_file = Path(self._directory.name) / "port"
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command,
            env=os.environ | {"MEMCACHED_PORT_FILENAME": str(port_file)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=stderr if stderr is not None else self._log,
        )
        try:
            self.port = self._wait_for_port(port_file, seconds)
        except BaseException:
            self.kill()
            raise
        self.address = f"{HOST}:{self.port}"

    def _wait_for_port(self, port_file: Path, seconds: float) -> int:
        """The file appears under its name only when it is whole. A server that gives up ends the wait at once."""
        deadline = time.monotonic() + seconds
        while not port_file.exists():
            if time.monotonic() > deadline:
                raise ServerFailed(self._say(f"no port after {seconds} s"))
            try:
                self.process.wait(0.005)
            except subprocess.TimeoutExpired:
                continue
            if self.process.stderr:  # nobody has read it yet
                self._log.write(self.process.stderr.read())
            raise ServerFailed(self._say(f"ended with status {self.process.returncode} before it served"))
        lines = port_file.read_text(encoding="ascii").splitlines()
        return next(int(line.rpartition(" ")[2]) for line in lines if line.startswith("TCP INET"))

    def connect(self, seconds: float = 10) -> socket.socket:
        connection = socket.create_connection((HOST, self.port), timeout=seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def stop(self, seconds: float = 20) -> None:
        """Asks it to end. That it had ended before, hangs, or ends in any other way is a failure.

        The chapters before 05 have no handler for SIGTERM and die of it.
        """
        try:
            if self.process.poll() is not None:
                raise ServerFailed(self._say(f"had ended with status {self.process.returncode}"))
            self.process.send_signal(signal.SIGTERM)
            try:
                status = self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise ServerFailed(self._say(f"still there {seconds} s after SIGTERM")) from None
            if status not in (0, -signal.SIGTERM):
                raise ServerFailed(self._say(f"ended with status {status} after SIGTERM"))
        finally:
            self.kill()

    def kill(self) -> None:
        """As a crash ends it. Once it has ended, nothing is left to do."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        self._log.close()
        self._directory.cleanup()

    def said(self) -> str:
        """What it has printed up to now, on both streams, if nobody else reads its stderr."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _say(self, what: str) -> str:
        return f"{' '.join(self.command)}: {what}\n{self.said()}".rstrip()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, kind, problem, trace) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()


class Server(Process):
    """One with memcached's command line. `port` is -1, or one of held_port(); `under`: a command that runs it."""

    def __init__(
        self,
        program: str | Path,
        *flags: str,
        port: int = -1,
        stderr: int | None = None,
        seconds: float = 20,
        under: Sequence[str] = (),
    ):
        user = ("-u", "root") if os.geteuid() == 0 else ()
        super().__init__((*under, program, "-p", str(port), "-l", HOST, *flags, *user), stderr, seconds)
