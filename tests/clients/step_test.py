"""--step: a server on a terminal of its own goes on by one event with each Return, and as it likes when it may.

    step_test.py PROGRAM
"""
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from client_test import ClientTest, main
from server import HOST

SECONDS = 20  # for whatever is waited for


class Terminal:
    """The program under test on a pseudo-terminal. Owns: the process, and both ends of the terminal."""

    def __init__(self, *flags: str):
        self.directory = tempfile.TemporaryDirectory()
        self.port_file = Path(self.directory.name) / "port"
        self.shown = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["MEMCACHED_PORT_FILENAME"] = str(self.port_file)
            user = ["-u", "root"] if os.geteuid() == 0 else []
            os.execv(ClientTest.program, [ClientTest.program, "-p", "-1", "-l", HOST, *user, *flags])

    def see(self, pattern: str) -> re.Match:
        """Waits until the terminal shows it behind what was seen before."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.shown)):
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{pattern} is not shown: {self.shown!r}")
            try:
                self.shown += os.read(self.fd, 4096).decode()
            except OSError:  # the other end is closed
                raise AssertionError(f"ended before {pattern}: {self.shown!r}") from None
        self.shown = self.shown[found.end() :]
        return found

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def step_to(self, pattern: str) -> None:
        """Return until the event that waits is this one."""
        for _ in range(200):
            if re.search(pattern, self.see(r"[^\r\n]+ $")[0]):
                return
            self.type("\n")
            self.see(r"\r\n")
        raise AssertionError(f"never came to {pattern}")

    def wait(self) -> int:
        deadline = time.monotonic() + SECONDS
        while (done := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < deadline, "still there"
            if select.select([self.fd], [], [], 0.01)[0]:
                try:
                    os.read(self.fd, 4096)
                except OSError:
                    time.sleep(0.005)
        self.pid = 0
        return os.waitstatus_to_exitcode(done[1])

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.directory.cleanup()


class StepTest(unittest.TestCase):
    def start(self, *flags: str) -> Terminal:
        terminal = Terminal(*flags)
        self.addCleanup(terminal.close)
        return terminal

    def connect(self, terminal: Terminal):
        lines = terminal.port_file.read_text().splitlines()
        port = next(int(line.rpartition(" ")[2]) for line in lines if line.startswith("TCP INET"))
        connection = socket.create_connection((HOST, port), timeout=SECONDS)
        self.addCleanup(connection.close)
        return connection

    def test_goes_on_by_return_and_then_alone(self):
        terminal = self.start("--step")
        terminal.see("Return: the next step")
        terminal.step_to("server listening")
        terminal.type("\n")
        terminal.step_to("asleep, waiting for EV_READ")
        terminal.type("\n")
        client = None
        deadline = time.monotonic() + SECONDS
        while client is None:
            self.assertLess(time.monotonic(), deadline)
            try:
                client = self.connect(terminal)
            except (OSError, StopIteration):
                time.sleep(0.005)
        terminal.step_to("accept4")
        client.sendall(b"version\r\n")
        terminal.type("\n")
        terminal.step_to("VERSION 1.4.25")
        self.assertEqual(select.select([client], [], [], 0)[0], [], "it has answered, and nobody let it")
        terminal.type("c\n")
        self.assertEqual(client.recv(100), b"VERSION 1.4.25\r\n")
        client.sendall(b"version\r\n" * 100)
        got = b""
        while len(got) < 1600:
            got += client.recv(2000)
        os.kill(terminal.pid, signal.SIGTERM)
        self.assertIn(terminal.wait(), (0, -signal.SIGTERM))

    def test_ctrl_c_ends_it_at_any_step(self):
        terminal = self.start("--step")
        terminal.see("Return: the next step")
        terminal.step_to("server listening")
        terminal.type("\n")
        terminal.see(r"\r\n")
        terminal.see(r"[^\r\n]+ $")
        terminal.type("\x03")
        self.assertIn(terminal.wait(), (0, -signal.SIGINT))

    def test_needs_a_terminal(self):
        with tempfile.TemporaryFile() as nothing:
            command = [ClientTest.program, "-p", "-1", "-l", HOST, "--step"]
            command += ["-u", "root"] if os.geteuid() == 0 else []
            done = subprocess.run(
                command, stdin=nothing, capture_output=True, text=True, start_new_session=True, timeout=SECONDS
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn("open /dev/tty: No such device or address", done.stderr)


if __name__ == "__main__":
    sys.exit(main())
