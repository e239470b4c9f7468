#!/usr/bin/env python3
"""Tests of ladder.py, on small made-up chapters in a git repository of their own.

The tree: 01-one -> 02-two -> 03-three, and 04-side, which grew from 02-two as well.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LADDER = Path(__file__).resolve().parent / "ladder.py"

# Without what a git hook sets: GIT_DIR would lead to the real repository.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
ENVIRONMENT |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

HEADER = """\
// The machine.
#pragma once

// Owns: nothing.
struct machine {
  int level() const { return level_; }
  int level_ = 0;
};

// Says hello.
[[nodiscard]] int alpha(machine& m);
"""

SOURCE = """\
// The machine's parts.
#include "machine.h"

namespace {

constexpr auto pause = clock::milliseconds{10};

// Adds one.
int hidden(int n) { return n + 1; }

}  // namespace

// Says hello.
[[nodiscard]]
int alpha(machine& m) {
  auto twice = [](int n) { return 2 * n; };
  return twice(hidden(m.level()));
}

// Says more.
int beta(int n) {
  return n;
}

int gamma(int n) { return n; }

int gamma(long n) { return 7; }

int omega() { return 0; }
"""

MAIN = """\
// Starts the machine.
#include "machine.h"

int main() {
  return 0;
}
"""

TABLE = """\
# The table of contents.
chapters = {
  '01-one': {
    'idea': 'the first: one thing',
    'parent': '',
    'capabilities': ['line'],
    'sources': ['main.cpp', 'machine.cpp'],
  },
  '02-two': {
    'idea': 'the second',
    'parent': '01-one',
    'capabilities': ['line'],
    'sources': [  # over several lines
      'main.cpp',
      'machine.cpp',
    ],
  },
  '03-three': {
    'idea': 'the third',
    'parent': '02-two',
    'capabilities': [],
    'sources': ['main.cpp', 'machine.cpp'],
  },
  '04-side': {
    'idea': 'a branch',
    'parent': '02-two',
    'capabilities': [],
    'sources': ['main.cpp', 'machine.cpp'],
  },
}

foreach name, chapter : chapters
endforeach
"""

NOTE = """\
# A note

## What changes

The list is complete:

{bullets}

  - an indented line is prose

## In the original

