#!/usr/bin/env python3
"""Chapter 19: what a proxy does to keys that belong together.

    notes/experiments/19-apart.py
    notes/experiments/19-apart.py --proxy nutcracker

Four clients set eight keys to the same number, each with one MSET, then to the next number, and so on. Another one reads
the eight with one MGET, again and again, and counts how often they are not all the same.
"""

import threading
import time

from client import Client, needs, run, verdict
from pool import arguments, redis_command, redis_proxy

SECONDS = 2.0
WRITERS = 4


class Writer(threading.Thread):
    """Owns: its connection. Writes until it is told to stop."""

    def __init__(self, port: int, keys: list[str], number: int) -> None:
        super().__init__()
        self._client, self._keys, self._ended = Client(port), keys, threading.Event()
        self._number = number * 1_000_000_000  # its own
        self.write()

    def run(self) -> None:
        while not self._ended.is_set():
            self.write()
        self._client.close()

    def write(self) -> None:
        self._number += 1
        self._client.send(redis_command("MSET", *(word for key in self._keys for word in (key, str(self._number)))))
        self._client.until(b"\r\n")

    def stop(self) -> None:
        self._ended.set()
        self.join()


def read(port: int, keys: list[str]) -> tuple[int, int]:
    """Returns how many MGETs there were, and of how many the values were not all the same."""
    reader, reads, torn = Client(port), 0, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        reader.send(redis_command("MGET", *keys))
        reader.until(b"\r\n")
        values = set()
        for _ in keys:
            reader.until(b"\r\n")
            values.add(reader.until(b"\r\n"))
        reads += 1
        torn += len(values) > 1
    reader.close()
    return reads, torn


def measure(port: int, keys: list[str]) -> tuple[int, int]:
    """As read(), while the writers write."""
    writers = [Writer(port, keys, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        return read(port, keys)
    finally:
        for writer in writers:
            writer.stop()


def main() -> None:
    program = arguments(__doc__, "19-nc-redis").parse_args().proxy
    needs("redis-server")
    print("servers   connections   keys                 MGETs   not all the same")
    seen = {}
    for servers, connections, name in ((1, 4, "k{}"), (2, 1, "k{}"), (2, 4, "k{}"), (2, 4, "{{k}}{}")):
        keys = [name.format(i * i * 37) for i in range(8)]
        with redis_proxy(program, servers, f"server_connections: {connections}") as (port, _):
            reads, torn = measure(port, keys)
        print(f"{servers:<9} {connections:<13} {f'{keys[0]} … {keys[-1]}':<18} {reads:>7,} {torn:>18,}")
        seen[servers, connections, name] = torn
    apart = seen.pop((2, 4, "k{}"))
    verdict(f"half a change was seen {apart:,} times with two servers and four connections, otherwise {sum(seen.values())} times")


if __name__ == "__main__":
    run(main)
