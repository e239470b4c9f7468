#!/usr/bin/env python3
"""Sends a value of 60,000 bytes in one piece, and waits for STORED. If nothing comes: one more command, and one more.

Start the proxy of chapter 13 with `-o read_once`, and without. With it, the proxy reads once an event and leaves the
rest where it is: it breaks the contract of edge-triggered events. Then the same as 2,400 small requests."""

import time

from client import Client, arguments, run, verdict

PATIENCE, MOST_NUDGES = 2.0, 8
VALUE, REQUESTS = 60_000, 2400


def waits(client: Client, end: bytes, start: float) -> bool:
    """Whether the reply does not come. Says when it does."""
    try:
        reply = client.until(end)
    except TimeoutError:
        return True
    print(f"  {reply.decode().strip()} after {(time.monotonic() - start) * 1e3:,.1f} ms")
    return False


def one_value(port: int) -> int:
    """Returns how many commands more had to come."""
    client = Client(port, PATIENCE)
    client.ask(b"version\r\n")  # the edges that come with a new connection are past
    request = b"set large 0 0 %d\r\n%s\r\n" % (VALUE, b"v" * VALUE)
    print(f"a set of {len(request):,} bytes, in one piece:")
    start, nudges = time.monotonic(), 0
    client.send(request)
    while waits(client, b"\r\n", start) and nudges < MOST_NUDGES:
        nudges += 1
        print(f"  nothing for {PATIENCE:.0f} s. So one more command, number {nudges}: version")
        client.send(b"version\r\n")
    for _ in range(nudges):
        if waits(client, b"\r\n", start):
            break
    return nudges


def many_requests(port: int) -> None:
    client = Client(port, PATIENCE)
    requests = b"get nobody-has-this-key\r\n" * REQUESTS
    print(f"{REQUESTS:,} gets, {len(requests):,} bytes, in one piece:")
    client.send(requests)
    got = b""
    try:
        while got.count(b"END") < REQUESTS:
            got += client.link.recv(1 << 16)
    except TimeoutError:
        pass
    print(f"  {got.count(b'END'):,} are answered")


def main() -> None:
    args = arguments(__doc__)
    nudges = one_value(args.port)
    many_requests(args.port)
    verdict(f"input was left lying, until {nudges} more commands came" if nudges else "no input was left lying")


if __name__ == "__main__":
    run(main)
