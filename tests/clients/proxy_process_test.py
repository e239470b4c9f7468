"""A proxy as a process: streams that were closed, a daemon and whoever waits for it, signals that come early, SIGHUP, the
pid file, and an address that is taken.
"""
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from itertools import product
from pathlib import Path

from client_test import ClientTest, main
from proxy import DEADLINE, Fake, Peer, Pool, can, knows_pools, wait_until
from server import HOST

PR_SET_CHILD_SUBREAPER = 36
EARLY = 10  # of each signal
CLOSED = {0: "0<&-", 1: "1>&-", 2: "2>&-"}


def setUpModule() -> None:
    """A daemon becomes our child when its parent ends, so that we hear how it ends."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


class Held:
    """A port that is ours, and yet the proxy's to listen on: with SO_REUSEADDR two may be bound to it while one listens."""

    def __init__(self, host: str = HOST, port: int = 0):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]

    def answers(self) -> bool:
        with socket.socket() as knock:
            return knock.connect_ex((HOST, self.port)) == 0


class ProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="drive_machine-")
        self.addCleanup(directory.cleanup)
        self.here = Path(directory.name)
        self.pid_file = self.here / "pid"
        self.server = Fake()
        self.addCleanup(self.server.close)
        self.held = Held()
        self.addCleanup(self.held.socket.close)

    def command(self, *flags: str, pid_file: str = "", listen: str = "") -> list[str]:
        pid_file, listen = pid_file or str(self.pid_file), listen or f"{HOST}:{self.held.port}"
        if not knows_pools(ClientTest.program):
            user = ("-u", "root") if os.geteuid() == 0 else ()
            return [ClientTest.program, "-l", listen, "-P", pid_file, "-o", f"server={self.server.address}", *user, *flags]
        conf = self.here / "conf"
        conf.write_text(Pool([self.server.address]).yaml(listen), encoding="ascii")
        where = ("-s", "0", "-a", HOST) if can(ClientTest.program, "counters") else ()
        return [ClientTest.program, "-c", str(conf), *where, "-p", pid_file, *flags]

    def start(self, *flags: str, closed: str = "", first: str = ":", within: tuple[str, ...] = (), **more: str) -> int:
        """By way of a shell, which runs `first`, and closes streams."""
        shell = [*within, "/bin/sh", "-c", f'{first}; exec "$@" {closed}', "sh", *self.command(*flags, **more)]
        said = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        streams = [(os.POSIX_SPAWN_OPEN, stream, self.here / "said", said, 0o600) for stream in (1, 2)]
        pid = os.posix_spawnp(shell[0], shell, os.environ, file_actions=streams)
        self.addCleanup(self.end, pid)
        return pid

    def daemon(self, *flags: str, **more: str) -> int:
        self.assertEqual(self.status(self.start("-d", *flags, **more)), 0, self.said())
        self.assertTrue(self.held.answers(), "the daemon serves when its parent has ended")
        pid = int(self.pid_file.read_text(encoding="ascii"))
        self.addCleanup(self.end, pid)
        return pid

    def said(self) -> str:
        return (self.here / "said").read_text(encoding="utf-8")

    @staticmethod
    def end(pid: int) -> None:
        """Whatever is left of it: a process is ours until we have waited for it."""
        try:
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        except ChildProcessError:
            pass

    def status(self, pid: int) -> int:
        status = []

        def ended() -> bool:
            found, how = os.waitpid(pid, os.WNOHANG)
            status.append(how)
            return found == pid

        wait_until(ended, "it ends")
        return os.waitstatus_to_exitcode(status[-1])

    def stop(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.status(pid), 0)
        self.assertFalse(self.pid_file.exists())

    def test_with_streams_closed(self):
        for closed, daemonize in product((" ".join(c) for c in combinations()), (False, True)):
            with self.subTest(closed=closed, daemonize=daemonize):
                pid = self.daemon(closed=closed) if daemonize else self.start(closed=closed)
                wait_until(self.held.answers, "it serves")
                for stream in CLOSED:
                    self.assertFalse(os.readlink(f"/proc/{pid}/fd/{stream}").startswith("socket:"))
                self.stop(pid)

    def test_a_daemon_that_cannot_start_says_so(self):
        taken = Held()
        self.addCleanup(taken.socket.close)
        taken.socket.listen()
        for wrong in ({"pid_file": "/nonexistent/pid"}, {"listen": f"{HOST}:{taken.port}"}):
            with self.subTest(wrong):
                self.assertEqual(self.status(self.start("-d", **wrong)), 1)
                self.assertRegex(self.said().splitlines()[-1], r": (No such file or directory|Address already in use)$")
                self.assertFalse(self.pid_file.exists())
        if knows_pools(ClientTest.program):
            self.assertEqual(self.status(self.start("-d", "-o", "/nonexistent/log")), 1)
            self.assertIn("open the log file /nonexistent/log: No such file or directory", self.said())

    def test_a_daemon_gives_up_the_terminal(self):
        pid = self.daemon()
        self.assertEqual({os.readlink(f"/proc/{pid}/fd/{stream}") for stream in CLOSED}, {"/dev/null"})
        self.stop(pid)

    def test_a_signal_as_soon_as_the_port_answers(self):
        ends = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
        ends += [] if can(ClientTest.program, "counters") else [signal.SIGHUP]  # there it opens the log anew
        for how in ends * EARLY:
            with self.subTest(how):
                pid, deadline = self.start(), time.monotonic() + DEADLINE
                while not self.held.answers():  # without a pause: the sooner it is noticed the better
                    self.assertLess(time.monotonic(), deadline, self.said())
                os.kill(pid, how)
                self.assertEqual(self.status(pid), 0)
                self.assertFalse(self.pid_file.exists())

    def test_signals_that_end_nobody(self):
        for daemonize in (True, False):
            with self.subTest(daemonize=daemonize):
                pid = self.daemon() if daemonize else self.start(first="trap '' HUP")
                wait_until(self.held.answers, "it serves")
                for how in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                    os.kill(pid, how)
                self.stop(pid)

    def test_the_log_of_a_daemon_is_opened_anew(self):
        if not can(ClientTest.program, "counters"):
            return
        log = self.here / "log"
        pid = self.daemon("-o", str(log))
        log.rename(self.here / "log.1")
        os.kill(pid, signal.SIGHUP)
        wait_until(log.exists, "there is a new log")
        self.stop(pid)

    def test_an_address_that_is_taken(self):
        taken = Held("127.0.0.2", self.held.port)
        self.addCleanup(taken.socket.close)
        taken.socket.listen()
        if not knows_pools(ClientTest.program):
            pid = self.start("-l", f"127.0.0.2:{self.held.port}")
        elif subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0:
            hosts = self.here / "hosts"
            hosts.write_text(f"127.0.0.2 two\n{HOST} two\n", encoding="ascii")
            mount = f"mount --bind {hosts} /etc/hosts"
            pid = self.start(within=("unshare", "-m"), first=mount, listen=f"two:{self.held.port}")
        else:
            self.skipTest("no right to a hosts file of our own")
        wait_until(self.held.answers, "it serves")
        missing = f"bind 127.0.0.2:{self.held.port}: Address already in use"
        wait_until(lambda: missing in self.said(), f"it says '{missing}'")
        self.stop(pid)


    def test_a_server_that_has_moved(self):
        """Its name is looked up anew, although the old address still takes connections."""
        if not can(ClientTest.program, "ejection"):
            return
        if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
            self.skipTest("no right to a hosts file of our own")
        here = Held("127.0.0.2")
        there = Held("127.0.0.3", here.port)
        for held in (here, there):
            held.socket.listen()
            held.socket.settimeout(DEADLINE)
            self.addCleanup(held.socket.close)
        hosts = self.here / "hosts"
        hosts.write_text("127.0.0.2 moving\n", encoding="ascii")
        self.server.address = f"moving:{here.port}"
        pid = self.start(within=("unshare", "-m"), first=f"mount --bind {hosts} /etc/hosts")
        wait_until(self.held.answers, "it serves")
        client = Peer(socket.create_connection((HOST, self.held.port), timeout=DEADLINE))
        self.addCleanup(client.close)
        for held in (here, there):
            client.say(b"get a\r\n")
            behind = Peer(held.socket.accept()[0])
            self.addCleanup(behind.close)
            behind.answer(b"get a\r\n", b"END\r\n")
            client.hear(b"END\r\n")
            hosts.write_text("127.0.0.3 moving\n", encoding="ascii")
            behind.socket.shutdown(socket.SHUT_WR)
            behind.hear_end()
        self.stop(pid)


def combinations() -> list[list[str]]:
    return [[CLOSED[s] for s in CLOSED if closed >> s & 1] for closed in range(1, 8)]


if __name__ == "__main__":
    main()
