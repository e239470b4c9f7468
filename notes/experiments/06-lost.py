#!/usr/bin/env python3
"""A thousand clients, one after the other, each with one question. How many are not answered within half a second?

It gives up after ten."""

import time

from client import Client, arguments

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


if __name__ == "__main__":
    main()
