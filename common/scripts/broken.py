"""The break-its of the notes as data, and the broken code: a copy of a chapter, edited by symbol, and built.

The data is notes/experiments/breaks/NN-NAME.toml:

    idea = "one line for the list"
    serve = ["-t", "1"]                               flags of the server; with {server} there is one behind it, a proxy
    run = ["06-byte-first.py", "{port}", "{conduct}"] an experiment; {pid} as well; with {conduct} the server has --conduct;
                                                      with {program} no server: the experiment starts it itself
    before = ['verdict: all is well']                 patterns for lines of the output, in this order: as it is
    after = ['verdict: it is not']                    and broken
    never_before, never_after                         patterns for the whole output, none of which it may fit
    sanitize = "thread"                               if both are built with a sanitizer
    serve_after, run_after                            if the broken one is started, or asked, in another way

    [[edit]]                                          if the code is broken
    symbol = "thread.cpp::dispatch_conn_new"          in it `old`, which stands there once, becomes `new` ...
    move = "lines"                                    ... or these lines, which stand there once, go in front of
    before = "lines"                                  those
"""
import contextlib
import difflib
import fcntl
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import chapters

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))
import ladder  # noqa: E402  (it knows code by symbol)

ROOM = TOP / "notes" / "experiments" / "breaks"


class BreakFailed(Exception):
    """It cannot be applied, or built, or does not do what its note says. The text says which, and why."""


@dataclass(frozen=True)
class Break:
    """One file of the data."""

    chapter: str
    name: str
    idea: str
    run: list[str]
    before: list[str]
    after: list[str]
    serve: list[str] = field(default_factory=list)
    never_before: list[str] = field(default_factory=list)
    never_after: list[str] = field(default_factory=list)
    serve_after: list[str] | None = None
    run_after: list[str] | None = None
    sanitize: str = ""
    edit: list[dict[str, str]] = field(default_factory=list)

    @property
    def number(self) -> str:
        return self.chapter.partition("-")[0]

    @property
    def is_schedule(self) -> bool:
        """Whether it leaves nothing to luck."""
        return "{conduct}" in self.run


def place_in_note(broken: Break) -> int:
    """Where its note first names it; behind everything if it does not."""
    note = TOP / "notes" / f"{broken.chapter}.md"
    text = note.read_text(encoding="utf-8") if note.is_file() else ""
    found = text.find(f"chapters/run break {broken.number} {broken.name}\n")
    return found if found >= 0 else len(text)


def read_breaks(room: Path = ROOM) -> list[Break]:
    """All of them, in the order of the chapters, and of their places in the notes."""
    rows = chapters.read_table()
    found = []
    for path in sorted(room.glob("*.toml")):
        number, _, name = path.stem.partition("-")
        try:
            row = tomllib.loads(path.read_text(encoding="utf-8"))
            found.append(Break(chapters.find(number, rows).name, name, **row))
        except (tomllib.TOMLDecodeError, TypeError, chapters.NoSuchChapter) as problem:
            raise BreakFailed(f"{path.relative_to(TOP)}: {problem}") from None
    return sorted(found, key=lambda broken: (broken.number, place_in_note(broken)))


# ---- The broken code -------------------------------------------------------------------------------------------------


def once(text: str, part: str, where: str) -> str:
    """Returns `part`, which stands in the text exactly once."""
    count = text.count(part)
    if count != 1:
        raise BreakFailed(f"{where} has {count or 'no'} place{'s' * (count > 1)} with\n{part.rstrip()}")
    return part


def edited(text: str, edit: dict[str, str]) -> str:
    """Returns the text of a symbol with one edit of the data."""
    where = edit["symbol"]
    if "move" in edit:
        lines = once(text, edit["move"], where)
        rest = text.replace(lines, "")
        return rest.replace(once(rest, edit["before"], where), lines + edit["before"])
    return text.replace(once(text, edit["old"], where), edit["new"])


