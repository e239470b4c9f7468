#!/usr/bin/env python3
"""Sends datagrams, good ones and bad ones, and prints what comes back. The UDP port is that of TCP (-p 11222 -U 11222)."""

import socket
import struct

from client import Client, arguments, run, verdict

HEADER = struct.Struct(">HHHH")  # the request's number, which datagram of it this is, of how many, nothing


def ask(link: socket.socket, title: str, request: bytes, *, number: int, of: int = 1) -> bool:
    """Sends one datagram, and prints the datagrams of its reply. Whether there is one."""
    link.send(HEADER.pack(number, 0, of, 0) + request)
    return show(link, title)


def show(link: socket.socket, title: str) -> bool:
    """Prints the datagrams that come until one says that it is the last, or none comes for a moment. Whether one has come."""
    print(title)
    parts = 0
    while True:
        try:
            data = link.recv(65536)
        except TimeoutError:
            print("    nothing" if parts == 0 else "    no more")
            return parts > 0
        number, sequence, total, _ = HEADER.unpack_from(data)
        text = data[HEADER.size :]
        shown = text.decode().encode("unicode_escape").decode() if len(text) < 60 else f"{len(text)} bytes"
        print(f"    number {number}   {sequence + 1} of {total}   {shown}")
        parts += 1
        if parts == total:
            return True


def main() -> None:
    args = arguments(__doc__, quit="ask for the version, and quit, again and again")
    Client(args.port).close()  # is anybody there at all?
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.settimeout(0.3)
    link.connect(("127.0.0.1", args.port))
    if args.quit:
        answered = 0  # one more quit may have been on its way, and met nobody
        try:
            for number in range(1, 8):
                answered += ask(link, "version, then quit", b"version\r\n", number=number)
                link.send(HEADER.pack(99, 0, 1, 0) + b"quit\r\n")
        except ConnectionRefusedError:
            print("    the kernel answers: nobody has this port open")
            verdict(f"after {answered} quits no worker has the socket any more")
        else:
            verdict("to quit is nothing that a datagram can do")
        return
    ask(link, "version", b"version\r\n", number=7)
    ask(link, "set k, 3,000 bytes", b"set k 0 0 3000\r\n" + b"v" * 3000 + b"\r\n", number=8)
    ask(link, "get k", b"get k\r\n", number=9)
    ask(link, "version, said to be the first of two datagrams", b"version\r\n", number=10, of=2)
    ask(link, "half a value", b"set k 0 0 3000\r\n" + b"v" * 100, number=11)
    ask(link, "half a command", b"vers", number=12)
    ask(link, "its other half", b"ion\r\n", number=13)
    link.send(b"short")
    show(link, "five bytes")
    ask(link, "quit, which closes a TCP connection", b"quit\r\n", number=14)
    answers = ask(link, "version", b"version\r\n", number=15)
    verdict("after all of that the port answers" if answers else "the port does not answer any more")


if __name__ == "__main__":
    run(main)
