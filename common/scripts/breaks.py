#!/usr/bin/env python3
"""The break-its of the notes: a chapter is copied, broken, built, and run before and after.

    breaks.py list            all of them
    breaks.py run 06          those of a chapter, and the first one of them is run
    breaks.py run 06 NAME     that one

Exit status: 0 both are what the note says; 1 they are not; 64 there is no such break-it.
"""
import argparse
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import chapters
from broken import (
    TOP,
    Break,
    BreakFailed,
    broken_files,
    build_broken,
    chapter_program,
    difference,
    ladder,
    one_at_a_time,
    read_breaks,
    server_behind,
)
from server import Server, ServerFailed, held_port

EXPERIMENTS = TOP / "notes" / "experiments"
MOST_LINES = 40  # of what a server says
# And how they are shown.
WORDS = {"{port}": "PORT", "{pid}": "PID", "{conduct}": "PATH", "{server}": "HOST:PORT", "{program}": "PROGRAM"}


# ---- Running ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    what: str  # "as it is", "broken"
    program: Path
    serve: list[str]
    run: list[str]
    patterns: list[str]
    never: list[str]
    patience: float  # seconds, for its end

    @property
    def starts_itself(self) -> bool:
        """Whether the experiment starts the program, as one of several."""
        return "{program}" in self.run

    def __str__(self) -> str:
        if self.starts_itself:
            return f"{self.what}:   {filled(' '.join(self.run), WORDS | {'{program}': self.program.name})}"
        conduct = ["--conduct", "PATH"] if "{conduct}" in self.run else []
        words = [self.program.name, *self.serve, *conduct, "  ", *self.run]
        return f"{self.what}:   {filled(' '.join(words), WORDS)}"


def filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def sides(broken: Break, program: Path, worse: Path) -> list[Side]:
    serve = broken.serve if broken.serve_after is None else broken.serve_after
    run = broken.run if broken.run_after is None else broken.run_after
    return [
        Side("as it is", program, broken.serve, broken.run, broken.before, broken.never_before, 20),
        Side("broken", worse, serve, run, broken.after, broken.never_after, 1),
    ]


def ran(side: Side, words: dict[str, str]) -> str:
    """Runs the experiment, and returns what it says."""
    place = TOP / "common" / "scripts" if side.run[0] == "talk.py" else EXPERIMENTS
    command = [place / side.run[0], *(filled(word, words) for word in side.run[1:])]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout


def played(side: Side, under: Sequence[str]) -> str:
    """Serves, runs the experiment, and returns what was said: by the experiment, by the server, and of its end."""
    if side.starts_itself:
        return ran(side, {"{program}": str(side.program)})
    with contextlib.ExitStack() as stack:
        room = stack.enter_context(tempfile.TemporaryDirectory(prefix="drive_machine-"))
        held = stack.enter_context(held_port())
        words = {"{port}": str(held.getsockname()[1]), "{conduct}": f"{room}/conduct"}
        if any("{server}" in word for word in side.serve):
            words["{server}"] = stack.enter_context(Server(server_behind())).address
        conduct = ["--conduct", words["{conduct}"]] if "{conduct}" in side.run else []
        serve = [filled(word, words) for word in side.serve]
        server = Server(side.program, *serve, *conduct, port=int(words["{port}"]), under=under)
        try:
            words["{pid}"] = str(server.process.pid)
            said = ran(side, words)
            status = server.process.poll()
            ends = True
            if status is None:
                server.process.send_signal(signal.SIGTERM)
                try:
                    server.process.wait(side.patience)
                except subprocess.TimeoutExpired:
                    ends = False
            lines = server.said().splitlines()
            if len(lines) > MOST_LINES:
                lines[MOST_LINES:] = [f"(and {len(lines) - MOST_LINES} lines more)"]
            if status is not None:
                lines.append(f"the server has ended: {signal.Signals(-status).name if status < 0 else f'status {status}'}")
            elif not ends:
                lines.append("the server does not end when it is asked to")
            return said + "".join(f"{line}\n" for line in lines)
        finally:
            server.kill()


def complaint(side: Side, text: str) -> str:
    """What of the output is not as the note says; "" if all is."""
    rest = iter(text.splitlines())
    for pattern in side.patterns:
        if not any(re.search(pattern, line) for line in rest):
            return f"{side.what}: no line, or none in its place, is like\n  {pattern}"
    for pattern in side.never:
        if re.search(pattern, text):
            return f"{side.what}: it should not say\n  {pattern}"
    return ""


def play(broken: Break, program: Path, times: int = 1, say=print) -> None:
    """Runs it before and after, and shows both. Raises BreakFailed where they are not what the note says."""
    say(f"{broken.number} {broken.name}: {broken.idea}")
    files = broken_files(broken)
    under = ["setarch", "-R"] if broken.sanitize == "thread" else []  # its older runtimes do not bear all random addresses
    with one_at_a_time(program):
        worse = build_broken(broken, files, program) if files else program
        for side in sides(broken, program, worse):
            if side.what == "broken" and files:
                say(f"\n{difference(files)}")
            say(f"\n{side}")
            for _ in range(times):
                text = played(side, under)
                say(text, end="")
                if why := complaint(side, text):
                    raise BreakFailed(f"Note {broken.number} says something else. {why}\n{'' if say is print else text}".rstrip())


# ---- The command line ------------------------------------------------------------------------------------------------


def show(those: list[Break]) -> None:
    width = max(len(each.name) for each in those)
    for each in those:
        print(f"  {each.number}  {each.name:<{width}}  {each.idea}")


def chosen(word: str, name: str | None, those: list[Break]) -> list[Break]:
    """The break-its of a chapter, the one that is meant in front. Raises chapters.NoSuchChapter for what there is not."""
    chapter = chapters.find(word, chapters.read_table())
    own = [each for each in those if each.chapter == chapter.name]
    if not own:
        raise chapters.NoSuchChapter(f"note {chapter.number} breaks nothing; 'chapters/run break' lists what is broken")
    if name is not None and not any(each.name == name for each in own):
        names = ", ".join(each.name for each in own)
        raise chapters.NoSuchChapter(f"note {chapter.number} has no break-it '{name}', only {names}")
    return sorted(own, key=lambda each: each.name != name) if name else own


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("list")
    run = commands.add_parser("run")
    run.add_argument("chapter")
    run.add_argument("name", nargs="?")
    args = parser.parse_args(arguments)
    try:
        if shutil.which("ctags") is None:
            ladder.bring_tools()
        those = read_breaks()
        if args.what == "list":
            show(those)
            return 0
        own = chosen(args.chapter, args.name, those)
        if args.name is None and len(own) > 1:
            show(own)
            print()
        play(own[0], chapter_program(own[0]))
    except chapters.NoSuchChapter as problem:
        print(problem, file=sys.stderr)
        return 64
    except (BreakFailed, ServerFailed, ladder.Unusable, LookupError) as problem:
        print(f"\n{problem.args[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
