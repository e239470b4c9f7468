#!/usr/bin/env python3
"""What --conduct promises of a whole server: nobody stays held when it ends, and no time passes while somebody is held."""
import argparse
import signal
import socket
import stat
import sys
import tempfile
import time
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "common" / "scripts"))

from chapters import read_table  # noqa: E402
from conductor import Conductor, ConductorFailed, Held, Missed  # noqa: E402
from server import Server  # noqa: E402


ENDS_ITSELF = {"stop", "edges"}  # capabilities of those whom a signal ends, and does not kill


class ConductorTest(unittest.TestCase):
    program: Path
    capabilities: frozenset[str]

    def setUp(self) -> None:
        room = self.enterContext(tempfile.TemporaryDirectory(prefix="drive_machine-"))
        self.path = Path(room, "conduct")
        self.server = self.start()
        self.conductor = self.enterContext(Conductor(self.path))
        self.master = "master" if "threads" in self.capabilities else "main"
        self.worker = "worker 1" if "threads" in self.capabilities else "main"

    def start(self) -> Server:
        server = Server(self.program, "--conduct", str(self.path))
        self.addCleanup(server.kill)
        return server

    def needs(self, capability: str) -> None:
        if capability not in self.capabilities:
            self.skipTest(f"this chapter has no {capability}")

    def ask(self, link: socket.socket, request: bytes, end: bytes = b"\r\n") -> bytes:
        link.sendall(request)
        reply = b""
        while not reply.endswith(end):
            data = link.recv(4096)
            self.assertTrue(data, f"the server has hung up after {reply!r}")
            reply += data
        return reply

    def uptime(self, link: socket.socket) -> bytes:
        return next(line for line in self.ask(link, b"stats\r\n", b"END\r\n").splitlines() if b" uptime " in line)

    def hold_worker(self) -> tuple[socket.socket, Held]:
        """Returns a client whose question lies there, and where its worker is held."""
        link = self.server.connect()
        self.addCleanup(link.close)
        self.ask(link, b"version\r\n")
        asked = self.conductor.hold(self.worker, "command")
        link.sendall(b"version\r\n")
        return link, asked.wait_until_held()

    def hold_master(self) -> Held:
        woken = self.conductor.hold(self.master, "woken")
        self.addCleanup(self.server.connect().close)
        return woken.wait_until_held()

    def ends(self, *numbers: int) -> None:
        """The server ends as it should: not before it is asked to, and then soon."""
        for number in numbers:
            self.server.process.send_signal(number)
        status = self.server.process.wait(20)
        wanted = (0,) if self.capabilities & ENDS_ITSELF else tuple(-number for number in numbers)
        self.assertIn(status, wanted)

    def test_the_socket_is_its_owners_and_goes_with_the_server(self) -> None:
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.server.stop()
        self.assertEqual(self.path.exists(), not self.capabilities & ENDS_ITSELF)  # who is killed tidies up nothing
        with self.assertRaisesRegex(ConductorFailed, "no server can be conducted"):
            Conductor(self.path)
        self.server = self.start()  # what one has left is no hindrance to the next
        Conductor(self.path).close()

    def test_a_signal_ends_it_though_the_thread_that_hears_it_is_held(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                self.hold_master()
                self.ends(number)
            self.server = self.start()
            self.conductor = self.enterContext(Conductor(self.path))

    def test_a_signal_ends_it_though_a_worker_is_held(self) -> None:
        self.hold_worker()
        self.ends(signal.SIGTERM)

    def test_a_signal_ends_it_though_the_master_waits_for_a_worker_that_is_held(self) -> None:
        self.needs("pause")
        self.hold_worker()
        told = self.conductor.hold("master", "byte_written")  # it waits once it has told the last of them
        self.server.process.send_signal(signal.SIGUSR1)
        told.pass_by()
        self.ends(signal.SIGTERM)

    def test_when_the_conductor_goes_everybody_goes_on(self) -> None:
        link, _ = self.hold_worker()
        self.conductor.close()
        self.assertTrue(link.recv(100).startswith(b"VERSION"))
        with Conductor(self.path) as another:
            self.assertEqual(another.where(), [])

    def test_who_does_not_come_is_missed_with_the_list_of_all(self) -> None:
        _, held = self.hold_worker()
        nobody = self.conductor.hold("nobody", "state", connection=held.connection, text="a to b")
        with self.assertRaises(Missed) as missed:
            nobody.wait_until_held(0)
        self.assertEqual(
            str(missed.exception).splitlines(),
            ["nobody came in time to this place:", f"  1: {self.worker} is held at command: {held.line}",
             f"* 2: waits for nobody at state of {held.connection} with \"a to b\""],
        )  # fmt: skip

    def test_no_time_passes_while_somebody_is_held(self) -> None:
        self.needs("threads")
        link = self.server.connect()  # of worker 1; the next one is worker 2's
        self.addCleanup(link.close)
        self.ask(link, b"version\r\n")
        other = self.server.connect()
        self.addCleanup(other.close)
        self.assertEqual(self.ask(other, b"set k 0 1 1\r\nx\r\n"), b"STORED\r\n")  # it lives for a second
        asked = self.conductor.hold("worker 1", "command")
        link.sendall(b"version\r\n")
        asked.wait_until_held()
        start, uptime = time.monotonic(), self.uptime(other)
        while time.monotonic() - start < 2.2:
            self.assertEqual(self.ask(other, b"get k\r\n", b"END\r\n"), b"VALUE k 0 1\r\nx\r\nEND\r\n")
            self.assertEqual(self.uptime(other), uptime)
        asked.release()
        deadline = time.monotonic() + 10
        while self.ask(other, b"get k\r\n", b"END\r\n") != b"END\r\n":
            self.assertLess(time.monotonic(), deadline, "time does not go on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    args = parser.parse_args()
    ConductorTest.program = args.program.resolve()
    ConductorTest.capabilities = next(c.capabilities for c in read_table() if c.name == args.program.name)
    unittest.main(argv=sys.argv[:1])


if __name__ == "__main__":
    main()
