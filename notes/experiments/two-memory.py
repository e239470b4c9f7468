#!/usr/bin/env python3
"""What does a connection cost that does nothing? Memory of the server, by the thousand connections.

Each of them has asked for something once, and has its reply. The script starts and ends all of the processes."""

import resource
from pathlib import Path

from client import Client, run, verdict
from pool import Pool, Process, Proxy, arguments, free_port

CONNECTIONS = 4000
VALUE = b"v" * 10_000


def resident(pid: int) -> int:
    """Bytes of memory that the process really has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def observe(name: str, process: Process, port: int) -> float:
    """Returns the bytes."""
    Client(port).ask(b"set k 0 0 %d\r\n%s\r\n" % (len(VALUE), VALUE))
    before, clients = resident(process.pid), []
    for _ in range(CONNECTIONS):
        clients.append(Client(port))
        clients[-1].ask(b"get k\r\n", b"END\r\n")
    each = (resident(process.pid) - before) / CONNECTIONS
    print(f"{name:<34} {each:>7,.0f} bytes per connection   {(1 << 20) / each:>7,.0f} connections in a MiB")
    return each


def main() -> None:
    programs = arguments(__doc__).parse_args()
    limit = min(3 * CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    port = free_port()
    with Process([programs.server, "-p", str(port), "-l", "127.0.0.1", "-c", str(limit)], port) as pool:
        pooled = observe(Path(programs.server).name, pool, port)
    with Proxy(programs, {"pool": Pool({}, 3)}) as proxy:
        proxied = observe(Path(programs.proxy).name, proxy.process, proxy.ports["pool"])
    verdict(f"a connection of {Path(programs.server).name} is as large as {pooled / proxied:.1f} of {Path(programs.proxy).name}")


if __name__ == "__main__":
    run(main)
