#!/usr/bin/env python3
"""Draws each chapter's state diagram, NN-states.svg, from its states.h: conn_states says which states there are,
transitions which way leads where, what causes it, and where the machine sleeps. What the chapter's parent does not
have is drawn in amber. A chapter without conn_states has no picture, and a picture that no note shows is not drawn.

    states.py            draws them all, and removes those that no note shows
    states.py --check    draws nothing; exit status 1 if a picture is not what the code says, or one too many
"""
import re
import sys
import textwrap
from html import escape
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(TOP / "common" / "scripts"))
from chapters import read_table  # noqa: E402

class Layout(NamedTuple):
    """Where the middle of each state stands; how far a way swings out to its right if it is not straight; and where along
    it the cause stands, from 0 to 1, if not in the middle."""

    places: dict[str, tuple[int, int]]
    bends: dict[tuple[str, str], int]
    spots: dict[tuple[str, str], float]


PART_1 = Layout(
    places={
        "conn_listening": (130, 60),
        "conn_read": (500, 60),
        "conn_nread": (200, 230),
        "conn_swallow": (830, 230),
        "conn_write": (400, 400),
        "conn_mwrite": (720, 400),
        "conn_closing": (500, 520),
    },
    bends={("conn_write", "conn_swallow"): 40},
    spots={
        ("conn_write", "conn_swallow"): 0.6,
        ("conn_read", "conn_write"): 0.62,
        ("conn_read", "conn_mwrite"): 0.7,
        ("conn_write", "conn_read"): 0.62,
    },
)
# From 07 on the ways of a get make a circle: conn_new_cmd, conn_waiting, conn_read, conn_parse_cmd, conn_mwrite.
PART_2 = Layout(
    places={
        "conn_listening": (120, 50),
        "conn_new_cmd": (500, 50),
        "conn_waiting": (880, 170),
        "conn_read": (880, 370),
        "conn_parse_cmd": (500, 460),
        "conn_nread": (400, 235),
        "conn_swallow": (660, 235),
        "conn_mwrite": (120, 170),
        "conn_write": (120, 370),
        "conn_closing": (500, 600),
        "conn_closed": (880, 600),
    },
    bends={
        ("conn_new_cmd", "conn_waiting"): 24,
        ("conn_waiting", "conn_read"): 50,
        ("conn_read", "conn_parse_cmd"): 24,
        ("conn_parse_cmd", "conn_mwrite"): 22,
        ("conn_parse_cmd", "conn_write"): 24,
        ("conn_mwrite", "conn_new_cmd"): 18,
        ("conn_write", "conn_new_cmd"): 40,
        ("conn_read", "conn_write"): 165,
    },
    spots={
        ("conn_parse_cmd", "conn_new_cmd"): 0.66,
        ("conn_new_cmd", "conn_parse_cmd"): 0.6,
        ("conn_write", "conn_swallow"): 0.6,
        ("conn_write", "conn_new_cmd"): 0.2,
        ("conn_read", "conn_write"): 0.68,
        ("conn_parse_cmd", "conn_waiting"): 0.5,
        ("conn_parse_cmd", "conn_mwrite"): 0.34,
        ("conn_nread", "conn_mwrite"): 0.5,
        ("conn_nread", "conn_write"): 0.75,
    },
)
SPLIT, LINE = 19, 14  # letters in a line of a cause, and its height
PAIR = 8  # how far the ways there and back stand from the middle

FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 660" width="1000" height="660" role="img">
  <!-- Drawn by states.py from chapters/{chapter}/states.h -->
  <title>The states of {chapter}</title>
  <style>
    svg  {{ color: #4b5561; font-size: 12px; font-family: system-ui, "Segoe UI", Helvetica, "DejaVu Sans", sans-serif }}
    text {{ fill: currentColor; text-anchor: middle }}
    .cause {{ paint-order: stroke; stroke: #fff; stroke-width: 4; stroke-linejoin: round }}
    @media (prefers-color-scheme: dark) {{ svg {{ color: #aab4c0 }} .cause {{ stroke: #0d1117 }} }}
    rect {{ fill: #2f78d0; fill-opacity: .1; stroke: #2f78d0; stroke-width: 1.5 }}
    path {{ fill: none; stroke: currentColor; stroke-width: 1.5; marker-end: url(#head) }}
    .circle   {{ stroke: #2f78d0; stroke-width: 2.5; marker-end: url(#circle-head) }}
    .name     {{ font: bold 15px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }}
    .new rect {{ fill: #b5670c; fill-opacity: 1; stroke: none }}
    .new text {{ fill: #fff }}
    path.new  {{ stroke: #b5670c; stroke-width: 2.5; marker-end: url(#new-head) }}
    .sleeps   {{ stroke-dasharray: 6 5 }}
  </style>
  <marker id="head" markerWidth="10" markerHeight="10" refX="9" refY="5" markerUnits="userSpaceOnUse" orient="auto">
    <polygon points="0,1 10,5 0,9" fill="currentColor"/>
  </marker>
  <marker id="circle-head" markerWidth="10" markerHeight="10" refX="9" refY="5" markerUnits="userSpaceOnUse" orient="auto">
    <polygon points="0,1 10,5 0,9" fill="#2f78d0"/>
  </marker>
  <marker id="new-head" markerWidth="10" markerHeight="10" refX="9" refY="5" markerUnits="userSpaceOnUse" orient="auto">
    <polygon points="0,1 10,5 0,9" fill="#b5670c"/>
  </marker>
{content}
  <text x="500" y="650">{legend}</text>
</svg>
"""


class Unreadable(Exception):
    """The code says what this script does not understand, or has no place for: one line for the reader."""


class Way(NamedTuple):
    """A row of transitions; `sleeps` is "" where the machine goes on at once."""

    start: str
    end: str
    cause: str
    sleeps: str


class Machine(NamedTuple):
    """A chapter's states, and the ways between them."""

    states: list[str]
    ways: list[Way]


def body(path: Path, opening: str) -> str:
    """What stands between the braces behind `opening`; empty if the file or the opening is not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(opening + r"[^{;]*\{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def read_machine(chapter: str) -> Machine | None:
    """None: the chapter has no conn_states."""
    file = TOP / "chapters" / chapter / "states.h"
    states = re.findall(r"^ *(\w+),? *// ", body(file, "enum class conn_states"), re.MULTILINE)
    if not states:
        return None
    rows = body(file, r"transitions\[\]")
    ways = [Way(*row) for row in re.findall(r'^ *\{(\w+), (\w+), "([^"]*)"(?:, ([A-Z_ |]+))?\},$', rows, re.MULTILINE)]
    if len(ways) != rows.count("\n") or not all(way.start in states and way.end in states for way in ways):
        raise Unreadable(f"{chapter}: `transitions` has a row that is no {{from, to, cause, sleeps_for}}")
    return Machine(states, ways)


class Box:
    """A state in the picture. Points are complex numbers, for adding and turning."""

    def __init__(self, chapter: str, state: str, layout: Layout, naps: list[str]) -> None:
        if state not in layout.places:
            raise Unreadable(f"{chapter}: {state} has no place in the picture; give it one in PART_1 or PART_2")
        self.state = state
        self.naps = naps  # what it sleeps for without leaving
        self.centre = complex(*layout.places[state])
        widest = max([len(state) + 4, *(len(nap) + 9 for nap in naps)])  # in letters
        self.half = complex(4.3 * widest, 25 if naps else 17)

    def leave(self, start: complex, goal: complex) -> complex:
        """Where the way from `start`, a point inside, to `goal` crosses the edge."""
        way, off = goal - start, start - self.centre
        axes = (way.real, off.real, self.half.real), (way.imag, off.imag, self.half.imag)
        return start + way * min(half / abs(step) - off / step for step, off, half in axes if step)

    def draw(self, new: str) -> str:
        x, y = int(self.centre.real), int(self.centre.imag - self.half.imag)
        out = [f'  <g class="{new}">']
        width, height = 2 * self.half.real, 2 * self.half.imag
        out.append(f'    <rect x="{x - width / 2:.0f}" y="{y}" width="{width:.0f}" height="{height:.0f}" rx="8"/>')
        out.append(f'    <text x="{x}" y="{y + 22}" class="name">{self.state}</text>')
        out += [f'    <text x="{x}" y="{y + 40}">asleep: {escape(nap)}</text>' for nap in self.naps]
        return "\n".join([*out, "  </g>"])


def text_at(point: complex, lines: list[str]) -> list[str]:
    """The lines, with their middle at the point."""
    top = point.imag + 4 - LINE * (len(lines) - 1) / 2
    return [
        f'  <text class="cause" x="{point.real:.0f}" y="{top + LINE * i:.0f}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    ]


def arrow(layout: Layout, start: Box, end: Box, way: Way, both: bool, kind: str) -> tuple[str, list[str]]:
    """From edge to edge, and beside the middle if there is a way back too; and its cause, to be drawn on top."""
    bend = layout.bends.get((way.start, way.end), 0)
    side = -1j * (end.centre - start.centre) / abs(end.centre - start.centre)
    aside = PAIR * both * (bend == 0) * side
    middle = (start.centre + end.centre) / 2 + aside + 2 * bend * side
    a = start.leave(start.centre + aside, middle if bend else end.centre + aside)
    b = end.leave(end.centre + aside, middle if bend else start.centre + aside)
    shape = f"Q{middle.real:.0f} {middle.imag:.0f} " if bend else ""
    kind += " sleeps" if way.sleeps else ""
    path = f'  <path class="{kind}" d="M{a.real:.0f} {a.imag:.0f} {shape}{b.real:.0f} {b.imag:.0f}"/>'
    t = layout.spots.get((way.start, way.end), 0.5)
    point = (1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b if bend else a + t * (b - a)
    if aside:  # beside its own way, and not between the two
        point += complex(side.real * 46, side.imag * 14)
    lines = textwrap.wrap(way.cause, SPLIT) + ([f"asleep: {way.sleeps}"] if way.sleeps else [])
    return path + f"  <!-- {way.start} to {way.end} -->", text_at(point, lines)


# The ways of a get: what most commands do.
CIRCLE = {
    ("conn_new_cmd", "conn_waiting"),
    ("conn_waiting", "conn_read"),
    ("conn_read", "conn_parse_cmd"),
    ("conn_parse_cmd", "conn_mwrite"),
    ("conn_mwrite", "conn_new_cmd"),
}


def draw(chapter: str, machine: Machine, old: Machine) -> str:
    """The whole picture; what `old` does not have is new."""
    layout = PART_2 if "conn_new_cmd" in machine.states else PART_1
    known = {(way.start, way.end) for way in old.ways}
    boxes = {
        state: Box(chapter, state, layout, [way.sleeps for way in machine.ways if way.start == way.end == state])
        for state in machine.states
    }
    first = "conn_new_cmd" if "conn_new_cmd" in boxes else "conn_read"  # where a client starts
    ways = [way for way in machine.ways if way.start != way.end]
    ways.insert(0, Way("conn_listening", first, "a client was accepted", ""))
    paths, causes = [], []
    for way in ways:
        there = (way.start, way.end)
        is_new = there not in known and way.start != "conn_listening"
        kind = "new" if is_new else "circle" if there in CIRCLE and layout is PART_2 else "old"
        path, cause = arrow(layout, boxes[way.start], boxes[way.end], way, (there[::-1] in {w[:2] for w in ways}), kind)
        paths.append(path)
        causes += cause
    closing = boxes["conn_closing"]
    here = closing.centre - complex(closing.half.real, 0)
    paths.append(f'  <path class="old" d="M{here.real - 60:.0f} {here.imag:.0f} {here.real:.0f} {here.imag:.0f}"/>')
    causes += text_at(here - complex(150, 0), ["from every state of a client:", "it has gone, quits, or an error"])
    content = paths + causes + [box.draw("old" if state in old.states else "new") for state, box in boxes.items()]
    legend = "dashed: the machine sleeps on this way" + " · amber: new in this chapter" * (set(known) != {way[:2] for way in machine.ways})
    return FRAME.format(chapter=chapter, content="\n".join(content), legend=legend)


def is_shown(file: Path) -> bool:
    """Whether a note has this picture in it."""
    return any(f"](pictures/{file.name})" in note.read_text(encoding="utf-8") for note in HERE.parent.glob("*.md"))


def main(arguments: list[str]) -> bool:
    """True: a picture is stale, or one too many."""
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    stale = False
    machines: dict[str, Machine | None] = {}
    for chapter in read_table():
        machines[chapter.name] = machine = read_machine(chapter.name)
        if machine is None:
            continue
        file = HERE / f"{chapter.number}-states.svg"
        picture = draw(chapter.name, machine, machines.get(chapter.parent) or machine) if is_shown(file) else None
        if picture == (file.read_text(encoding="utf-8") if file.exists() else None):
            continue
        if arguments:
            fault = "is not what the code says" if picture else "is in no note"
            print(f"{file.name} {fault}: run notes/pictures/states.py", file=sys.stderr)
            stale = True
        elif picture:
            file.write_text(picture, encoding="utf-8")
        else:
            file.unlink()
    return stale


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Unreadable as problem:
        sys.exit(f"states.py: {problem}")
