#!/usr/bin/env python3
"""Draws each chapter's state diagram, NN-states.svg, from its states.h: conn_states says which states there are and
what they mean, transitions which may follow which. What the chapter's parent does not have is drawn in
amber. A chapter without conn_states has no picture, and a picture that no note shows is not drawn.

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

# Where a state stands, in every chapter: column and row of a grid.
PLACES = {
    "conn_listening": (0, 0), "conn_new_cmd":   (1, 0), "conn_mwrite":  (2, 0),
    "conn_waiting":   (0, 1), "conn_parse_cmd": (1, 1), "conn_write":   (2, 1),
    "conn_read":      (0, 2),                           "conn_swallow": (2, 2),
    "conn_nread":     (0, 3), "conn_closing":   (1, 3), "conn_closed":  (2, 3),
}  # fmt: skip
# Arrows whose straight way would touch a state between, and the way that they take instead.
DETOURS = {
    ("conn_mwrite", "conn_closing"): "M617 72 377 356",
    ("conn_new_cmd", "conn_closing"): "M470 64 C535 130 525 280 430 356",
    ("conn_nread", "conn_mwrite"): "M170 348 C350 270 505 200 626 72",
    ("conn_nread", "conn_new_cmd"): "M160 348 C240 280 255 170 290 64",
}
BOX, LINE, SPLIT = 180, 17, 25  # a box's width, the height of a line of its text, and the letters in it
PAIR = 9  # how far the arrows there and back stand from the middle

FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 454" width="760" height="454" role="img">
  <!-- Drawn by states.py from chapters/{chapter}/states.h -->
  <title>The states of {chapter}</title>
  <style>
    svg  {{ color: #737a85; font-size: 13px; font-family: system-ui, "Segoe UI", Helvetica, "DejaVu Sans", sans-serif }}
    @media (prefers-color-scheme: light) {{ svg {{ color: #4b5561 }} }}
    @media (prefers-color-scheme: dark)  {{ svg {{ color: #9da7b3 }} }}
    text {{ fill: currentColor; text-anchor: middle }}
    rect {{ fill: #2f78d0; fill-opacity: .08; stroke: #2f78d0; stroke-width: 1.5 }}
    path {{ fill: none; stroke: currentColor; stroke-width: 1.5; marker-end: url(#head) }}
    .name     {{ font: bold 15px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }}
    .new rect {{ fill: #b5670c; fill-opacity: 1; stroke: none }}
    .new text {{ fill: #fff }}
    path.new  {{ stroke: #b5670c; stroke-width: 2; marker-end: url(#new-head) }}
    .closing  {{ opacity: .4 }}
    .client   {{ stroke-dasharray: 5 4 }}
  </style>
  <marker id="head" markerWidth="10" markerHeight="10" refX="9" refY="5" markerUnits="userSpaceOnUse" orient="auto">
    <polygon points="0,1 10,5 0,9" fill="currentColor"/>
  </marker>
  <marker id="new-head" markerWidth="10" markerHeight="10" refX="9" refY="5" markerUnits="userSpaceOnUse" orient="auto">
    <polygon points="0,1 10,5 0,9" fill="#b5670c"/>
  </marker>
{content}
  <text x="380" y="446">{legend}</text>
</svg>
"""


class Unreadable(Exception):
    """The code says what this script does not understand, or has no place for: one line for the reader."""


class Machine(NamedTuple):
    """A chapter's states, each with its comment, and the steps between them."""

    states: dict[str, str]
    steps: set[tuple[str, str]]


def body(path: Path, opening: str) -> str:
    """What stands between the braces behind `opening`; empty if the file or the opening is not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(opening + r"[^{;]*\{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def read_machine(chapter: str) -> Machine | None:
    """None: the chapter has no conn_states."""
    file = TOP / "chapters" / chapter / "states.h"
    states = dict(re.findall(r"^ *(\w+),? *// (.*)", body(file, "enum class conn_states"), re.MULTILINE))
    if not states:
        return None
    rows = body(file, r"transitions\[\]")
    steps = {(start, end) for start, end in re.findall(r"^ *\{(\w+), (\w+), ", rows, re.MULTILINE) if start != end}
    if len(re.findall(r"^ *\{", rows, re.MULTILINE)) != rows.count("\n") or {s for step in steps for s in step} - set(states):
        raise Unreadable(f"{chapter}: `transitions` has a row that is no {{from, to, cause}}")
    ends = {state for state in states if state not in ("conn_listening", "conn_closing", "conn_closed")}
    return Machine(states, steps | {(state, "conn_closing") for state in ends})


class Box:
    """A state in the picture. Points are complex numbers, for adding and turning."""

    def __init__(self, chapter: str, state: str, comment: str) -> None:
        if state not in PLACES:
            raise Unreadable(f"{chapter}: {state} has no place in the picture; give it one in PLACES")
        column, row = PLACES[state]
        self.state = state
        self.lines = textwrap.wrap(re.split("[:;,.]", comment)[0], SPLIT)
        self.centre = complex(94 + 286 * column, 46 + 112 * row)
        self.half = complex(BOX / 2, round(17 + LINE * len(self.lines) / 2))

    def leave(self, start: complex, goal: complex) -> complex:
        """Where the way from `start`, a point inside, to `goal` crosses the edge."""
        way, off = goal - start, start - self.centre
        axes = (way.real, off.real, self.half.real), (way.imag, off.imag, self.half.imag)
        return start + way * min(half / abs(step) - off / step for step, off, half in axes if step)

    def draw(self, new: str) -> str:
        x, y = int(self.centre.real), int(self.centre.imag - self.half.imag)
        out = [f'  <g class="{new}">']
        out.append(f'    <rect x="{x - BOX // 2}" y="{y}" width="{BOX}" height="{2 * self.half.imag:.0f}" rx="8"/>')
        out.append(f'    <text x="{x}" y="{y + 21}" class="name">{self.state}</text>')
        out += [f'    <text x="{x}" y="{y + 39 + LINE * i}">{escape(line)}</text>' for i, line in enumerate(self.lines)]
        return "\n".join([*out, "  </g>"])


def arrow(start: Box, end: Box, both: bool, kind: str) -> str:
    """From edge to edge, and beside the middle if there is an arrow back too."""
    aside = PAIR * both * -1j * (end.centre - start.centre) / abs(end.centre - start.centre)
    a, b = start.leave(start.centre + aside, end.centre + aside), end.leave(end.centre + aside, start.centre + aside)
    straight = f"M{a.real:.0f} {a.imag:.0f} {b.real:.0f} {b.imag:.0f}"
    shape = DETOURS.get((start.state, end.state), straight)
    return f'  <path class="{kind}" d="{shape}"/>  <!-- {start.state} to {end.state} -->'


def draw(chapter: str, machine: Machine, old: Machine) -> str:
    """The whole picture; what `old` does not have is new."""
    boxes = {state: Box(chapter, state, comment) for state, comment in machine.states.items()}
    first = boxes.get("conn_new_cmd") or boxes["conn_read"]  # where a client starts
    content = [arrow(boxes["conn_listening"], first, False, "client")]
    for start, end in sorted(machine.steps):
        kind = "closing" if end == "conn_closing" else "old" if (start, end) in old.steps else "new"
        content.append(arrow(boxes[start], boxes[end], (end, start) in machine.steps, kind))
    content += [box.draw("old" if state in old.states else "new") for state, box in boxes.items()]
    legend = "dashed: a client is accepted · faint: the connection is to end" + " · amber: new" * (machine != old)
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
