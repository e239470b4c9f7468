#!/usr/bin/env python3
"""Three servers. One of them stands still for a while (SIGSTOP), as a machine does whose network is gone. What is read?

First what a time-out feels like. Then a key that is changed while its server is ejected: which value is read when the server
is back? The script starts and ends all of the processes."""

import time

from client import Client, run, verdict
from pool import Pool, Proxy, arguments

KEYS, TIMEOUT, RETRY = 300, 250, 1000  # ms
POOL = Pool({"timeout": TIMEOUT, "auto_eject_hosts": "true", "server_retry_timeout": RETRY, "server_failure_limit": 2}, 3)


def read(client: Client, key: bytes) -> str:
    line = client.ask(b"get %s\r\n" % key)
    if not line.startswith("VALUE"):
        return "nothing" if line == "END" else line
    value, _, _ = client.until(b"END\r\n").decode().partition("\r\n")
    return f'"{value}"'


def key_of_server0(proxy: Proxy, client: Client) -> bytes:
    """A key that is stored with server0 itself."""
    direct = Client(proxy.servers[0].port)
    for i in range(KEYS):
        client.ask(b"set key%d 0 0 3\r\nold\r\n" % i)
        if read(direct, b"key%d" % i) != "nothing":
            return b"key%d" % i
    raise SystemExit("server0 has none of the keys")


def main() -> None:
    with Proxy(arguments(__doc__).parse_args(), {"pool": POOL}) as proxy:
        client = Client(proxy.ports["pool"])
        key = key_of_server0(proxy, client)
        start = time.monotonic()

        def say(what: str, before: float) -> None:
            print(f"{time.monotonic() - start:6.2f} s  {what:<46} {(time.monotonic() - before) * 1e3:7.1f} ms")

        def ask() -> str:
            before = time.monotonic()
            answer = read(client, key)
            say(f"get {key.decode()}: {answer}", before)
            return answer

        ask()
        proxy.servers[0].freeze()
        print("          server0 stands still")
        while ask() != "nothing":
            pass
        before = time.monotonic()
        stored = client.ask(b"set %s 0 0 3\r\nnew\r\n" % key)
        say(f"set {key.decode()} new: {stored}", before)
        ask()
        proxy.servers[0].thaw()
        print("          server0 goes on, with all that it knew")
        while read(client, key) == '"new"':
            time.sleep(0.01)
        last = ask()
    verdict("a value was read that had been overwritten" if last == '"old"' else "no old value was read")


if __name__ == "__main__":
    run(main)
