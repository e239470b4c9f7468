#!/usr/bin/env python3
"""A thousand clients, one after the other, each with one question. How many are not answered within half a second?

It gives up after ten."""

import time

from client import Client, arguments, run, verdict

CLIENTS = 1000


def main() -> None:
    args = arguments(__doc__)
    asked, lost, slowest = 0, 0, 0.0
    while asked < CLIENTS and lost < 10:
        asked += 1
        client = Client(args.port, timeout=0.5)
        start = time.monotonic()
        try:
            client.ask(b"version\r\n")
            slowest = max(slowest, time.monotonic() - start)
        except TimeoutError:
            lost += 1
        client.close()
    print(f"clients: {asked}   not answered: {lost}   slowest answer: {slowest * 1e3:.1f} ms")
    verdict("clients are connected, and forgotten" if lost else "nobody is forgotten")


if __name__ == "__main__":
    run(main)
