#!/usr/bin/env python3
"""Sends 5,000 commands in one piece, and waits for the answers. If they stop coming: one more command, and one more.

Start chapter 13 with `-o read_once`, and without. With it, the program reads once an event and leaves the rest where it
is: it breaks the contract of edge-triggered events."""

import socket

from client import Client, arguments, run, verdict

PATIENCE, MOST_NUDGES, COMMANDS = 1.0, 4, 5000
COMMAND = b"version\r\n"


def answers(client: Client, wanted: int) -> int:
    """How many come, until there are that many or nothing comes for a while."""
    got = b""
    try:
        while got.count(b"\n") < wanted:
            got += client.link.recv(1 << 16)
    except TimeoutError:
        pass
    return got.count(b"\n")


def main() -> None:
    args = arguments(__doc__)
    client = Client(args.port, PATIENCE)
    client.ask(COMMAND)  # the edges that come with a new connection are past
    # The socket's buffer is made as large as the piece: it leaves as one, and arrives as one.
    client.link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    client.send(COMMAND * COMMANDS)
    wanted = COMMANDS
    wanted -= (came := answers(client, wanted))
    print(f"{COMMANDS:,} commands, {COMMANDS * len(COMMAND):,} bytes, in one piece: {came:,} are answered")
    nudges = 0
    while wanted > 0 and nudges < MOST_NUDGES:
        nudges += 1
        client.send(COMMAND)
        wanted += 1 - (came := answers(client, wanted + 1))
        print(f"  nothing for {PATIENCE:.0f} s. So one more command, number {nudges}: {came:,} more are answered")
    verdict(f"{wanted:,} commands are left lying" if wanted else "no input was left lying")


if __name__ == "__main__":
    run(main)
