#!/usr/bin/env python3
"""One client asks for values of a megabyte, a hundred in a get, and again. Another one asks for next to nothing: how long
does it wait?

It asks two things in turn: the version, which the proxy answers itself, and a get of a few bytes, which goes to the server.
Works with a proxy (chapter 14; nutcracker, which passes both on) and with a server of its own (chapter 12)."""

import multiprocessing
import time

from client import Client, arguments, run, verdict

MEGABYTE, KEYS, HOW_LONG = 1_000_000, 100, 5.0
A_WHILE = 10  # ms


def greedy(port: int, taken: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    """Asks for a hundred megabytes, throws them away, and asks again."""
    client = Client(port, timeout=None)
    request = b"get" + b" large" * KEYS + b"\r\n"
    while True:
        client.send(request)
        left = KEYS * (MEGABYTE + len(b"VALUE large 0 1000000\r\n\r\n")) + len(b"END\r\n")
        while left > 0:
            n = len(client.link.recv(1 << 20))
            left -= n
            taken.value += n


def ask(client: Client, request: bytes, end: bytes) -> tuple[float, str]:
    """The share of the time that it spent in long waits, and a line about it."""
    times, end_time = [], time.monotonic() + HOW_LONG
    while (start := time.monotonic()) < end_time:
        client.ask(request, end)
        times.append((time.monotonic() - start) * 1e3)
    long = sum(t for t in times if t > A_WHILE)
    return long / sum(times), (f"{len(times):>7,} answers   slowest {max(times):7.1f} ms   "
            f"{long / sum(times):4.0%} of the time in waits over {A_WHILE} ms")


def main() -> None:
    args = arguments(__doc__)
    client = Client(args.port, timeout=60)
    client.ask(b"set large 0 0 %d\r\n%s\r\n" % (MEGABYTE, b"v" * MEGABYTE))
    client.ask(b"set small 0 0 1\r\nx\r\n")
    questions = [("version", b"version\r\n", b"\r\n"), ("get small", b"get small\r\n", b"END\r\n")]
    for name, request, end in questions:
        print(f"{name:>16}, alone:               {ask(client, request, end)[1]}")
    taken = multiprocessing.Value("q", 0)
    process = multiprocessing.Process(target=greedy, args=(args.port, taken), daemon=True)
    process.start()
    while not taken.value:
        pass
    for name, request, end in questions:
        share, line = ask(client, request, end)
        print(f"{name:>16}, beside a greedy one: {line}")
    print(f"the greedy one has taken {taken.value / 1e6:,.0f} MB")
    process.terminate()
    verdict("one greedy client holds up the others" if share > 0.2 else "a greedy client holds up nobody for long")


if __name__ == "__main__":
    run(main)
