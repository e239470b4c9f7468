"""What is asked of a server, and how one run of it is measured."""

import json
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace

from proxies import can_front, refuses_to_split
from servers import Failure, Program, child

VALUE_SIZE = 100
IDLE_FIRST = 100  # connections before the first look at the memory, so that what is allocated once is not counted
# For memcaslap: sizes from, to, and their share; command 0 is set, 1 get.
FOREIGN_CONFIG = "key\n16 16 1\nvalue\n100 100 1\ncmd\n0 0.1\n1 0.9\n"


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    needs: str  # the capability that a chapter must have, unless it is a proxy
    load: tuple = ()  # arguments of the load generator
    connections: int = 50
    kind: str = "load"  # or idle, resident, foreign
    behind: int = 0  # servers behind a proxy; 0: asked of a server itself
    threads: int = 1  # of the server

    @property
    def label(self):
        threads = f"x{self.threads}" if self.threads > 1 else ""
        return f"{self.name}@{self.connections}{threads}" + (f"/{self.behind}" if self.behind else "")

    @property
    def peer(self):
        """With whom all are compared."""
        return "nutcracker" if self.behind else "memcached"

    @property
    def judged(self):
        """The figure that counts."""
        return {"idle": "bytes_per_connection", "resident": "resident_bytes"}.get(self.kind, "cpu_per_request")

    @property
    def starts_anew(self):
        """Asked of a server that has never had a connection: memory once taken for one is seldom given back."""
        return self.kind in ("idle", "resident")

    def suits(self, program):
        if self.behind:
            if self.behind > 1 and self.needs == "multiget" and refuses_to_split(program):
                return False
            return program.is_proxy and can_front(program, self.behind)
        if self.threads > 1 and "t" not in program.flags:
            return False
        return self.needs in program.capabilities and not program.is_proxy


PIPELINE = ("--pipeline=32",)
ALL = {
    w.name: w
    for w in (
        Workload("line", "version, one at a time", "line", ("--command=version",)),
        Workload("get", "get, one at a time", "store", ("--command=get",)),
        Workload("set", "set, one at a time", "store", ("--command=set",)),
        Workload("mix", "nine gets, one set, one at a time", "store", ("--command=mix",)),
        Workload("get32", "get, 32 in a pipeline", "store", ("--command=get", *PIPELINE)),
        Workload("set32", "set, 32 in a pipeline", "store", ("--command=set", *PIPELINE)),
        Workload("get100", "get of 100 keys", "multiget", ("--command=get", "--keys-per-get=100")),
        Workload("connect", "connect, get, close", "store", ("--command=get", "--reconnect")),
        Workload("foreign", "memcaslap: nine gets, one set", "store", kind="foreign"),
        Workload("idle", "memory of an idle connection", "store", connections=1000, kind="idle"),
        Workload("resident", "memory in all", "store", kind="resident"),
    )
}
STANDARD = "line get set mix get32 set32 get100 connect get@1 get@10 get@200 get@1000 foreign idle".split()
QUICK = "line get set get32 get100 connect idle".split()
PROXY_STANDARD = [
    f"{name}/{behind}"
    for behind in (1, 2)
    for name in "get set get32 get100 resident@0 resident@50 resident@1000".split()
]
PROXY_QUICK = "get/1 get32/1 get100/1 get/2 get32/2 get100/2 resident@50/2".split()


def find(word):
    """'get'; 'get@1000' for another number of connections, 'get@50x4' for four threads, 'get/2' for a proxy in front of two
    servers."""
    parts = re.fullmatch(
        r"(?P<name>\w+)(@(?P<connections>\d+)(x(?P<threads>[1-9]\d?))?)?(/(?P<behind>[1-9]))?", word, re.ASCII
    )
    if parts is None or parts["name"] not in ALL:
        names = ", ".join(ALL)
        how = "@CONNECTIONS, @CONNECTIONSxTHREADS and /SERVERS-BEHIND"
        raise Failure(f"no workload '{word}'; there are: {names}, each with {how} if wanted")
    given = {field: int(parts[field]) for field in ("connections", "threads", "behind") if parts[field]}
    return replace(ALL[parts["name"]], **given)


@dataclass(frozen=True)
class Sample:
    """One run. Times as their names say; what a workload does not measure is None."""

    server: str
    workload: str  # with @connections
    round: int
    requests: int = 0
    seconds: float = 0
    cpu_ns: int = 0  # of the server, all threads
    waited_ns: int = 0  # the server could have run, but other processes had its core
    load_cpu_seconds: float = None
    p50_us: float = None
    p99_us: float = None
    bytes_per_connection: float = None
    resident_bytes: float = None
    peak_bytes: float = None  # the most that was resident under the load

    @property
    def per_second(self):
        return self.requests / self.seconds if self.requests else None

    @property
    def cpu_per_request(self):
        return self.cpu_ns / self.requests if self.requests else None


