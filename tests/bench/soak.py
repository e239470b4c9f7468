"""The memory of a server under a long load: it must become flat."""

from dataclasses import replace

import workloads
from servers import running

CYCLES = 20
WARM = CYCLES // 4  # cycles in which memory may still grow: pages touched for the first time, pools filling up
MIXED = "get set mix get32 set32 connect".split()
BARS = "▁▂▃▄▅▆▇█"


def soak(bench, program, core, requests, tick):
    """Resident bytes after each of CYCLES equal parts of the load. Calls tick() before each."""
    part = replace(bench, requests=max(1, requests // CYCLES // len(MIXED)), warm_up=0)
    curve = []
    with running(program, core) as server:
        bench.fill(server)
        for _ in range(CYCLES):
            tick()
            for name in MIXED:
                part.measure(server, workloads.find(name), 0)
            server.usage()  # waits until it sleeps: connections are closed, what was theirs is given back
            curve.append(server.resident())
    return curve


def growth(curve):
    """From the warm server to the largest it became."""
    return max(curve[WARM:]) - curve[WARM]


def drawn(curve):
    """The curve on one line of the terminal, from its smallest value to its largest."""
    low, high = min(curve), max(curve)
    return "".join(BARS[round((value - low) / max(1, high - low) * (len(BARS) - 1))] for value in curve)
