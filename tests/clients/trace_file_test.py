#!/usr/bin/env python3
"""--trace FILE: that what it says of a few clients is what they did, and that it can be read, however the server ends."""
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from client_test import ClientTest, capabilities, main, needs
from server import HOST, Server
from trace_reader import Trace

SECONDS = 20
ENDS_ITSELF = "stop"  # the capability of a chapter that SIGTERM ends, and does not kill


class TraceFileTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "trace.json"
        self.can = capabilities(ClientTest.program)

    def serve(self, *flags: str) -> Server:
        server = Server(ClientTest.program, "--trace", str(self.path), *flags)
        self.addCleanup(server.kill)
        return server

    def wait_for(self, words: str, times: int = 1) -> None:
        """What a server has done, it may not have written yet."""
        deadline = time.monotonic() + SECONDS
        while self.path.read_bytes().count(words.encode()) < times:
            self.assertLess(time.monotonic(), deadline, f"{words} is not in the file")
            time.sleep(0.001)

    def ask(self, connection, request: bytes, reply: bytes) -> None:
        connection.sendall(request)
        got = b""
        while len(got) < len(reply):
            part = connection.recv(len(reply) - len(got))
            self.assertTrue(part)
            got += part
        self.assertEqual(got, reply)

    def end(self, server: Server, closed: int = 0) -> Trace:
        """The trace, once so many connections have been closed in it."""
        self.wait_for("descriptor given back", closed)
        server.stop()
        return Trace(self.path, whole=ENDS_ITSELF in self.can)

    def test_clients(self):
        server = self.serve(*(("-t", "2") if "threads" in self.can else ()))
        first, second = server.connect(), server.connect()
        self.ask(first, b"verbosity 0\r\n", b"OK\r\n")
        self.ask(second, b"nonsense\r\n", b"ERROR\r\n")
        for connection in (first, second):
            connection.close()
        trace = self.end(server, closed=2)

        self.assertEqual(trace.program, Path(ClientTest.program).name)
        self.assertEqual(trace.counters["connections open"], [1, 2, 1, 0])
        listener, *clients = trace.of_category("connection")
        self.assertRegex(listener.name, r"listener \d+")
        self.assertIn("conn_listening", listener.names())
        self.assertEqual(len(clients), 2)
        for client, said in zip(clients, (["verbosity 0", "OK"], ["nonsense", "ERROR"]), strict=True):
            names = client.names()
            self.assertEqual([n.split(" ", 1)[1] for n in names if n[0] in "<>"], said)
            self.assertIn("asleep, waiting for EV_READ", names)
            self.assertEqual(names.count("conn_write"), 1)
            self.assertIsNotNone(client.slices[0].end)

        threads = {track.name for track in trace.threads.values()}
        if "threads" in self.can:
            self.assertEqual(threads, {"master", "worker 1", "worker 2"})
            self.check_ways(trace)
        else:
            self.assertEqual(threads, {trace.program})
        for track in trace.threads.values():
            self.assertIn("in the event loop", track.names())

    def check_ways(self, trace: Trace) -> None:
        """From accept, on the master's track, to conn_new, on a worker's."""
        self.assertEqual(len(trace.arrows), 2)
        for way in trace.arrows.values():
            self.assertTrue(way.ended)
            threads = [thread for thread, _ in way.slices]
            kinds = [re.sub(r"[<\d]+:? ?", "", slice.name, count=1) for _, slice in way.slices]
            self.assertEqual(kinds[:2], ["new client connection", kinds[1]])
            self.assertRegex(kinds[1], "pushed, 1 in the queue")
            self.assertIn(kinds[2:-2], (["wrote the byte c"], []))  # []: the worker was faster
            self.assertRegex(kinds[-2], "popped, 0 left in the queue")
            self.assertRegex(kinds[-1], r"conn_new, in conn_\w+")
            self.assertEqual(set(threads[:-2]), {"master"})
            self.assertEqual(len(set(threads[-2:])), 1)
            self.assertRegex(threads[-1], r"worker \d")
        for number in (1, 2):
            self.assertEqual(trace.counters[f"queue of worker {number} length"], [1, 0])

    @needs("store")
    def test_states_of_a_set_and_a_get(self):
        server = self.serve(*(("-t", "1") if "threads" in self.can else ()))
        client = server.connect()
        self.ask(client, b"set k 0 0 5\r\nhel", b"")
        self.wait_for("conn_nread")  # it sleeps amid the value
        self.ask(client, b"lo\r\n", b"STORED\r\n")
        self.ask(client, b"get k\r\n", b"VALUE k 0 5\r\nhello\r\nEND\r\n")
        client.close()
        trace = self.end(server, closed=1)
        life = trace.of_category("connection")[1].slices[0]
        nread = next(slice for slice in life.inside if slice.name == "conn_nread")
        self.assertEqual(nread.inside[0].name, "asleep, waiting for EV_READ")
        states = [slice.name for slice in life.inside if slice.name.startswith("conn_")]
        self.assertLess(states.index("conn_nread"), states.index("conn_write"))
        # What a thread's track says of that connection is what its own says.
        driven = [
            inner.name
            for track in trace.threads.values()
            for slice in track.slices
            if re.fullmatch(life.name.removeprefix("connection ") + ": woken by EV_READ", slice.name)
            for inner in slice.inside
            if inner.name.startswith("conn_")
        ]
        self.assertEqual([name for name, after in zip(driven, [*driven[1:], ""]) if name != after], states[:])

    @needs("maxconns")
    def test_the_back_off_is_a_slice(self):
        server = self.serve("-t", "1", "-c", "30")
        clients = []
        while b"Too many open files" not in self.path.read_bytes():  # once it is, nobody can connect
            clients.append(server.connect())
            self.wait_for("accept4() = ", len(clients))
        self.wait_for('"muted"')
        for client in clients:
            client.close()
        self.wait_for("heard again")
        trace = self.end(server)
        listener = trace.of_category("connection")[0]
        muted = [slice for slice in listener.walk() if slice.name == "muted"]
        self.assertGreaterEqual(len(muted), 1)
        self.assertEqual(muted[0].inside[0].name, "asleep, waiting for nothing")
        self.assertGreaterEqual(muted[0].end - muted[0].start, 10_000)  # the timer's 10 ms
        self.assertIn("timer: maxconns", trace.thread("master").names())

    def test_whoever_is_killed_leaves_a_file_that_opens(self):
        server = self.serve()
        with server.connect() as client:
            self.ask(client, b"nonsense\r\n", b"ERROR\r\n")
            self.wait_for(" ERROR")
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(SECONDS)
        trace = Trace(self.path, whole=False)
        self.assertIn("conn_write", trace.of_category("connection")[1].names())

    def test_a_flood(self):
        """What is lost is said, and who is connected is known nevertheless."""
        server = self.serve(*(("-t", "1") if "threads" in self.can else ()))
        with server.connect() as client:
            for _ in range(50):
                self.ask(client, b"verbosity 0\r\n" * 1000, b"OK\r\n" * 1000)
        self.wait_for("descriptor given back")
        with server.connect() as client:
            self.ask(client, b"nonsense\r\n", b"ERROR\r\n")
        trace = self.end(server, closed=2)
        self.assertEqual(trace.counters["connections open"], [1, 0, 1, 0])
        lost = sum(int(name.split()[0]) for t in trace.threads.values() for name in t.names() if " events lost" in name)
        self.assertGreater(lost, 0)
        if trace.whole:
            self.assertEqual(lost, trace.lost)

    def test_a_path_that_cannot_be_written(self):
        done = subprocess.run(
            [ClientTest.program, "-p", "0", "-l", HOST, "-u", "root", "--trace", "/nonexistent/x"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
        )  # fmt: skip
        self.assertEqual(done.returncode, 1)
        program = Path(ClientTest.program).name
        self.assertEqual(done.stdout, f"{program}: write the trace /nonexistent/x: No such file or directory\n")

    def test_it_costs_one_descriptor_which_is_no_standard_stream(self):
        server = self.serve()
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        self.assertEqual([int(fd.name) > 2 for fd in descriptors.iterdir() if fd.readlink() == self.path], [True])

    def test_a_daemon_writes(self):
        """The thread that writes is the daemon's: threads do not survive its fork."""
        pid_file = self.path.with_name("pid")
        flags = ("-p", "-1", "-l", HOST, "-d", "-P", pid_file, *(("-u", "root") if os.geteuid() == 0 else ()))
        subprocess.run([ClientTest.program, *flags, "--trace", self.path], check=True, timeout=SECONDS)
        pid = int(pid_file.read_text())
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        self.wait_for("conn_listening")
        self.assertIn(f'"pid":{pid},', self.path.read_text(encoding="ascii"))


if __name__ == "__main__":
    main()
