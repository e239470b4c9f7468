#!/usr/bin/env python3
"""Talks to a server piece by piece, and shows who said what.

    talk.py [HOST:]PORT 'set k 0 0 5\\r\\n' 'hel' 'lo\\r\\n' 'get k\\r\\n'

Each argument is sent with one write(); \\r, \\n and \\xNN are understood. After each piece it prints what comes back within
a moment (-w). At the end it closes the connection, or with --half closes only its sending side and reads to the end.
"""

import argparse
import codecs
import socket
import sys
import time


def show(mark: str, data: bytes, since: float) -> None:
    """Prints data line by line, each with its mark and the milliseconds since the start; long lines are cut."""
    for line in data.splitlines(keepends=True):
        text = line[:60].decode("latin-1").encode("unicode_escape").decode()
        more = f" … {len(line)} bytes" if len(line) > 60 else ""
        print(f"{(time.monotonic() - since) * 1e3:8.1f} ms  {mark} {text}{more}", flush=True)


def receive(link: socket.socket, wait: float, since: float) -> bool:
    """Shows what arrives until nothing has come for `wait` seconds. False: the server has closed the connection."""
    link.settimeout(wait)
    while True:
        try:
            data = link.recv(1 << 20)
        except TimeoutError:
            return True
        except ConnectionResetError:
            data = b""
        if not data:
            print(f"{(time.monotonic() - since) * 1e3:8.1f} ms  < (closed)")
            return False
        show("<", data, since)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", help="[HOST:]PORT")
    parser.add_argument("piece", nargs="+", help="what to send; one write() each")
    parser.add_argument("-w", "--wait", type=float, default=0.1, metavar="S", help="seconds to wait for answers (0.1)")
    parser.add_argument("--half", action="store_true", help="in the end close the sending side and read to the end")
    args = parser.parse_args()

    host, _, port = args.where.rpartition(":")
    since = time.monotonic()
    with socket.create_connection((host or "127.0.0.1", int(port))) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in args.piece:
            data = codecs.escape_decode(piece.encode())[0]
            show(">", data, since)
            try:
                link.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                print("the server has closed the connection", file=sys.stderr)
                return 1
            if not receive(link, args.wait, since):
                return 0
        if args.half:
            link.shutdown(socket.SHUT_WR)
            receive(link, 5, since)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:
        print(f"talk.py: {error}", file=sys.stderr)
        sys.exit(1)
