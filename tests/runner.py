#!/usr/bin/env python3
"""Builds, runs every test, and sums up: a front of `meson test`. Started by tests/run, which installs what is missing.

    tests/run                     everything
    tests/run 03                  what concerns one chapter (03, 3, 03-mwrite, mwrite)
    tests/run unit                one part; parts and chapters can be combined
    tests/run 03 04 contract      the contract tests of two chapters
    tests/run --long              with the soaks, and random tests that last
    tests/run clean               removes what these scripts have built

parts, in their order
    unit       each file of common/ by itself
    ladder     the chapters' copies are in step, the code in the notes is the code
    tools      the project's other tools
    contract   every chapter over sockets, by what it can do
    clients    real clients from outside, and memcached beside each chapter
    races      threads held on order, and what the notes break: before and after
    sanitize   unit and contract again: memory and undefined behaviour (build-asan), data races (build-tsan)
    clang      clang++ builds everything, with warnings as errors and an unsigned char (build-clang); unit again
    lint       clang-format, shellcheck and pyflakes have nothing to say, clang-tidy neither of what changed
    fuzz       hostile bytes, for a while
    bench      only if it is named: the bounds on speed that the project keeps
    fresh      only if it is named, alone: both commands of README on a bare Debian

A build with asserts, for a debugger or to see that each thread keeps to what is its own:
    tests/run 06 sanitize         makes build-asan/chapters/06-worker-pool (and build-tsan/…, where there are threads)

The last line is "N passed, N failed", counted in test programs, and the status is 0 if nothing failed.
"""
import argparse
import contextlib
import ctypes
import json
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "common" / "scripts"))

import chapters  # noqa: E402

PARTS = ("unit", "ladder", "tools", "contract", "clients", "races", "sanitize", "clang", "lint", "fuzz", "bench")
PARTS_OF_A_CHAPTER = ("contract", "clients", "races", "sanitize")
ON_REQUEST = ("bench",)
SCRIPTS = {
    "lint": ("tests/lint.py",),
    "fuzz": ("tests/fuzz/run",),
    "bench": ("tests/bench/run", "--check"),
}
NOT_RUN = 77  # the status of a test that lacks something
JOBS = (os.cpu_count() or 1) + 1  # one more than there are cores: now and then a test waits for a clock
CONTRACT = "tests/contract/contract"
LONG_FACTOR = 10
PR_SET_CHILD_SUBREAPER = 36
SANITIZED_FACTOR = 5  # as tests/meson.build has it
# With asserts; with line numbers but no more for a debugger, which compiles faster. The program that tests is the plain one.
SANITIZED = (
    "-Dwerror=true", "-Db_ndebug=false", "-Doptimization=1", "-Ddebug=false", "-Dcpp_args=-g1",
    f"-Dcontract={TOP / 'build' / CONTRACT}",
)  # fmt: skip
OPTIONS = {
    "build": (),
    "build-asan": ("-Db_sanitize=address,undefined", *SANITIZED),
    "build-tsan": ("-Db_sanitize=thread", *SANITIZED),
    "build-clang": ("-Dwerror=true", "-Doptimization=0", "-Ddebug=false", "-Dcpp_args=-funsigned-char"),
}
VERDICTS = {"OK": "passed", "SKIP": "skipped"}  # of Meson's; all others are failures


