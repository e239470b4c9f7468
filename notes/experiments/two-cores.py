#!/usr/bin/env python3
"""More work than one core can do: how many threads of the server work on it at once, and how much of it gets done?

Eight connections, each of which has ten gets of two thousand keys under way. The keys are short, and nothing is stored under
them, so nearly all of the work is the server's. A worker pool with one, two, and four threads; a proxy; two proxies side by
side. Beside the cores that they got it is said how many they could have used: threads that ran, or would have run if a core
had been free. The load takes its share of the cores, too. The script starts and ends all of the processes."""

import contextlib
import os
import selectors
import time
from pathlib import Path

from client import Client, run, verdict
from pool import Pool, Process, Proxy, arguments, free_port

CONNECTIONS, KEYS, PIPELINE, SECONDS, TRIES = 8, 2000, 10, 1.5, 5
BATCH = (b"get" + b"".join(b" %03x" % i for i in range(KEYS)) + b"\r\n") * PIPELINE


def times(processes: list[Process]) -> tuple[int, int]:
    """Nanoseconds in which their threads ran, and in which they would have: waiting for a core, not for something to do."""
    ran = waited = 0
    for process in processes:
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            on_core, in_queue, _ = (task / "schedstat").read_text().split()
            ran, waited = ran + int(on_core), waited + int(in_queue)
    return ran, waited


def load(ports: list[int]) -> int:
    """Keeps every connection busy, and returns how many requests were answered."""
    with selectors.DefaultSelector() as ready, contextlib.ExitStack() as open_links:
        answered, under_way = 0, {}
        for i in range(CONNECTIONS):
            client = Client(ports[i % len(ports)])
            open_links.callback(client.close)
            ready.register(client.link, selectors.EVENT_READ, client)
            under_way[client] = PIPELINE
            client.send(BATCH)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for key, _ in ready.select(0.1):
                client = key.data
                data = client.unread + client.link.recv(1 << 16)
                client.unread = data[-4:]  # an END may come in two pieces
                replies = data.count(b"END\r\n")
                answered += replies
                under_way[client] -= replies
                if under_way[client] <= 0:
                    under_way[client] = PIPELINE
                    client.send(BATCH)
    return answered


def observe(name: str, processes: list[Process], ports: list[int]) -> float:
    """Requests a second, the best of several tries: whatever else the machine does only takes something away."""
    best = (0.0, 0.0, 0.0, 0.0)
    for _ in range(TRIES):
        (ran, waited), start = times(processes), time.monotonic()
        requests = load(ports)
        seconds = time.monotonic() - start
        now_ran, now_waited = times(processes)
        cores, wanted = (now_ran - ran) / 1e9 / seconds, (now_ran - ran + now_waited - waited) / 1e9 / seconds
        best = max(best, (requests / seconds, cores, wanted, (now_ran - ran) / requests / 1e3))
    print(f"{name:<20} {best[0]:>7,.0f} requests a second   {best[1]:4.2f} cores, of {best[2]:4.2f} wanted   "
          f"{best[3]:5.1f} µs of CPU each")
    return best[0]


def main() -> None:
    programs = arguments(__doc__).parse_args()
    print(f"{os.cpu_count()} cores")
    pool, proxy = {}, {}
    for threads in (1, 2, 4):
        port = free_port()
        with Process([programs.server, "-p", str(port), "-l", "127.0.0.1", "-t", str(threads)], port) as server:
            pool[threads] = observe(f"worker pool, -t {threads}", [server], [port])
    for number in (1, 2):
        with contextlib.ExitStack() as stack:
            proxies = [stack.enter_context(Proxy(programs, {"pool": Pool({}, 1)})) for _ in range(number)]
            proxy[number] = observe(f"proxy, {number} process{'es' if number > 1 else ''}",
                    [proxy.process for proxy in proxies], [proxy.ports["pool"] for proxy in proxies])
    verdict(f"a second worker brings {pool[2] / pool[1]:.1f} times the requests, a second proxy {proxy[2] / proxy[1]:.1f} times")


if __name__ == "__main__":
    run(main)
