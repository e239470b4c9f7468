"""The demo of a proxy for many servers: where keys live, a get split and joined, and a server that dies and returns."""
import contextlib
import json
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from chapters import Chapter
from demo_stage import DEADLINE, Page, Said, reply, wait_until
from server import HOST, Process, Server, held_port

POOL = "fruit"
NAMES = ("one", "two", "three")
KEYS = ("apple", "cherry", "fig", "grape", "lemon", "pear")
RETRY, PACED_RETRY = 2000, 4000  # ms that an ejected server stays out: longer than it takes to show what happens then
INTERVAL = 100  # ms between two sums of the statistics
INFO = 6  # the log level from which it tells what happens to connections

EXPERIMENTS = {  # by what a chapter must be able to
    "pools": ("notes/experiments/15-moved.py", "one server less: which keys move"),
    "ejection": ("notes/experiments/17-ejection.py", "three servers: one is killed under load"),
    "counters": ("notes/experiments/17-stale.py", "worse than dead: a server that says nothing"),
}


def what_next(chapter: Chapter) -> list[tuple[str, str]]:
    """Commands for a reader, each with what it is for."""
    return [
        (f"notes/{chapter.name}.md", "the page to read, beside the code"),
        (f"tests/ladder.py diff {chapter.number}", f"what it changes in {chapter.parent}"),
        *(EXPERIMENTS[what] for what in EXPERIMENTS if what in chapter.capabilities),
        (f"tests/run {chapter.number}", "what real clients and the tests say of it"),
    ]


def set_of(key: str, value: str) -> bytes:
    return f"set {key} 0 0 {len(value)}\r\n{value}\r\n".encode()


class Node:
    """A server of the pool, to be killed and started again. Owns: its port, its process, a connection past the proxy."""

    def __init__(self, name: str, program: str):
        self.name, self._program = name, program
        self._owned = contextlib.ExitStack()
        self.port = self._owned.enter_context(held_port()).getsockname()[1]
        self.alive = False

    def start(self) -> None:
        server = Server(self._program, "-vv", port=self.port, stderr=subprocess.PIPE)
        self._owned.callback(server.kill)
        self._server, self._said = server, Said(server.process.stderr)
        self._direct = self._owned.enter_context(server.connect(DEADLINE))
        welcome = self._said.until(r"^<\d+ new .*client", "that the demo is connected")[-1]
        self._sfd = welcome[1:].partition(" ")[0]
        self.alive = True

    def kill(self) -> None:
        self._server.kill()
        self.alive = False

    def heard_get(self) -> str:
        """What the proxy has asked it last."""
        line = self._said.until(rf"^<(?!{self._sfd} )\d+ get ", "what the proxy asks")[-1]
        return line.partition(" ")[2]

    def has(self) -> dict[str, str]:
        """The keys, and their values, that are here: the proxy is not asked."""
        self._direct.sendall(f"get {' '.join(KEYS)}\r\n".encode())
        found = re.findall(r"^VALUE (\S+) .*\r\n(.*)\r\n", reply(self._direct).decode(), re.MULTILINE)
        self._said.until(rf"^>{self._sfd} END", "that it has answered")
        return dict(found)

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        self._owned.close()


class Pool:
    """The proxy and a client of it. Owns: their connection."""

    def __init__(self, proxy: Process, stats_port: int):
        self._said = Said(proxy.process.stderr)
        self._client = proxy.connect(DEADLINE)
        self._stats_port = stats_port
        self._answers = 0  # of servers

    def ask(self, request: bytes, replies: int = 1, servers: int = 1) -> bytes:
        """A reply may be made of the answers of several servers."""
        self._client.sendall(request)
        answer = reply(self._client, replies)
        self._answers += replies * servers - answer.count(b"SERVER_ERROR")
        return answer

    def log_until(self, pattern: str, what: str) -> list[str]:
        """Without the dates."""
        return [line.partition("] ")[2] for line in self._said.until(pattern, what)]

    def log_about(self, node: "Node", pattern: str) -> list[str]:
        """What concerns this server, or all."""
        lines = self.log_until(pattern, f"what it thinks of server {node.name}")
        return [line for line in lines if f"'{node.name}'" in line or "takes servers back" in line]

    def stats(self) -> dict:
        """What the stats thread says, once it counts all that the servers have answered: it is behind by an interval."""

        def look() -> dict:
            with socket.create_connection((HOST, self._stats_port), timeout=DEADLINE) as connection:
                with connection.makefile("rb") as text:
                    numbers = json.loads(text.read())[POOL]
            return numbers if sum(numbers[name]["responses"] for name in NAMES) == self._answers else {}

        return wait_until(look, f"the statistics count {self._answers} responses")

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def conf(port: int, nodes: list[Node], retry: int, ejects: bool) -> str:
    rules = [
        "  auto_eject_hosts: true       # a server that has failed",
        "  server_failure_limit: 2      # so many times in a row is out",
        f"  server_retry_timeout: {retry}   # for so many ms",
    ]
    lines = [
        f"{POOL}:",
        f"  listen: {HOST}:{port}",
        *(rules if ejects else []),
        "  servers:                     # host:port:weight name",
        *(f"   - {HOST}:{node.port}:1 {node.name}" for node in nodes),
    ]
    return "\n".join(lines) + "\n"


