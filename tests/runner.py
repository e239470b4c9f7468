#!/usr/bin/env python3
"""Builds, runs every test, and sums up. Started by tests/run, which installs what is missing.

    tests/run                     everything
    tests/run 03                  what concerns one chapter (03, 3, 03-mwrite, mwrite)
    tests/run unit                one part; parts and chapters can be combined
    tests/run 03 04 contract      the contract tests of two chapters
    tests/run --long              with the soaks, and random tests that last
    tests/run fresh               instead: both commands of README on bare machines in a folder (debootstrap, as root)

parts, in their order
    unit       each file of common/ by itself
    ladder     the chapters' copies are in step, the code in the notes is the code
    tools      the project's other tools
    contract   every chapter over sockets, by what it can do
    clients    real clients from outside, and memcached beside each chapter
    sanitize   unit and contract again: memory and undefined behaviour (build-asan), data races (build-tsan)
    fuzz       hostile bytes, for a while
    bench      only if it is named: the bounds on speed that the project keeps

The last line is "N passed, N failed", and the status is 0 if nothing failed.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "common" / "scripts"))

import chapters  # noqa: E402

PARTS = ("unit", "ladder", "tools", "contract", "clients", "sanitize", "fuzz", "bench")
PARTS_OF_A_CHAPTER = ("contract", "clients", "sanitize")
ON_REQUEST = ("bench",)
NOT_RUN = 77  # the status of a test that lacks something
JOBS = (os.cpu_count() or 1) + 1  # one more than there are cores: now and then a test waits for a clock
CONTRACT = Path("tests", "contract", "contract")  # in a build directory
# Suites of it: what is about connections and what is about threads, and not about commands, which are common/'s.
ABOUT_THREADS = ("threads", "fairness", "pause", "stop", "reuse", "udp", "maxconns")
ABOUT_CONNECTIONS = (*ABOUT_THREADS, "line", "multiget", "bulk", "swallow", "unix", "binary", "proxy")
LONG_FACTOR = 10

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


@dataclass(frozen=True)
class Test:
    """One process to run."""

    name: str
    command: tuple[str, ...]
    seconds: float
    env: tuple[tuple[str, str], ...] = ()
    parallel: bool = True

    def concerns(self, chapter: chapters.Chapter) -> bool:
        return any(f"chapters/{chapter.name}" in word for word in self.command)

    def programs(self, directory: Path) -> list[str]:
        """What must have been built for it, as Ninja names it."""
        paths = [Path(word.rpartition("=")[2]) for word in self.command]
        return [str(path.relative_to(directory)) for path in paths if path.is_relative_to(directory)]


@dataclass
class Tally:
    """Test cases, and what did not run."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    not_run: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.not_run += other.not_run

    def text(self) -> str:
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


def count(output: str, status: int) -> Tally:
    """The cases that a test program counted itself: doctest's, unittest's, or a plain closing line's; else it is one case."""
    tally = Tally()
    for total, passed, failed in re.findall(
        r"^\[doctest\] test cases: +(\d+) \| +(\d+) passed \| +(\d+) failed", output, re.MULTILINE
    ):
        tally.add(Tally(int(passed), int(failed)))
    for total, verdict in re.findall(r"^Ran (\d+) tests? in .*\n\n(?:OK|FAILED)(.*)$", output, re.MULTILINE):
        numbers = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", verdict)}
        failed = numbers.get("failures", 0) + numbers.get("errors", 0)
        skipped = numbers.get("skipped", 0)
        tally.add(Tally(max(0, int(total) - failed - skipped), failed, skipped))
    for passed, failed, skipped in re.findall(
        r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", output, re.MULTILINE
    ):
        tally.add(Tally(int(passed), int(failed), int(skipped or 0)))
    if status != 0 and tally.failed == 0:
        tally.failed = 1  # it crashed, or failed before it could count
    elif status == 0 and tally.passed + tally.skipped == 0:
        tally.passed = 1
    return tally


def absolute(word: str, directory: Path) -> str:
    """A word of a command as it is written anywhere else. Meson's are relative to the build directory, or pass through it."""
    option, equals, path = word.rpartition("=")
    return option + equals + os.path.normpath(directory / path) if "/" in path else word


