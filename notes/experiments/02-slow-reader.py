#!/usr/bin/env python3
"""Asks for 7 MB in one get and reads nothing for half a second. Does the whole reply come?"""

import socket
import time

from client import Client, arguments, run, verdict


def main() -> None:
    args = arguments(__doc__)
    client = Client(args.port, timeout=2.0)
    client.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    value = b"v" * 1_000_000
    print("a value of 1,000,000 bytes:", client.ask(b"set k 0 0 1000000\r\n" + value + b"\r\n"))
    client.send(b"get" + 7 * b" k" + b"\r\n")
    time.sleep(0.5)  # meanwhile the kernels' buffers fill up, and the server has to wait
    try:
        reply = client.until(b"\r\nEND\r\n")
        print(f"the reply is whole: {len(reply):,} bytes")
        verdict("the server goes on when there is room again")
    except TimeoutError:
        print(f"{len(client.unread):,} bytes came, and then nothing for 2 seconds")
        verdict("the server and its client wait for each other")


if __name__ == "__main__":
    run(main)
