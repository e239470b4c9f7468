"""A server that lives as long as a `with` block: a chapter's program or Debian's memcached, on a port of the kernel's choice."""
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HOST = "127.0.0.1"


class ServerFailed(Exception):
    """It did not start, or did not end as it should. The text holds what it said on stderr."""


class Server:
    """Owns: the process, ended by stop() at the latest; and a directory for its port file and its stderr.

    `stderr` is subprocess.PIPE for a caller that reads it, else what the server says is kept for the error's text.
    """

    def __init__(self, program: str | Path, *flags: str, stderr: int | None = None, seconds: float = 20):
        self._directory = tempfile.TemporaryDirectory(prefix="drive_machine-")
        self._log = open(Path(self._directory.name) / "stderr", "w+b")
        port_file = Path(self._directory.name) / "port"
        self.command = [str(program), "-p", "-1", "-l", HOST, *flags]
        if os.geteuid() == 0:
            self.command += ["-u", "root"]
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
            self._end()
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
            self._end()

    def _say(self, what: str) -> str:
        self._log.seek(0)
        return f"{' '.join(self.command)}: {what}\n{self._log.read().decode(errors='replace')}".rstrip()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        self._log.close()
        self._directory.cleanup()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind, problem, trace) -> None:
        if kind is None:
            self.stop()
        else:
            self._end()
