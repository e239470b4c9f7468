#!/usr/bin/env python3
"""Starts a server, and becomes a proxy in front of it: for a harness that knows how to start a memcached.

    behind.py PROXY SERVER [FLAG]...

The flags are memcached's. Those that say where to listen go to the proxy, all others to the server, which listens where the
kernel likes, and ends with the proxy. Behind one that splits a get there are several servers.
"""
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "common" / "scripts"))

from chapters import find, read_table  # noqa: E402

PR_SET_PDEATHSIG = 1
LISTENING = ("-p", "-l", "-b")
SERVERS = 3


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_server(program: str, flags: list[str]) -> int:
    """Returns its port, once it listens."""
    with tempfile.TemporaryDirectory() as directory:
        ports = Path(directory, "ports")
        command = [program, "-p", "-1", "-l", "127.0.0.1", *flags]
        environment = os.environ | {"MEMCACHED_PORT_FILENAME": str(ports)}
        process = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)
        while not ports.exists():
            if process.poll() is not None:
                sys.exit(process.returncode)
            os.sched_yield()
        return int(ports.read_text(encoding="ascii").splitlines()[0].rpartition(" ")[2])


def configuration(ports: list[int]) -> str:
    """The path of a nutcracker.yml, which is gone when the proxy is."""
    servers = "".join(f"\n   - 127.0.0.1:{port}:1 server{port}" for port in ports)
    file = os.memfd_create("nutcracker.yml", 0)
    os.write(file, f"pool:\n  listen: 127.0.0.1:0\n  backlog: 1024\n  preconnect: true\n  servers:{servers}\n".encode())
    return f"/proc/self/fd/{file}"


def main(proxy: str, server: str, flags: list[str]) -> None:
    ours, theirs = [], []
    words = iter(flags)
    for word in words:
        if word in LISTENING:
            ours += [word, next(words)]
        else:
            theirs.append(word)
    capabilities = find(Path(proxy).name, read_table()).capabilities
    if "pools" not in capabilities:
        os.execv(proxy, [proxy, *ours, "-o", f"server=127.0.0.1:{start_server(server, theirs)}"])
    # With -M a test wants the memory full: all of it.
    ports = [start_server(server, theirs) for _ in range(SERVERS if "fragments" in capabilities and "-M" not in theirs else 1)]
    statistics = ["-s", "0", "-a", "127.0.0.1"] if "counters" in capabilities else []
    os.execv(proxy, [proxy, "-c", configuration(ports), *statistics, "-v", "4"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