class Screen:
    """Progress: a live line on a terminal; elsewhere a line now and then, for what takes long."""

    EVERY = 20  # seconds between two lines where there is no terminal

    def __init__(self):
        self._tty = sys.stdout.isatty()
        self._colour = self._tty and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()
        self._told = time.monotonic()

    def paint(self, colour: str, text: str) -> str:
        codes = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
        return f"\x1b[{codes[colour]}m{text}\x1b[0m" if self._colour else text

    def say(self, text: str = "") -> None:
        with self._lock:
            print(("\r\x1b[K" if self._tty else "") + text, flush=True)
            self._told = time.monotonic()

    def progress(self, text: str) -> None:
        with self._lock:
            if self._tty:
                print(f"\r\x1b[K{text[: os.get_terminal_size().columns - 1]}", end="", flush=True)
            elif time.monotonic() - self._told > self.EVERY:
                print(text, flush=True)
                self._told = time.monotonic()


class Runner:
    """Runs the parts and keeps the score. Owns: the processes that it starts, in sessions of their own."""

    def __init__(self, wanted: list[chapters.Chapter], long: bool):
        self._wanted = wanted
        self._long = long
        self._screen = Screen()
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self.score: dict[str, Tally] = {}

    # ---- one process ----

    def _run(self, test: Test, directory: Path) -> tuple[Tally, str]:
        """Returns the count, and all that it said."""
        env = os.environ | dict(test.env) | {"PYTHONDONTWRITEBYTECODE": "1"}
        if self._long:
            env["DRIVE_MACHINE_LONG"] = "1"
        seconds = test.seconds * (LONG_FACTOR if self._long else 1)
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                test.command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            with self._lock:
                self._running.add(process)
            try:
                status, late = process.wait(seconds), ""
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                status, late = process.wait(), f"\nstopped: it ran for more than {seconds:g} s"
            finally:
                with self._lock:
                    self._running.discard(process)
            log.seek(0)
            output = log.read().decode(errors="replace").rstrip() + late
        if status == NOT_RUN and not late:
            reason = output.splitlines()[-1] if output else "it said no reason"
            return Tally(skipped=1, not_run=[f"{test.name}: {reason.removeprefix('not run: ')}"]), output
        tally = count(output, status)
        if tally.skipped:
            tally.not_run.append(f"{test.name}: {tally.skipped} of its cases")
        return tally, output

    def stop(self) -> None:
        """Ends what still runs."""
        with self._lock:
            for process in self._running:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    # ---- many of them ----

    def run_tests(self, part: str, tests: list[Test], directory: Path) -> None:
        tally = self.score.setdefault(part, Tally())
        if not tests:
            self._screen.say(f"  {part:<10}   –       nothing here for {', '.join(c.name for c in self._wanted) or 'it'}")
            return
        begin, done = time.monotonic(), 0
        under_way: set[str] = set()

        def one(test: Test) -> tuple[Test, Tally, str]:
            under_way.add(test.name)
            try:
                return test, *self._run(test, directory)
            finally:
                under_way.discard(test.name)

        for group in ([t for t in tests if t.parallel], [t for t in tests if not t.parallel]):
            with concurrent.futures.ThreadPoolExecutor(JOBS if group and group[0].parallel else 1) as pool:
                waiting = {pool.submit(one, test) for test in group}
                try:
                    while waiting:
                        ready, waiting = concurrent.futures.wait(
                            waiting, timeout=0.5, return_when=concurrent.futures.FIRST_COMPLETED
                        )
                        for future in ready:
                            test, result, output = future.result()
                            done += 1
                            tally.add(result)
                            if result.failed:
                                self._show_failure(part, test, output)
                        elapsed = time.monotonic() - begin
                        self._screen.progress(
                            f"  {part:<10}{elapsed:6.1f} s   {done} of {len(tests)} programs, {tally.text()}"
                            f"   {', '.join(sorted(under_way))}"
                        )
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        tally.seconds += time.monotonic() - begin
        self._close(part, tally)

    def _show_failure(self, part: str, test: Test, output: str) -> None:
        self._screen.say(self._screen.paint("red", f"---- {part}: {test.name} failed ----"))
        self._screen.say(output)
        env = "".join(f"{name}={shlex.quote(value)} " for name, value in test.env)
        self._screen.say(self._screen.paint("red", f"---- again: {env}{shlex.join(test.command)}"))

    def _close(self, part: str, tally: Tally) -> None:
        colour = "red" if tally.failed else "green"
        self._screen.say(f"  {part:<10}{tally.seconds:6.1f} s   {self._screen.paint(colour, tally.text())}")

    def not_run(self, part: str, reason: str) -> None:
        tally = self.score.setdefault(part, Tally())
        tally.skipped += 1
        tally.not_run.append(f"{part}: {reason}")
        self._screen.say(f"  {part:<10}   –       {self._screen.paint('yellow', 'not run: ' + reason)}")

    # ---- building ----

    def build(self, name: str, options: tuple[str, ...] = (), compiler: str = "", targets: tuple[str, ...] = ()) -> Path | None:
        """Brings a build directory up to date. None: that failed, and counts."""
        directory = TOP / name
        tally = self.score.setdefault(name, Tally())
        begin = time.monotonic()
        env = os.environ | ({"CXX": compiler} if compiler else {})
        env["NINJA_STATUS"] = "[%f/%t] "
        ok = True
        for command in self._build_commands(directory, options, targets):
            process = subprocess.Popen(
                command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            lines = []
            for line in process.stdout:
                lines.append(line)
                elapsed = time.monotonic() - begin
                self._screen.progress(f"  {name:<10}{elapsed:6.1f} s   {line.rstrip()}")
            if process.wait() != 0:
                self._screen.say(self._screen.paint("red", f"---- {name} failed ----"))
                self._screen.say("".join(l for l in lines if not re.match(r"\[\d+/\d+\] (Compiling|Linking)", l)).rstrip())
                self._screen.say(self._screen.paint("red", f"---- again: {shlex.join(command)}"))
                ok = False
                break
        tally.seconds += time.monotonic() - begin
        if not ok:
            tally.failed += 1
        verdict = self._screen.paint("green", "built") if ok else self._screen.paint("red", "not built")
        self._screen.say(f"  {name:<10}{tally.seconds:6.1f} s   {verdict}")
        return directory if ok else None

    @staticmethod
    def _build_commands(directory: Path, options: tuple[str, ...], targets: tuple[str, ...]):
        if not (directory / "build.ninja").exists():
            yield ["meson", "setup", *options, str(directory), str(TOP)]
        yield ["ninja", "-C", str(directory), "build.ninja"]  # what Meson makes of a changed table; shown only if it fails
        yield ["ninja", "-C", str(directory), *targets]

    def tests_in(self, directory: Path, suite: str, slower: float = 1, env: dict[str, str] | None = None) -> list[Test]:
        """The tests of a part, as Meson knows them, less those of chapters that are not wanted."""
        known = json.loads((directory / "meson-info" / "intro-tests.json").read_text(encoding="utf-8"))
        tests = [
            Test(
                entry["name"],
                tuple(absolute(word, directory) for word in entry["cmd"]),
                entry["timeout"] * slower,
                tuple(sorted(((env or {}) | entry["env"]).items())),
                entry["is_parallel"],
            )
            for entry in known
            if any(name.rpartition(":")[2] == suite for name in entry["suite"])
        ]
        if self._wanted and suite in PARTS_OF_A_CHAPTER:
            tests = [t for t in tests if any(t.concerns(c) for c in self._wanted)]
        return tests

    # ---- the parts ----

    def sanitize(self) -> None:
        """The unit tests and the contract again. The servers are sanitized; the program that tests them is the plain one."""
        if "build" not in self.score and not self.build("build", targets=(str(CONTRACT),)):
            return
        table = chapters.read_table()
        self._sanitize_with("asan", "address,undefined", table, ABOUT_CONNECTIONS, ("unit", "unit-threads"))
        # What has one thread has nothing that TSan could find.
        threaded = [c for c in table if c.capabilities & {"threads", "pools"}]
        self._sanitize_with("tsan", "thread", threaded, ABOUT_THREADS, ("unit-threads",))

    def _sanitize_with(
        self, name: str, sanitizer: str, concerned: list[chapters.Chapter], brief: tuple[str, ...], units: tuple[str, ...]
    ) -> None:
        """`brief`: the suites for chapters that live on in another one, which is tested whole. With --long all are."""
        table = chapters.read_table()
        parents = set() if self._long or self._wanted else {c.parent for c in table}
        working = find_compiler(sanitizer)
        if not working:
            self.not_run(name, f"no compiler here makes programs with -fsanitize={sanitizer} that run")
            return
        compiler, prefix = working
        # With asserts; with line numbers but no more for a debugger, which compiles faster.
        options = (
            f"-Db_sanitize={sanitizer}", "-Db_ndebug=false", "-Dwerror=false", "-Doptimization=1", "-Ddebug=false",
            "-Dcpp_args=-g1",
        )
        directory = TOP / f"build-{name}"
        if not self.build(f"build-{name}", options, compiler, ("build.ninja",)):  # which tests there are, it knows
            return
        tests = []
        for test in self.tests_in(directory, "contract", 5, SANITIZER_OPTIONS):
            about = next(c for c in reversed(table) if test.concerns(c))  # a proxy's test names the server behind it, too
            if about in concerned:
                suites = (f"--test-suite={','.join(brief)}",) if about.name in parents else ()
                tests.append(replace(test, command=(str(TOP / "build" / CONTRACT), *test.command[1:], *suites)))
        if not self._wanted:
            tests = [t for t in self.tests_in(directory, "unit", 5, SANITIZER_OPTIONS) if t.name in units] + tests
        tests = [replace(t, command=(*prefix, *t.command)) for t in tests]
        targets = sorted({program for test in tests for program in test.programs(directory)})
        if tests and self.build(f"build-{name}", options, compiler, tuple(targets)):
            self.run_tests(name, tests, directory)

    def script(self, part: str, path: Path, *arguments: str) -> None:
        """A part that is a program of its own. It may not be there yet."""
        if not path.exists():
            self.score.setdefault(part, Tally())
            return
        self.run_tests(part, [Test(part, (str(path), *arguments), 3600)], TOP)

    def run(self, parts: list[str]) -> None:
        directory = TOP / "build"
        if set(parts) - {"sanitize", "fuzz"} and not self.build("build"):
            for part in parts:
                self.not_run(part, "the build failed")
            return
        for part in parts:
            if part == "sanitize":
                self.sanitize()
            elif part == "fuzz":
                self.script("fuzz", TOP / "tests" / "fuzz" / "run")
            elif part == "bench":
                self.script("bench", TOP / "tests" / "bench" / "run", "--check")
            else:
                self.run_tests(part, self.tests_in(directory, part), directory)

    def summary(self) -> int:
        say, total = self._screen.say, Tally()
        say()
        say(self._screen.paint("dim", f"  {'part':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'time':>10}"))
        for part, tally in self.score.items():
            total.add(tally)
            if tally.seconds or tally.skipped or tally.failed:
                counts = (tally.passed, tally.failed, tally.skipped)
                passed, failed, skipped = ("–" if part.startswith("build") and not n else n for n in counts)
                row = f"  {part:<12}{passed:>8}{failed:>8}{skipped:>9}{tally.seconds:>8.1f} s"
                say(self._screen.paint("red", row) if tally.failed else row)
        if total.not_run:
            say("\n  not run")
            for reason in total.not_run:
                say(f"    {reason}")
        say()
        say(total.text())
        return 1 if total.failed else 0


def find_compiler(sanitizer: str) -> tuple[str, tuple[str, ...]] | None:
    """A compiler whose sanitized programs run here, and what to put before them.

    TSan's older runtimes do not bear the many random bits of address that newer kernels give; setarch -R takes them away.
    """
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory) / "try.cpp", Path(directory) / "try"
        source.write_text("#include <thread>\nint main() { std::jthread([] {}); }\n", encoding="ascii")
        for compiler in ("g++", "clang++"):
            try:
                made = subprocess.run(
                    [compiler, "-std=c++20", "-pthread", f"-fsanitize={sanitizer}", "-o", program, source], capture_output=True
                )
            except FileNotFoundError:
                continue
            if made.returncode != 0:
                continue
            for prefix in ((), ("setarch", "-R")):
                try:
                    if subprocess.run([*prefix, program], capture_output=True, timeout=60).returncode == 0:
                        return compiler, prefix
                except (FileNotFoundError, subprocess.TimeoutExpired):
                    continue
    return None


