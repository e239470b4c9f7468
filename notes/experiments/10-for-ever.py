#!/usr/bin/env python3
"""One datagram to a server, in the name of another server. How many datagrams follow it within a second?

Both serve UDP on 127.0.0.1, at the two ports given. Wants to be root: only root may write a datagram's header himself."""

import argparse
import socket
import struct
import time
from pathlib import Path


def datagrams() -> int:
    """How many this machine has sent so far, whoever sent them."""
    names, numbers = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Udp:"))
    return int(dict(zip(names, numbers))["OutDatagrams"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int, help="the server that is asked")
    parser.add_argument("other", type=int, help="the server in whose name it is asked")
    args = parser.parse_args()
    before = datagrams()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as forger:
        request = bytes((0, 1, 0, 0, 0, 1, 0, 0)) + b"what is this\r\n"
        header = struct.pack("!4H", args.other, args.port, 8 + len(request), 0)  # from, to, length, no checksum
        forger.sendto(header + request, ("127.0.0.1", 0))
    time.sleep(1)
    first = datagrams() - before
    time.sleep(1)
    second = datagrams() - before - first
    print(f"datagrams in the first second: {first:,}   in the next: {second:,}")
    print("Verdict:", "the two talk, and nobody else is needed." if second > 100 else "it was answered, and that was all.")


if __name__ == "__main__":
    main()
