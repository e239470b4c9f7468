#!/usr/bin/env python3
"""One client sends without end; another one asks, waits for the answer, and asks again. How long does it wait?"""

import multiprocessing
import statistics
import threading
import time

from client import Client, arguments

REQUESTS = 500


def flood(port: int) -> None:
    """Sends commands as fast as they are taken, and throws the replies away."""
    client = Client(port, timeout=None)
    commands = b"stats\r\n" * 10_000

    def send() -> None:
        while True:
            client.send(commands)

    threading.Thread(target=send, daemon=True).start()
    while client.link.recv(1 << 20):
        pass


def ask(port: int) -> str:
    client, times = Client(port), []
    for _ in range(REQUESTS):
        start = time.monotonic()
        client.ask(b"version\r\n")
        times.append((time.monotonic() - start) * 1e3)
    return f"half of the answers took {statistics.median(times):5.2f} ms or more, the slowest {max(times):6.2f} ms"


def main() -> None:
    args = arguments(__doc__)
    print("alone:               ", ask(args.port))
    greedy = multiprocessing.Process(target=flood, args=(args.port,), daemon=True)
    greedy.start()
    watcher = Client(args.port)
    start = int(watcher.stats()["bytes_read"])
    while int(watcher.stats()["bytes_read"]) < start + 100_000:
        pass
    print("beside a greedy one: ", ask(args.port))
    greedy.terminate()


if __name__ == "__main__":
    main()