def arguments(words: list[str]) -> tuple[list[chapters.Chapter], list[str], bool]:
    """Chapters and parts in any order. Ends the program with status 64 if a word is neither."""
    parser = argparse.ArgumentParser(
        prog="tests/run", description=__doc__.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="tests/run [CHAPTER]... [PART]... [--long]",
    )
    parser.error = lambda message: (print(f"tests/run: {message}", file=sys.stderr), sys.exit(64))
    parser.add_argument("words", nargs="*", metavar="CHAPTER or PART", help=argparse.SUPPRESS)
    parser.add_argument("--long", action="store_true", help="with the soaks, and random tests that last")
    options = parser.parse_intermixed_args(words)
    table, wanted, parts = chapters.read_table(), [], []
    for word in options.words:
        if word in PARTS:
            parts.append(word)
            continue
        try:
            wanted.append(chapters.find(word, table))
        except chapters.NoSuchChapter as problem:
            parser.error(f"{problem}; the parts are {', '.join(PARTS)}")
    if not parts:
        parts = [p for p in (PARTS_OF_A_CHAPTER if wanted else PARTS) if p not in ON_REQUEST]
    return wanted, [p for p in PARTS if p in parts], options.long


def main() -> int:
    wanted, parts, long = arguments(sys.argv[1:])
    runner = Runner(wanted, long)
    try:
        runner.run(parts)
    except KeyboardInterrupt:
        runner.stop()
        print("\nstopped", file=sys.stderr)
        return 130
    return runner.summary()


if __name__ == "__main__":
    sys.exit(main())