def show_where(page: Page, nodes: list[Node]) -> None:
    for node in nodes:
        if not node.alive:
            page.row(node.name, "is dead", "refused")
        else:
            page.log(node.name, [f"{key}: {value}" for key, value in node.has().items()] or ["nothing"], "server")


def read_the_conf(page: Page, pool: Pool, text: str) -> None:
    page.step("A conf", "The proxy reads on which port to serve whom, and what to do when a server fails.")
    page.rows("conf", text.splitlines(), "client")
    page.log("log", pool.log_until("listening", "that it listens"), "proxy")


def where_keys_live(page: Page, pool: Pool, nodes: list[Node]) -> None:
    page.step(
        "Where does a key live?",
        f"The client stores {len(KEYS)} keys through the proxy, all with the value 1st. Then each server is asked what it "
        "has.",
    )
    request = b"".join(set_of(key, "1st") for key in KEYS)
    page.stream("client", request, "client")
    page.stream("proxy", pool.ask(request, len(KEYS)), "proxy")
    page.pause(0.5)
    show_where(page, nodes)
    page.meaning(
        "Nobody has a table of that. A key is hashed to a place on a ring, and the next server on the ring has it; where "
        "the servers stand is made from their names. Every proxy that knows these names finds the same."
    )


def split_and_join(page: Page, pool: Pool, nodes: list[Node]) -> None:
    page.step("A get for three servers", "The client asks for all keys at once. The rows of the servers are what they hear.")
    owners = [node for node in nodes if node.has()]
    request = f"get {' '.join(KEYS)}\r\n".encode()
    page.stream("client", request, "client")
    answer = pool.ask(request, servers=len(owners))
    for node in owners:
        page.row(node.name, node.heard_get(), "server")
    page.stream("proxy", answer, "proxy")
    page.meaning("Each server was asked for its own keys, and the client has one reply, in the order of its question.")


def kill_one(page: Page, pool: Pool, nodes: list[Node], victim: Node) -> float:
    """Returns when it was ejected. No pauses after that: its keys are stored again before server_retry_timeout is over."""
    page.step(
        "A server dies",
        f"Server {victim.name} is killed, with SIGKILL. The client asks for each key by itself, and stores again what is "
        "lost, as 2nd.",
    )
    mine = list(victim.has())
    victim.kill()
    page.log("log", pool.log_about(victim, f"server '{victim.name}': ")[-1:], "proxy")
    lost = []
    for key in [mine[0], *KEYS]:
        answer = pool.ask(f"get {key}\r\n".encode())
        page.stream(key, answer, "client")
        if not answer.startswith(b"VALUE") and key not in lost:
            lost.append(key)
    page.log("log", pool.log_about(victim, "ejects"), "proxy")
    ejected = time.monotonic()
    request = b"".join(set_of(key, "2nd") for key in lost)
    page.stream("client", request, "client")
    page.stream("proxy", pool.ask(request, len(lost)), "proxy")
    show_where(page, nodes)
    page.meaning(
        "The end of its connection was no failure: nobody waited for anything. Two connections were refused; then the "
        "server was off the ring, and its keys belonged to others, who did not have them yet. Nobody else's keys have "
        "noticed."
    )
    return ejected


