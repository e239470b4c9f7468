#!/usr/bin/env python3
"""Eight clients; each in turn keeps the server busy for a moment. Which thread does the work?"""

import argparse
from pathlib import Path

from client import Client, run, verdict

CLIENTS, REQUESTS = 8, 2000


def cpu_times(pid: int) -> list[int]:
    """Nanoseconds of CPU of each thread, in the order of their making: the master, then the workers."""
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    return [int((task / "schedstat").read_text().split()[0]) for task in tasks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the server's process number")
    args = parser.parse_args()
    clients = [Client(args.port) for _ in range(CLIENTS)]
    for client in clients:
        client.ask(b"version\r\n")
    busiest = []
    for number, client in enumerate(clients, 1):
        before = cpu_times(args.pid)
        for _ in range(REQUESTS):
            client.ask(b"version\r\n")
        spent = [(after - then) / 1e6 for then, after in zip(before, cpu_times(args.pid))]
        row = "   ".join(f"worker {i} {ms:4.0f} ms" for i, ms in enumerate(spent[1:], 1))
        busiest.append(spent.index(max(spent)))
        print(f"client {number}:   master {spent[0]:2.0f} ms   {row}")
    workers = len(spent) - 1
    in_turn = all((this - last) % workers == 1 % workers for last, this in zip(busiest, busiest[1:]))
    verdict("each client has its worker; they are dealt out in turn" if in_turn else "the workers are not dealt out in turn")


if __name__ == "__main__":
    run(main)
