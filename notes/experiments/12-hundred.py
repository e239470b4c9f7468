#!/usr/bin/env python3
"""A hundred times: all descriptors are taken, and while one more client comes, one of those inside leaves. Is it served?

Start the server with a small limit, `-c 40`. The two things happen at the same moment, now the one first and now the
other: this is where a server that is told of free descriptors by a flag can miss the news."""

import random
import threading
import time

from client import Client, arguments, run, verdict

ROUNDS, PATIENCE = 100, 3.0


def places(port: int, watcher: Client) -> int:
    """How many more clients the server has room for: they are answered, and the next one is not."""
    before = watcher.stats()["curr_connections"]
    crowd: list[Client] = []
    try:
        while True:
            crowd.append(Client(port, timeout=0.5))
            crowd[-1].ask(b"version\r\n")
    except TimeoutError:
        pass
    for client in crowd:
        client.close()
    while (stats := watcher.stats())["curr_connections"] != before or stats["accepting_conns"] == "0":
        pass
    return len(crowd) - 1


def main() -> None:
    args = arguments(__doc__)
    watcher = Client(args.port)
    room = places(args.port, watcher)
    crowd = [Client(args.port) for _ in range(room)]
    for client in crowd:
        client.ask(b"version\r\n")
    print(f"{room} clients and a watcher take all descriptors")
    served, slowest = 0, 0.0
    for number in range(1, ROUNDS + 1):
        leaves = threading.Timer(random.uniform(0, 0.002), crowd.pop(0).close)
        leaves.start()
        newcomer = Client(args.port, PATIENCE)
        start = time.monotonic()
        try:
            newcomer.ask(b"version\r\n")
        except TimeoutError:
            print(f"round {number}: one left, one came, and after {PATIENCE:.0f} s it is not served; "
                  f"accepting_conns {watcher.stats()['accepting_conns']}")
            break
        served, slowest = served + 1, max(slowest, time.monotonic() - start)
        leaves.join()
        crowd.append(newcomer)
    stats = watcher.stats()
    print(f"{served} of {ROUNDS} newcomers were served, the slowest after {slowest * 1e3:.1f} ms")
    print("   ".join(f"{name} {stats[name]}" for name in ("listen_disabled_num", "accepting_conns", "curr_connections")))
    verdict("nobody was forgotten" if served == ROUNDS else "a newcomer was forgotten, with room inside")


if __name__ == "__main__":
    run(main)
