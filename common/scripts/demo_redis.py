"""The demo of a proxy for redis: a pool of each protocol, what is split and joined, and what is refused."""
import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from chapters import Chapter
from demo_stage import DEADLINE, Page, Said, wait_until
from server import HOST, Process, Server, ServerFailed, held_port

NAMES = ("one", "two")
FRUIT = {"apple": "red", "cherry": "red", "lemon": "yellow", "pear": "green"}


def what_next(chapter: Chapter) -> list[tuple[str, str]]:
    """Commands for a reader, each with what it is for."""
    return [
        (f"notes/{chapter.name}.md", "the page to read, beside the code"),
        (f"tests/ladder.py diff {chapter.number}", f"what it changes in {chapter.parent}"),
        ("notes/experiments/19-apart.py", "what a proxy does to keys that belong together"),
        (f"tests/run {chapter.number}", "what real clients and the tests say of it"),
    ]


def command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


class Redis:
    """A redis-server on a socket of its own. Owns: its process, and a connection that is told all that it hears."""

    def __init__(self, name: str, directory: str):
        self.name, self.path = name, f"{directory}/{name}"
        flags = ("--port", "0", "--unixsocket", self.path, "--save", "", "--dir", directory)
        self._process = subprocess.Popen(["redis-server", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            self._monitor = self._watch()
        except BaseException:
            self._kill()
            raise

    def _watch(self):
        wait_until(lambda: Path(self.path).exists() or self._process.poll() is not None, "redis-server listens")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(self.path)
            connection.sendall(command("MONITOR"))
            stream = connection.makefile("rb")
        stream.readline()
        return stream

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def heard(self) -> str:
        """What the proxy has asked it next."""
        return re.sub(rb"^.*?\] ", b"", self._monitor.readline()).decode().rstrip()

    def __enter__(self) -> "Redis":
        return self

    def __exit__(self, *_: object) -> None:
        self._monitor.close()
        self._kill()


class Client:
    """Owns: its connection to the proxy."""

    def __init__(self, page: Page, port: int):
        self._page = page
        self._socket = socket.create_connection((HOST, port), timeout=DEADLINE)
        self._replies = self._socket.makefile("rb")

    def _next(self) -> bytes:
        line = self._replies.readline()
        if not line:
            raise ServerFailed("the proxy has closed the connection")
        if line.startswith(b"*"):
            return line + b"".join(self._next() for _ in range(int(line[1:])))
        return line + (self._replies.read(int(line[1:]) + 2) if line[:1] == b"$" and line != b"$-1\r\n" else b"")

    def ask(self, *words: str) -> bytes:
        self._page.stream("client", command(*words), "client")
        self._socket.sendall(command(*words))
        return self._next()

    def hear(self, reply: bytes) -> None:
        self._page.stream("proxy", reply, "refused" if reply.startswith(b"-") else "proxy")

    def ask_and_hear(self, *words: str) -> None:
        self.hear(self.ask(*words))

    def ask_memcached(self, line: str) -> None:
        self._page.stream("client", f"{line}\r\n".encode(), "client")
        self._socket.sendall(f"{line}\r\n".encode())
        self._page.stream("proxy", self._replies.readline(), "proxy")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.close()
        self._socket.close()


def conf(ports: list[int], redis: list[Redis], memcached: Server) -> str:
    lines = [
        "cache:",
        f"  listen: {HOST}:{ports[0]}",
        "  servers:",
        f"   - {memcached.address}:1",
        "fruit:",
        f"  listen: {HOST}:{ports[1]}",
        "  hash: murmur",
        "  redis: true             # what this chapter adds",
        "  servers:",
        *(f"   - {server.path}:1 {server.name}" for server in redis),
    ]
    return "\n".join(lines) + "\n"


def play(page: Page, cache: Client, fruit: Client, redis: list[Redis]) -> None:
    page.step("Two protocols", "The same loop serves both pools. Which parser reads what a client says, its pool decides.")
    cache.ask_memcached("version")
    fruit.ask_and_hear("PING")

    page.step(
        "A request for two servers",
        "The client stores four keys at once. The rows of the servers are what they hear: each its own keys.",
    )
    reply = fruit.ask("MSET", *(word for pair in FRUIT.items() for word in pair))
    for server in redis:
        page.row(server.name, server.heard(), "server")
    fruit.hear(reply)
    page.meaning("Two requests, and two times OK. The client is told once.")

    page.step("And back", "The answers to MGET become one array, in the order of the question; those to DEL a sum.")
    for words in (("MGET", *FRUIT, "plum"), ("DEL", *FRUIT, "plum")):
        reply = fruit.ask(*words)
        for server in redis:
            page.row(server.name, server.heard(), "server")
        fruit.hear(reply)

    page.step("What does not go together", "Some commands need all their keys in one place, and some a connection of their own.")
    fruit.ask_and_hear("RENAME", *list(FRUIT)[:2])
    fruit.ask_and_hear("MULTI")
    fruit.ask_and_hear("KEYS", "*")
    fruit.ask_and_hear("GET", "apple")
    page.meaning("None of the three has reached a server. Each is answered with a reason, and the stream goes on.")


def show(page: Page, program: str, behind: str, _can: frozenset[str]) -> None:
    if not shutil.which("redis-server"):
        raise ServerFailed("this demo needs redis-server (Debian: redis-server)")
    page.paragraph(
        f"What follows happens now: two redis-server and one {Path(behind).name}, the proxy in front of them, and a client "
        "of each of its two pools."
    )
    page.pause(1.5)
    with contextlib.ExitStack() as running:
        directory = running.enter_context(tempfile.TemporaryDirectory(prefix="drive_machine-"))
        redis = [running.enter_context(Redis(name, directory)) for name in NAMES]
        memcached = Server(behind)
        running.callback(memcached.kill)
        ports = [running.enter_context(held_port()).getsockname()[1] for _ in range(3)]
        file = Path(directory) / "nutcracker.yml"
        file.write_text(conf(ports, redis, memcached), encoding="ascii")
        flags = ("-c", str(file), "-a", HOST, "-s", str(ports[2]), "-v", "5")
        proxy = running.enter_context(Process((program, *flags), stderr=subprocess.PIPE))
        said = Said(proxy.process.stderr)
        page.step("A conf", "One line says what the servers of a pool speak, and its clients with them.")
        page.rows("conf", file.read_text(encoding="ascii").replace(directory, "").splitlines(), "client")
        for _ in range(2):
            page.log("log", [line.partition("] ")[2] for line in said.until("listening", "that it listens")], "proxy")
        clients = [running.enter_context(Client(page, port)) for port in ports[:2]]
        play(page, *clients, redis)
