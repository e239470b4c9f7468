#!/usr/bin/env python3
"""One client connects and stays silent; another one asks for the version. Is it answered?"""

import time

from client import Client, arguments, run, verdict


def main() -> None:
    args = arguments(__doc__)
    silent = Client(args.port)
    silent.send(b"ver")  # half a command: the server has looked at this client at least once
    second = Client(args.port, timeout=2.0)
    start = time.monotonic()
    try:
        reply = second.ask(b"version\r\n")
        print(f"the second client was answered after {(time.monotonic() - start) * 1e3:.1f} ms: {reply}")
        verdict("a client that is silent holds up nobody")
    except TimeoutError:
        print("the second client waited 2 seconds for an answer, in vain: the first one is silent")
        silent.send(b"sion\r\n")
        print("the first client ends its command:", silent.until(b"\r\n").decode().strip())
        silent.close()
        second.link.settimeout(2.0)
        print("the first client leaves, and the second is answered:", second.until(b"\r\n").decode().strip())
        verdict("one silent client holds up everybody")


if __name__ == "__main__":
    run(main)
