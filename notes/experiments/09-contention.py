#!/usr/bin/env python3
"""Eight connections ask for a hundred keys at a time. How often must a worker wait for a lock that another one holds?

None of the keys is there: so the server looks up, and does little else. A lock that is free costs no system call; to
sleep for one that is taken is a futex(), and so is waking the sleeper. strace counts them (and wants the right to attach
to the server)."""

import argparse
import re
import selectors
import signal
import subprocess
import time
from pathlib import Path

from client import Client, needs, run, verdict

CONNECTIONS, KEYS, PIPELINE, SECONDS = 8, 100, 100, 2.0


def cpu_time(pid: int) -> int:
    """Nanoseconds of CPU that the process has used, all its threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def load(port: int) -> int:
    """Keeps every connection busy, and returns how many requests were answered."""
    waiting, unanswered, answered = selectors.DefaultSelector(), {}, 0
    batch = b"".join(b"get" + b"".join(b" key%05d" % (100 * i + n) for n in range(KEYS)) + b"\r\n" for i in range(PIPELINE))
    for _ in range(CONNECTIONS):
        client = Client(port)
        waiting.register(client.link, selectors.EVENT_READ, client)
        unanswered[client] = PIPELINE
        client.send(batch)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for key, _ in waiting.select(0.1):
            client = key.data
            data = client.unread + client.link.recv(1 << 20)
            client.unread = data[-4:]  # an END may come in two pieces
            done = data.count(b"END\r\n")
            answered += done
            unanswered[client] -= done
            if unanswered[client] == 0:
                unanswered[client] = PIPELINE
                client.send(batch)
    for client in unanswered:
        client.close()
    return answered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the server's process number")
    args = parser.parse_args()
    before = cpu_time(args.pid)
    requests = load(args.port)
    spent = (cpu_time(args.pid) - before) / requests / 1e3

    needs("strace")
    strace = subprocess.Popen(["strace", "-f", "-c", "-e", "futex", "-p", str(args.pid)], stderr=subprocess.PIPE, text=True)
    if "attached" not in (first := strace.stderr.readline()):
        raise SystemExit(first.strip())
    traced = load(args.port)
    strace.send_signal(signal.SIGINT)
    counted = re.search(r"(\d+)(?:\s+\d+)?\s+futex$", strace.communicate()[1], re.M)
    futexes = int(counted[1]) * 1000 / traced if counted else 0
    print(f"{requests / SECONDS:,.0f} requests a second   {spent:.1f} µs of CPU each   {futexes:.0f} futex() calls in 1,000")
    verdict("the workers wait for each other" if futexes > 50 else "the workers hardly ever wait for each other")


if __name__ == "__main__":
    run(main)
