#!/usr/bin/env python3
"""Pauses the workers, and shows what an old client and a new one see, until the workers are resumed."""

import argparse
import os
import signal
import time

from client import Client, run, verdict


def is_answered(client: Client) -> bool:
    try:
        client.ask(b"version\r\n")
        return True
    except TimeoutError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the server's process number")
    args = parser.parse_args()
    old = Client(args.port, timeout=0.5)
    print("before:        an old client is", "answered" if is_answered(old) else "not answered")
    os.kill(args.pid, signal.SIGUSR1)
    while is_answered(old):
        pass
    print("SIGUSR1:       an old client is not answered within 0.5 s")
    start = time.monotonic()
    new = Client(args.port, timeout=0.5)
    print(f"               a new one is connected after {(time.monotonic() - start) * 1e3:.1f} ms,", "and answered" if is_answered(new) else "and not answered")
    os.kill(args.pid, signal.SIGUSR2)
    start = time.monotonic()
    for name, client in (("old", old), ("new", new)):
        reply = client.until(b"\r\n").decode().strip()
        print(f"{'SIGUSR2:' if client is old else '':14} the {name} one has its answer, {reply}, after {(time.monotonic() - start) * 1e3:.1f} ms")
    verdict("nobody was refused, and nothing was lost")


if __name__ == "__main__":
    run(main)
