#!/usr/bin/env python3
"""Tests of what starts the tests and the chapters: nobody else would notice if the runner counted wrong."""
import contextlib
import io
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "common" / "scripts")]

import broken  # noqa: E402
import chapters  # noqa: E402
import demo_states  # noqa: E402
import serve  # noqa: E402
import runner  # noqa: E402
from server import HOST, Process, Server, ServerFailed, held_port  # noqa: E402

TABLE = """
chapters = {
  '03-mwrite': {
    'idea': 'one\\'s idea',
    'parent': '',
    'capabilities': ['line', 'bulk'],
    'flags': 'pv',
    'sources': ['main.cpp'],
  },
  '04-swallow': {'idea': 'i', 'parent': '03-mwrite', 'capabilities': ['line'], 'flags': 'p', 'sources': []},
  '18-nc-stats': {'idea': 'i', 'parent': '', 'capabilities': ['proxy'], 'flags': 'c', 'sources': []},
  '30-all': {'idea': 'i', 'parent': '', 'capabilities': [], 'flags': '', 'sources': []},
}

foreach name, chapter : chapters
"""


class Run(unittest.TestCase):
    """Of a project whose tests are shell commands. None has a chapter's name but `03-mwrite fails`."""

    FAILS = "for i in $(seq 200); do echo line $i; done; exit 3"
    COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
