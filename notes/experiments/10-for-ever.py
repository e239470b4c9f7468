#!/usr/bin/env python3
"""One datagram to a server, in the name of another server. How much do the two have to read from then on?

Both serve UDP and TCP on 127.0.0.1, at the two ports given. Wants to be root: only root may write a datagram's header
himself."""

import argparse
import socket
import struct
import time

from client import Client, run, verdict

QUESTION = len(b"stats\r\n")


def forge(origin: int, port: int) -> None:
    """Sends nonsense to `port`, as if it came from the port `origin`."""
    request = bytes((0, 1, 0, 0, 0, 1, 0, 0)) + b"what is this\r\n"
    header = struct.pack("!4H", origin, port, 8 + len(request), 0)  # from, to, length, no checksum
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(header + request, ("127.0.0.1", 0))


def bytes_read(watchers: list[Client]) -> int:
    """What the servers have read so far, this question included."""
    return sum(int(watcher.stats()["bytes_read"]) for watcher in watchers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int, help="the server that is asked")
    parser.add_argument("other", type=int, help="the server in whose name it is asked")
    args = parser.parse_args()
    watchers = [Client(args.port), Client(args.other)]
    counts = [bytes_read(watchers)]
    forge(args.other, args.port)
    for _ in range(2):
        time.sleep(1)
        counts.append(bytes_read(watchers))
    first, second = (after - before - QUESTION * len(watchers) for before, after in zip(counts, counts[1:]))
    print(f"the two have read {first:,} bytes in the first second, and {second:,} in the next")
    if first == 0:
        raise EOFError("nobody has read the datagram; start both servers with -U, as the note says")
    verdict("the two talk, and nobody else is needed" if second else "it was answered, and that was all")


if __name__ == "__main__":
    run(main)
