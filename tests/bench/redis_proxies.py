#!/usr/bin/env python3
"""What a request of redis costs a proxy: processor time, beside Debian's nutcracker, in one run.

    tests/bench/redis_proxies.py                 chapter 19, and nutcracker
    tests/bench/redis_proxies.py --rounds 9      more often, and more certain

Each proxy has two redis-server of its own behind it. redis-benchmark asks, 50 connections at a time, now one proxy and now
the other: what disturbs one round disturbs both. What counts is the processor time of all of the proxy's threads, and of
the rounds the middle one. Status 1: chapter 19 takes longer in one of the rows.
"""
import argparse
import contextlib
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile
import time

from proxies import NAMES, free_ports, listens
from servers import START_DEADLINE, Failure, child, core_behind, cores, find, launched, pidfd

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
LOOK_AGAIN = 0.005  # seconds
CONNECTIONS = 50
VALUE = "x" * 100
HUNDRED = [f"key:{number}" for number in range(100)]
# How often, and what redis-benchmark is told.
ROWS = {
    "GET": (20_000, ["-t", "get"]),
    "SET": (20_000, ["-t", "set"]),
    "GET, 32 in a pipeline": (200_000, ["-t", "get", "-P", "32"]),
    "SET, 32 in a pipeline": (200_000, ["-t", "set", "-P", "32"]),
    "MGET of 100 keys": (4_000, ["MGET", *HUNDRED]),
    "MSET of 10 keys": (8_000, ["MSET", *(word for key in HUNDRED[:10] for word in (key, VALUE))]),
}


def wait_for(process, port):
    """Returns the port once the process listens on it; None: it has ended, or takes too long."""
    end = time.monotonic() + START_DEADLINE
    with pidfd(process) as life:
        while time.monotonic() < end:
            if listens(process.pid, port):
                return port
            if select.select([life], [], [], LOOK_AGAIN)[0]:
                return None
    return None


@contextlib.contextmanager
def fronting(program):
    """The proxy, with two redis-server that have a hundred keys."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        port, statistics_port, *behind = free_ports(4)
        for number in behind:
            flags = ["--port", str(number), "--bind", "127.0.0.1", "--save", "", "--dir", directory, "--logfile", "/dev/null"]
            redis = stack.enter_context(child(["redis-server", *flags], core_behind()))
            if wait_for(redis, number) is None:
                raise Failure("redis-server does not start")
        file = pathlib.Path(directory) / "conf.yml"
        servers = "".join(f"   - 127.0.0.1:{number}:1 {name}\n" for name, number in zip(NAMES, behind))
        conf = f"bench:\n  listen: 127.0.0.1:{port}\n  hash: murmur\n  redis: true\n  servers:\n{servers}"
        file.write_text(conf, encoding="ascii")
        command = [str(program.path), "-c", str(file), "-a", "127.0.0.1", "-s", str(statistics_port), "-o", "/dev/stderr"]
        server = stack.enter_context(launched(program, command, cores()[0], lambda process: wait_for(process, port)))
        ask(server, 1, ["MSET", *(word for key in HUNDRED for word in (key, VALUE))])
        yield server


def ask(server, requests, words):
    size = ("-c", str(CONNECTIONS), "-n", str(requests), "-d", str(len(VALUE)), "-r", "10000")
    command = ["redis-benchmark", "-p", str(server.port), "-q", *size, *words]
    with child(command, cores()[1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
        said = load.communicate()[0]
    if load.returncode != 0 or "rror" in said:
        raise Failure(f"redis-benchmark: {said.strip()}")


def cost(server, requests, words):
    """Nanoseconds per request."""
    before = server.usage()
    ask(server, requests, words)
    return (server.usage() - before).ran / requests


def measure(rounds):
    """Returns whether chapter 19 is never dearer."""
    cheap = True
    with fronting(find("19", BUILD)) as ours, fronting(find("nutcracker", BUILD)) as theirs:
        print(f"{'ns per request':<24}{'19-nc-redis':>12}{'nutcracker':>12}{'ratio':>8}")
        for title, load in ROWS.items():
            pairs = [(cost(ours, *load), cost(theirs, *load)) for _ in range(rounds)]
            figures = [statistics.median(column) for column in zip(*pairs)]
            ratio = statistics.median(a / b for a, b in pairs)
            cheap &= ratio <= 1
            print(f"{title:<24}{figures[0]:>12,.0f}{figures[1]:>12,.0f}{ratio:>8.2f}", flush=True)
    return cheap


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of each row (5)")
    return 0 if measure(parser.parse_args().rounds) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"redis_proxies.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
