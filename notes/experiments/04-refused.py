#!/usr/bin/env python3
"""A value too large, a full memory, a wrong length: is the next command on the same connection still understood?"""

from client import Client, arguments, run, verdict


def attempt(port: int, title: str, *requests: tuple[bytes, int]) -> list[str]:
    """Sends the requests on one connection and prints each with its replies. Returns the last ones; none: it was closed."""
    client = Client(port)
    print(title)
    for data, replies in requests:
        shown = data.split(b"\r\n")[0].decode() + (f" + {len(data):,} bytes" if len(data) > 100 else "")
        try:
            client.send(data)
            answers = [client.until(b"\r\n").decode().strip() for _ in range(replies)]
            print(f"  {shown:44} -> {' | '.join(answers)}")
        except ConnectionError as error:
            print(f"  {shown:44} -> {error.strerror or error}")
            return []
    client.close()
    return answers


def value(key: str, size: int) -> bytes:
    return f"set {key} 0 0 {size}\r\n".encode() + b"v" * size + b"\r\n"


def fill(port: int) -> int:
    """Stores values of half a megabyte until one is refused, and returns how many were taken."""
    client = Client(port)
    taken = 0
    while taken < 100 and client.ask(value(f"fill{taken}", 500_000)) == "STORED":
        taken += 1
    client.close()
    return taken


def main() -> None:
    args = arguments(__doc__, **{"break": "store something, then refuse a value whose text is a command"})
    if getattr(args, "break"):
        text = b"flush_all\r\n" * 100_000
        attempt(args.port, "a value that looks like a command", (b"set victim 0 0 5\r\nhello\r\n", 1), (b"get victim\r\n", 3))
        client = Client(args.port)
        client.send(b"set text 0 0 %d\r\n" % len(text) + text + b"\r\n")
        print("  the value of 1,100,000 bytes is refused:", client.until(b"\r\n").decode().strip())
        client.close()
        lost = attempt(args.port, "afterwards", (b"get victim\r\n", 1)) == ["END"]
        verdict("the value was refused, and obeyed as a command" if lost else "the value was refused, and did nothing")
        return

    in_step = attempt(args.port, "too large", (value("big", 1_100_000), 1), (b"version\r\n", 1), (value("small", 5), 1)) != []
    taken = fill(args.port)
    in_step &= attempt(args.port, f"memory full after {taken} values of 500,000 bytes",
            (value("more", 500_000), 1), (b"version\r\n", 1), (b"delete fill0\r\n", 1), (value("more", 500_000), 1)) != []
    in_step &= attempt(args.port, "a wrong length", (b"set k 0 0 3\r\nhello\r\n", 2), (b"version\r\n", 1)) != []
    verdict("after each refusal the stream was in step" if in_step else "not every connection has survived a refusal")


if __name__ == "__main__":
    run(main)
