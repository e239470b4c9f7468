#!/usr/bin/env python3
"""Two servers, one of which stands still and has been sent more than it takes. Who waits for it?

A client asks the other one for 200 keys in one piece. The script starts and ends all of the processes."""

import socket

from client import Client, run, verdict
from pool import Pool, Proxy, arguments

ASKED, PATIENCE = 200, 2.0
FLOOD, MOST = b"set %s 0 0 100000\r\n" + b"x" * 100_000 + b"\r\n", 20_000_000


def key_of(server: int, proxy: Proxy, client: Client) -> bytes:
    """A key that this server has."""
    direct = Client(proxy.servers[server].port)
    for i in range(100):
        client.ask(b"set key%d 0 0 1\r\nv\r\n" % i)
        if direct.ask(b"get key%d\r\n" % i, b"END\r\n") != "END":
            return b"key%d" % i
    raise SystemExit("the server has none of the keys")


def flood(port: int, key: bytes) -> int:
    """Sends sets until nobody takes them. Returns how many bytes that were."""
    link, sent = Client(port, timeout=0.5).link, 0
    words = FLOOD % key
    try:
        while sent < MOST:
            sent += link.send(words[sent % len(words) :])
    except TimeoutError:
        pass
    loud.append(link)
    return sent


loud: list[socket.socket] = []  # whoever floods stays


def main() -> None:
    programs = arguments(__doc__, "15-nc-pools").parse_args()
    with Proxy(programs, {"pool": Pool({}, 2)}) as proxy:
        client = Client(proxy.ports["pool"], PATIENCE)
        stuck, healthy = (key_of(n, proxy, client) for n in range(2))
        proxy.servers[0].freeze()
        print(f"server0 stands still, and is sent {flood(proxy.ports['pool'], stuck):,} bytes")
        client.send(b"get %s\r\n" % healthy * ASKED)
        got = b""
        try:
            while got.count(b"END") < ASKED:
                got += client.link.recv(1 << 16)
        except TimeoutError:
            pass
        answered = got.count(b"END")
        print(f"{ASKED} gets of a key of server1, in one piece: {answered} are answered")
    verdict("nobody waits for a server that he has not asked" if answered == ASKED else "a client waits for another one's server")


if __name__ == "__main__":
    run(main)