@dataclass
class Bench:
    """How to measure: the same for all servers of a run."""

    load: pathlib.Path  # the load generator
    core: int  # where it runs
    seconds: float = 1
    requests: int = None  # instead of seconds
    warm_up: float = 0.2  # seconds
    keys: int = 10_000
    backend: Program = None  # what proxies have behind them

    def fill(self, server, pipeline=50):
        """Stores every key, so that all gets hit."""
        self.generate(server, ("--command=fill", f"--pipeline={pipeline}"), 1)

    def generate(self, server, arguments, connections, *, warm_up=0):
        """One run of the load generator: its figures, and the server's usage from after the warm-up to the last reply."""
        command = [self.load, f"--port={server.port}", f"--connections={connections}", f"--keys={self.keys}"]
        command += [f"--value-size={VALUE_SIZE}", f"--warm-up={warm_up}", "--attended", *arguments]
        pipe = subprocess.PIPE
        with child(command, self.core, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            if process.stdout.readline() != "ready\n":
                raise Failure(f"{server.program.name}: {process.stderr.read().strip()}")
            before = server.usage()
            out, err = process.communicate("go\n")
            if process.returncode != 0:
                raise Failure(f"{server.program.name}: {err.strip()}")
            return json.loads(out), server.usage() - before

    def measure(self, server, workload, round_):
        """One sample. Raises Failure when the server gave a wrong reply, or none."""
        run = {"load": self._load, "idle": self._idle, "resident": self._resident, "foreign": self._foreign}[workload.kind]
        return Sample(server.program.name, workload.label, round_, **run(server, workload))

    def _load(self, server, workload):
        length = f"--requests={self.requests}" if self.requests else f"--seconds={self.seconds}"
        server.forget_peak()
        figures, used = self.generate(server, (*workload.load, length), workload.connections, warm_up=self.warm_up)
        del figures["max_us"]
        return figures | {"cpu_ns": used.ran, "waited_ns": used.waited, "peak_bytes": server.peak()}

    def _idle(self, server, workload):
        with ExitStack() as stack:
            self._connect(server, IDLE_FIRST, stack)
            before = server.resident()
            self._connect(server, workload.connections, stack)
            after = server.resident()
        return {"bytes_per_connection": (after - before) / workload.connections}

    def _resident(self, server, workload):
        with ExitStack() as stack:
            self._connect(server, workload.connections, stack)
            return {"resident_bytes": server.resident()}

    @staticmethod
    def _connect(server, count, stack):
        """Each connection makes one get: what a server gives it on its first use counts if it leaves it there."""
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            sock.sendall(b"get key-00000000\r\n")
            with sock.makefile("rb") as replies:
                while (line := replies.readline()) != b"END\r\n":
                    if not line:
                        raise Failure(f"{server.program.name} closed an idle connection")
        server.usage()  # waits until it sleeps

    def _foreign(self, server, workload):
        """libmemcached's generator, which shares no code with ours. Its start is measured too."""
        tool = shutil.which("memcaslap") or shutil.which("memaslap")
        if tool is None:
            raise Failure("memcaslap is not installed (Debian: apt install libmemcached-tools)")
        with tempfile.NamedTemporaryFile("w", suffix=".cnf") as config:
            config.write(FOREIGN_CONFIG)
            config.flush()
            length = ["-x", str(self.requests)] if self.requests else ["-t", f"{max(1, round(self.seconds))}s"]
            command = [tool, "-s", f"127.0.0.1:{server.port}", "-T", "1", "-c", str(workload.connections)]
            command += ["-F", config.name, *length]
            output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            before = server.usage()
            with child(command, self.core, **output) as process:
                said, _ = process.communicate()
        used = server.usage() - before
        summary = re.search(r"Run time: ([\d.]+)s Ops: (\d+)", said)
        misses = re.search(r"get_misses: (\d+)", said)
        if process.returncode != 0 or not summary or not misses or int(misses.group(1)) > 0:
            raise Failure(f"{server.program.name}: memcaslap failed:\n{said.strip()}")
        return {
            "requests": int(summary.group(2)),
            "seconds": float(summary.group(1)),
            "cpu_ns": used.ran,
            "waited_ns": used.waited,
        }


def raise_descriptor_limit():
    """Room for the connections of `idle` and `resident`, which this process holds itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
