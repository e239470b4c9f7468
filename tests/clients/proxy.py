"""What the tests of the proxies share: a proxy under test, servers that do what a test wants, and clients with a deadline.

A proxy is a chapter or Debian's nutcracker.
"""
import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chapters import read_table
from server import HOST

DEADLINE = 10  # seconds, for whatever is waited for
LOOK_AGAIN = 0.005  # seconds, where nothing tells that it has happened
STARTS = 5  # with ports that somebody else may take first
LISTENING = "0A"  # a state in /proc/net/tcp
NAMES = "one two three four five six seven eight nine".split()


def wait_until(happened: Callable[[], object], what: str) -> object:
    """Returns what `happened` returns, as soon as that is true."""
    deadline = time.monotonic() + DEADLINE
    while not (result := happened()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {DEADLINE} s still not: {what}")
        select.select([], [], [], LOOK_AGAIN)
    return result


def shown(data: bytes, most: int = 400) -> str:
    return repr(data) if len(data) <= most else f"{data[: most // 2]!r} … {data[-most // 2 :]!r} ({len(data)} bytes)"


class Peer:
    """One end of a connection. Owns: the socket."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self.socket.settimeout(DEADLINE)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, wanted: bytes) -> None:
        """Exactly this comes next."""
        heard = bytearray()
        how = "and then nothing"
        try:
            while len(heard) < len(wanted) and wanted.startswith(heard[:1000]):
                if not (part := self.socket.recv(len(wanted) - len(heard))):
                    how = "and then the end"
                    break
                heard += part
        except (TimeoutError, ConnectionResetError) as problem:
            how = f"and then {problem!r}"
        if heard != wanted:
            raise AssertionError(f"heard {shown(bytes(heard))} {how}\n  wanted {shown(wanted)}")

    def hear_line(self) -> bytes:
        """Whatever it is, with its line end."""
        line = bytearray()
        while not line.endswith(b"\n"):
            if not (byte := self.socket.recv(1)):
                raise AssertionError(f"heard {shown(bytes(line))} and then the end, not a line")
            line += byte
        return bytes(line)

    def hear_end(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            if data := self.socket.recv(100):
                raise AssertionError(f"heard {shown(data)}, not the end")

    def ask(self, request: bytes, reply: bytes) -> None:
        self.say(request)
        self.hear(reply)

    def answer(self, request: bytes, reply: bytes) -> None:
        """What a server does."""
        self.hear(request)
        self.say(reply)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Goes without a goodbye, and without what it has said last."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Fake:
    """A server that says what the test says. Owns: its listening socket.

    Before listen() its port is its own, but whoever connects is refused.
    """

    def __init__(self, listens: bool = True):
        self._listener = socket.socket()
        self._listener.bind((HOST, 0))
        self._listener.settimeout(DEADLINE)
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        if listens:
            self.listen()

    def listen(self) -> None:
        self._listener.listen(64)

    def accept(self) -> Peer:
        try:
            return Peer(self._listener.accept()[0])
        except TimeoutError:
            raise AssertionError(f"nobody has connected for {DEADLINE} s") from None

    def is_wanted(self) -> bool:
        """Somebody is waiting to be accepted."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def close(self) -> None:
        self._listener.close()


@dataclass(frozen=True)
class Pool:
    servers: Sequence[str]  # "host:port" or "/path"; their names are NAMES
    more: str = ""  # further lines of the configuration
    name: str = "pool"
    listen: str = f"{HOST}:0"  # or "/path"

    def yaml(self, listen: str) -> str:
        lines = [f"{self.name}:", f"  listen: {listen}", *(f"  {line.strip()}" for line in self.more.splitlines()), "  servers:"]
        lines += [f"  - {server}:1 {name}" for server, name in zip(self.servers, NAMES)]
        return "\n".join(lines) + "\n"


def can(program: str, capability: str) -> bool:
    """A chapter's row says what it can. nutcracker can everything."""
    rows = {chapter.name: chapter.capabilities for chapter in read_table()}
    return capability in rows.get(Path(program).name, {capability})


def knows_pools(program: str) -> bool:
    """Chapter 14 has memcached's command line, and knows one server."""
    return can(program, "pools")


@dataclass
class Proxy:
    """Owns: the process, and a directory for its files. stop() ends it, and complains if it does not end well."""

    program: str
    pools: Sequence[Pool]
    flags: Sequence[str] = ()
    descriptors: int = 0  # its limit; 0: the usual one
    ports: list[int] = field(default_factory=list)  # one for each pool that has one

    def __post_init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="drive_machine-")
        self.path = Path(self._directory.name)
        self.conf = self.path / "conf.yml"
        self.log = self.path / "log"
        self._is_ours = Path(self.program).name != "nutcracker"
        try:
            if not any(self._start() for _ in range(1 if self._is_ours else STARTS)):
                raise AssertionError(self._said("did not start"))
        except BaseException:
            self.kill()
            raise

    # ---- starting ----

    def _start(self) -> bool:
        """False: it has ended."""
        port_file = self.path / "ports"
        port_file.unlink(missing_ok=True)
        with open(self.path / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(
                self._command(),
                env=os.environ | {"MEMCACHED_PORT_FILENAME": str(port_file)},
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                preexec_fn=self._limit_descriptors if self.descriptors else None,
            )
        wait_until(lambda: self._listens(port_file) or self.process.poll() is not None, self._said("listens"))
        return self.process.poll() is None

    def _limit_descriptors(self) -> None:
        """The hard limit too: a proxy raises its own up to there."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    def _command(self) -> list[str]:
        if not knows_pools(self.program):
            user = ("-u", "root") if os.geteuid() == 0 else ()
            limit = ("-c", str(self.descriptors or 4096))
            server = ("-o", f"server={self.pools[0].servers[0]}")
            return [self.program, "-p", "-1", "-l", HOST, *user, *limit, *server, *self.flags]
        listens = [pool.listen for pool in self.pools]
        stats_port = 0
        if not self._is_ours:  # it has no port 0
            stats_port, *free = free_ports(1 + len(listens))
            listens = [listen.replace(f"{HOST}:0", f"{HOST}:{port}") for listen, port in zip(listens, free)]
            self.ports = [int(listen.rpartition(":")[2]) for listen in listens if ":" in listen]
        self.conf.write_text("".join(p.yaml(l) for p, l in zip(self.pools, listens)), encoding="ascii")
        where = ["-c", str(self.conf)]
        if can(self.program, "counters"):
            where += ["-a", HOST, "-s", str(stats_port)]
        files = [] if self._is_ours else ["-o", str(self.log), "-p", str(self.path / "nutcracker.pid")]
        return [self.program, *where, *files, *self.flags]

    def _listens(self, port_file: Path) -> bool:
        if not self._is_ours:
            return set(self.ports) < listening_ports(self.process.pid)
        if not port_file.exists():
            return False
        ports = [int(line.rpartition(" ")[2]) for line in port_file.read_text(encoding="ascii").splitlines()]
        self.ports = ports[: sum(":" in pool.listen for pool in self.pools)]
        return True

    # ---- running ----

    @property
    def port(self) -> int:
        return self.ports[0]

    def connect(self, pool: int = 0) -> Peer:
        """`pool` is a number among those with a port."""
        return Peer(socket.create_connection((HOST, self.ports[pool]), timeout=DEADLINE))

    @property
    def stats_port(self) -> int:
        (port,) = listening_ports(self.process.pid) - set(self.ports)
        return port

    def stats(self) -> dict:
        """What it says to whoever connects to its statistics port."""
        with socket.create_connection((HOST, self.stats_port), timeout=DEADLINE) as connection:
            with connection.makefile("rb") as text:
                return json.loads(text.read())

    def wait_for_stats(self, happened: Callable[[dict], object], what: str) -> dict:
        """They are behind by up to an interval (-i)."""
        last: dict = {}

        def look() -> bool:
            last.clear()
            last.update(self.stats())
            return bool(happened(last))

        try:
            wait_until(look, what)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{json.dumps(last, indent=1)}") from None
        return last

    def memory_peak(self) -> int:
        """The most physical memory that it has ever had, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)[1]) << 10

    def processor_time(self) -> float:
        """Of all its threads, in seconds."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9

    # ---- ending ----

    def stop(self, how: int = signal.SIGTERM) -> None:
        try:
            if self.process.poll() is None:
                self.process.send_signal(how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(DEADLINE)
            wanted = 0 if self._is_ours else -how  # nutcracker has no handler
            if (status := self.process.poll()) != wanted:
                raise AssertionError(self._said(f"status {status} instead of {wanted}"))
        finally:
            self.kill()

    def kill(self) -> None:
        if (process := getattr(self, "process", None)) and process.poll() is None:
            process.kill()
            process.wait()
        self._directory.cleanup()

    def _said(self, what: str) -> str:
        files = (self.path / "stderr", self.log)
        said = "".join(f.read_text(encoding="utf-8", errors="replace")[-2000:] for f in files if f.exists())
        return f"{Path(self.program).name}: {what}\n{said}".rstrip()


def free_ports(count: int) -> list[int]:
    """Different ones, free at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [held.getsockname()[1] for held in sockets]


def listening_ports(pid: int) -> set[int]:
    """On which this very process listens at 127.0.0.1."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    ports = {row[9]: int(row[1].partition(":")[2], 16) for row in rows if row[3] == LISTENING}
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # closed since
            match = re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))
            if match and match[1] in ports:
                found.add(ports[match[1]])
    return found
