#!/usr/bin/env python3
"""Tests of the measuring tools: is a wrong byte seen, do the figures say what was measured, does everything stop.

    run_test.py [LOAD]     the load generator to test (build/tests/bench/load)
"""

import dataclasses
import contextlib
import os
import pathlib
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest
import xml.etree.ElementTree as xml
from unittest import mock

import bounds
import chart
import proxies
import report
import servers
import soak
import workloads
from workloads import Sample

HERE = pathlib.Path(__file__).resolve().parent
LOAD = servers.HOUSE / "build" / "tests" / "bench" / "load"
MEMCACHED = servers.foreign("memcached", "/usr/bin/memcached")
NUTCRACKER = servers.foreign("nutcracker", "/usr/sbin/nutcracker")
TAG = "{http://www.w3.org/2000/svg}"


class Connection(socketserver.StreamRequestHandler):
    """Just enough memcached; what the server's `spoil` makes of a reply is what is sent."""

    disable_nagle_algorithm = True

    def handle(self):
        while words := self.rfile.readline().split():
            if words[0] == b"version":
                reply = b"VERSION 1.2.3\r\n"
            elif words[0] == b"set":
                self.server.values[words[1]] = self.rfile.read(int(words[4]) + 2)
                reply = b"STORED\r\n"
            else:
                found = ((key, self.server.values[key]) for key in words[1:])
                reply = b"".join(b"VALUE %s 0 %d\r\n%s" % (key, len(data) - 2, data) for key, data in found) + b"END\r\n"
            spoilt = self.server.spoil(self.server.replies, reply)
            self.server.replies += 1
            if spoilt is None:
                return
            with contextlib.suppress(ConnectionError):
                for piece in spoilt:
                    self.wfile.write(piece)


class FakeMemcached(socketserver.ThreadingTCPServer):
    """A context. `spoil(number, reply)` gives the pieces to send, or None to close."""

    daemon_threads = True

    def __init__(self, spoil=lambda number, reply: [reply]):
        super().__init__(("127.0.0.1", 0), Connection)
        self.spoil = spoil
        self.values = {}
        self.replies = 0
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def handle_error(self, *_):
        """A load that found its wrong byte is gone; that is what it should do."""

    def __exit__(self, *problem):
        self.shutdown()
        self.thread.join()
        super().__exit__(*problem)


