#!/usr/bin/env python3
"""Asks for 7 MB in one get and reads nothing for half a second. Does the whole reply come?"""

import socket
import time

from client import Client, arguments


def main() -> None:
    args = arguments(__doc__)
    value = b"v" * 1_000_000
    client = Client(args.port)
    client.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    print("a value of 1,000,000 bytes:", client.ask(b"set k 0 0 1000000\r\n" + value + b"\r\n"))
    client.send(b"get" + 7 * b" k" + b"\r\n")
    time.sleep(0.5)  # meanwhile the kernels' buffers fill up, and the server has to wait
    client.link.settimeout(2.0)
    reply = b""
    try:
        while not reply.endswith(b"\r\nEND\r\n"):
            reply += client.link.recv(1 << 20)
        print(f"the reply is whole: {len(reply):,} bytes")
    except TimeoutError:
        print(f"{len(reply):,} bytes came, and then nothing for 2 seconds")


if __name__ == "__main__":
    main()
