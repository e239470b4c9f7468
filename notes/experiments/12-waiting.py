#!/usr/bin/env python3
"""Fills the server until it is out of descriptors, lets six more clients come, and after a while lets eight old ones leave.

Start the server with a small limit, `-c 40`. For every newcomer: when its handshake was done, how often its SYN was sent
again, and when the server answered it. Linux repeats a SYN after 1, 3, 7, 15 s; from 6.5 on after
1, 2, 3, 4, 5, 7, 11 s."""

import argparse
import socket
import struct
import threading
import time
from pathlib import Path

from client import Client, run, verdict

NEWCOMERS, LEAVERS = 6, 8
SYN_SENT = 2  # the kernel's number for the state, in tcp_info


def tcp_info(link: socket.socket) -> tuple[int, int]:
    """The state of a connection, and how many of its segments have been sent more than once."""
    info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return info[0], struct.unpack_from("I", info, 100)[0]


def refused_by_kernel() -> int:
    """How many SYNs this machine has dropped because the queue of a listening socket was full."""
    rows = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")]
    return int(dict(zip(*rows))["ListenOverflows"])


def queue(port: int) -> str:
    """The listening socket as `ss -ltn` shows it: clients who have connected and wait to be accepted, of how many."""
    wanted = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted) and fields[3] == "0A":
            return f"{int(fields[4].split(':')[1], 16)} in the queue"
    return "no such listener"


def fill(port: int) -> list[Client]:
    """Connects until the server does not answer any more; the last one has connected, and waits."""
    crowd = []
    while True:
        crowd.append(Client(port, timeout=1.0))
        try:
            crowd[-1].ask(b"version\r\n")
        except TimeoutError:
            return crowd


class Newcomer(threading.Thread):
    """A client that comes when the server is full. Owns: its socket."""

    def __init__(self, number: int, port: int, start: float) -> None:
        super().__init__(daemon=True)
        self.number, self.port, self.start_time = number, port, start
        self.story = ""
        self.link = socket.socket()
        self.link.settimeout(60)

    def run(self) -> None:
        came = time.monotonic() - self.start_time
        self.link.connect(("127.0.0.1", self.port))
        connected = time.monotonic() - self.start_time
        repeated = tcp_info(self.link)[1]
        self.link.sendall(b"version\r\n")
        self.link.recv(100)
        served = time.monotonic() - self.start_time
        self.story = (f"  newcomer {self.number}: came {came:5.2f} s   SYN repeated {repeated} times   "
                      f"connected {connected:5.2f} s   served {served:5.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int, help="where the server listens on 127.0.0.1")
    parser.add_argument("--until", type=float, default=4.5, help="seconds after which eight old clients leave (4.5)")
    args = parser.parse_args()

    crowd = fill(args.port)
    last = crowd.pop()
    print(f"{len(crowd)} clients are served; the next one has connected, and waits: {queue(args.port)}")
    before, start = refused_by_kernel(), time.monotonic()
    newcomers = [Newcomer(number, args.port, start) for number in range(1, NEWCOMERS + 1)]
    for newcomer in newcomers:
        newcomer.start()
    repeats: list[str] = []
    while (now := time.monotonic() - start) < args.until:
        if tcp_info(newcomers[0].link)[1] > len(repeats):
            repeats.append(f"{now:.2f}")
        time.sleep(0.01)
    states = [tcp_info(newcomer.link)[0] for newcomer in newcomers]
    print(f"newcomer 1 repeats its SYN at {', '.join(repeats)} s")
    print(f"after {args.until} s: {states.count(SYN_SENT)} of {NEWCOMERS} newcomers are in SYN_SENT; "
          f"{queue(args.port)}; {refused_by_kernel() - before} SYNs dropped")
    for client in crowd[:LEAVERS]:
        client.close()
    print(f"{LEAVERS} old clients leave at {time.monotonic() - start:5.2f} s")
    last.until(b"\r\n")
    print(f"  the one who waited is served at {time.monotonic() - start:5.2f} s")
    for newcomer in newcomers:
        newcomer.join()
        print(newcomer.story)
    stats = crowd[-1].stats()
    print("   ".join(f"{name} {stats[name]}" for name in
                     ("accepting_conns", "listen_disabled_num", "time_in_listen_disabled_us")))
    waited = states.count(SYN_SENT) == NEWCOMERS
    verdict("no newcomer was refused: each came in with a repeated SYN" if waited else "some newcomers did not have to wait")


if __name__ == "__main__":
    run(main)
