#!/usr/bin/env python3
"""Tests of what starts the tests and the chapters: nobody else would notice if the runner counted wrong."""
import contextlib
import io
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "common" / "scripts")]

import chapters  # noqa: E402
import demo  # noqa: E402
import runner  # noqa: E402
from server import Server, ServerFailed  # noqa: E402

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
  '14-nc-proxy': {'idea': 'i', 'parent': '', 'capabilities': ['proxy'], 'flags': 'c', 'sources': []},
  '30-all': {'idea': 'i', 'parent': '', 'capabilities': [], 'flags': '', 'sources': []},
}

foreach name, chapter : chapters
"""


def counted(output: str, status: int) -> tuple[int, int, int]:
    tally = runner.count(output, status)
    return tally.passed, tally.failed, tally.skipped


class Count(unittest.TestCase):
    DOCTEST = "[doctest] test cases:  12 |  {} passed | {} failed | 30 skipped\n[doctest] assertions: 99 | 99 passed | 0 failed |"

    def test_doctest_leaves_out_what_a_chapter_does_not_claim(self):
        self.assertEqual(counted(self.DOCTEST.format(12, 0), 0), (12, 0, 0))
        self.assertEqual(counted(self.DOCTEST.format(10, 2), 1), (10, 2, 0))

    def test_unittest(self):
        self.assertEqual(counted("...\nRan 7 tests in 1.2s\n\nOK", 0), (7, 0, 0))
        self.assertEqual(counted("Ran 1 test in 1.2s\n\nOK (skipped=1)", 0), (0, 0, 1))
        self.assertEqual(counted("Ran 9 tests in 1.2s\n\nFAILED (failures=1, errors=2, skipped=3)", 1), (3, 3, 3))

    def test_plain_closing_line(self):
        self.assertEqual(counted("talk\n5 passed, 1 failed, 2 skipped\n", 1), (5, 1, 2))

    def test_no_count_is_one_case(self):
        self.assertEqual(counted("all is well", 0), (1, 0, 0))
        self.assertEqual(counted("", -11), (0, 1, 0))

    def test_a_bad_status_is_a_failure_whatever_was_counted(self):
        self.assertEqual(counted(self.DOCTEST.format(12, 0), -6), (12, 1, 0))


class Find(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile("w", suffix=".build") as file:
            file.write(TABLE)
            file.flush()
            cls.table = chapters.read_table(Path(file.name))

    def test_the_table(self):
        self.assertEqual([c.name for c in self.table], ["03-mwrite", "04-swallow", "14-nc-proxy", "30-all"])
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
        self.assertEqual(runner.arguments(["1"])[1], ["contract", "clients", "sanitize"])

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


class ServerTest(unittest.TestCase):
    def test_one_that_does_not_start_is_reported_with_its_words(self):
        with self.assertRaisesRegex(ServerFailed, "status 3 before it served\nno luck"):
            self.start("echo no luck >&2; exit 3")

    def test_one_that_ends_too_early_is_a_failure(self):
        server = self.start('echo "TCP INET: 1" >"$MEMCACHED_PORT_FILENAME"; kill -STOP $$')
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
    def test_each_chapter_is_shown_what_it_can(self):
        self.assertNotIn(b"set", b"".join(s.data for step in demo.script(frozenset({"line"})) for s in step.sends))
        titles = [step.title for step in demo.script(frozenset({"line", "store", "multiget", "swallow"}))]
        self.assertIn("A value that is too large", titles)


if __name__ == "__main__":
    unittest.main()
