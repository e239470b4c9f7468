#!/usr/bin/env python3
"""How many system calls does a request cost? As strace counts them.

Chapter 12, which has its answers itself, and chapter 18, which has to ask. Wants strace, and the right to attach it to a child
(root, or kernel.yama.ptrace_scope=1 and no other restriction). The script starts and ends all of the processes."""

import re
import selectors
import signal
import subprocess

from client import Client, needs, run, verdict
from pool import Pool, Process, Proxy, arguments, free_port

# clients, requests that each has under way, how often
LOADS = ((1, 1, 1000), (50, 1, 100), (1, 32, 200), (50, 32, 10))
REQUEST, REPLY = b"get k\r\n", b"END\r\n"
KINDS = {"wait": r"epoll_\w+", "receive": r"read|recvfrom|recvmsg", "send": r"write|writev|sendmsg|sendto"}


def load(clients: list[Client], depth: int, rounds: int) -> None:
    """Each client sends `depth` requests in one piece, takes the replies, and begins again, without waiting for others."""
    with selectors.DefaultSelector() as ready:
        for client in clients:
            ready.register(client.link, selectors.EVENT_READ, [client, 0])
            client.send(REQUEST * depth)
        while ready.get_map():
            for key, _ in ready.select():
                client, received = key.data
                before, received = received // (depth * len(REPLY)), received + len(client.link.recv(1 << 16))
                key.data[1] = received
                if received == depth * len(REPLY) * rounds:
                    ready.unregister(client.link)
                elif received // (depth * len(REPLY)) > before:
                    client.send(REQUEST * depth)


def observe(name: str, pid: int, port: int) -> float:
    """Returns how many calls a request costs with the last of the loads."""
    print(f"{name:<22}" + "".join(f"{kind:>9}" for kind in KINDS) + "    all")
    for number, depth, rounds in LOADS:
        clients = [Client(port) for _ in range(number)]
        load(clients, depth, 10)
        strace = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        if "attached" not in (first := strace.stderr.readline()):
            raise SystemExit(first.strip())
        load(clients, depth, rounds)
        strace.send_signal(signal.SIGINT)
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(?!total)(\w+)$", strace.communicate()[1], re.M)
        requests = number * depth * rounds
        counts = [sum(int(n) for n, call in rows if re.fullmatch(kind, call)) / requests for kind in KINDS.values()]
        every = sum(int(n) for n, _ in rows) / requests
        print(f"{number:>4} clients × {depth:<6}" + "".join(f"{n:>9.2f}" for n in [*counts, every]).rstrip())
    return every


def main() -> None:
    programs = arguments(__doc__).parse_args()
    needs("strace")
    port = free_port()
    with Process([programs.server, "-p", str(port), "-l", "127.0.0.1", "-t", "4"], port) as pool:
        pooled = observe("worker pool, -t 4", pool.pid, port)
    with Proxy(programs, {"pool": Pool({}, 3)}) as proxy:
        proxied = observe("proxy, three servers", proxy.process.pid, proxy.ports["pool"])
    verdict(f"where many requests come together, {pooled:.2f} calls each in the pool, {proxied:.2f} in the proxy")


if __name__ == "__main__":
    run(main)
