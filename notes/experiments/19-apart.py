#!/usr/bin/python3
"""Chapter 19: what a proxy does to keys that belong together.

    notes/experiments/19-apart.py
    notes/experiments/19-apart.py --proxy nutcracker

Four clients set eight keys to the same number, each with one MSET, then to the next number, and so on. Another one reads
the eight with one MGET, again and again, and counts how often they are not all the same.
"""

import contextlib
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pool
from client import Client

SECONDS = 2.0
WRITERS = 4


def command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


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
        self._client.send(command("MSET", *(word for key in self._keys for word in (key, str(self._number)))))
        self._client.until(b"\r\n")

    def stop(self) -> None:
        self._ended.set()
        self.join()


def read(port: int, keys: list[str]) -> tuple[int, int]:
    """Returns how many MGETs there were, and of how many the values were not all the same."""
    reader, reads, torn = Client(port), 0, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        reader.send(command("MGET", *keys))
        reader.until(b"\r\n")
        values = set()
        for _ in keys:
            reader.until(b"\r\n")
            values.add(reader.until(b"\r\n"))
        reads += 1
        torn += len(values) > 1
    reader.close()
    return reads, torn


@contextlib.contextmanager
def proxy(program: str, servers: int, connections: int):
    """The port of a proxy with so many redis-server behind it, and so many connections to each."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        ports = [pool.free_port() for _ in range(servers)]
        for port in ports:
            flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory, "--logfile", "/dev/null"]
            stack.enter_context(pool.Process(["redis-server", *flags], port))
        port, file = pool.free_port(), Path(directory) / "nutcracker.yml"
        lines = [f"listen: 127.0.0.1:{port}", "hash: murmur", 'hash_tag: "{}"', "redis: true", f"server_connections: {connections}", "servers:"]
        lines += [f" - 127.0.0.1:{p}:1 server{i}" for i, p in enumerate(ports)]
        file.write_text("p:\n" + "".join(f"  {line}\n" for line in lines))
        flags = ["-c", str(file), "-s", str(pool.free_port()), "-a", "127.0.0.1", "-v", "2"]
        stack.enter_context(pool.Process([program, *flags], port))
        yield port


def main() -> None:
    parser = pool.arguments(__doc__)
    parser.set_defaults(proxy=str(pool.CHAPTERS / "19-nc-redis"))
    program = parser.parse_args().proxy
    if not shutil.which("redis-server"):
        raise SystemExit("there is no redis-server (Debian: redis-server)")
    print("servers   connections   keys                 MGETs   not all the same")
    for servers, connections, name in ((1, 4, "k{}"), (2, 1, "k{}"), (2, 4, "k{}"), (2, 4, "{{k}}{}")):
        keys = [name.format(i * i * 37) for i in range(8)]
        with proxy(program, servers, connections) as port:
            writers = [Writer(port, keys, number) for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            try:
                reads, torn = read(port, keys)
            finally:
                for writer in writers:
                    writer.stop()
        print(f"{servers:<9} {connections:<13} {f'{keys[0]} … {keys[-1]}':<18} {reads:>7,} {torn:>18,}")


if __name__ == "__main__":
    main()
