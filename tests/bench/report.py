"""What a run leaves behind: tables for the terminal, and a CSV that says on which machine it was made."""

import csv
import datetime
import io
import pathlib
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, fields
from statistics import median

from servers import HOUSE
from workloads import Sample, find

DISTURBED = 0.05  # share of the time in which the server could run and others had its core
SATURATED = 0.98  # share of the time in which the load ran


# ---- The machine ----


def first_line(*command):
    """Of what a tool prints about itself; '-' if it is not here."""
    if shutil.which(command[0]) is None:
        return "-"
    done = subprocess.run(command, capture_output=True, text=True, cwd=HOUSE, check=False)
    return ((done.stdout + done.stderr).splitlines() or ["-"])[0].strip()


def machine():
    """What the figures depend on, name and value."""
    cpus = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    revision = first_line("git", "rev-parse", "--short", "HEAD")
    changed = first_line("git", "status", "--porcelain", "--untracked-files=no") != "-"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": revision + (" with changes" if changed else ""),
        "cpu": cpus[0] if cpus else platform.machine(),
        "cores": str(len(cpus) or 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": first_line("c++", "--version"),
        "memcached": first_line("memcached", "-V"),
        "nutcracker": first_line("nutcracker", "-V").removeprefix("This is "),
        "libevent": first_line("pkg-config", "--modversion", "libevent"),
    }


# ---- CSV ----


def write_csv(path, description, samples):
    """The machine as lines that begin with '#', then one line a sample."""
    names = [f.name for f in fields(Sample)]
    with open(path, "w", newline="", encoding="utf-8") as out:
        out.writelines(f"# {name}: {value}\n" for name, value in description.items())
        table = csv.DictWriter(out, names, lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(sample) for sample in samples)


def read_csv(path):
    """The same back: description and samples."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    description = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    table = csv.DictReader(line for line in lines if not line.startswith("#"))
    kinds = {f.name: f.type for f in fields(Sample)}
    return description, [
        Sample(**{name: None if text == "" else kinds[name](text) for name, text in row.items()}) for row in table
    ]


# ---- Figures ----


class Figures:
    """The samples of one run, asked by server and workload."""

    def __init__(self, samples):
        self.samples = samples
        self.servers = list(dict.fromkeys(s.server for s in samples))
        self.workloads = list(dict.fromkeys(s.workload for s in samples))

    def of(self, server, workload):
        return [s for s in self.samples if s.server == server and s.workload == workload]

    def values(self, server, workload, figure):
        """Of all rounds. Empty: the server cannot do the workload, or the workload does not measure the figure."""
        return [value for s in self.of(server, workload) if (value := getattr(s, figure)) is not None]

    def middle(self, server, workload, figure):
        values = self.values(server, workload, figure)
        return median(values) if values else None

    def ratio(self, server, workload, figure):
        """To the workload's peer: the median of the ratios within each round, so that a slow minute slows both sides."""
        theirs = {s.round: getattr(s, figure) for s in self.of(find(workload).peer, workload)}
        pairs = [
            getattr(s, figure) / theirs[s.round]
            for s in self.of(server, workload)
            if getattr(s, figure) is not None and theirs.get(s.round)
        ]
        return median(pairs) if pairs else None


def with_spread(values):
    """Median, and in brackets the smallest and the largest."""
    if not values:
        return "-"
    text = f"{median(values):,.0f}"
    return text if len(values) < 2 else f"{text} ({min(values):,.0f}…{max(values):,.0f})"


def aligned(rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  " + "  ".join(line).rstrip() for line in lines)


def table(figures):
    """One block a workload; in each, one line a server."""
    out = io.StringIO()
    for label in figures.workloads:
        workload = find(label)
        print(f"\n{heading(workload)}", file=out)
        print(aligned(list(_rows(figures, workload))), file=out)
        for remark in _remarks(figures, workload):
            print(f"  ! {remark}", file=out)
    return out.getvalue()


def heading(workload):
    """A workload in words."""
    parts = [workload.title, counted(workload.connections, "connection")]
    if workload.threads > 1:
        parts.append(counted(workload.threads, "thread"))
    if workload.behind:
        parts.append(f"{counted(workload.behind, 'server')} behind")
    return ", ".join(parts)


def counted(number, noun):
    return f"{number} {noun}{'s' * (number != 1)}"


def _rows(figures, workload):
    whose = "proxy" if workload.behind else "server"
    columns = {
        "idle": {"bytes per connection": "bytes_per_connection"},
        "resident": {"resident bytes": "resident_bytes"},
    }.get(
        workload.kind,
        {
            "requests/s": "per_second",
            f"{whose} CPU ns/request": "cpu_per_request",
            "p50 µs": "p50_us",
            "p99 µs": "p99_us",
        }
        | ({"resident at most": "peak_bytes"} if workload.behind else {}),
    )
    yield ["", *columns, f"{'memory' if workload.starts_anew else 'CPU'} : {workload.peer}"]
    for server in figures.servers:
        if not figures.of(server, workload.label):
            continue
        cells = [with_spread(figures.values(server, workload.label, figure)) for figure in columns.values()]
        ratio = figures.ratio(server, workload.label, workload.judged)
        yield [server, *cells, "-" if ratio is None else f"{ratio:.2f}"]


def _remarks(figures, workload):
    """What makes a figure mean less than it seems to."""
    samples = [s for s in figures.samples if s.workload == workload.label and s.seconds]
    waited = max((s.waited_ns / 1e9 / s.seconds for s in samples), default=0)
    if waited > DISTURBED:
        share = f"{min(waited, 1):.0%}"
        yield f"others had the servers' core for up to {share} of the time: trust CPU per request, not requests/s"
    elif any(s.load_cpu_seconds is not None and s.load_cpu_seconds / s.seconds > SATURATED for s in samples):
        yield "the load was busy all the time: a server may be able to do more requests/s than this"
