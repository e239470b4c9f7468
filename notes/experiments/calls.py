"""What a server costs, for experiments that count: its system calls as strace sees them, and its time of the processor."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cpu_time(pid: int) -> int:
    """Nanoseconds of CPU that the process has used, all its threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


@contextmanager
def counted(pid: int, calls: dict[str, int]) -> Iterator[None]:
    """Fills `calls` with the system calls that the process makes in between."""
    strace = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    first = strace.stderr.readline()
    if "attached" not in first:
        raise SystemExit(first.strip())
    yield
    strace.send_signal(signal.SIGINT)
    for line in strace.communicate()[1].splitlines():
        # "% time     seconds  usecs/call     calls    errors syscall"
        if row := re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)", line):
            if row[2] != "total":
                calls[row[2]] = int(row[1])
