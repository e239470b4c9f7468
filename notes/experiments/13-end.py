#!/usr/bin/env python3
"""Asks, and closes its sending half in the same segment: does the program notice that nothing more will come?

The last bytes and the end of the stream reach it as one edge. Then a hundred clients who say half a line, and hang up:
how many of their connections does it still hold? (CLOSE_WAIT in `ss -tn`.)"""

import socket
import time
from pathlib import Path

from client import Client, arguments, run, verdict

PATIENCE, HUNDRED = 2.0, 100
HALF = b"vers"
LAST_WORDS = (b"version\r\n", HALF, b"")
CLOSE_WAIT = "08"  # the kernel's number for the state


def say_and_end(client: Client, words: bytes) -> None:
    """Sends the bytes and the FIN in one segment: MSG_MORE keeps the bytes until the end follows."""
    client.link.send(words, socket.MSG_MORE)
    client.link.shutdown(socket.SHUT_WR)


def held(port: int) -> int:
    """How many connections to that port have been closed by the client, and not by the server."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == CLOSE_WAIT for row in rows)


def main() -> None:
    args = arguments(__doc__)
    open_ones = 0
    for words in LAST_WORDS:
        client = Client(args.port, PATIENCE)
        time.sleep(0.05)  # the edges that come with a new connection are past
        say_and_end(client, words)
        reply = b""
        try:
            while data := client.link.recv(1 << 16):
                reply += data
            end = "closed"
        except TimeoutError:
            end = f"still open after {PATIENCE:.0f} s"
            open_ones += 1
        print(f"{words!r:32} reply {reply!r:32} {end}")
    for _ in range(HUNDRED):
        client = Client(args.port)
        time.sleep(0.005)
        say_and_end(client, HALF)
        client.close()
    time.sleep(0.2)
    print(f"{HUNDRED} clients have come, and gone; it holds {(left := held(args.port))}")
    verdict("ends were missed" if left or open_ones else "every end was seen")


if __name__ == "__main__":
    run(main)