def load(port, *arguments):
    command = [LOAD, f"--port={port}", "--keys=20", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def fill(port):
    return load(port, "--command=fill", "--connections=1")


class LoadSeesEveryByte(unittest.TestCase):
    ONE = ("--connections=1", "--requests=10")

    def run_against(self, spoil, *arguments):
        """`spoil` begins with the replies after the fill, counted from 0."""
        with FakeMemcached() as server:
            port = server.server_address[1]
            self.assertEqual(fill(port).returncode, 0)
            server.replies = 0
            server.spoil = spoil
            return load(port, *arguments)

    def test_good_replies_pass(self):
        for arguments in (
            ("--command=get",),
            ("--command=set",),
            ("--command=mix",),
            ("--command=version",),
            ("--command=get", "--pipeline=32"),
            ("--command=get", "--keys-per-get=7"),
            ("--command=get", "--reconnect"),
        ):
            with self.subTest(arguments):
                done = self.run_against(lambda _, reply: [reply], *arguments, "--connections=3", "--requests=100")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn('"requests": 100,', done.stdout)

    def test_replies_may_come_a_byte_at_a_time(self):
        done = self.run_against(lambda _, reply: [bytes([byte]) for byte in reply], *self.ONE, "--command=get")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_any_flipped_byte_is_seen(self):
        reply_size = len("VALUE key-00000000 0 100\r\n") + 100 + len("\r\nEND\r\n")
        for position in (0, 6, 17, 19, 25, 26, 27, 80, 125, 126, reply_size - 5, reply_size - 1):
            with self.subTest(position):

                def flip(number, reply, position=position):
                    wrong = bytes([reply[position] ^ 1])
                    return [reply if number != 6 else reply[:position] + wrong + reply[position + 1 :]]

                done = self.run_against(flip, *self.ONE, "--command=get")
                self.assertEqual(done.returncode, 1)
                self.assertIn("after 6 good replies: expected", done.stderr)

    def test_a_flipped_byte_is_seen_in_the_last_value_of_many(self):
        done = self.run_against(lambda _, r: [r[:-8] + b"?" + r[-7:]], *self.ONE, "--command=get", "--keys-per-get=7")
        self.assertEqual(done.returncode, 1)

    def test_a_wrong_short_reply_is_seen(self):
        for command, wrong in (("set", b"STORES\r\n"), ("version", b"VERSION 1.2.4\r\n")):
            with self.subTest(command):
                done = self.run_against(lambda n, r, w=wrong: [w if n == 5 else r], *self.ONE, f"--command={command}")
                self.assertEqual(done.returncode, 1)
                self.assertIn("expected", done.stderr)

    def test_too_much_is_seen(self):
        done = self.run_against(lambda n, r: [r + b"\r\n" if n == 9 else r], *self.ONE, "--command=get")
        self.assertEqual(done.returncode, 1)
        self.assertIn("more than the reply", done.stderr)

    def test_a_closed_connection_is_seen(self):
        done = self.run_against(lambda n, r: None if n == 4 else [r], *self.ONE, "--command=get")
        self.assertEqual(done.returncode, 1)
        self.assertIn("closed the connection", done.stderr)

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as was:
            port = was.getsockname()[1]
        done = load(port, *self.ONE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Connection refused", done.stderr)

    def test_bad_arguments(self):
        for bad in ("--command=delete", "--seconds=x", "--connections=0", "--nonsense", "left-over"):
            with self.subTest(bad):
                self.assertEqual(load(1, bad).returncode, 64)

    def test_a_wrong_reply_ends_the_run(self):
        with FakeMemcached(lambda _, reply: [reply.replace(b"D", b"d")]) as fake:
            with self.assertRaisesRegex(servers.Failure, "memcached: load: connection 0, after 0 good replies"):
                workloads.Bench(LOAD, servers.cores()[1]).fill(StubServer(fake))


class StubServer:
    """What Bench needs of a server."""

    program = MEMCACHED

    def __init__(self, fake):
        self.port = fake.server_address[1]

    @staticmethod
    def usage():
        return servers.Usage(0, 0)


def samples_of(server, cpu, workload="get@50", **figures):
    """A sample a round, that took so many nanoseconds a request."""
    figures |= {"requests": 10, "seconds": 0.5}
    return [Sample(server, workload, n, cpu_ns=10 * ns, **figures) for n, ns in enumerate(cpu, 1)]


class Figures(unittest.TestCase):
    def setUp(self):
        self.samples = samples_of("03-mwrite", [60, 30, 20]) + samples_of("memcached", [40, 30, 10])
        self.figures = report.Figures(self.samples)

    def test_a_sample_divides_by_its_requests(self):
        self.assertEqual(self.samples[0].cpu_per_request, 60)
        self.assertEqual(self.samples[0].per_second, 20)

    def test_ratio_is_taken_within_a_round(self):
        # Of the medians it would be 30 / 30.
        self.assertEqual(self.figures.ratio("03-mwrite", "get@50", "cpu_per_request"), 1.5)

    def test_no_reference_no_ratio(self):
        alone = report.Figures(samples_of("03-mwrite", [60]))
        self.assertIsNone(alone.ratio("03-mwrite", "get@50", "cpu_per_request"))

    def test_table(self):
        text = report.table(self.figures)
        self.assertIn("get, one at a time, 50 connections", text)
        self.assertRegex(text, r"03-mwrite .* 30 \(20…60\) .* 1\.50\n")

    def test_a_disturbed_run_says_so(self):
        disturbed = report.Figures(samples_of("memcached", [40], waited_ns=100_000_000))
        self.assertIn("for up to 20% of the time", report.table(disturbed))
        self.assertNotIn("!", report.table(self.figures))

    def test_csv_comes_back(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "samples.csv"
            report.write_csv(path, {"cpu": "one, with a comma: and a colon"}, self.samples)
            self.assertEqual(report.read_csv(path), ({"cpu": "one, with a comma: and a colon"}, self.samples))

    def test_chart_has_a_bar_a_server_and_a_line_for_memcached(self):
        root = xml.fromstring(chart.draw(chart.SERVERS, self.figures, {"cpu": "A & B"}))
        bars = [float(bar.get("width")) for bar in root.iter(TAG + "rect")]
        self.assertEqual(len(bars), 2)
        self.assertAlmostEqual(bars[0], bars[1], places=1)  # medians 30 and 30
        self.assertEqual([line.get("class") for line in root.iter(TAG + "line")].count("reference"), 1)

    def test_a_proxy_is_compared_with_nutcracker(self):
        through = "get@50/2"
        measured = [*samples_of("18-nc-stats", [30], through), *samples_of("nutcracker", [40], through)]
        figures = report.Figures([*measured, *samples_of("memcached", [10])])
        self.assertEqual(figures.ratio("18-nc-stats", through, "cpu_per_request"), 0.75)
        text = report.table(figures)
        self.assertIn("get, one at a time, 50 connections, 2 servers behind", text)
        self.assertRegex(text, r"proxy CPU ns/request .* CPU : nutcracker\n")
        self.assertRegex(text, r"18-nc-stats .* 0\.75\n")

    def test_memory_in_all(self):
        def of(server, sizes):
            return [Sample(server, "resident@0/1", n, resident_bytes=size) for n, size in enumerate(sizes, 1)]

        samples = [*of("14-nc-forward", [2_000_000, 3_000_000]), *of("nutcracker", [4_000_000, 4_000_000])]
        figures = report.Figures(samples)
        text = report.table(figures)
        self.assertIn("memory in all, 0 connections, 1 server behind", text)
        self.assertRegex(text, r"14-nc-forward +2,500,000 \(2,000,000…3,000,000\) +0\.62\n")
        root = xml.fromstring(chart.draw(chart.PROXIES, report.Figures(of("nutcracker", [3 << 20])), {}))
        self.assertEqual(len(list(root.iter(TAG + "rect"))), 0)  # of no connections no panel is drawn
        more = Sample("nutcracker", "resident@50/1", 1, resident_bytes=3 << 20)
        root = xml.fromstring(chart.draw(chart.PROXIES, report.Figures([more]), {}))
        self.assertIn("3.00", [text.text for text in root.iter(TAG + "text")])


class Bounds(unittest.TestCase):
    RATIO = bounds.Bound("03", bounds.CPU, "get@50", 1.10, "")

    def test_verdicts(self):
        self.assertTrue(bounds.Verdict("03-mwrite", self.RATIO, 1.10).met)
        self.assertFalse(bounds.Verdict("03-mwrite", self.RATIO, 1.11).met)
        self.assertFalse(bounds.Verdict("03-mwrite", self.RATIO, None).met)

    def test_whose(self):
        everybody = bounds.Bound("*", bounds.SOAK, "", 1, "")
        table = (self.RATIO, everybody)
        chapter = servers.Program("03-mwrite", pathlib.Path("x"), "p", frozenset({"store"}))
        self.assertEqual(bounds.of(chapter, table), [self.RATIO, everybody])
        self.assertEqual(bounds.of(MEMCACHED, table), [])
        proxy = servers.Program("14-nc-forward", pathlib.Path("x"), "p", frozenset({"store", "proxy"}))
        self.assertEqual(bounds.of(proxy, table), [])

    def test_every_bound_names_a_workload(self):
        for bound in bounds.BOUNDS:
            if bound.workload:
                workloads.find(bound.workload)

    def test_growth_counts_from_the_warm_server(self):
        curve = [100, 200, 300, 400, 500, 500] + [500] * 14
        self.assertEqual(soak.growth(curve), 0)
        self.assertEqual(soak.growth([*curve, 507]), 7)
        self.assertEqual(soak.growth([*curve, 507, 500]), 7)


class Choosing(unittest.TestCase):
    def test_connections(self):
        self.assertEqual(workloads.find("get@1000").connections, 1000)
        self.assertEqual(workloads.find("get").label, "get@50")
        for bad in ("gett", "get@", "get@x", "get@x4", "get@5x", "get@5x0", "get/", "get/0", "get/x", "get/2@5", "get@5/22"):
            with self.subTest(bad), self.assertRaises(servers.Failure):
                workloads.find(bad)

    def test_servers_behind(self):
        through = workloads.find("get@7/2")
        self.assertEqual((through.connections, through.behind, through.label), (7, 2, "get@7/2"))

    def test_who_can_do_what(self):
        one_server = servers.find("14", "build")
        for word, able in (("get", [MEMCACHED]), ("get/1", [one_server, NUTCRACKER]), ("get/2", [NUTCRACKER])):
            with self.subTest(word):
                programs = (MEMCACHED, one_server, NUTCRACKER)
                self.assertEqual([p for p in programs if workloads.find(word).suits(p)], able)

    def test_threads(self):
        four = workloads.find("get@7x4")
        self.assertEqual((four.connections, four.threads, four.label), (7, 4, "get@7x4"))
        programs = [servers.find(number, "build") for number in ("05", "06")]
        self.assertEqual([four.suits(program) for program in programs], [False, True])  # 05 has no -t
        self.assertIn("-t 4", " ".join(dataclasses.replace(MEMCACHED, threads=4).command()))

    def test_standard_names_exist(self):
        lists = (workloads.STANDARD, workloads.QUICK, workloads.PROXY_STANDARD, workloads.PROXY_QUICK)
        for names in (*lists, chart.SERVERS.charted, chart.PROXIES.charted, soak.MIXED):
            for name in names:
                workloads.find(name)

    def test_only_flags_that_the_program_takes(self):
        command = servers.Program("01-x", pathlib.Path("01-x"), "plc", frozenset(), ("-v",)).command()
        self.assertEqual(command, ["01-x", "-p", "-1", "-l", "127.0.0.1", "-c", "2048", "-v"])

    def test_chapter_by_number_and_with_arguments(self):
        self.assertEqual(servers.find("1", "build").name, "01-event-loop")
        self.assertEqual(servers.find("01 -v -b 5", "build").extra, ("-v", "-b", "5"))
        with self.assertRaises(servers.Failure):
            servers.find("no-such-chapter", "build")


def build_with_load(test):
    """A directory like a build's, in which there is a load generator and no chapter."""
    build = pathlib.Path(test.enterContext(tempfile.TemporaryDirectory()))
    (build / "tests" / "bench").mkdir(parents=True)
    (build / "tests" / "bench" / "load").symlink_to(LOAD)
    return build


class Memory(unittest.TestCase):
    def test_a_peak_can_be_forgotten(self):
        large = 64 << 20
        program = f"more = bytearray({large}); del more; print(flush=True); input()"
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as process:
            process.stdout.readline()
            server = servers.Server(MEMCACHED, process, port=0)
            self.assertGreater(server.peak(), large)
            server.forget_peak()
            self.assertLess(server.peak(), large)
            process.communicate(b"\n")


@unittest.skipUnless(MEMCACHED.path.exists(), "memcached is not installed")
class WithMemcached(unittest.TestCase):
    def setUp(self):
        self.build = build_with_load(self)
        self.command = [sys.executable, HERE / "run", "--no-build", f"--build={self.build}", "memcached", "memcached"]

    def test_a_server_that_does_not_start_says_why(self):
        program = servers.find("memcached --bogus", self.build)
        with self.assertRaisesRegex(servers.Failure, "bogus"), servers.running(program, servers.cores()[0]):
            pass

    def test_cpu_is_charged_to_the_server(self):
        with servers.running(MEMCACHED, servers.cores()[0]) as server:
            before = server.usage()
            bench = workloads.Bench(LOAD, servers.cores()[1])
            bench.fill(server)
            used = (server.usage() - before).ran
            self.assertGreater(used, bench.keys * 100)  # nobody stores a value in 0.1 µs
            self.assertLess(used, bench.keys * 1_000_000)

    def test_a_run(self):
        done = subprocess.run(
            [*self.command, "--workload=get,get32,connect,idle@200", "--requests=2000", "--repeats=2"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("memcached #2", done.stdout)
        _, samples = report.read_csv(self.build / "bench.csv")
        self.assertEqual(len(samples), 4 * 2 * 2)
        self.assertEqual({s.requests for s in samples if s.workload == "get@50"}, {2000})

    def test_ctrl_c_stops_everything(self):
        command = [*self.command, "--workload=get", "--seconds=60"]
        # A shell's background jobs ignore Ctrl-C, and so would all that they start.
        heeding = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeding) as run:
            self.assertIn("[1/", run.stderr.readline())
            # The servers have started; the generator may or may not be there yet.
            children = pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            self.assertGreaterEqual(len(children), 2)
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.wait(20), 130)
            self.assertIn("stopped", run.stderr.read())
        for child in children:
            self.assertFalse(os.path.exists(f"/proc/{child}"), "a child is left")


# Chapter 18 in nothing but how it is started: prints what it was told, and listens where the kernel likes.
STAND_IN = """#!/usr/bin/env python3
import os, pathlib, signal, socket, sys

flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
conf = pathlib.Path(flags["-c"]).read_text()
if flags["-s"] != "0" or "listen: 127.0.0.1:0\\n" not in conf:
    sys.exit(f"{flags}, {conf}")
listener = socket.create_server(("127.0.0.1", 0))
ports = pathlib.Path(os.environ["MEMCACHED_PORT_FILENAME"])
pathlib.Path(f"{ports}.lck").write_text(f"TCP INET: {listener.getsockname()[1]}\\n")
os.rename(f"{ports}.lck", ports)
signal.pause()
"""


@unittest.skipUnless(MEMCACHED.path.exists(), "memcached is not installed")
class Fronting(unittest.TestCase):
    def test_a_proxy_that_knows_port_0(self):
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "18-nc-stats"
        path.write_text(STAND_IN, encoding="utf-8")
        path.chmod(0o755)
        proxy = servers.Program("18-nc-stats", path, "csao", frozenset({"proxy"}))
        with proxies.fronting(proxy, servers.cores()[0], MEMCACHED, 2) as server:
            self.assertTrue(proxies.listens(server.process.pid, server.port))

    def test_whose_port(self):
        ours, lent = (self.enterContext(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        port, lent_port = (listener.getsockname()[1] for listener in (ours, lent))
        command = {"args": ["cat"], "stdin": subprocess.PIPE, "pass_fds": [lent.fileno()]}
        with subprocess.Popen(**command) as other:
            self.assertTrue(proxies.listens(os.getpid(), port))
            self.assertTrue(proxies.listens(other.pid, lent_port))
            self.assertFalse(proxies.listens(other.pid, port))
            ours.close()
            self.assertFalse(proxies.listens(os.getpid(), port))

    def test_free_ports_differ(self):
        self.assertEqual(len(set(proxies.free_ports(20))), 20)


@unittest.skipUnless(MEMCACHED.path.exists() and NUTCRACKER.path.exists(), "nutcracker is not installed")
class WithNutcracker(unittest.TestCase):
    def setUp(self):
        self.bench = workloads.Bench(LOAD, servers.cores()[1])

    def fronting(self, count):
        return proxies.fronting(NUTCRACKER, servers.cores()[0], MEMCACHED, count)

    def test_every_server_behind_has_a_part(self):
        behind = []

        @contextlib.contextmanager
        def noted(*arguments):
            with servers.running(*arguments) as server:
                behind.append(server)
                yield server

        with mock.patch.object(proxies, "running", noted), self.fronting(2) as proxy:
            self.bench.fill(proxy)
            parts = [int(statistic(server.port, "curr_items")) for server in behind]
        self.assertEqual(sum(parts), self.bench.keys)
        self.assertGreater(min(parts), self.bench.keys // 4)

    def test_a_taken_port_is_tried_again_elsewhere(self):
        with socket.create_server(("127.0.0.1", 0)) as somebody:
            taken = somebody.getsockname()[1]
            choices = [[taken, taken], [taken, *proxies.free_ports(1)], proxies.free_ports(2)]
            with mock.patch.object(proxies, "free_ports", lambda _: choices.pop(0)), self.fronting(1) as proxy:
                self.assertEqual(choices, [])
                self.bench.fill(proxy)

    def test_not_for_ever(self):
        with socket.create_server(("127.0.0.1", 0)) as somebody:
            taken = somebody.getsockname()[1]
            with mock.patch.object(proxies, "free_ports", return_value=[taken, taken]):
                with self.assertRaisesRegex(servers.Failure, "(?s)nutcracker did not start to listen.*Address already"):
                    self.enterContext(self.fronting(1))

    def test_a_run(self):
        build = build_with_load(self)
        command = [sys.executable, HERE / "run", "--no-build", f"--build={build}", "proxy", "nutcracker"]
        command += ["--workload=get/1,get32/2,get100/2,resident@5/2", "--requests=2000", "--repeats=2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("nutcracker #2", done.stdout)
        _, samples = report.read_csv(build / "bench.csv")
        self.assertEqual([s.workload for s in samples[::4]], ["get@50/1", "get32@50/2", "get100@50/2", "resident@5/2"])
        self.assertEqual({s.requests for s in samples if s.workload == "get100@50/2"}, {2000})
        self.assertTrue(all(s.peak_bytes > 500_000 for s in samples if s.workload == "get100@50/2"))
        self.assertTrue(all(s.resident_bytes > 500_000 for s in samples if s.workload == "resident@5/2"))


def statistic(port, name):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock, sock.makefile("rb") as replies:
        sock.sendall(b"stats\r\n")
        lines = iter(replies.readline, b"END\r\n")
        return dict(line.split()[1:3] for line in lines)[name.encode()]


if __name__ == "__main__":
    if len(sys.argv) > 1 and os.access(sys.argv[1], os.X_OK):
        LOAD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
