#!/usr/bin/env python3
"""Fifty clients, each asking for one small value at a time; then one reply of a single client, piece by piece."""

import selectors
import statistics
import time

from client import Client, arguments, run, verdict

CLIENTS, SECONDS = 50, 3.0
DELAYED_ACK = 35.0  # ms: Linux waits 40


def load(port: int) -> float:
    """Prints how many gets a second the clients see together, and how long one takes. Returns the latter, in ms."""
    waiting = selectors.DefaultSelector()
    asked: dict[Client, float] = {}
    for _ in range(CLIENTS):
        client = Client(port)
        waiting.register(client.link, selectors.EVENT_READ, client)
        asked[client] = time.monotonic()
        client.send(b"get k\r\n")
    times, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        for key, _ in waiting.select(0.1):
            client = key.data
            client.unread += client.link.recv(4096)
            if client.unread.endswith(b"END\r\n"):
                client.unread = b""
                times.append(time.monotonic() - asked[client])
                asked[client] = time.monotonic()
                client.send(b"get k\r\n")
    median = statistics.median(times) * 1e3
    print(f"{CLIENTS} clients: {len(times) / SECONDS:,.0f} gets a second; half of them took {median:.1f} ms or more")
    return median


def one_reply(port: int) -> None:
    """Prints the pieces of one reply with their times. The kernel is patient with a new connection: take the hundredth."""
    client = Client(port)
    for _ in range(99):
        client.ask(b"get k\r\n", b"END\r\n")
    start, reply = time.monotonic(), b""
    client.send(b"get k\r\n")
    while not reply.endswith(b"END\r\n"):
        piece = client.link.recv(4096)
        reply += piece
        shown = " ".join(line if len(line) <= 20 else f"{line[:8]}… ({len(line)} bytes)" for line in piece.decode().split("\r\n"))
        print(f"{(time.monotonic() - start) * 1e3:7.2f} ms  {shown}")


def main() -> None:
    args = arguments(__doc__)
    Client(args.port).ask(b"set k 0 0 100\r\n" + b"v" * 100 + b"\r\n")
    median = load(args.port)
    one_reply(args.port)
    verdict("replies wait for a delayed ACK" if median > DELAYED_ACK else "no reply waits for an ACK")


if __name__ == "__main__":
    run(main)
