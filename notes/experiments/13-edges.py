#!/usr/bin/env python3
"""Fills the program until it is out of descriptors, with one more client waiting. What does it do meanwhile?

Start chapter 13 with `-c 40`, then with `-c 40 -o level`. Wants strace, and the right to attach it to it
(root, or kernel.yama.ptrace_scope=0)."""

import argparse
import re
import signal
import subprocess
import time
from pathlib import Path

from client import Client, needs, run, verdict


def fill(port: int) -> tuple[list[Client], Client]:
    """Those who are served, and the one who has connected and waits."""
    crowd = []
    while True:
        newcomer = Client(port, timeout=0.5)
        newcomer.send(b"unknown\r\n")  # answered with an error
        try:
            newcomer.until(b"\r\n")
        except TimeoutError:
            return crowd, newcomer
        crowd.append(newcomer)


def cpu_time(pid: int) -> int:
    """Nanoseconds of CPU that the process has used, all its threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def calls_in_a_second(pid: int) -> str:
    strace = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    if "attached" not in (first := strace.stderr.readline()):
        raise SystemExit(first.strip())
    time.sleep(1)
    strace.send_signal(signal.SIGINT)
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(epoll_wait|accept4)$", strace.communicate()[1], re.M)
    return ", ".join(f"{int(count):,} {name}" for count, name in rows) or "no system call"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="its process number")
    args = parser.parse_args()

    crowd, waiting = fill(args.port)
    needs("strace")
    print(f"{len(crowd)} clients are served, one more has connected, and waits")
    before = cpu_time(args.pid)
    time.sleep(1)
    share = (cpu_time(args.pid) - before) / 1e7
    print(f"one second: {share:.1f} % of a core")
    print(f"one more, under strace: {calls_in_a_second(args.pid)}")
    crowd.pop().close()
    start = time.monotonic()
    waiting.until(b"\r\n")
    print(f"one leaves, and the one who waited is served after {(time.monotonic() - start) * 1e3:.1f} ms")
    verdict("it is told again and again of what it cannot change" if share > 10 else "it sleeps, and remembers who waits")


if __name__ == "__main__":
    run(main)
