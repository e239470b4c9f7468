#!/usr/bin/env python3
"""What does a get cost the server? System calls, as strace counts them, and time of the processor, without strace.

Wants strace, and the right to attach it to the server (root, or kernel.yama.ptrace_scope=0)."""

import argparse
import time

from calls import counted, cpu_time
from client import Client, needs, run, verdict

IO = ("epoll_wait", "read", "write", "sendmsg")
PAUSE = 0.001  # between two requests: strace slows the server down, and it shall find nothing to read, as without strace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the server's process number")
    args = parser.parse_args()
    client = Client(args.port)
    needs("strace")
    client.ask(b"set k 0 0 100\r\n" + b"v" * 100 + b"\r\n")
    for keys, requests in ((1, 1000), (100, 1000), (10_000, 20)):
        request = b"get" + b" k" * keys + b"\r\n"

        def ask(times: int, pause: float = 0) -> None:
            for _ in range(times):
                client.ask(request, b"END\r\n")
                time.sleep(pause)

        ask(requests)
        before = cpu_time(args.pid)
        ask(requests)
        spent = (cpu_time(args.pid) - before) / requests / 1e3
        calls: dict[str, int] = {}
        with counted(args.pid, calls):
            ask(requests, PAUSE)
        shown = "   ".join(f"{name} {calls[name] / requests:.0f}" for name in IO if name in calls)
        print(f"a get of {keys:>6,} keys: {spent:8,.0f} µs of CPU   {shown}")
    verdict(f"{keys:,} items are sent in {sum(calls.get(name, 0) for name in ('write', 'sendmsg')) / requests:,.0f} calls")


if __name__ == "__main__":
    run(main)
