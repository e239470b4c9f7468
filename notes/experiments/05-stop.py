#!/usr/bin/env python3
"""Stops the server while a client is in the middle of a value, and shows what the client sees."""

import argparse
import os
import signal
import time

from client import Client, run, verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the server's process number")
    args = parser.parse_args()
    client = Client(args.port)
    print("a client is half-way through a value:", client.ask(b"version\r\n"))
    client.send(b"set k 0 0 1000\r\nhalf of it")
    start = time.monotonic()
    os.kill(args.pid, signal.SIGTERM)
    try:
        end = client.link.recv(100)
        print(f"the server closed the connection after {(time.monotonic() - start) * 1e3:.1f} ms" if not end else end)
        verdict("a client in the middle of a value hears of the end at once, and no error")
    except ConnectionResetError:
        print(f"the server reset the connection after {(time.monotonic() - start) * 1e3:.1f} ms")
        verdict("to a client the end looks like a fault of the network")


if __name__ == "__main__":
    run(main)
