#!/usr/bin/env python3
"""A hundred commands in one write, and then the client waits. How many are answered, and what does one more command do?"""

from client import Client, arguments, run, verdict

COMMANDS = 100


def replies(client: Client, wanted: int) -> int:
    """Reads until all is answered, or a second has passed in silence. Returns how many replies have come so far."""
    try:
        while client.unread.count(b"\r\n") < wanted:
            client.unread += client.link.recv(1 << 16)
    except TimeoutError:
        pass
    return client.unread.count(b"\r\n")


def main() -> None:
    args = arguments(__doc__)
    client = Client(args.port, timeout=1.0)
    client.send(b"version\r\n" * COMMANDS)
    answered = replies(client, COMMANDS)
    print(f"{COMMANDS} commands in one write: {answered} replies")
    client.send(b"version\r\n")
    print(f"one command more:          {replies(client, COMMANDS + 1)} replies")
    watcher = Client(args.port)
    print("conn_yields:              ", watcher.stats()["conn_yields"])
    verdict("what is in the buffer is answered" if answered == COMMANDS else "what is in the buffer waits for one more byte")


if __name__ == "__main__":
    run(main)