import runner
runner.TOP, runner.OPTIONS = runner.Path(sys.argv[2]), {name: () for name in runner.OPTIONS}
sys.exit(runner.main(sys.argv[3:]))
"""

    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())

    def run_tests(self, words: list[str], **commands: str) -> subprocess.Popen:
        """`commands`: each test's; its suite is `unit`, that of a chapter's `contract`."""
        self.assertNotIn("'", "".join(commands.values()))
        text = "project('try', meson_version: '>= 1.0')\nsh = find_program('sh')\n"
        for name, command in commands.items():
            title, suite = (name.replace("_", " "), "unit") if name[0] != "_" else (f"03-mwrite {name[1:]}", "contract")
            text += f"test('{title}', sh, args: ['-c', '{command}'], suite: '{suite}')\n"
        Path(self.directory, "meson.build").write_text(text, encoding="ascii")
        return subprocess.Popen(
            [sys.executable, "-c", self.COMMAND, TOP / "tests", self.directory, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip

    def finish(self, running: subprocess.Popen) -> tuple[int, str]:
        said, complaints = running.communicate(timeout=60)
        self.assertEqual(complaints, "")
        return running.returncode, said

    def test_all_is_well(self):
        status, said = self.finish(self.run_tests(["unit"], one="exit 0", two="exit 0", _other="exit 1"))
        self.assertEqual((status, said.splitlines()[-1]), (0, "2 passed, 0 failed"), said)

    def test_a_failure_is_shown_whole_with_the_way_to_run_it_again(self):
        status, said = self.finish(self.run_tests(["unit", "contract"], one="exit 0", _fails=self.FAILS))
        self.assertEqual((status, said.splitlines()[-1]), (1, "1 passed, 1 failed"), said)
        self.assertIn("---- contract: 03-mwrite fails failed ----\nline 1\nline 2\n", said)
        self.assertIn("\nline 200\n", said)
        self.assertIn("---- again: meson test -C build -v '03-mwrite fails'\n", said)

    def test_one_that_is_killed_is_a_failure(self):
        status, said = self.finish(self.run_tests(["unit"], one="kill -SEGV $$"))
        self.assertEqual((status, said.splitlines()[-1]), (1, "0 passed, 1 failed"), said)

    def test_what_did_not_run_is_named_with_its_reason(self):
        status, said = self.finish(self.run_tests(["unit"], one="exit 0", two_of_it="echo not run: no such thing; exit 77"))
        self.assertEqual((status, said.splitlines()[-1]), (0, "1 passed, 0 failed, 1 skipped"), said)
        self.assertIn("not run: two of it: no such thing\n", said)

    def test_only_the_chapters_that_are_wanted(self):
        for words, count in ((["03"], "1 passed"), (["04", "contract"], "0 passed"), (["04", "unit"], "1 passed")):
            with self.subTest(words):
                parts = ["contract"] if words == ["03"] else []
                _, said = self.finish(self.run_tests(words + parts, one="exit 0", _one="exit 0"))
                self.assertEqual(said.splitlines()[-1], f"{count}, 0 failed", said)

    def test_a_set_up_that_fails_is_a_failure(self):
        Path(self.directory, "build").write_text("in the way", encoding="ascii")
        status, said = self.finish(self.run_tests(["unit"], one="exit 0"))
        self.assertEqual((status, said.splitlines()[-1]), (1, "0 passed, 1 failed"), said)

    def test_interrupted(self):
        """Ctrl-C leaves nothing behind. The test says that it has begun by opening a pipe."""
        pipe = Path(self.directory, "pipe")
        os.mkfifo(pipe)
        running = self.run_tests(["unit"], one=f"echo $$ >{pipe}; sleep 1000 & wait")
        with pipe.open(encoding="ascii") as begun:
            test = int(begun.readline())
        running.send_signal(signal.SIGINT)
        said, complaints = running.communicate(timeout=60)
        self.assertEqual((running.returncode, complaints), (130, "\nstopped\n"), said)
        self.assertEqual(Demo.left_by(test), [])


class Contract(unittest.TestCase):
    PROGRAM = TOP / "build" / "tests" / "contract" / "contract"

    def test_it_stops_at_the_first_report_of_a_sanitizer(self):
        for ends in ("exit 66", 'echo "TCP INET: 1" >"$MEMCACHED_PORT_FILENAME"; sleep 1000 & wait'):
            with self.subTest(ends), tempfile.TemporaryDirectory() as directory:
                server = Path(directory, "server")
                server.write_text(f"#!/bin/sh\necho WARNING: ThreadSanitizer: data race >&2\n{ends}\n", encoding="ascii")
                server.chmod(0o755)
                done = subprocess.run(
                    [self.PROGRAM, f"--server={server}", "--capabilities=line", "--sanitized", "--deadline=5"],
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                )  # fmt: skip
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(done.stdout.count("WARNING: ThreadSanitizer"), 1, done.stdout)


class Find(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile("w", suffix=".build") as file:
            file.write(TABLE)
            file.flush()
            cls.table = chapters.read_table(Path(file.name))

    def test_the_table(self):
        self.assertEqual([c.name for c in self.table], ["03-mwrite", "04-swallow", "18-nc-stats", "30-all"])
        self.assertEqual(self.table[0].idea, "one's idea")
        self.assertEqual(self.table[0].capabilities, {"line", "bulk"})
        self.assertEqual(self.table[1].parent, "03-mwrite")

    def test_number_name_and_part_of_the_name(self):
        for word in ("3", "03", "03-mwrite", "mwrite", "MWR"):
            self.assertEqual(chapters.find(word, self.table).name, "03-mwrite", word)
        self.assertEqual(chapters.find("all", self.table).name, "30-all")  # a whole title, though a part of another

    def test_what_means_none_or_several(self):
        for word, hint in (("mwrtie", "03-mwrite?"), ("w", "several"), ("", "list"), ("99", "list")):
            with self.assertRaisesRegex(chapters.NoSuchChapter, hint):
                chapters.find(word, self.table)


class Words(unittest.TestCase):
    def test_chapters_and_parts_in_any_order(self):
        first = chapters.read_table()[0]
        wanted, parts, long = runner.arguments(["clients", "1", "--long", "unit"])
        self.assertEqual((wanted, parts, long), ([first], ["unit", "clients"], True))

    def test_a_chapter_alone_means_its_own_parts(self):
        self.assertEqual(runner.arguments(["1"])[1], ["contract", "clients", "races", "sanitize"])

    def test_speed_is_measured_only_on_request(self):
        self.assertNotIn("bench", runner.arguments([])[1])

    def test_a_word_that_is_neither(self):
        with self.assertRaises(SystemExit) as end, contextlib.redirect_stderr(io.StringIO()) as said:
            runner.arguments(["contarct"])
        self.assertEqual(end.exception.code, 64)
        self.assertEqual(said.getvalue().count("\n"), 1)


class ChaptersRun(unittest.TestCase):
    def run_script(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [TOP / "chapters" / "run", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    def test_list(self):
        status, said = self.run_script("list")
        self.assertEqual(status, 0)
        for chapter in chapters.read_table():
            self.assertIn(chapter.name, said)

    def test_bad_words_cost_one_line_and_status_64(self):
        for words in (["event-lop"], ["--port"], ["list", "3"], ["demo", "--slow"], ["demo", "1", "1"]):
            status, said = self.run_script(*words)
            self.assertEqual((status, said.count("\n")), (64, 1), (words, said))


class Serve(unittest.TestCase):
    """Which flags a reader's program gets, and what he is told."""

    FLAGS = {"p": ("port", True), "l": ("listen", True), "s": ("unix-socket", True), "v": ("verbose", False), "h": ("help", False),
             "trace": ("trace", True)}
    POOLS = {"c": ("conf-file", True), "a": ("stats-addr", True), "t": ("test-conf", False)}
    ALONE = ["-l", "127.0.0.1,::1"]

    def test_a_server_is_for_this_machine_alone_unless_a_flag_says_where(self):
        for words, added, said in (
            ([], self.ALONE, "port 11211, for this machine alone"),
            (["-vp", "1234", "-p4321"], self.ALONE, "port 4321, for this machine alone"),
            (["--port=1234"], self.ALONE, "port 1234, for this machine alone"),
            (["-p", "-1"], self.ALONE, "the kernel's choice"),
            (["--trace", "file", "-p", "1234"], self.ALONE, "port 1234, for this machine alone"),
            (["-vl", "0.0.0.0"], [], "port 11211, at 0.0.0.0"),
            (["--list", "0.0.0.0"], [], "at 0.0.0.0"),  # getopt_long takes a beginning, too
            (["-s", "/tmp/-l"], [], "unix socket /tmp/-l"),
            (["-p", "1", "--help"], [], None),
        ):
            with self.subTest(words):
                got, says = serve.server(words, self.FLAGS)
                self.assertEqual(got, added)
                self.assertEqual(bool(says), said is not None)
                self.assertIn(said or "", "".join(says))

    def test_a_pool_that_others_reach_is_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as conf:
            conf.write(
                "all:  # of us\n  listen: 0.0.0.0:1\n  servers:\n   - 10.0.0.1:1:1\n"
                "mine:\n  listen: 127.0.0.1:2\n'six':\n  listen: '::1:3'\nfile:\n  listen: /tmp/x 0700\n"
                "\"star\":\n  hash: md5\n  listen: \"*:4\"\nname:\n  listen: localhost:5\n"
            )
            conf.flush()
            self.assertEqual(
                serve.open_pools(conf.name),
                [
                    f"Not on this machine alone: pool {pool}, as {conf.name} says."
                    for pool in ("all listens on 0.0.0.0:1", "star listens on *:4")
                ],
            )
            added, says = serve.pools(["-c", conf.name], self.POOLS)
            self.assertEqual((added, len(says)), (["-a", "127.0.0.1"], 3))
            self.assertEqual(serve.pools(["-c", conf.name, "-a", "::"], self.POOLS)[0], [])
            self.assertEqual(serve.pools(["-tc", conf.name], self.POOLS), ([], []))
            without = {letter: flag for letter, flag in self.POOLS.items() if letter != "a"}
            self.assertEqual(serve.pools(["-c", conf.name], without)[0], [])  # it has no statistics yet
        self.assertEqual(len(serve.pools([], self.POOLS)[1]), 1)  # no conf: the proxy says so

    def test_the_programs_help_is_read(self):
        """And the proxy with a conf is found by what it can, not by its name."""
        for program, letters in (("01-event-loop", "plbcvdPukrhV"), ("18-nc-stats", "ctsaiDmvodphV")):
            flags = serve.flags_of(str(Demo.BUILT / program))
            self.assertEqual(sorted(flag for flag in flags if len(flag) == 1), sorted(letters))
            self.assertEqual(flags["trace"], ("trace", True))
            self.assertEqual(flags["p"], ("port" if program.startswith("01") else "pid-file", True))


