#!/usr/bin/env python3
"""How many bytes does a UDP server send for one byte that it receives? The UDP port is that of TCP (-p 11222 -U 11222).

Counted on the wire: with the 28 bytes of IP and UDP headers that each datagram has. What the server has sent is asked from
the server, because no client can read that fast."""

import socket
import struct
import time

from client import Client, arguments, run, verdict

WRAPPING, FRAME, PAYLOAD = 28, 8, 1400


class Meter(Client):
    """A TCP client that asks the server how much it has sent, and leaves out what it was sent itself."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.mine = 0

    def until(self, end: bytes) -> bytes:
        reply = super().until(end)
        self.mine += len(reply)
        return reply

    def sent_to_others(self) -> int:
        """Bytes, once there have been no more of them for a moment."""
        last = -1
        while True:
            mine = self.mine
            now = int(self.stats()["bytes_written"]) - mine
            if now == last:
                return now
            last = now
            time.sleep(0.2)


def main() -> None:
    args = arguments(__doc__)
    meter = Meter(args.port)
    meter.ask(b"set a 0 0 1000000\r\n" + b"v" * 1_000_000 + b"\r\n")
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect(("127.0.0.1", args.port))
    worst = 0.0
    for title, request in (
        ("version", b"version\r\n"),
        ("get of 1,000,000 bytes", b"get a\r\n"),
        ("the same key ten times", b"get" + b" a" * 10 + b"\r\n"),
        ("the same key a hundred times", b"get" + b" a" * 100 + b"\r\n"),
    ):
        before = meter.sent_to_others()
        link.send(struct.pack(">HHHH", 1, 0, 1, 0) + request)
        sent = meter.sent_to_others() - before
        datagrams = -(-sent // PAYLOAD)
        received, sent = WRAPPING + FRAME + len(request), sent + datagrams * WRAPPING
        worst = max(worst, sent / received)
        print(f"{title:28}   in {received:3} bytes   out {sent:11,} bytes in {datagrams:6,} datagrams   "
              f"factor {sent / received:7,.0f}")
    verdict(f"whoever forges a sender's address sends {worst:,.0f} bytes for each of his own")


if __name__ == "__main__":
    run(main)
