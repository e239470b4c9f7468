#!/usr/bin/env python3
"""A thread of the server stands still for two seconds, as if it waited for a disk, or computed. Who is served meanwhile?

Eight clients are connected; four more come. A worker pool (chapter 12 with four workers), and a proxy (chapter 18). The
script starts and ends all of the processes, and stops single threads of theirs by ptrace, as a debugger does."""

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from client import Client, run, verdict
from pool import Pool, Process, Proxy, arguments, free_port

CONNECTED, NEW, STILL = 8, 4, 2.0
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # waitpid() for threads, too


@contextlib.contextmanager
def stopped(thread: int) -> Iterator[None]:
    """One thread, and no other one of its process, does nothing in between."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if ptrace(request, thread, None, None) == -1:
            raise SystemExit(f"ptrace: {os.strerror(ctypes.get_errno())}")
    os.waitpid(thread, WALL)
    yield
    ptrace(PTRACE_DETACH, thread, None, None)


def answered(clients: list[Client]) -> int:
    """How many of them have a reply within the time. Each asks at once; nobody waits for another one."""
    served = []

    def ask(client: Client) -> None:
        with contextlib.suppress(TimeoutError):
            client.ask(b"get k\r\n", b"END\r\n")
            served.append(client)

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(served)


def threads_of(process: Process, port: int) -> list[int]:
    """Once it answers, it has all of them. The first one is that of main()."""
    answered([Client(port)])
    return sorted(int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir())


def observe(name: str, port: int, thread: int) -> int:
    """Returns how many were served, old and new."""
    clients = [Client(port, STILL / 2) for _ in range(CONNECTED)]
    answered(clients)
    with stopped(thread):
        old = answered(clients)
        new = answered([Client(port, STILL / 2) for _ in range(NEW)])
    print(f"{name:<38} {old} of {CONNECTED}            {new} of {NEW}")
    time.sleep(0.1)  # what waited is served
    return old + new


def main() -> None:
    programs = arguments(__doc__).parse_args()
    print("who stands still                       clients served   newcomers served")
    port = free_port()
    with Process([programs.server, "-p", str(port), "-l", "127.0.0.1", "-t", "4"], port) as pool:
        master, *workers = threads_of(pool, port)
        served = [observe("worker pool: a worker", port, workers[0]), observe("worker pool: the master", port, master)]
    with Proxy(programs, {"pool": Pool({}, 3)}) as proxy:
        loop, statistics = threads_of(proxy.process, proxy.ports["pool"])
        served.append(observe("proxy: the loop", proxy.ports["pool"], loop))
        served.append(observe("proxy: the stats thread", proxy.ports["pool"], statistics))
    worker, master, loop, _ = served
    everybody = CONNECTED + NEW
    verdict(f"of {everybody} clients {worker} are served without a worker, {master} without the master, {loop} without the loop")


if __name__ == "__main__":
    run(main)
