#!/usr/bin/env python3
"""Clients come and go, so that the kernel gives the same descriptors to one worker after the other."""

from client import Client, arguments, run, verdict

ROUNDS, CLIENTS = 50, 7


def main() -> None:
    args = arguments(__doc__)
    for _ in range(ROUNDS):
        crowd = [Client(args.port) for _ in range(CLIENTS)]  # seven clients, four workers: each round begins elsewhere
        for client in crowd:
            client.ask(b"version\r\n")
        for client in crowd:
            client.close()
    watcher = Client(args.port)
    st = watcher.stats()
    print(f"total_connections {st['total_connections']}   connection_structures {st['connection_structures']}")
    few = int(st["connection_structures"]) < ROUNDS
    verdict("a descriptor has one structure, whoever serves it" if few else "structures are not found again")


if __name__ == "__main__":
    run(main)
