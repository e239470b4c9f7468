#!/usr/bin/env python3
"""Three servers. One of them is killed under load, and started again after a while. What does a client see?

The client is a cache's: it asks for one key after the other, and what is missing it stores. A row every half second. Once
without auto_eject_hosts, once with it. The script starts and ends all of the processes; `chapters/run 18 --help` and
`chapters/run 12 --help` build them."""

import time

from client import Client, run, verdict
from pool import Pool, Proxy, arguments

KEYS, ROW, KILLED, BACK, END = 3000, 0.5, 1.0, 5.5, 8.0
RETRY = 2000  # ms
SOON = 0.1  # a pause for the statistics: the stats thread fetches them ten times a second here


class Load:
    """Gets, one after the other, and a set where there was nothing."""

    def __init__(self, port: int) -> None:
        self.client, self.next = Client(port), 0

    def run_until(self, end: float) -> dict[str, int]:
        seen = {"hit": 0, "miss": 0, "error": 0}
        while time.monotonic() < end:
            self.next = (self.next + 1) % KEYS
            seen[self.once(b"key%d" % self.next)] += 1
        return seen

    def once(self, key: bytes) -> str:
        line = self.client.ask(b"get %s\r\n" % key)
        if line.startswith("SERVER_ERROR"):
            return "error"
        if line == "END":
            self.client.ask(b"set %s 0 0 1\r\nv\r\n" % key)
            return "miss"
        self.client.until(b"END\r\n")
        return "hit"


def observe(proxy: Proxy) -> tuple[int, int]:
    """Returns how many errors and how many misses a client has seen."""
    load, start = Load(proxy.ports["pool"]), time.monotonic()
    for _ in range(2):
        for i in range(KEYS):
            load.once(b"key%d" % i)
    print(f"{KEYS} keys are stored; their servers have had "
          + ", ".join(f"{requests(proxy, i):,}" for i in range(3)) + " requests")
    print("    time    hits  misses  errors   ejections")
    errors = misses = 0
    start = time.monotonic()
    for row in range(1, int(END / ROW) + 1):
        seen = load.run_until(start + row * ROW)
        errors, misses = errors + seen["error"], misses + seen["miss"]
        print(f"{row * ROW:6.1f} s {seen['hit']:>7,} {seen['miss']:>7,} {seen['error']:>7,} {ejections(proxy):>11}")
        if row * ROW == KILLED:
            proxy.servers[0].kill()
            print("         server0 is killed")
        if row * ROW == BACK:
            proxy.servers[0].start()
            print("         server0 is started again, empty")
    return errors, misses


def requests(proxy: Proxy, server: int) -> int:
    time.sleep(SOON)
    return proxy.stats()["pool"][f"server{server}"]["requests"]


def ejections(proxy: Proxy) -> int:
    return proxy.stats()["pool"]["server_ejects"]


def main() -> None:
    programs = arguments(__doc__).parse_args()
    seen = {}
    for eject in ("false", "true"):
        lines = {"timeout": 400, "auto_eject_hosts": eject, "server_retry_timeout": RETRY, "server_failure_limit": 2}
        print(f"auto_eject_hosts: {eject}")
        with Proxy(programs, {"pool": Pool(lines, 3)}) as proxy:
            seen[eject] = "{:,} errors and {:,} misses".format(*observe(proxy))
        print()
    verdict(f"{seen['false']} without ejection, {seen['true']} with it")


if __name__ == "__main__":
    run(main)
