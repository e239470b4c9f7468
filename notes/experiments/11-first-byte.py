#!/usr/bin/env python3
"""Stores with one protocol, reads with the other, and shows the bytes."""

import struct

from client import Client, arguments, run, verdict

GET, SET, NOOP, GETQ = 0x00, 0x01, 0x0A, 0x09


def packet(opcode: int, key: bytes = b"", extras: bytes = b"", value: bytes = b"", opaque: int = 0) -> bytes:
    body = extras + key + value
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, 0) + body


def answer(client: Client) -> tuple[int, int, int, bytes]:
    """Opcode, status, opaque and body of the next packet."""
    while len(client.unread) < 24:
        client.unread += client.link.recv(4096)
    _, opcode, _, _, _, status, size, opaque, _ = struct.unpack(">BBHBBHIIQ", client.unread[:24])
    while len(client.unread) < 24 + size:
        client.unread += client.link.recv(4096)
    body, client.unread = client.unread[24 : 24 + size], client.unread[24 + size :]
    return opcode, status, opaque, body


def twice(port: int) -> None:
    """A text command is refused, and its value is read as a command: a value that begins with 0x80."""
    client = Client(port, timeout=1.0)
    print("set k 0 0 x   ->", client.ask(b"set k 0 0 x\r\n"))
    client.send(b"\x80 is how my value begins\r\n")
    try:
        print("its value     ->", client.until(b"\r\n").decode().strip())
        print("version       ->", client.ask(b"version\r\n"))
        verdict("a text connection stays one")
    except ConnectionError as error:
        print("its value     ->", error.strerror or error)
        verdict("a value was taken for a binary request")


def main() -> None:
    args = arguments(__doc__, twice="a value that begins with the binary protocol's first byte")
    if args.twice:
        twice(args.port)
        return
    text, binary = Client(args.port), Client(args.port)
    print("text    set k          ->", text.ask(b"set k 7 0 5\r\nhello\r\n"))
    request = packet(GET, b"k", opaque=0xDEADBEEF)
    binary.send(request)
    opcode, status, opaque, body = answer(binary)
    print(f"binary  get k          -> status {status}, opaque {opaque:x}, flags {int.from_bytes(body[:4], 'big')}, value {body[4:]!r}")
    binary.send(packet(SET, b"k2", struct.pack(">II", 9, 0), b"world"))
    print("binary  set k2         -> status", answer(binary)[1])
    found = text.ask(b"get k2\r\n", b"END\r\n")
    print("text    get k2         ->", found.replace("\r\n", " | "))
    binary.send(b"".join(packet(GETQ, b"key%d" % i, opaque=i) for i in range(100)) + packet(GETQ, b"k", opaque=100) + packet(NOOP))
    answers = []
    while not answers or answers[-1][0] != NOOP:
        answers.append(answer(binary))
    print(f"binary  101 getq, noop -> {len(answers)} answers: opaque {answers[0][2]} with {answers[0][3][4:]!r}, and the noop's")
    same = body[4:] == b"hello" and "world" in found
    verdict("both protocols see the same items" if same else "what one protocol has stored the other does not find")


if __name__ == "__main__":
    run(main)
