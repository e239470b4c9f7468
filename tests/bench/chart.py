"""Draws what each chapter buys: CPU time per request, memory. A panel per workload, a bar per chapter, its peer as the line."""

from dataclasses import dataclass
from html import escape

from report import heading
from workloads import find


@dataclass(frozen=True)
class Picture:
    name: str  # of its file
    title: str
    legend: str
    charted: tuple  # workloads, a panel each


SERVERS = Picture(
    "bench",
    "What each chapter buys",
    "CPU time of the server per request, all its threads, in µs. Dashed: memcached. Thin: smallest to largest round.",
    tuple("line get get32 set32 get100 connect".split()),
)
PROXIES = Picture(
    "bench-proxy",
    "What a proxy costs",
    "CPU time of the proxy per request, all its threads, in µs; memory in MiB. Dashed: nutcracker. Thin: all rounds.",
    tuple(
        f"{name}/{behind}"
        for name in "get set get32 get100 resident@50 resident@1000".split()
        for behind in (1, 2)
    ),
)
UNITS = {"cpu_per_request": 1000, "resident_bytes": 1024 * 1024}  # µs, MiB

WIDTH = 960
MARGIN = 24
GUTTER = 32
LABEL = 132  # of a bar, to its left
VALUE = 60  # in a column at the right of a panel
BAR, STEP = 12, 18
HEADING = 30  # of a panel
COLUMNS = 2

STYLE = """
  text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #6b7280 }
  .title { font-size: 18px; font-weight: 600 }
  .panel { font-size: 13px; font-weight: 600 }
  .value { font-variant-numeric: tabular-nums }
  .ours { fill: #3b82c4 }
  .theirs { fill: #9ca3af }
  .spread { stroke: #6b7280; stroke-width: 1 }
  .reference { stroke: #d97706; stroke-width: 1.5; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #a3abb8 }
    .ours { fill: #5ea3e6 }
    .theirs { fill: #6b7280 }
    .spread { stroke: #cbd2dc }
    .reference { stroke: #f0a94b }
  }
"""


def draw(picture, figures, description):
    """The whole picture as SVG; its background is whatever it lies on."""
    panels = [label for label in (find(name).label for name in picture.charted) if label in figures.workloads]
    width = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GUTTER) / COLUMNS
    top = 78
    parts = []
    for start in range(0, len(panels), COLUMNS):
        row = panels[start : start + COLUMNS]
        for column, label in enumerate(row):
            parts += _panel(figures, find(label), MARGIN + column * (width + GUTTER), top, width)
        top += HEADING + STEP * max(len(_servers(figures, find(label))) for label in row) + 20
    said = ("cpu", "kernel", "compiler", find(panels[0]).peer if panels else "", "date", "revision")
    where = ", ".join(description[key] for key in said if description.get(key, "-") != "-")
    top += 8
    parts.append(_text(MARGIN, top, where, "note"))
    height = top + 16
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">\n'
        f"<title>{escape(picture.title)}</title>\n<style>{STYLE}</style>"
    )
    intro = [_text(MARGIN, 32, picture.title, "title"), _text(MARGIN, 54, picture.legend, "note")]
    return "\n".join([head, *intro, *parts, "</svg>\n"])


def _servers(figures, workload):
    return [server for server in figures.servers if figures.values(server, workload.label, workload.judged)]


def _panel(figures, workload, left, top, width):
    servers = _servers(figures, workload)
    of = (workload.label, workload.judged)
    scale = (width - LABEL - VALUE) / max(max(figures.values(server, *of)) for server in servers)
    zero = left + LABEL
    yield _text(left, top + 16, heading(workload) if workload.behind else workload.title, "panel")
    y = top + HEADING
    for server in servers:
        values = figures.values(server, *of)
        middle = figures.middle(server, *of)
        center = y + BAR / 2
        yield _text(zero - 8, y + BAR - 2, server, "name", "end")
        whose = "theirs" if server == workload.peer else "ours"
        yield f'<rect class="{whose}" x="{zero:.1f}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" rx="2"/>'
        yield _line("spread", zero + min(values) * scale, center, zero + max(values) * scale, center)
        yield _text(left + width, y + BAR - 2, f"{middle / UNITS[workload.judged]:.2f}", "value", "end")
        y += STEP
    reference = figures.middle(workload.peer, *of)
    if reference is not None:
        x = zero + reference * scale
        yield _line("reference", x, top + HEADING - 4, x, y - STEP + BAR + 4)


def _text(x, y, words, kind, anchor="start"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(kind, x1, y1, x2, y2):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
