#!/usr/bin/env python3
"""Five keys over two servers, and the first of them is not there. In which order are the others?

The script starts and ends all of the processes."""

from client import Client, run, verdict
from pool import Pool, Proxy, arguments

KEYS = ("apple", "pear", "cherry", "fig", "lemon")
MISSING = "apple"


def main() -> None:
    programs = arguments(__doc__, "16-nc-fragments").parse_args()
    with Proxy(programs, {"pool": Pool({}, 2)}) as proxy:
        client = Client(proxy.ports["pool"])
        for key in KEYS:
            if key != MISSING:
                client.ask(b"set %s 0 0 1\r\nv\r\n" % key.encode())
        request = f"get {' '.join(KEYS)}"
        client.send(f"{request}\r\n".encode())
        reply = client.until(b"END\r\n").decode().split("\r\n")
        found = [line.split()[1] for line in reply if line.startswith("VALUE ")]
        print(f"{request}\nfound, in this order: {' '.join(found)}")
    wanted = [key for key in KEYS if key != MISSING]
    verdict("the order of the question" if found == wanted else "an order that nobody has asked for")


if __name__ == "__main__":
    run(main)