class Fresh(unittest.TestCase):
    def test_where_no_machine_can_be_made_it_says_why(self):
        less = ["setpriv", "--bounding-set", "-sys_admin"] if os.geteuid() == 0 else []
        done = subprocess.run([*less, sys.executable, TOP / "tests" / "fresh.py"], stdout=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stdout[:9], done.stdout.count("\n")), (runner.NOT_RUN, "not run: ", 1))


class Experiments(unittest.TestCase):
    """Those of notes/experiments that are given a server."""

    ROOM = TOP / "notes" / "experiments"
    TEXTS = {script: script.read_text(encoding="utf-8") for script in sorted(ROOM.glob("[0-9]*.py"))}
    SCRIPTS = [script for script, text in TEXTS.items() if "from pool import" not in text and "from schedule import" not in text]
    SCHEDULES = [script for script, text in TEXTS.items() if "from schedule import" in text]

    def run_script(self, script: Path, *words: int | str) -> tuple[int, list[str]]:
        command = [script, *map(str, words)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout.splitlines()

    def test_without_a_server_they_say_one_line(self):
        with held_port() as held:
            port = held.getsockname()[1]

            def run(script: Path) -> tuple[int, list[str]]:
                more = {'"pid"': os.getpid(), '"other"': port}
                return self.run_script(script, port, *(value for word, value in more.items() if word in self.TEXTS[script]))

            with ThreadPoolExecutor(4) as threads:
                for script, (status, said) in zip(self.SCRIPTS, threads.map(run, self.SCRIPTS)):
                    with self.subTest(script.name):
                        self.assertEqual((status, len(said)), (1, 1), said)
                        self.assertIn(f"nobody listens on port {port}", said[0])

    def test_without_a_conducted_server_a_schedule_says_one_line(self):
        self.assertTrue(self.SCHEDULES)
        with held_port() as held:
            for script in self.SCHEDULES:
                with self.subTest(script.name):
                    more = [os.getpid()] if '"pid"' in self.TEXTS[script] else []
                    status, said = self.run_script(script, held.getsockname()[1], "/nowhere", *more)
                    self.assertEqual((status, len(said)), (1, 1), said)
                    self.assertIn("no server can be conducted at /nowhere", said[0])

    def test_they_end_with_a_verdict(self):
        with Server(Demo.BUILT / "01-event-loop") as server:
            status, said = self.run_script(self.ROOM / "01-blocking.py", server.port)
        self.assertEqual((status, said[-1]), (0, "verdict: a client that is silent holds up nobody"))
        for script in self.ROOM.glob("*.py"):
            if script.name not in ("calls.py", "client.py", "pool.py", "schedule.py"):
                self.assertIn("    verdict(", script.read_text(encoding="utf-8"), script.name)


class Breaks(unittest.TestCase):
    """The break-its of the notes, as data. What they do is the part `races`."""

    def test_each_applies_and_its_note_says_how_to_run_it(self):
        for each in broken.read_breaks():
            with self.subTest(f"{each.number}-{each.name}"):
                files = broken.broken_files(each)
                self.assertTrue(all(before != now for before, now in files.values()))
                text = (TOP / "notes" / f"{each.chapter}.md").read_text(encoding="utf-8")
                self.assertLess(broken.place_in_note(each), len(text), "its note does not name it")

    def test_each_chapter_of_memcached_breaks_something(self):
        have = {each.chapter for each in broken.read_breaks()}
        self.assertEqual([c.name for c in chapters.read_table() if "proxy" not in c.capabilities and c.name not in have], [])

    def test_data_that_cannot_be_meant_is_named(self):
        with tempfile.TemporaryDirectory(dir=TOP / "build") as room:
            for text, why in (
                ("idea = 1 2", "Expected"),
                ('idea = "x"\nrun = []\nbefore = []', "missing 1 required positional argument: 'after'"),
                ('idea = "x"\nwhat = 1', "unexpected keyword argument 'what'"),
            ):
                Path(room, "06-x.toml").write_text(text, encoding="utf-8")
                with self.subTest(text), self.assertRaisesRegex(broken.BreakFailed, f"06-x.toml: .*{why}"):
                    broken.read_breaks(Path(room))

    def test_code_that_has_changed_meanwhile_is_named(self):
        for edit, why in (
            ({"symbol": "thread.cpp::cq_push", "old": "no such line", "new": ""}, "thread.cpp::cq_push has no place with\nno such line"),
            ({"symbol": "thread.cpp::cq_push", "old": "queue", "new": ""}, r"has \d+ places with\nqueue"),
            ({"symbol": "thread.cpp::cq_pushed", "old": "", "new": ""}, "did you mean cq_push"),
            ({"symbol": "threads.cpp::cq_push", "old": "", "new": ""}, "there is no file chapters/12-maxconns/threads.cpp"),
        ):
            each = broken.Break("12-maxconns", "x", "", [], [], [], edit=[edit])
            with self.subTest(edit), self.assertRaisesRegex((broken.BreakFailed, LookupError), why):
                broken.broken_files(each)

    def test_two_edits_of_one_file(self):
        edits = [
            {"symbol": "thread.cpp::cq_push", "move": "  queue.tail = last;\n", "before": "  ++queue.length;\n"},
            {"symbol": "thread.cpp::cq_push", "old": "++queue.length", "new": "queue.length += 1"},
            {"symbol": "thread.cpp::cq_pop", "old": "--queue.length", "new": "queue.length -= 1"},
        ]
        files = broken.broken_files(broken.Break("12-maxconns", "x", "", [], [], [], edit=edits))
        self.assertIn("  queue.tail = last;\n  queue.length += 1;\n", files["thread.cpp"][1])
        self.assertIn("  queue.length -= 1;\n", files["thread.cpp"][1])

    def test_bad_words_cost_one_line_and_status_64(self):
        for words, why in ((["12", "x"], "has no break-it 'x', only "), (["99"], "no chapter '99'"), (["1", "-x"], "takes")):
            command = [TOP / "chapters" / "run", "break", *words]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual((done.returncode, done.stdout.count("\n")), (64, 1), done.stdout)
            self.assertIn(why, done.stdout)


class ServerTest(unittest.TestCase):
    SERVES = 'echo "TCP INET: 1" >"$MEMCACHED_PORT_FILENAME"; kill -STOP $$'

    def test_one_that_does_not_start_is_reported_with_its_words(self):
        with self.assertRaisesRegex(ServerFailed, "status 3 before it served\nno luck"):
            self.start("echo no luck >&2; exit 3")

    def test_its_words_are_reported_though_they_were_for_a_reader(self):
        with self.assertRaisesRegex(ServerFailed, "status 3 before it served\nno luck"):
            Process(["/bin/sh", "-c", "echo no luck >&2; exit 3"], stderr=subprocess.PIPE)

    def test_one_that_is_killed_leaves_nothing_to_stop(self):
        server = self.start(self.SERVES)
        server.kill()
        self.assertEqual(server.process.returncode, -signal.SIGKILL)
        server.kill()

    def test_a_held_port_refuses_and_is_nobody_elses(self):
        with held_port() as held:
            port = held.getsockname()[1]
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection((HOST, port))
            with self.assertRaises(OSError), socket.socket() as other:
                other.bind((HOST, port))
            for _ in range(2):  # a server may listen there, and again
                with socket.create_server((HOST, port)):
                    socket.create_connection((HOST, port)).close()

    def test_one_that_ends_too_early_is_a_failure(self):
        server = self.start(self.SERVES)
        server.process.kill()
        server.process.wait()
        with self.assertRaisesRegex(ServerFailed, "had ended with status -9"):
            server.stop()

    @staticmethod
    def start(commands: str) -> Server:
        """A shell script in the place of a server. Its file is gone once it runs, or has failed to."""
        with tempfile.TemporaryDirectory() as directory:
            program = Path(directory) / "server"
            program.write_text(f"#!/bin/sh\n{commands}\n", encoding="ascii")
            program.chmod(0o755)
            return Server(program)


class Demo(unittest.TestCase):
    """The proxies' demos start servers, kill some of them, and freeze others: none may be left behind."""

    DEMO = TOP / "common" / "scripts" / "demo.py"
    BUILT = TOP / "build" / "chapters"  # tests/run has brought it up to date
    SECONDS = 60  # for whatever it is
    ENV = os.environ | {"COLUMNS": "80", "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}

    def test_each_chapter_is_shown_what_it_can(self):
        self.assertNotIn(b"set", b"".join(s.data for step in demo_states.script(frozenset({"line"})) for s in step.sends))
        titles = [step.title for step in demo_states.script(frozenset({"line", "store", "multiget", "swallow"}))]
        self.assertIn("A value that is too large", titles)

    def test_what_next_is_what_the_chapter_can(self):
        for chapter in chapters.read_table():
            if "proxy" not in chapter.capabilities:
                commands = " ".join(command for command, _ in demo_states.what_next(chapter))
                self.assertIn(f"notes/{chapter.name}.md", commands)
                self.assertEqual("set k" in commands, "store" in chapter.capabilities)
                self.assertEqual("ladder.py diff" in commands, bool(chapter.parent))

    def test_the_first_is_a_short_story_and_a_crowd(self):
        self.plays(
            "",
            r"01-event-loop",
            r"client  vers\n",
            r"12-maxconns",
            r"clients \d+ are served; the next one is connected, but nobody answers",
            r"what next",
            r"notes/01-event-loop.md",
        )

    def test_a_proxy_and_a_server_that_goes(self):
        self.plays(
            "14",
            r"A asks  set colour 0 0 4↵blue↵",
            r"server  <(?P<it>\d+) new client connection   <(?P=it) set colour 0 0 4   >(?P=it) STORED",
            r"A hears STORED↵",
            r"A hears VALUE colour 0 4↵blue↵END↵",
            r"4 lines of its log, 1 to the server",
            r"server  <{it} get colour   <{it} get shape   <{it} get taste   <{it} get colour",
            r"A hears VALUE colour 0 4↵blue↵END↵END↵",
            r"B hears END↵VALUE colour 0 4↵blue↵END↵",
            r"proxy   <(?P<a>\d+) get colour   >(?P=a) SERVER_ERROR Connection refused",
            r"A hears SERVER_ERROR Connection refused↵",
            r"A asks  get colour↵\n     proxy   <{a} get colour   <\d+ connecting to [^↵]*\n     server  <\d+ new client",
            r"A hears END↵",
            r"tests/run 14",
        )

    def test_a_loop(self):
        self.plays(
            "13",
            r"client  connect\(\)\n     loop    \d+: woken by EV_READ   \d+: accept4\(\) = (?P<c>\d+)",
            r"client  version↵\n     server  VERSION \S+↵",
            r"{c}: read\(\) = 9\s+<{c} version\s+>{c} VERSION \S+\s+{c}: writev\(\) = 16",
            r"<{c} connection closed\.",
            r"tests/run 13",
        )

    def test_a_get_over_several_servers(self):
        self.plays("15", r"listen: ", r"one     ", r"CLIENT_ERROR the keys of this get are with several servers", r"tests/run 15")
        self.plays("16", r"listen: ", r"one     get \w", r"proxy   VALUE apple 0 3↵1st↵VALUE cherry ", r"tests/run 16")

    def test_servers_one_of_which_dies(self):
        self.plays(
            "18",
            r"server_failure_limit: 2",
            r"one     (?P<key>\w+): 1st",
            r"one     get {key}\b",
            r"two     get ",
            r"three   get ",
            r"proxy   VALUE apple 0 3↵1st↵VALUE cherry 0 3↵1st↵VALUE fig .*\n.*↵VALUE pear 0 3↵1st↵END↵",
            r"apple   VALUE",
            r"{key} +SERVER_ERROR Connection refused↵",
            r"log     .*'one': Connection refused\n.*\n.* ejects server 'one'",
            r"one     is dead",
            r" {key}: 2nd",
            r"client  get {key}↵\n     proxy   VALUE {key} 0 3↵2nd↵END↵\n +[1-9]\d* times, and then, [2-9]\.",
            r"proxy   END↵\n     log     .* takes servers back",
            r"one     {key}: 3rd",
            r" {key}: 2nd",
            r"server_ejects       0 → 1",
            r"one     responses           3 → 5",
            r"tests/run 18",
        )

    @unittest.skipUnless(shutil.which("redis-server"), "there is no redis-server")
    def test_two_protocols(self):
        self.plays(
            "19",
            r"redis: true",
            r"client  version↵\n     proxy   VERSION \S+↵\n     client  \*1↵\$4↵PING↵\n     proxy   \+PONG↵",
            r'one     "mset" "apple" "red"',
            r'two     "mset" "cherry" "red" ',
            r"proxy   \+OK↵",
            r'one     "mget" "apple"',
            r"proxy   \*5↵\$3↵red↵\$3↵red↵\$6↵yellow↵\$5↵green↵\$-1↵",
            r"proxy   :4↵",
            r"proxy   -ERR these keys are not all with one server↵",
            r"proxy   \$-1↵",
            r"tests/run 19",
        )

    def plays(self, chapter: str, *essentials: str) -> None:
        """That demo, or the one without a word: to its end, on a pipe; it says these things in this order."""
        words = ["demo", chapter] if chapter else []
        with self.start([TOP / "chapters" / "run", *words, "--fast"], subprocess.PIPE) as demo:
            said, complaints = demo.communicate(timeout=self.SECONDS)
        self.assertEqual((demo.returncode, self.left_by(demo.pid)), (0, []), said + complaints)
        position, names = 0, {}
        for essential in essentials:
            match = re.compile(essential.format(**names)).search(said, position)
            self.assertTrue(match, f"{essential}, which is not in\n{said[position:]}")
            position, names = match.end(), names | match.groupdict()
        self.assertEqual([line for line in said.splitlines() if len(line) > 80], [])

    def test_interrupted(self):
        """On a terminal. Ctrl-C reaches the whole group; the other signals only the demo, which has to end its servers."""
        ends = [
            ("14-nc-forward", "B asks", os.killpg, signal.SIGINT),  # with a frozen proxy
            ("14-nc-forward", "B asks", os.kill, signal.SIGINT),
            ("18-nc-stats", "A server dies", os.killpg, signal.SIGINT),
            ("18-nc-stats", "A server dies", os.kill, signal.SIGTERM),
        ]
        if shutil.which("redis-server"):
            ends.append(("19-nc-redis", "Two protocols", os.killpg, signal.SIGINT))
        with ThreadPoolExecutor(len(ends)) as threads:
            for end, (status, left, said) in zip(ends, threads.map(self.interrupt, *zip(*ends))):
                with self.subTest(end):
                    self.assertEqual((status, left), (128 + end[-1], []), said)
                    self.assertNotIn("Traceback", said)
                    self.assertNotIn("demo:", said)

    def interrupt(self, chapter: str, text: str, kill, number: int) -> tuple[int, list[int], str]:
        """When that text has come. Returns the status, the processes left behind, and all that was said."""
        master, slave = pty.openpty()
        command = [self.DEMO, self.BUILT / chapter, self.BUILT / "12-maxconns"]
        with self.start(command, slave, slave) as demo, os.fdopen(master, "rb", 0) as screen:
            os.close(slave)
            said = b""
            with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
                while data := screen.read(65536):
                    had_come = text.encode() in said
                    said += data
                    if not had_come and text.encode() in said:
                        kill(demo.pid, number)
            demo.wait(self.SECONDS)
        return demo.returncode, self.left_by(demo.pid), said.decode()

    def start(self, command: list, output: int, complaints: int = subprocess.PIPE) -> subprocess.Popen:
        """In a session of its own, by which its processes are known; and it hears Ctrl-C, should these tests be deaf to it."""
        demo = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            env=self.ENV,
            encoding="utf-8",
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.addCleanup(self.kill_all, demo)
        return demo

    @staticmethod
    def kill_all(demo: subprocess.Popen) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.pid, signal.SIGKILL)

    @staticmethod
    def left_by(session: int) -> list[int]:
        left = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # has ended since
                fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == session:
                    left.append(int(stat.parent.name))
        return left


if __name__ == "__main__":
    unittest.main()
