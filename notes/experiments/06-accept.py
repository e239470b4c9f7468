#!/usr/bin/env python3
"""What does it cost to accept a client? System calls, as strace counts them.

A client comes, asks for the version and leaves: one at a time, or fifty at once. Wants strace, and the right to attach
it to the server (root, or kernel.yama.ptrace_scope=0)."""

import argparse
import time

from calls import counted, cpu_time
from client import Client, needs, run, verdict

ROUNDS, BURST = 20, 50


def visit(port: int, at_once: int) -> None:
    """So many clients connect; then each asks, and leaves."""
    crowd = [Client(port) for _ in range(at_once)]
    for client in crowd:
        client.ask(b"version\r\n")
    for client in crowd:
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the server's process number")
    parser.add_argument("--time", action="store_true", help="time of the processor instead, without strace")
    args = parser.parse_args()
    visit(args.port, 1)  # before strace: where nobody listens there is nothing to attach to
    needs("strace")
    accepts: list[float] = []
    for name, at_once in (("one at a time", 1), ("fifty at once", BURST)):
        clients = ROUNDS * BURST

        def visits() -> None:
            for _ in range(clients // at_once):
                visit(args.port, at_once)

        if args.time:
            before = cpu_time(args.pid)
            visits()
            print(f"{name}:   {(cpu_time(args.pid) - before) / clients / 1e3:.1f} µs of CPU per client")
            continue
        calls: dict[str, int] = {}
        with counted(args.pid, calls):
            visits()
            time.sleep(0.1)  # the last of them leave
        accepts.append(calls.get("accept4", 0) / clients)
        shown = "   ".join(f"{call} {calls.get(call, 0) / clients:.2f}" for call in ("accept4", "epoll_wait"))
        print(f"{name}:   {shown}   all calls {sum(calls.values()) / clients:.2f}   per client")
    if accepts:
        verdict("one accept4 per client" if accepts[0] < 1.5 else "a client that comes alone costs a second accept4")


if __name__ == "__main__":
    run(main)
