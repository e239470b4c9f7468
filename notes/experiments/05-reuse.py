#!/usr/bin/env python3
"""A thousand clients one after the other, then fifty at once: how many connections did the server allocate?"""

import socket
import struct

from client import Client, arguments, run, verdict


def counts(watcher: Client) -> str:
    st = watcher.stats()
    return (f"total_connections {st['total_connections']:>5}   curr_connections {st['curr_connections']:>3}   "
            f"connection_structures {st['connection_structures']:>3}")


def wait_for_hang_ups(watcher: Client, left: int) -> None:
    """Returns when the server has noticed that all but `left` connections are gone."""
    while int(watcher.stats()["curr_connections"]) > left:
        pass


def leave(port: int) -> None:
    """A hundred clients hang up while an item is being sent to them; then it is deleted. Is its chunk free?"""
    watcher = Client(port)
    before = int(watcher.stats()["curr_connections"])
    watcher.ask(b"set k 0 0 500000\r\n" + b"v" * 500_000 + b"\r\n")
    crowd = [Client(port) for _ in range(100)]
    for client in crowd:
        client.send(b"get" + b" k" * 20 + b"\r\n")
        client.until(b"vvv")  # the reply has begun, and ten megabytes of it are still to come
    for client in crowd:
        client.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    wait_for_hang_ups(watcher, before)
    print("the item is deleted:", watcher.ask(b"delete k\r\n"))
    slabs = watcher.stats("slabs")
    in_use = sum(int(n) for name, n in slabs.items() if name.endswith(":used_chunks"))
    print(f"chunks in use: {in_use}   curr_items: {watcher.stats()['curr_items']}")
    verdict("connections without a client still hold the item" if in_use else "who has left holds nothing")


def main() -> None:
    args = arguments(__doc__, leave="clients that hang up in the middle of a reply")
    if args.leave:
        leave(args.port)
        return
    watcher = Client(args.port)
    before = int(watcher.stats()["curr_connections"])
    print("at the start                 ", counts(watcher))
    for _ in range(1000):
        client = Client(args.port)
        client.ask(b"version\r\n")
        client.close()
    wait_for_hang_ups(watcher, before)
    print("1,000 clients, one at a time ", counts(watcher))
    crowd = [Client(args.port) for _ in range(50)]
    for client in crowd:
        client.ask(b"version\r\n")
    print("50 clients at once           ", counts(watcher))
    for client in crowd:
        client.close()
    wait_for_hang_ups(watcher, before)
    print("all of them gone             ", counts(watcher))
    structures = int(watcher.stats()["connection_structures"])
    verdict("connections are used again" if structures < 100 else "each client has cost a structure")


if __name__ == "__main__":
    run(main)