def broken_files(broken: Break) -> dict[str, tuple[str, str]]:
    """Returns {file: (its text, its text when broken)}."""
    symbols: dict[str, tuple[str, str]] = {}
    for edit in broken.edit:
        address = edit["symbol"]
        if address not in symbols:
            text = ladder.source_of(f"chapters/{broken.chapter}/{address}")
            symbols[address] = text, text
        symbols[address] = symbols[address][0], edited(symbols[address][1], edit)
    files: dict[str, tuple[str, str]] = {}
    for address, (text, now) in symbols.items():
        file = address.partition("::")[0]
        if file not in files:
            whole = (TOP / "chapters" / broken.chapter / file).read_text(encoding="utf-8")
            files[file] = whole, whole
        files[file] = files[file][0], files[file][1].replace(text, now)
    return files


def difference(files: dict[str, tuple[str, str]]) -> str:
    """What is broken, as a diff."""
    lines: list[str] = []
    for file, (before, now) in files.items():
        lines += difflib.unified_diff(before.splitlines(), now.splitlines(), file, f"{file}, broken", lineterm="")
    return "\n".join(lines)


# ---- Building --------------------------------------------------------------------------------------------------------


def make(command: list[str | Path]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=TOP)
    if done.returncode != 0:
        raise BreakFailed(f"{shlex.join(map(str, command))}:\n{done.stdout}".rstrip())


def chapter_program(broken: Break) -> Path:
    """The program of the chapter as it is, brought up to date."""
    build = TOP / (f"build-{ {'thread': 'tsan', 'address': 'asan'}[broken.sanitize]}" if broken.sanitize else "build")
    if not (build / "build.ninja").exists():
        make(["meson", "setup", build, *([f"-Db_sanitize={broken.sanitize}"] if broken.sanitize else [])])
    make(["ninja", "-C", build, f"chapters/{broken.chapter}"])
    if any("{server}" in word for word in broken.serve):
        behind = server_behind()
        make(["ninja", "-C", behind.parents[1], f"chapters/{behind.name}"])
    return build / "chapters" / broken.chapter


def server_behind() -> Path:
    """The program that serves behind a proxy."""
    return TOP / "build" / "chapters" / chapters.newest("store", chapters.read_table()).name


def build_broken(broken: Break, files: dict[str, tuple[str, str]], program: Path) -> Path:
    """Builds it as its chapter was built, from a copy that lies beside it. Returns the program."""
    build = program.parents[1]
    copy = build / "breaks" / f"{broken.number}-{broken.name}"
    copy.mkdir(parents=True, exist_ok=True)
    for path in (TOP / "chapters" / broken.chapter).iterdir():
        text = files[path.name][1] if path.name in files else path.read_text(encoding="utf-8")
        (copy / path.name).write_text(text, encoding="utf-8")
    result = copy / broken.chapter

    said = subprocess.run(["ninja", "-C", build, "-t", "commands", f"chapters/{broken.chapter}"], capture_output=True, text=True)
    source, objects = f"../chapters/{broken.chapter}", f"chapters/{broken.chapter}.p/"
    all_change = any(file.endswith(".h") for file in files)
    own = [words for words in map(shlex.split, said.stdout.splitlines()) if any(objects in word for word in words)]

    def here(word: str) -> str:
        """Where this word of a command lies in the copy, if the edits change it."""
        if word.startswith(objects):
            file = word.removesuffix(".o").rpartition("/")[2].removeprefix(f"{broken.chapter}_")
            return str(copy / f"{file}.o") if file in changed else word
        if word == f"chapters/{broken.chapter}":
            return str(result)
        return word.replace(source, str(copy))

    sources = {Path(words[-1]).name for words in own if words[-2] == "-c"}
    changed = sources if all_change else sources & files.keys()
    for words in own:
        if words[-2] == "-c" and Path(words[-1]).name not in changed:
            continue
        words = [here(word) for i, word in enumerate(words) if word not in ("-MD", "-MQ", "-MF") and words[i - 1] not in ("-MQ", "-MF")]
        done = subprocess.run(words, cwd=build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise BreakFailed(f"the broken {broken.chapter} cannot be built:\n{done.stdout}".rstrip())
    return result


@contextlib.contextmanager
def one_at_a_time(program: Path) -> Iterator[None]:
    """Two who break the same build wait for each other."""
    with open(program.parents[1] / ".breaks.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
