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

from servers import Failure, child

VALUE_SIZE = 100
IDLE_FIRST = 100  # connections before the first look at the memory, so that what is allocated once is not counted
# For memcaslap: sizes from, to, and their share; command 0 is set, 1 get.
FOREIGN_CONFIG = "key\n16 16 1\nvalue\n100 100 1\ncmd\n0 0.1\n1 0.9\n"


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    needs: str  # the capability that a chapter must have
    load: tuple = ()  # arguments of the load generator
    connections: int = 50
    kind: str = "load"  # or idle, foreign

    @property
    def label(self):
        return f"{self.name}@{self.connections}"


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
    )
}
STANDARD = "line get set mix get32 set32 get100 connect get@1 get@10 get@200 get@1000 foreign idle".split()
QUICK = "line get set get32 get100 connect idle".split()


def find(word):
    """'get', or 'get@1000' for another number of connections."""
    name, at, connections = word.partition("@")
    if name not in ALL or (at and not connections.isdigit()):
        raise Failure(f"no workload '{word}'; there are: {', '.join(ALL)}, each with @CONNECTIONS if wanted")
    return replace(ALL[name], connections=int(connections)) if at else ALL[name]


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
        run = {"load": self._load, "idle": self._idle, "foreign": self._foreign}[workload.kind]
        return Sample(server.program.name, workload.label, round_, **run(server, workload))

    def _load(self, server, workload):
        length = f"--requests={self.requests}" if self.requests else f"--seconds={self.seconds}"
        figures, used = self.generate(server, (*workload.load, length), workload.connections, warm_up=self.warm_up)
        del figures["max_us"]
        return figures | {"cpu_ns": used.ran, "waited_ns": used.waited}

    def _idle(self, server, workload):
        """Each connection makes one get: what a server gives to a connection on its first use counts if it leaves it there."""
        with ExitStack() as stack:

            def connect(count):
                for _ in range(count):
                    sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                    sock.sendall(b"get key-00000000\r\n")
                    with sock.makefile("rb") as replies:
                        while (line := replies.readline()) != b"END\r\n":
                            if not line:
                                raise Failure(f"{server.program.name} closed an idle connection")
                server.usage()  # waits until it sleeps
                return server.resident()

            connect(IDLE_FIRST)
            before = server.resident()
            after = connect(workload.connections)
        return {"bytes_per_connection": (after - before) / workload.connections}

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
    """Room for the connections of `idle`, which this process holds itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