def take_back(page: Page, pool: Pool, nodes: list[Node], victim: Node, key: str, ejected: float) -> None:
    page.step(
        "It comes back",
        f"Server {victim.name} is started again on its old port, empty. The client asks for {key} again and again, until "
        "something changes.",
    )
    victim.start()
    request = f"get {key}\r\n".encode()
    page.stream("client", request, "client")
    answers = []

    def is_missing() -> bool:
        answers.append(pool.ask(request))
        return not answers[-1].startswith(b"VALUE")

    wait_until(is_missing, f"server {victim.name} is taken back")
    waited = time.monotonic() - ejected
    if len(answers) > 1:
        page.stream("proxy", answers[0], "proxy")
    page.row("", f"{len(answers) - 1} times, and then, {waited:.1f} s after the ejection:", "dim")
    page.stream("proxy", answers[-1], "proxy")
    page.log("log", pool.log_about(victim, f"connected on .*'{victim.name}'"), "proxy")
    request = set_of(key, "3rd")
    page.stream("client", request, "client")
    page.stream("proxy", pool.ask(request), "proxy")
    show_where(page, nodes)
    page.meaning(
        "The first request after server_retry_timeout puts it back on the ring. It has its keys again, and none of their "
        f"values. What was stored meanwhile still lies with the others: look at {key}. Should server {victim.name} die "
        "once more, the old value would be read. Ejection is for data that may be a little old."
    )


def compare(page: Page, before: dict, after: dict) -> None:
    """The numbers that tell the story, as the stats thread told them at two times."""
    page.step(
        "The statistics",
        "A second thread of the proxy tells them, as JSON, to whoever connects to its port. Some of them, before the "
        "server died and now:",
    )
    wanted = [(POOL, before, after, ("fragments", "server_ejects"))]
    wanted += [(name, before[name], after[name], ("responses", "server_eof", "server_err")) for name in NAMES]
    for label, old, new, fields in wanted:
        for field in fields:
            if old[field] or new[field]:
                style = "proxy" if old[field] == new[field] else "bold"
                page.row(label, f"{field:<16}{old[field]:>5} {page.arrow} {new[field]}", style)
                label = ""


def refuse(page: Page, pool: Pool) -> None:
    page.step("A get for three servers", "The client asks for all keys at once.")
    request = f"get {' '.join(KEYS)}\r\n".encode()
    page.stream("client", request, "client")
    page.stream("proxy", pool.ask(request, servers=0), "proxy")
    page.meaning("It would have to be several requests, and their replies one. That is the next chapter's idea.")


def play(page: Page, pool: Pool, nodes: list[Node], can: frozenset[str]) -> None:
    where_keys_live(page, pool, nodes)
    victim = next(node for node in nodes if node.has())
    key = next(iter(victim.has()))
    if "fragments" in can:
        split_and_join(page, pool, nodes)
    else:
        refuse(page, pool)
    before = pool.stats() if "counters" in can else {}
    if "ejection" in can:
        ejected = kill_one(page, pool, nodes, victim)
        take_back(page, pool, nodes, victim, key, ejected)
    if "counters" in can:
        compare(page, before, pool.stats())


def show(page: Page, program: str, behind: str, can: frozenset[str]) -> None:
    page.paragraph(
        f"What follows happens now: three servers ({Path(behind).name}), the proxy in front of them, and a client of the "
        "proxy. The rows of the log are the proxy's own; what a server has, it is asked directly."
    )
    page.pause(1.5)
    with contextlib.ExitStack() as running:
        nodes = [running.enter_context(Node(name, behind)) for name in NAMES]
        for node in nodes:
            node.start()
        port, stats_port = (running.enter_context(held_port()).getsockname()[1] for _ in range(2))
        text = conf(port, nodes, PACED_RETRY if page.is_paced else RETRY, "ejection" in can)
        file = running.enter_context(tempfile.NamedTemporaryFile("w", prefix="drive_machine-", suffix=".yml"))
        file.write(text)
        file.flush()
        statistics = ("-a", HOST, "-s", str(stats_port), "-i", str(INTERVAL)) if "counters" in can else ()
        flags = ("-c", file.name, *statistics, "-v", str(INFO))
        proxy = running.enter_context(Process((program, *flags), stderr=subprocess.PIPE))
        pool = running.enter_context(Pool(proxy, stats_port))
        read_the_conf(page, pool, text)
        play(page, pool, nodes, can)
