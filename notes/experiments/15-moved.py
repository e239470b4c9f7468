#!/usr/bin/env python3
"""One of five servers goes. How many keys are looked for on another server than before?

A proxy with four pools: each distribution with all five servers, and with the first four of them. What is stored through
one pool is asked for through the other. The script starts and ends all of the processes."""

from client import Client, run, verdict
from pool import Pool, Proxy, arguments

KEYS, SERVERS = 10_000, 5


def held(proxy: Proxy) -> list[int]:
    return [int(Client(server.port).stats()["total_items"]) for server in proxy.servers]


def main() -> None:
    programs = arguments(__doc__, "15-nc-pools").parse_args()
    pools = {f"{how}_{n}": Pool({"distribution": how}, n) for how in ("ketama", "modula") for n in (SERVERS, SERVERS - 1)}
    with Proxy(programs, pools) as proxy:
        clients = {name: Client(port) for name, port in proxy.ports.items()}
        moved = {}
        for how in ("ketama", "modula"):
            five, four, before = clients[f"{how}_{SERVERS}"], clients[f"{how}_{SERVERS - 1}"], held(proxy)
            keys = [f"{how}{i}".encode() for i in range(KEYS)]
            for key in keys:
                five.ask(b"set %s 0 0 1\r\nv\r\n" % key)
            items = [now - then for now, then in zip(held(proxy), before)]
            lost = sum(four.ask(b"get %s\r\n" % key, b"END\r\n") == "END" for key in keys)
            print(f"{how}: {KEYS:,} keys, on the five servers {', '.join(f'{n:,}' for n in items)}")
            print(f"        without the last one {lost:,} are not found: its {items[-1]:,}, and {lost - items[-1]:,} that have moved")
            moved[how] = lost - items[-1]
    verdict("keys that moved without need: " + ", ".join(f"{n:,} with {how}" for how, n in moved.items()))


if __name__ == "__main__":
    run(main)
