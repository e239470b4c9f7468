"""A proxy with servers behind it, for experiments that need both, and that let some of them die."""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from client import Client

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "common" / "scripts"))

from chapters import read_table  # noqa: E402

CHAPTERS = TOP / "build" / "chapters"
DEADLINE = 10.0


def counts(proxy: str) -> bool:
    """Whether it has statistics: nutcracker, and what can say so in the table of chapters."""
    rows = {chapter.name: chapter.capabilities for chapter in read_table()}
    return "counters" in rows.get(Path(proxy).name, {"counters"})


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program that listens. Owns: the process, which dies with the `with` block."""

    def __init__(self, command: list[str], port: int, quiet: bool = True) -> None:
        self.command, self.port, self.quiet = command, port, quiet
        self.start()

    def start(self) -> None:
        """Starts it, once more if need be, and waits until it listens."""
        try:
            self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL if self.quiet else None)
        except FileNotFoundError:
            how = "'chapters/run 12 --help' and the same for the proxy's chapter build what is needed"
            raise SystemExit(f"there is no {self.command[0]}: {how}") from None
        end = time.monotonic() + DEADLINE
        while True:
            try:
                Client(self.port).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"does not start: {' '.join(self.command)}") from None
                time.sleep(0.005)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It stands still. Its kernel goes on: it acknowledges what comes, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        while ") T " not in Path(f"/proc/{self.pid}/stat").read_text():
            time.sleep(0.001)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass
class Pool:
    """A pool of the conf: its lines besides `listen` and `servers`, and how many of the servers it has."""

    lines: dict[str, object]
    servers: int


class Proxy(contextlib.ExitStack):
    """So many servers, and a proxy before them. Owns: all of these processes."""

    def __init__(self, programs: argparse.Namespace, pools: dict[str, Pool]) -> None:
        super().__init__()
        as_root = ["-u", "root"] if os.geteuid() == 0 else []
        self.servers = []
        for _ in range(max(pool.servers for pool in pools.values())):
            port = free_port()
            command = [programs.server, "-p", str(port), "-l", "127.0.0.1", "-t", "1", *as_root]
            self.servers.append(self.enter_context(Process(command, port)))
        self.ports = {name: free_port() for name in pools}
        self.stats_port = free_port()
        file = self.enter_context(tempfile.NamedTemporaryFile("w", suffix=".yml"))
        for name, pool in pools.items():
            lines = {"listen": f"127.0.0.1:{self.ports[name]}", **pool.lines, "servers": ""}
            file.write(f"{name}:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items()))
            for i in range(pool.servers):
                file.write(f"   - 127.0.0.1:{self.servers[i].port}:1 server{i}\n")
        file.flush()
        # The log: from "crit" on. That a server is ejected is told by the statistics.
        command = [programs.proxy, "-c", file.name, "-v", "2"]
        if counts(programs.proxy):
            command += ["-s", str(self.stats_port), "-a", "127.0.0.1", "-i", "100"]
        self.process = self.enter_context(Process(command, next(iter(self.ports.values()))))

    def stats(self) -> dict[str, object]:
        """What the stats thread tells whoever connects to it."""
        with socket.create_connection(("127.0.0.1", self.stats_port)) as link, link.makefile() as text:
            return json.load(text)


def arguments(description: str, chapter: str = "18-nc-stats") -> argparse.ArgumentParser:
    """`chapter`: the proxy, unless another one is named."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", default=str(CHAPTERS / chapter), help=f"or nutcracker (default: {chapter})")
    parser.add_argument("--server", default=str(CHAPTERS / "12-maxconns"), help="or memcached (default: chapter 12)")
    return parser


def redis_command(*words: str) -> bytes:
    """As a client of Redis sends it."""
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


@contextlib.contextmanager
def redis_proxy(program: str, servers: int, *settings: str):
    """The port of a proxy with so many redis-server behind it, and their ports. `settings`: lines of its pool."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        ports = [free_port() for _ in range(servers)]
        for port in ports:
            flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory, "--logfile", "/dev/null"]
            stack.enter_context(Process(["redis-server", *flags], port))
        port, file = free_port(), Path(directory) / "nutcracker.yml"
        lines = [f"listen: 127.0.0.1:{port}", "hash: murmur", 'hash_tag: "{}"', "redis: true", *settings, "servers:"]
        lines += [f" - 127.0.0.1:{p}:1 server{i}" for i, p in enumerate(ports)]
        file.write_text("p:\n" + "".join(f"  {line}\n" for line in lines))
        flags = ["-c", str(file), "-s", str(free_port()), "-a", "127.0.0.1", "-v", "2"]
        stack.enter_context(Process([program, *flags], port))
        yield port, ports
