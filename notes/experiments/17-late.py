#!/usr/bin/env python3
"""The proxy stands still for longer than a server may take, while the server answers at once. Who is blamed?

The script starts and ends all of the processes."""

import time

from client import Client, run, verdict
from pool import Pool, Proxy, arguments

TIMEOUT, STILL, MOMENT = 300, 0.5, 0.1  # ms, s, s


def main() -> None:
    programs = arguments(__doc__, "17-nc-ejection").parse_args()
    with Proxy(programs, {"pool": Pool({"timeout": TIMEOUT}, 1)}) as proxy:
        client = Client(proxy.ports["pool"])
        client.ask(b"get a\r\n")
        proxy.servers[0].freeze()
        client.send(b"get a\r\n")
        time.sleep(MOMENT)  # the request is with the server
        proxy.process.freeze()
        proxy.servers[0].thaw()
        print(f"the server answers, and the proxy stands still for {STILL * 1e3:.0f} ms; a server may take {TIMEOUT} ms")
        time.sleep(STILL)
        proxy.process.thaw()
        answer = client.until(b"\r\n").decode().strip()
        print(f"get a: {answer}")
    verdict("the answer was there, and was read" if answer == "END" else "the server is blamed for what the proxy has done")


if __name__ == "__main__":
    run(main)
