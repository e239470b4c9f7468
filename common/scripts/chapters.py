#!/usr/bin/env python3
"""The table of contents, read from chapters/meson.build: which chapters there are, and what each can do.

    chapters.py list          the table, for people
    chapters.py find WORD     the one chapter that WORD means: 03, 3, 03-mwrite, mwrite
    chapters.py demo WORD     that chapter, and for a proxy one more that serves behind it
    chapters.py tour          the two of the first demo: a story for the first one, and a crowd for one that minds
"""
import ast
import difflib
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TABLE = TOP / "chapters" / "meson.build"


@dataclass(frozen=True)
class Chapter:
    """One row."""

    name: str
    idea: str
    parent: str
    capabilities: frozenset[str]
    flags: str

    @property
    def number(self) -> str:
        return self.name.partition("-")[0]

    @property
    def title(self) -> str:
        return self.name.partition("-")[2]


class NoSuchChapter(Exception):
    """A word that means no chapter, or several. Its text is one line for the reader."""


def read_table(path: Path = TABLE) -> list[Chapter]:
    """The rows in the order of the book. Meson's dictionaries of strings and lists are Python's too."""
    text = path.read_text(encoding="utf-8")
    start = text.index("chapters = {") + len("chapters = ")
    rows = ast.literal_eval(text[start : text.index("\n}", start) + 2])
    return [
        Chapter(name, row["idea"], row["parent"], frozenset(row["capabilities"]), row["flags"])
        for name, row in rows.items()
    ]


def find(word: str, chapters: list[Chapter]) -> Chapter:
    """By number, by name, or by a part of the name that only one chapter has."""
    for chapter in chapters:
        if word in (chapter.name, chapter.title) or (word.isdigit() and int(word) == int(chapter.number)):
            return chapter
    matches = [] if word.isdigit() or not word else [c for c in chapters if word.lower() in c.name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NoSuchChapter(f"'{word}' is a part of several chapters: {', '.join(c.name for c in matches)}")
    names = {key: c.name for c in chapters for key in (c.name, c.title)}
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"do you mean {names[near[0]]}?" if near else "'chapters/run list' shows them all"
    raise NoSuchChapter(f"no chapter '{word}': {hint}")


def newest(capability: str, chapters: list[Chapter]) -> Chapter:
    """The last server that can do this by itself."""
    return [c for c in chapters if capability in c.capabilities and "proxy" not in c.capabilities][-1]


def print_list(chapters: list[Chapter]) -> None:
    width = min(shutil.get_terminal_size().columns, 100)
    column = max(len(c.name) for c in chapters) + 2
    for chapter in chapters:
        lines = textwrap.wrap(chapter.idea, width - column - 2)
        print(f"  {chapter.name:<{column}}{lines[0]}")
        for line in lines[1:]:
            print(" " * (column + 2) + line)


def main(arguments: list[str]) -> int:
    chapters = read_table()
    match arguments:
        case ["list"]:
            print_list(chapters)
        case ["find" | "demo" as what, word]:
            try:
                chapter = find(word, chapters)
                behind = [newest("store", chapters)] if what == "demo" and "proxy" in chapter.capabilities else []
                print(*(c.name for c in [chapter, *behind]))
            except NoSuchChapter as problem:
                print(problem, file=sys.stderr)
                return 64
        case ["tour"]:
            print(chapters[0].name, newest("maxconns", chapters).name)
        case _:
            print(__doc__.strip(), file=sys.stderr)
            return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