- `nonsense`: is no part of the list
"""


class Tree(unittest.TestCase):
    """A made-up repository that is in step, and the means to edit it and to run ladder.py on it."""

    def setUp(self):
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.root = Path(room.name)
        self.write("chapters/meson.build", TABLE)
        self.write("tests/ladder.py", LADDER.read_text())
        with_delta = SOURCE + "\nint delta() { return 4; }\n"
        two = with_delta.replace("  return n;\n", "  return n + 2;\n")
        self.write_chapter("01-one", SOURCE)
        self.write_chapter("02-two", two)
        self.write_chapter("03-three", two + "\nint epsilon() { return 5; }\n")
        self.write_chapter("04-side", two.replace("\nint delta() { return 4; }\n", ""))
        self.note("02-two", "- `machine.cpp::beta`: two more", "- new `delta`: the idea")
        self.note("03-three", "- new `epsilon`: the idea")
        self.note("04-side", "- gone `delta`: not needed")

    def write(self, path, text):
        """Writes a file of the repository. Returns nothing."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def write_chapter(self, name, source):
        """Writes a chapter's three files. Returns nothing."""
        for file, text in {"machine.h": HEADER, "machine.cpp": source, "main.cpp": MAIN}.items():
            self.write(f"chapters/{name}/{file}", text)

    def note(self, name, *bullets):
        """Writes a chapter's note, whose list of changes is `bullets`. Returns nothing."""
        self.write(f"notes/{name}.md", NOTE.format(bullets="\n".join(bullets)))

    def read(self, path):
        """Returns the text of a file of the repository."""
        return (self.root / path).read_text()

    def edit(self, path, old, new):
        """Replaces `old`, which must be there once, in a file. Returns nothing."""
        text = self.read(path)
        self.assertEqual(text.count(old), 1, f"{old!r} in {path}")
        self.write(path, text.replace(old, new))

    def git(self, *command):
        """Runs git in the repository. Returns nothing."""
        known_as = ("-c", "user.name=t", "-c", "user.email=t@t")
        subprocess.run(["git", *known_as, *command], cwd=self.root, check=True, env=ENVIRONMENT)

    def commit(self):
        """Commits everything. Returns nothing."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")

    def ladder(self, *args, path=None):
        """Returns (status, all output) of ladder.py, run from another directory."""
        command = [sys.executable, self.root / "tests/ladder.py", *args]
        env = ENVIRONMENT | ({"PATH": path} if path else {})
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, env=env)
        self.assertNotIn("Traceback", done.stderr)
        return done.returncode, done.stdout + done.stderr

    def succeeds(self, *args):
        """Asserts that a command ends with status 0. Returns its output."""
        status, output = self.ladder(*args)
        self.assertEqual(status, 0, output)
        return output

    def fails(self, *args, saying, status=1, errors=None):
        """Asserts that a command fails, what it says, and how many errors it reports. Returns its output."""
        actual, output = self.ladder(*args)
        self.assertEqual(actual, status, output)
        for words in saying:
            self.assertIn(words, output)
        if errors is not None:
            self.assertEqual(output.count("error: "), errors, output)
        return output


class Check(Tree):
    """ladder.py check"""

    def test_chapters_in_step_pass(self):
        output = self.succeeds("check")
        self.assertIn("01-one: a first chapter", output)
        self.assertIn("02-two against 01-one: 1 files, 3 lines added or changed, 1 removed", output)
        self.assertIn("1 symbols changed, 1 new, 0 gone", output)
        self.assertNotIn("\033", output)

    def test_bug_mended_in_one_chapter_only(self):
        self.edit("chapters/01-one/machine.cpp", "hidden(m.level())", "hidden(m.level() - 1)")
        output = self.fails("check", saying=["chapters/02-two: machine.cpp: `alpha` differs from 01-one"], errors=1)
        self.assertIn("-  return twice(hidden(m.level() - 1));", output)
        self.succeeds("check", "03")

    def test_bug_mended_in_a_descendant_only(self):
        self.edit("chapters/03-three/machine.cpp", "return n + 1;", "return n + 3;")
        self.fails("check", saying=["chapters/03-three: machine.cpp: `hidden` differs from 02-two"], errors=1)

    def test_listed_symbol_is_free_to_differ_but_only_in_the_file_that_is_named(self):
        self.edit("chapters/02-two/machine.h", "// Says hello.", "// Says hello, politely.")
        self.fails("check", "02", saying=["machine.h: `alpha` differs"], errors=1)
        self.note("02-two", "- `beta`: two more", "- `machine.cpp::alpha`: no", "- new `delta`: the idea")
        self.fails("check", "02", saying=["lists `machine.cpp::alpha` as changed, but it is the same"], errors=2)
        self.note("02-two", "- `beta`, `machine.h::alpha` – two more", "- new `delta`: the idea")
        self.succeeds("check", "02")

    def test_changed_comment_above_a_function(self):
        self.edit("chapters/03-three/machine.cpp", "// Says more.", "// Says a little more.")
        self.fails("check", saying=["`beta` differs from 02-two"], errors=1)

    def test_changed_attribute_on_the_line_above(self):
        self.edit("chapters/03-three/machine.cpp", "[[nodiscard]]\n", "[[maybe_unused]]\n")
        self.fails("check", saying=["`alpha` differs from 02-two"], errors=1)

    def test_function_defined_in_a_struct_belongs_to_the_struct(self):
        self.edit("chapters/03-three/machine.h", "return level_;", "return level_ + 1;")
        self.fails("check", saying=["machine.h: `machine` differs from 02-two"], errors=1)

    def test_constant_that_ctags_does_not_see(self):
        self.edit("chapters/03-three/machine.cpp", "milliseconds{10}", "milliseconds{20}")
        self.fails("check", saying=["`pause` differs from 02-two"], errors=1)

    def test_constants_of_every_form_are_symbols(self):
        forms = {
            "numbers": "static constexpr std::array<int, 3> numbers = {\n    1,\n    2,\n};",
            "names": 'constexpr std::string_view names[] = {"a;b", "}"};',
            "limit": "inline constexpr int limit = 1'000'000;",
            "mask": "constexpr auto mask = static_cast<short>(1 | 2);",
            "handler": "using handler = void (*)(int);",
            "pick": "template <typename T>\nT pick(T a, T b) {\n  return a < b ? a : b;\n}",
            "conn::conn": "conn::conn(int n)\n    : n_{n} {\n  run();\n}",
            "conn::~conn": "conn::~conn() = default;",
            "operator==": "bool operator==(const conn& a, const conn& b) { return true; }",
            "kind": "enum class kind { a, b };",
            "service": "template <typename T>\nconcept service = requires(T t) {\n  t.run();\n};",
        }
        declared = "\n".join(f"{form}\n" for form in forms.values())
        self.edit("chapters/03-three/machine.cpp", "\nint epsilon", f"\n{declared}\nint epsilon")
        output = self.fails("check", "03", saying=[f"`{name}` is new" for name in forms], errors=len(forms))
        self.assertNotIn("`run`", output)

    def test_unnamed_namespaces_and_lambdas_leave_no_trace(self):
        self.assertNotIn("__anon", self.fails("snippets", self.write_snippet("nothing"), saying=["has no `nothing`"]))
        self.edit("chapters/03-three/machine.cpp", "namespace {\n", "namespace {\n\nint more(int n) { return n; }\n")
        self.assertNotIn("__anon", self.fails("check", saying=["machine.cpp: `more` is new"], errors=1))

    def test_unlisted_new_symbol(self):
        self.note("03-three", "Nothing.")
        self.fails("check", saying=["`epsilon` is new, and the note does not list it: - new `epsilon`: why"], errors=1)

    def test_unlisted_gone_symbol(self):
        self.note("04-side", "Nothing.")
        self.fails("check", saying=["chapters/04-side: machine.cpp: `delta` is gone"], errors=1)

    def test_listed_symbol_that_did_not_change(self):
        self.note("02-two", "- `beta`, `gamma`: two more", "- new `delta`: the idea")
        self.fails("check", saying=["notes/02-two.md: lists `gamma` as changed, but it is the same"], errors=1)

    def test_listed_as_new_but_is_not(self):
        self.note("02-two", "- `beta`: two more", "- new `delta`, `gamma`: the idea")
        self.fails("check", saying=["lists `gamma` as new, but it is the same"], errors=1)

    def test_listed_as_changed_but_is_new(self):
        self.note("02-two", "- `beta`, `delta`: two more")
        self.fails("check", saying=["lists `delta` as changed, but it is new", "- new `delta`: why"], errors=2)

    def test_listed_as_gone_but_is_there(self):
        self.note("04-side", "- gone `delta`, `gamma`: not needed")
        self.fails("check", saying=["lists `gamma` as gone, but it is the same"], errors=1)

    def test_listed_symbol_that_nobody_has(self):
        self.note("03-three", "- new `epsilon`, `epsilom`: the idea")
        self.fails("check", saying=["lists `epsilom`, which neither chapter has (did you mean epsilon"], errors=1)

    def test_bullet_that_cannot_be_read(self):
        self.note("03-three", "- new `epsilon`: the idea", "- The build is faster.")
        self.fails("check", saying=["notes/03-three.md: cannot read `- The build is faster.`"], errors=1)

    def test_note_or_section_missing(self):
        self.write("notes/02-two.md", "# A note\n")
        (self.root / "notes/04-side.md").unlink()
        said = ["notes/02-two.md: has no section `## What changes`", "notes/04-side.md: there is no such note"]
        self.fails("check", saying=said)

    def test_order_of_shared_symbols(self):
        beta = "// Says more.\nint beta(int n) {\n  return n + 2;\n}\n\n"
        self.edit("chapters/03-three/machine.cpp", beta, "")
        self.edit("chapters/03-three/machine.cpp", "int delta", beta + "int delta")
        self.fails("check", "03", saying=["`gamma` comes before `beta`, unlike in 02-two"], errors=1)
        self.note("03-three", "- new `epsilon`: the idea", "- moved `beta`: why not")
        self.succeeds("check", "03")
        self.note("03-three", "- new `epsilon`: the idea", "- moved `beta`, `alpha`: why not")
        self.fails("check", "03", saying=["lists `alpha` as moved, but it is the same"], errors=1)

    def test_symbol_in_another_file(self):
        delta = "\nint delta() { return 4; }\n"
        self.edit("chapters/03-three/machine.cpp", delta, "")
        self.edit("chapters/03-three/main.cpp", "\nint main", delta + "\nint main")
        self.fails("check", saying=["machine.cpp, main.cpp: `delta` is not in the file where 02-two has it"], errors=1)
        self.note("03-three", "- new `epsilon`: the idea", "- moved `delta`: nearer to its use")
        self.succeeds("check", "03")

    def test_too_large_a_diff(self):
        body = "".join(f"  step({n});\n" for n in range(300 - 2 - 3))
        self.write("chapters/02-two/more.cpp", "int more() {\n" + body + "}\n")
        self.edit("chapters/meson.build", "      'machine.cpp',\n", "      'machine.cpp',\n      'more.cpp',\n")
        self.note("02-two", "- `beta`: two more", "- new `delta`, `more`: the idea")
        self.assertIn("300 lines added or changed", self.succeeds("check", "02"))
        self.edit("chapters/02-two/more.cpp", "  step(0);\n", "  step(0);\n  step(0);\n")
        self.fails("check", "02", saying=["chapters/02-two: 301 lines added or changed; at most 300"], errors=1)

    def test_chapter_that_may_be_larger(self):
        self.edit("tests/ladder.py", "LIMITS = {", 'LIMITS = {"02-two": 400,')
        self.fails("check", "02", saying=["LIMITS names 02-two, which adds or changes only 3 lines"], errors=1)
        self.write("chapters/02-two/more.h", "// More.\n" * 300)
        self.assertIn("303 lines added or changed", self.succeeds("check", "02"))
        self.write("chapters/04-side/more.h", "// And more.\n" * 301)
        self.fails("check", "04", saying=["chapters/04-side: 301 lines added or changed; at most 300"], errors=1)

    def test_too_long_a_file(self):
        for file, most in {"machine.cpp": 350, "main.cpp": 70}.items():
            text = self.read(f"chapters/01-one/{file}")
            full = text + "\n" * (most - text.count("\n"))
            self.write(f"chapters/01-one/{file}", full)
            self.succeeds("check", "01")
            self.write(f"chapters/01-one/{file}", full + "\n")
            self.fails("check", "01", saying=[f"chapters/01-one/{file}: {most + 1} lines; at most {most}"], errors=1)
            self.write(f"chapters/01-one/{file}", text)

    def test_include_of_another_chapter(self):
        for include in ("../01-one/machine.h", "chapters/01-one/machine.h", "01-one/machine.h"):
            text = self.read("chapters/02-two/main.cpp")
            self.edit("chapters/02-two/main.cpp", '"machine.h"', f'"{include}"')
            self.fails("check", "02", saying=[f'main.cpp: includes "{include}"'], errors=1)
            self.write("chapters/02-two/main.cpp", text)

    def test_files_and_table_agree(self):
        (self.root / "chapters/01-one/main.cpp").rename(self.root / "chapters/01-one/start.cpp")
        said = ["main.cpp: is in the table, but not there", "start.cpp: is there, but not in the table's 'sources'"]
        self.fails("check", "01", saying=said, errors=2)

    def write_snippet(self, symbol):
        """Writes a note with an empty code block for a symbol of 01-one. Returns its path."""
        self.write("notes/snippet.md", f"```cpp chapters/01-one/machine.cpp::{symbol}\n```\n")
        return str(self.root / "notes/snippet.md")


class Table(Tree):
    """The table in chapters/meson.build"""

    def test_malformed_table(self):
        last_row = TABLE[TABLE.index("  '04-side'") : TABLE.index("\n\nforeach")]
        for old, new, says in [
            ("chapters = {\n", "chapter = {\n", "no table that opens with"),
            (last_row, last_row.replace("branch'", "branch"), "meson.build:25: cannot parse `'idea': 'a branch,`"),
            (last_row, last_row.replace("[]", "'udp'"), "04-side: 'capabilities' must be a list of strings"),
            ("'the second',\n", "'the ' + second,\n", "only strings and lists of strings"),
            ("    'idea': 'the second',\n", "", "02-two has no 'idea'"),
            ("'the second',\n", "['the second'],\n", "02-two: 'idea' must be a string"),
            ("'parent': '01-one'", "'parent': '03-three'", "its parent '03-three' does not stand above it"),
            ("      'main.cpp',\n", "      '../01-one/main.cpp',\n", "'sources' must name files of its own directory"),
        ]:
            with self.subTest(says):
                self.write("chapters/meson.build", TABLE)
                self.edit("chapters/meson.build", old, new)
                self.fails("list", saying=["ladder.py: chapters/meson.build", says], status=2)

    def test_list(self):
        lines = self.succeeds("list").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["chapter", "01-one", "02-two", "03-three", "04-side"])
        self.assertEqual(lines[2].split(maxsplit=4)[1:], ["01-one", "48", "3", "the second"])

    def test_names_of_chapters(self):
        for word in ("02", "02-two", "chapters/02-two/"):
            self.assertIn("02-two against", self.succeeds("check", word))
        self.fails("check", "0", saying=["'0' means several of 01-one, 02-two"], status=2)
        self.fails("check", "07", saying=["'07' means none of 01-one, 02-two"], status=2)

    def test_another_ctags(self):
        tools = self.root / "bin"
        tools.mkdir()
        (tools / "git").symlink_to(shutil.which("git"))
        for text in ("#!/bin/sh\necho Exuberant Ctags 5.8\n", None):
            if text:
                (tools / "ctags").write_text(text)
                (tools / "ctags").chmod(0o755)
            else:
                (tools / "ctags").unlink()
            status, output = self.ladder("check", path=str(tools))
            self.assertEqual(status, 2)
            self.assertIn("apt install universal-ctags", output)


class Carry(Tree):
    """ladder.py carry"""

    def setUp(self):
        super().setUp()
        self.git("init", "-q")
        self.commit()

    FILE = "chapters/{}/machine.cpp"
    ALL = ("01-one", "02-two", "03-three", "04-side")

    def test_three_generations_and_a_branch(self):
        self.edit("chapters/01-one/machine.cpp", "hidden(m.level())", "hidden(m.level() - 1)")
        output = self.succeeds("carry", "01")
        for name in self.ALL:
            self.assertIn("hidden(m.level() - 1)", self.read(self.FILE.format(name)))
        self.assertEqual(output.count(": carried"), 3, output)
        self.assertIn("int epsilon", self.read("chapters/03-three/machine.cpp"))
        self.assertNotIn("int delta", self.read("chapters/04-side/machine.cpp"))
        self.succeeds("check")
        self.assertEqual(self.succeeds("carry", "01").count("has it already"), 1)

    def test_starts_in_the_middle(self):
        self.edit("chapters/02-two/machine.cpp", "return 4;", "return 44;")
        self.edit("chapters/01-one/machine.cpp", "return 7;", "return 77;")
        status, output = self.ladder("carry", "02")
        self.assertNotIn("77", self.read("chapters/02-two/machine.cpp"))
        self.assertIn("return 44;", self.read("chapters/03-three/machine.cpp"))
        self.assertEqual(status, 1, "the branch without delta is a conflict: " + output)

    def test_only_the_edits_of_the_chapter_itself(self):
        self.edit("chapters/01-one/machine.cpp", "hidden(m.level())", "hidden(m.level() - 1)")
        self.edit("chapters/02-two/machine.cpp", "return 7;", "return 77;")
        self.succeeds("carry", "01")
        self.assertNotIn("return 77;", self.read("chapters/03-three/machine.cpp"))
        self.succeeds("carry", "02")
        self.assertIn("return 77;", self.read("chapters/03-three/machine.cpp"))

    def test_dry_run_writes_nothing(self):
        self.edit("chapters/01-one/machine.cpp", "hidden(m.level())", "hidden(m.level() - 1)")
        before = {name: self.read(self.FILE.format(name)) for name in self.ALL}
        self.assertEqual(self.succeeds("carry", "01", "--dry-run").count("would be carried"), 3)
        self.assertEqual(before, {name: self.read(self.FILE.format(name)) for name in self.ALL})

    def test_base(self):
        self.edit("chapters/01-one/machine.cpp", "hidden(m.level())", "hidden(m.level() - 1)")
        self.commit()
        self.assertIn("edited since HEAD: nothing", self.succeeds("carry", "01"))
        self.succeeds("carry", "01", "--base", "HEAD~1")
        self.succeeds("check")
        self.fails("carry", "01", "--base", "HEAD~9", saying=["there is no commit HEAD~9"], status=2)

    def test_conflict_stops_its_branch_and_can_be_gone_on_from(self):
        self.edit("chapters/03-three/machine.cpp", "return 7;", "return 3 * 7;")
        self.write_chapter("05-leaf", self.read("chapters/03-three/machine.cpp"))
        row = TABLE[TABLE.index("  '04-side'") : TABLE.index("}\n\nforeach")]
        row = row.replace("04-side", "05-leaf").replace("02-two", "03-three")
        self.edit("chapters/meson.build", "\n}\n", "\n" + row + "}\n")
        self.commit()
        leaf = self.read("chapters/05-leaf/machine.cpp")

        self.edit("chapters/01-one/machine.cpp", "return 7;", "return 8;")
        said = ["03-three/machine.cpp: CONFLICT", "stopped at 03-three; still to come after it: 05-leaf",
                "mend machine.cpp in chapters/03-three, then: tests/ladder.py carry 03-three"]
        self.fails("carry", "01", saying=said)
        self.assertIn("return 8;", self.read("chapters/02-two/machine.cpp"))
        self.assertIn("<<<<<<< 03-three\n", self.read("chapters/03-three/machine.cpp"))
        self.assertIn(">>>>>>> 02-two, edited\n", self.read("chapters/03-three/machine.cpp"))
        self.assertEqual(leaf, self.read("chapters/05-leaf/machine.cpp"))
        self.assertIn("return 8;", self.read("chapters/04-side/machine.cpp"))

        self.fails("carry", "03", saying=["03-three/machine.cpp still holds conflict markers"], status=2)
        merged = self.read("chapters/02-two/machine.cpp").replace("return 8;", "return 9;")
        self.write("chapters/03-three/machine.cpp", merged + "\nint epsilon() { return 5; }\n")
        self.succeeds("carry", "03")
        self.assertIn("return 9;", self.read("chapters/05-leaf/machine.cpp"))

    def test_new_and_removed_files(self):
        self.write("chapters/01-one/clock.h", "int now();\n")
        self.write("chapters/02-two/spare.h", "int spare();\n")
        self.write("chapters/03-three/spare.h", "int spare();\n")
        self.write("chapters/04-side/spare.h", "int spare(int);\n")
        self.succeeds("carry", "01")
        for name in self.ALL:
            self.assertEqual(self.read(f"chapters/{name}/clock.h"), "int now();\n")
        self.commit()
        (self.root / "chapters/02-two/spare.h").unlink()
        self.fails("carry", "02", saying=["04-side/spare.h: CONFLICT: removed from 02-two, but different here"])
        self.assertFalse((self.root / "chapters/03-three/spare.h").exists())
        self.assertTrue((self.root / "chapters/04-side/spare.h").exists())

    def test_file_that_a_descendant_does_not_have(self):
        (self.root / "chapters/02-two/machine.h").unlink()
        self.commit()
        self.edit("chapters/01-one/machine.h", "// Owns: nothing.", "// Owns: little.")
        self.assertIn("left alone: this chapter has no such file", self.succeeds("carry", "01"))
        self.assertFalse((self.root / "chapters/02-two/machine.h").exists())

    def test_chapter_that_is_not_committed(self):
        self.git("rm", "-q", "-r", "--cached", "chapters/02-two")
        self.git("commit", "-q", "-m", "without")
        self.fails("carry", "02", saying=["chapters/02-two is not in HEAD"], status=2)


class Diff(Tree):
    """ladder.py diff"""

    def test_files_come_in_the_order_of_reading(self):
        self.edit("chapters/02-two/machine.h", "// Owns: nothing.", "// Owns: little.")
        self.edit("chapters/02-two/main.cpp", "return 0", "return 1")
        lines = self.succeeds("diff", "02").splitlines()
        files = [line.split("/")[-1] for line in lines if line.startswith("+++ ")]
        self.assertEqual(files, ["main.cpp", "machine.h", "machine.cpp"])  # each after its header, as the table says

        self.assertEqual(
            lines[0],
            "02-two against 01-one: 3 files, 5 lines added or changed, 3 removed; 3 symbols changed, 1 new, 0 gone",
        )
        self.assertIn("+++ chapters/02-two/machine.h", lines)

    def test_what_opens_a_file_comes_last(self):
        self.edit("chapters/02-two/main.cpp", '#include "machine.h"', '#include <cstdio>\n#include "machine.h"')
        self.edit("chapters/02-two/main.cpp", "return 0", "return 1")
        said = self.succeeds("diff", "02")
        code, _, heads = said.partition("\nWhat the files say of themselves, and what they include:\n")
        self.assertIn("+  return 1;\n", code)
        self.assertNotIn("#include", code)
        self.assertRegex(code, r"\+\+\+ chapters/02-two/main.cpp\n@@ -3,4 \+4,4 @@\n")  # lines of the files, not of their parts
        self.assertIn("+#include <cstdio>\n", heads)
        self.assertNotIn("return", heads)

    def test_colour_only_when_asked_for(self):
        self.assertNotIn("\033", self.succeeds("diff", "02"))
        self.assertIn("\033[32m", self.succeeds("diff", "02", "--color"))

    def test_against_another(self):
        self.assertIn("+int epsilon()", self.succeeds("diff", "03", "--against", "01"))
        self.assertIn("+int delta()", self.succeeds("diff", "03", "--against", "01"))
        self.fails("diff", "01", saying=["say --against"], status=2)


class Snippets(Tree):
    """ladder.py snippets"""

    def test_write_round_trips(self):
        self.write("README.md", "before\n\n```cpp chapters/02-two/machine.cpp::beta\n```\n\nafter\n")
        self.fails("snippets", saying=["README.md:3: is not the code of chapters/02-two/machine.cpp::beta"], errors=1)
        self.assertIn("README.md: code blocks refreshed: 1", self.succeeds("snippets", "--write"))
        code = "// Says more.\nint beta(int n) {\n  return n + 2;\n}\n"
        wanted = f"before\n\n```cpp chapters/02-two/machine.cpp::beta\n{code}```\n\nafter\n"
        self.assertEqual(self.read("README.md"), wanted)
        self.succeeds("snippets")
        self.succeeds("snippets", "--write")
        self.assertEqual(self.read("README.md"), wanted)

    def test_stale_block_in_a_note(self):
        self.write("notes/deep/talk.md", "```cpp chapters/02-two/machine.cpp::beta\n```\n")
        self.succeeds("snippets", "--write")
        self.edit("chapters/02-two/machine.cpp", "return n + 2;", "return n + 22;")
        output = self.fails("snippets", saying=["notes/deep/talk.md:1: is not the code"], errors=1)
        self.assertIn("-  return n + 2;", output)
        self.assertIn("+  return n + 22;", output)

    def test_several_symbols_overloads_and_indentation(self):
        first, second = "int gamma(int n) { return n; }\n", "int gamma(long n) { return 7; }\n"
        address = "chapters/01-one/machine.cpp::gamma#2 + gamma + chapters/02-two/main.cpp::main"
        self.write("notes/a.md", f"1. text\n\n   ```cpp {address}\n   ```\n")
        self.succeeds("snippets", "--write", str(self.root / "notes/a.md"))
        code = f"{second}\n{first}\nint main() {{\n  return 0;\n}}\n"
        indented = "".join(f"   {line}\n" if line else "\n" for line in code.splitlines())
        self.assertEqual(self.read("notes/a.md"), f"1. text\n\n   ```cpp {address}\n{indented}   ```\n")

    def test_declaration_where_there_is_no_definition(self):
        self.write("notes/a.md", "```cpp chapters/01-one/machine.h::alpha\n```\n")
        self.succeeds("snippets", "--write")
        self.assertIn("// Says hello.\n[[nodiscard]] int alpha(machine& m);\n```", self.read("notes/a.md"))

    def test_unknown_addresses(self):
        for address, says in {
            "chapters/01-one/none.cpp::beta": "there is no file chapters/01-one/none.cpp",
            "chapters/01-one/machine.cpp::betta": "has no `betta` (did you mean beta",
            "chapters/01-one/machine.cpp::gamma#3": "has no `gamma#3`",
            "chapters/01-one/machine.cpp::gamma#0": "has no `gamma#0`",
            "chapters/01-one/machine.cpp": "is not of the form",
            "beta": "is not of the form",
        }.items():
            for option in ([], ["--write"]):
                with self.subTest(address, option=option):
                    text = f"text\n~~~cpp {address}\nold\n~~~\n"
                    self.write("notes/a.md", text)
                    self.fails("snippets", *option, saying=["notes/a.md:2: ", says], errors=1)
                    self.assertEqual(self.read("notes/a.md"), text)

    def test_other_blocks_are_left_alone(self):
        text = "```cpp\nint sketch;\n```\n```sh run me\nx\n```\n````text\n```cpp chapters/none.cpp::x\n```\n````\n"
        self.write("notes/a.md", text)
        self.succeeds("snippets", "--write")
        self.assertEqual(self.read("notes/a.md"), text)

    def test_block_without_an_end(self):
        text = "```cpp chapters/01-one/machine.cpp::beta\nint x;\n\nand prose\n"
        self.write("notes/a.md", text)
        self.fails("snippets", "--write", saying=["notes/a.md:1: this code block has no end"], errors=1)
        self.assertEqual(self.read("notes/a.md"), text)

    def test_note_by_the_name_of_its_chapter(self):
        self.write("notes/a.md", "```cpp chapters/none.cpp::x\n```\n")
        self.succeeds("snippets", "02")
        self.fails("snippets", saying=["there is no file chapters/none.cpp"])
        self.fails("snippets", "01", saying=["there is no notes/01-one.md"], status=2)


if __name__ == "__main__":
    unittest.main()
