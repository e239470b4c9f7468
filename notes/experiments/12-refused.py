#!/usr/bin/env python3
"""Comes again and again until it is refused, then lets one client leave and comes once more: `-o maxconns_fast -c 40`."""

from client import Client, arguments, run, verdict


def main() -> None:
    args = arguments(__doc__)
    crowd: list[Client] = []
    while True:
        newcomer = Client(args.port)
        line = newcomer.until(b"\r\n").decode().strip() if refused(newcomer) else ""
        if line:
            break
        crowd.append(newcomer)
    print(f"{len(crowd)} clients are served, and the next one reads: {line}")
    for _ in range(9):
        Client(args.port).until(b"\r\n")
    crowd.pop().close()
    watcher = crowd[0]
    while int(watcher.stats()["curr_connections"]) >= len(crowd) + listeners(watcher):
        pass
    crowd.append(Client(args.port))
    print("one leaves, and the next one reads:", crowd[-1].ask(b"version\r\n"))
    stats = watcher.stats()
    print("   ".join(f"{name} {stats[name]}" for name in
                     ("curr_connections", "reserved_fds", "rejected_connections", "listen_disabled_num")))
    verdict("who is too much is told so at once, and let in as soon as there is room")


def refused(newcomer: Client) -> bool:
    """Whether the server has closed the connection without being asked anything. It says so within a moment, or never."""
    newcomer.link.settimeout(0.2)
    try:
        newcomer.unread = newcomer.link.recv(100)
        return True
    except TimeoutError:
        return False
    finally:
        newcomer.link.settimeout(5.0)


def listeners(watcher: Client) -> int:
    """How many of the connections are listening sockets."""
    return sum(text == "conn_listening" for text in watcher.stats("conns").values())


if __name__ == "__main__":
    run(main)
