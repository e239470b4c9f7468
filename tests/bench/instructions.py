"""User-space instructions per request, counted by valgrind: within 3 % on every run, whatever else the machine does."""

import pathlib
import re
import shutil
import tempfile
from dataclasses import replace

import workloads
from proxies import fronting
from servers import Failure, running

# The difference of two runs: what start, fill and stop take is in both.
SHORT, LONG = 2_000, 22_000
KEYS = 1_000
DESCRIPTORS = 1024
VALGRINDS_OWN = 12  # descriptors it keeps from the program; memcached must be told (-c) what is left
COUNTED = {  # workload: what 1.4.25 takes, 12-byte keys and 100-byte values
    "get": 2470,
    "get32": 1740,
    "set": None,
    "set32": None,
}


def count(bench, program, core, name):
    """Instructions for one request of the workload from a single connection, in the thread that serves it.

    That thread alone, because others work by the clock: 1.6's LRU maintainer adds some hundred instructions per request on
    a quiet machine, and more than a thousand on a busy one.
    """
    workload = workloads.find(name)
    bench = replace(bench, keys=KEYS)
    short = _by_thread(bench, program, core, workload, SHORT)
    long = _by_thread(bench, program, core, workload, LONG)
    return max(long[thread] - short.get(thread, 0) for thread in long) / (LONG - SHORT)


def _started(bench, program, core, tool):
    """A proxy has one server behind it, which is not counted."""
    if program.is_proxy:
        return fronting(program, core, bench.backend, 1, under=tool)
    return running(program, core, under=tool, descriptors=DESCRIPTORS, connections=DESCRIPTORS - VALGRINDS_OWN)


def _by_thread(bench, program, core, workload, requests):
    """All that each thread did from start to stop."""
    if shutil.which("valgrind") is None:
        raise Failure("valgrind is not installed (Debian: apt install valgrind)")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        out = f"--callgrind-out-file={directory}/thread"
        tool = ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes", out]
        with _started(bench, program, core, tool) as server:
            bench.fill(server, pipeline=1)  # how a pipeline is cut into reads is chance
            bench.generate(server, (*workload.load, f"--requests={requests}"), 1)
        totals = {
            file.name: int(total.group(1))
            for file in pathlib.Path(directory).iterdir()
            if (total := re.search(r"^totals: (\d+)", file.read_text(), re.M))
        }
        if not totals:
            raise Failure(f"callgrind left no counts for {program.name}")
        return totals
