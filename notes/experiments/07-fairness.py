#!/usr/bin/env python3
"""One client sends without end; another one asks, waits for the answer, and asks again. How long does it wait?"""

import multiprocessing
import statistics
import threading
import time

from client import Client, arguments, run, verdict

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


def ask(port: int) -> tuple[float, str]:
    """The median of its waits in ms, and a line about them."""
    client, times = Client(port), []
    for _ in range(REQUESTS):
        start = time.monotonic()
        client.ask(b"version\r\n")
        times.append((time.monotonic() - start) * 1e3)
    median = statistics.median(times)
    return median, f"half of the answers took {median:5.2f} ms or more, the slowest {max(times):6.2f} ms"


def main() -> None:
    args = arguments(__doc__)
    alone, line = ask(args.port)
    print("alone:               ", line)
    greedy = multiprocessing.Process(target=flood, args=(args.port,), daemon=True)
    greedy.start()
    watcher = Client(args.port)
    start = int(watcher.stats()["bytes_read"])
    while int(watcher.stats()["bytes_read"]) < start + 100_000:
        pass
    beside, line = ask(args.port)
    print("beside a greedy one: ", line)
    greedy.terminate()
    verdict(f"beside a greedy client one waits {beside - alone:.1f} ms longer")


if __name__ == "__main__":
    run(main)
