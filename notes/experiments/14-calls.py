#!/usr/bin/env python3
"""How many system calls does a proxy make for a request? As strace counts them; and time of the processor, without strace.

Wants strace, and the right to attach it to the proxy (root, or kernel.yama.ptrace_scope=0). It works with any proxy or
server: chapter 14, a later one, nutcracker."""

import argparse
import selectors

from calls import counted, cpu_time
from client import Client, needs, run, verdict

IO = ("epoll_wait", "epoll_ctl", "read", "writev")
# clients, requests that each has under way, how often
LOADS = ((1, 1, 2000), (50, 1, 100), (1, 32, 200), (50, 32, 10))
REPEATS = 7  # of the time the least counts: whatever else the machine does only adds to it
REQUEST, REPLY = b"get k\r\n", b"END\r\n"


def load(clients: list[Client], depth: int, rounds: int) -> None:
    """Each client sends `depth` requests in one piece, takes the replies, and begins again, without waiting for others."""
    with selectors.DefaultSelector() as ready:
        for client in clients:
            ready.register(client.link, selectors.EVENT_READ, [client, 0, 0])
            client.send(REQUEST * depth)
        while ready.get_map():
            for key, _ in ready.select():
                client, replies, done = key.data
                replies += client.link.recv(1 << 16).count(REPLY)
                if replies == depth:
                    replies, done = 0, done + 1
                    if done == rounds:
                        ready.unregister(client.link)
                        continue
                    client.send(REQUEST * depth)
                key.data[1:] = replies, done


def cost(pid: int, clients: list[Client], depth: int, rounds: int) -> int:
    before = cpu_time(pid)
    load(clients, depth, rounds)
    return cpu_time(pid) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="the proxy's process number")
    args = parser.parse_args()
    Client(args.port).ask(b"set k 0 0 1\r\nv\r\n")
    needs("strace")
    each = []
    print("clients × under way   " + "".join(f"{name:>12}" for name in IO) + "   µs of CPU, a request")
    for number, depth, rounds in LOADS:
        clients = [Client(args.port) for _ in range(number)]
        requests = number * depth * rounds
        load(clients, depth, rounds)
        spent = min(cost(args.pid, clients, depth, rounds) for _ in range(REPEATS)) / requests / 1e3
        calls: dict[str, int] = {}
        with counted(args.pid, calls):
            load(clients, depth, rounds)
        counts = "".join(f"{calls.get(name, 0) / requests:>12.3f}" for name in IO)
        print(f"{number:>7} × {depth:<12}{counts}   {spent:>6.1f}")
        each.append(sum(calls.get(name, 0) for name in IO) / requests)
    verdict(f"{each[0]:.2f} calls for a request that comes alone, {each[-1]:.2f} where many come together")


if __name__ == "__main__":
    run(main)
