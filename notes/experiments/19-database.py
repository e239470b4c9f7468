#!/usr/bin/env python3
"""Chapter 19: a pool whose database the server does not have (`redis_db: 99`). Where does a SET go?

    notes/experiments/19-database.py
    notes/experiments/19-database.py --proxy nutcracker
"""

from client import Client, needs, run, verdict
from pool import arguments, redis_command, redis_proxy


def ask(port: int, *words: str) -> str:
    """Asks, and returns the first line of the reply, and for a value the value."""
    client = Client(port)
    client.send(redis_command(*words))
    line = client.until(b"\r\n")
    if line.startswith(b"$") and line != b"$-1\r\n":
        line = client.until(b"\r\n")
    client.close()
    return line.decode().strip()


def main() -> None:
    program = arguments(__doc__, "19-nc-redis").parse_args().proxy
    needs("redis-server")
    with redis_proxy(program, 1, "redis_db: 99") as (port, servers):
        print(f"the proxy is asked   set apple red   {ask(port, 'SET', 'apple', 'red')}")
        found = ask(servers[0], "GET", "apple")
        print(f"the server is asked  get apple       {found}  (database 0)")
    verdict("it went into a database that nobody has named" if found == "red" else "nothing was written")


if __name__ == "__main__":
    run(main)