def hears_a_hangup() -> None:
    """In a child: under nohup we ignore SIGHUP, and what is tested there would, too."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass
class Result:
    """How a test ended."""

    part: str
    name: str
    verdict: str
    reason: str = ""


class Screen:
    """Progress: a live line on a terminal; elsewhere a line now and then, for what takes long."""

    EVERY = 20  # seconds between two lines where there is no terminal

    def __init__(self):
        self._tty = sys.stdout.isatty()
        self._colour = self._tty and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._told = time.monotonic()

    def say(self, text: str = "", colour: str = "") -> None:
        codes = {"red": "31", "yellow": "33", "dim": "2"}
        text = f"\x1b[{codes[colour]}m{text}\x1b[0m" if self._colour and colour else text
        print(("\r\x1b[K" if self._tty else "") + text, flush=True)
        self._told = time.monotonic()

    def progress(self, text: str) -> None:
        if self._tty:
            print(f"\r\x1b[K{text[: os.get_terminal_size().columns - 1]}", end="", flush=True)
        elif time.monotonic() - self._told > self.EVERY:
            self.say(text)


class Runner:
    """Has the parts run, one build directory after the other, and keeps the score."""

    # What Ninja and Meson say of their progress, and what they say besides that nobody wants to read.
    PROGRESS = re.compile(r"\[\d+/\d+\] |\s*\d+/\d+ .* (OK|SKIP) ")
    NOISE = re.compile(r"ninja: (Entering|no work)|(Ok|Expected Fail|Fail|Unexpected Pass|Skipped|Timeout): |Full log|Summary of|>>> |$")

    def __init__(self, wanted: list[chapters.Chapter], long: bool):
        self._wanted = wanted
        self._long = long
        self._screen = Screen()
        self.results: list[Result] = []
        self.seconds: Counter[str] = Counter()

    def call(self, what: str, command: list[str], plain: bool = False, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Runs it to its end, its progress on the screen, and all else that it says too. `plain`: as it says it.

        It has a session of its own: Ctrl-C reaches us alone, and we end it, with all that it has started.
        """
        begin, said, line = time.monotonic(), [], ""
        process = subprocess.Popen(
            command, cwd=TOP, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"} | (env or {}),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=hears_a_hangup,
        )  # fmt: skip
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(process.stdout, selectors.EVENT_READ)
                rest = b""
                while True:
                    if ready.select(timeout=0.5):
                        if not (data := os.read(process.stdout.fileno(), 65536)):
                            break
                        *lines, rest = (rest + data).split(b"\n")
                        for text in (each.decode(errors="replace").rstrip() for each in lines):
                            said.append(text)
                            if self.PROGRESS.match(text):
                                line = text.strip()
                            elif plain or not self.NOISE.match(text.strip()):
                                self._screen.say(text)
                    self._screen.progress(f"  {what:<12}{time.monotonic() - begin:6.1f} s   {line}")
            status = process.wait()
        except BaseException:
            self.stop(process)
            raise
        self.seconds[what] += time.monotonic() - begin
        return status, "\n".join(said)

    @staticmethod
    def stop(process: subprocess.Popen) -> None:
        """Meson ends its tests, Ninja its compilers, the fuzzer its targets: each hears SIGTERM, and has a while."""
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        while left := family(os.getpid()):  # Meson forgets a test that has only just begun
            for each in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            os.wait()

    # ---- one build directory ----

    def set_up(self, name: str) -> bool:
        """So that Meson knows its tests and its targets. False: that failed, and counts."""
        directory, options = TOP / name, OPTIONS[name]
        command, env = ["ninja", "-C", name, "build.ninja"], {}
        if not (directory / "build.ninja").exists():
            command = ["meson", "setup", *options, name]
            env = {"CXX": "clang++"} if name == "build-clang" else {}
        elif any(option not in self._options_of(directory) for option in options):
            command = ["meson", "setup", "--reconfigure", *options, name]
        done = subprocess.run(
            command, cwd=TOP, env=os.environ | env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode == 0:
            return True
        if missing := re.search(r"not run: (.*)", done.stdout):
            self._add(Result(name, name, "skipped", missing[1]))
        else:
            self._screen.say(done.stdout)
            self._add(Result(name, name, "failed"), shlex.join(command))
        return False

    @staticmethod
    def _options_of(directory: Path) -> set[str]:
        known = json.loads((directory / "meson-info" / "intro-buildoptions.json").read_text(encoding="utf-8"))
        texts = {True: "true", False: "false"}
        return {
            f"-D{each['name']}={' '.join(v) if isinstance(v := each['value'], list) else texts.get(v, v) if isinstance(v, bool) else v}"
            for each in known
        }

    def build(self, name: str, targets: list[str]) -> bool:
        command = ["ninja", "-C", name, *targets]
        if self.call(name, command)[0] == 0:
            return True
        self._add(Result(name, name, "failed"), shlex.join(command))
        return False

    def run_tests(self, name: str, suites: dict[str, str], everything: bool = False) -> None:
        """Builds what the tests of these suites need and runs them. `suites`: by which part each is reported."""
        if not self.set_up(name):
            return
        info = TOP / name / "meson-info"
        files = {
            target["id"]: os.path.relpath(target["filename"][0], TOP / name)
            for target in json.loads((info / "intro-targets.json").read_text(encoding="utf-8"))
        }
        part_of, targets = {}, set()
        for test in json.loads((info / "intro-tests.json").read_text(encoding="utf-8")):
            parts = [suites[s] for s in (suite.rpartition(":")[2] for suite in test["suite"]) if s in suites]
            if parts and (
                not self._wanted
                or parts[0] not in PARTS_OF_A_CHAPTER
                or any(c.name in test["name"] for c in self._wanted)
            ):
                part_of[test["name"]] = parts[0]
                targets.update(files[target] for target in test["depends"])
        for part in {*suites.values()} - {*part_of.values()}:
            self._screen.say(f"  {name:<12}   –       no {part} for {', '.join(c.name for c in self._wanted)}")
        if not part_of or (targets or everything) and not self.build(name, [] if everything else sorted(targets)):
            return
        factor = (LONG_FACTOR if self._long else 1) * (SANITIZED_FACTOR if "contract" in " ".join(OPTIONS[name]) else 1)
        command = ["meson", "test", "-C", name, "--no-rebuild", f"--num-processes={JOBS}", f"--timeout-multiplier={factor}"]
        log = TOP / name / "meson-logs" / "testlog.json"
        log.unlink(missing_ok=True)
        status, said = self.call(name, [*command, *part_of], env={"DRIVE_MACHINE_LONG": "1"} if self._long else None)
        tests = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        if len(tests) < len(part_of):
            self._screen.say(said)
            self._add(Result(name, name, "failed"), shlex.join([*command, *part_of]))
        for test in tests:
            title, output = test["name"].rpartition(" / ")[2], (test.get("stdout", "") + test.get("stderr", "")).rstrip()
            verdict = VERDICTS.get(test["result"], "failed")
            reason = output.rpartition("\n")[2].removeprefix("not run: ") or "it said no reason"
            again = shlex.join(["meson", "test", "-C", name, "-v", title])
            self._add(Result(part_of[title], title, verdict, reason), again, f"{output}\n{test['result'].lower()}")
            if verdict == "passed" and (some := re.search(r"skipped=(\d+)\)$", output)):
                self._screen.say(f"  {title}: {some[1]} of its cases did not run", "yellow")

    def _add(self, result: Result, again: str = "", output: str = "") -> None:
        self.results.append(result)
        if result.verdict == "failed":
            self._screen.say(f"---- {result.part}: {result.name} failed ----", "red")
            if output:
                self._screen.say(output)
            self._screen.say(f"---- again: {again}", "red")

    # ---- all of it ----

    def run(self, parts: list[str]) -> None:
        plain = [part for part in parts if part in ("unit", "ladder", "tools", "contract", "clients", "races")]
        if plain:
            self.run_tests("build", {part: part for part in plain})
        if "sanitize" in parts:
            kind = "sanitize-long" if self._long else "sanitize-chapter" if self._wanted else "sanitize"
            if self.set_up("build") and self.build("build", [CONTRACT]):
                self.run_tests("build-asan", {kind: "sanitize"})
                self.run_tests("build-tsan", {kind: "sanitize"})
        if "clang" in parts:
            if shutil.which("clang++"):
                self.run_tests("build-clang", {"unit": "clang"}, everything=True)
            else:
                self._add(Result("clang", "clang", "skipped", "there is no clang++"))
        for part in (part for part in parts if part in SCRIPTS):
            if part == "lint" and not self.set_up("build"):
                continue
            command = [*SCRIPTS[part], *(["--long"] if self._long and part == "fuzz" else [])]
            status, said = self.call(part, command, plain=True)
            verdict = {0: "passed", NOT_RUN: "skipped"}.get(status, "failed")
            for reason in re.findall(r"^not run: (.*)", said, re.MULTILINE):
                self._add(Result(part, part, "skipped", reason))
            if verdict != "skipped":
                self._add(Result(part, part, verdict), shlex.join(command))

    def summary(self) -> int:
        say = self._screen.say
        say()
        for part in dict.fromkeys(r.part for r in self.results):
            counts = Counter(r.verdict for r in self.results if r.part == part)
            say(f"  {part:<12}{text_of(counts)}", "red" if counts["failed"] else "")
        say("  " + ", ".join(f"{what} {seconds:.0f} s" for what, seconds in self.seconds.items()), "dim")
        for verdict, title in (("failed", "failed"), ("skipped", "not run")):
            for result in (r for r in self.results if r.verdict == verdict):
                say(f"  {title}: {result.name}" + (f": {result.reason}" if verdict == "skipped" else ""))
        say()
        total = Counter(r.verdict for r in self.results)
        say(text_of(total))
        return 1 if total["failed"] else 0


def text_of(counts: Counter) -> str:
    return f"{counts['passed']} passed, {counts['failed']} failed" + (f", {counts['skipped']} skipped" if counts["skipped"] else "")


def family(pid: int) -> list[int]:
    """Its children, and theirs."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lists = (path.read_text(encoding="ascii") for path in Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(word) for text in lists for word in text.split()]
        return [each for child in children for each in (*family(child), child)]
    return []


def clean() -> int:
    for directory in (*OPTIONS, "build-fuzz"):
        shutil.rmtree(TOP / directory, ignore_errors=True)
    return 0


def arguments(words: list[str]) -> tuple[list[chapters.Chapter], list[str], bool]:
    """Chapters and parts in any order. Ends the program with status 64 if a word is neither."""
    parser = argparse.ArgumentParser(
        prog="tests/run", description=__doc__.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="tests/run [CHAPTER]... [PART]... [--long]",
    )  # fmt: skip
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


def main(words: list[str]) -> int:
    if words == ["clean"]:
        return clean()
    wanted, parts, long = arguments(words)
    runner = Runner(wanted, long)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # whoever loses its parent becomes ours
    try:
        runner.run(parts)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return runner.summary()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
