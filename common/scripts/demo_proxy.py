"""The demo of a proxy for one server: what passes through, what goes together, and a server that is away for a while."""
import contextlib
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from chapters import Chapter
from demo_stage import DEADLINE, Page, Said, reply, wait_until
from server import Server, held_port

def what_next(chapter: Chapter) -> list[tuple[str, str]]:
    """Commands for a reader, each with what it is for."""
    return [
        (f"notes/{chapter.name}.md", "the page to read, beside the code"),
        ("chapters/run 12", "a server, and in a second terminal a proxy:"),
        (f"chapters/run {chapter.number} -p 11222 -o server=127.0.0.1:11211 -vv", ""),
        (r"common/scripts/talk.py 11222 'set k 0 0 5\r\nhello\r\n' 'get k\r\n'", "stop the server, and get again"),
        (f"tests/run {chapter.number}", "what real clients and the tests say of it"),
    ]


class Speaker(Server):
    """A server, or the proxy, that says with -vv what it hears and what it replies. Owns: the reader of that, too."""

    def __init__(self, program: str, *flags: str, port: int = -1):
        super().__init__(program, "-vv", *flags, port=port, stderr=subprocess.PIPE)
        self.said = Said(self.process.stderr)
        self.said.until("server listening", "that it listens")

    def state(self) -> str:
        """The kernel's letter: S, it sleeps; T, it has been stopped."""
        return Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0]

    def writes(self) -> int:
        """How often it has called write(), writev() and the like, its log included."""
        fields = Path(f"/proc/{self.process.pid}/io").read_text(encoding="ascii").split()
        return int(fields[fields.index("syscw:") + 1])

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: self.state() == "T", "the process stands still")

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Client:
    """Owns: its connection to the proxy."""

    def __init__(self, name: str, page: Page, proxy: Speaker):
        self.name, self._page = name, page
        self.socket = proxy.connect(DEADLINE)
        welcome = proxy.said.until(r"^<\d+ new client", "that the client is accepted")[-1]
        self.sfd = welcome[1:].partition(" ")[0]

    def ask(self, request: bytes) -> None:
        self._page.stream(f"{self.name} asks", request, "client")
        self._page.pause(0.5)
        self.socket.sendall(request)

    def hear(self, replies: int = 1) -> None:
        self._page.stream(f"{self.name} hears", reply(self.socket, replies), "client")


@dataclass
class Stage:
    """Who plays. The server is another one after its restart."""

    page: Page
    proxy: Speaker
    server: Speaker
    a: Client
    b: Client


def through(stage: Stage, request: bytes) -> None:
    """A's request on its whole way, and its reply on the way back."""
    stage.a.ask(request)
    proxy = stage.proxy.said.until(rf"^>{stage.a.sfd} ", "what it replies")
    server = stage.server.said.until(r"^>\d+ (STORED|END)", "what it replies")
    stage.page.log("proxy", proxy[:-1], "proxy")
    stage.page.log("server", server, "server")
    stage.page.log("proxy", proxy[-1:], "proxy")
    stage.a.hear()


def pass_through(stage: Stage) -> None:
    stage.page.step(
        "In, and out again",
        f"Two clients have connected to the proxy; it knows A as {stage.a.sfd} and B as {stage.b.sfd}. Not before the first "
        "request wants to go there does it connect to the server. <N is what was heard on descriptor N, >N what was "
        "said on it.",
    )
    through(stage, b"set colour 0 0 4\r\nblue\r\n")
    stage.page.line()
    stage.page.pause(0.5)
    through(stage, b"get colour\r\n")
    stage.page.meaning(
        "The proxy keeps no values. It keeps a request in two queues: in the client's, for its place in line, and in the "
        "server's, until it is sent and answered."
    )


def together(stage: Stage) -> None:
    page, proxy, server = stage.page, stage.proxy, stage.server
    page.step(
        "Two clients in the same moment",
        "Each sends two requests in one piece. To make it one moment for both, the proxy is frozen (SIGSTOP) while they "
        "speak. Then it goes on, and the server is frozen: all that the proxy can write now is requests, and its log.",
    )
    proxy.freeze()
    stage.a.ask(b"get colour\r\nget shape\r\n")
    stage.b.ask(b"get taste\r\nget colour\r\n")
    server.freeze()
    before = proxy.writes()
    proxy.thaw()
    heard = [line for _ in range(4) for line in proxy.said.until(r"^<", "what it has heard")]
    wait_until(lambda: proxy.writes() > before + len(heard) and proxy.state() == "S", "the proxy has sent the requests")
    writes = proxy.writes() - before
    server.thaw()
    page.log("proxy", heard, "proxy")
    lines = len(heard)
    page.row("kernel", f"{writes} writes by the proxy: {lines} lines of its log, {writes - lines} to the server", "state")
    page.log("server", [server.said.until(r"^<", "what it has heard")[-1] for _ in heard], "server")
    stage.a.hear(2)
    stage.b.hear(2)
    page.meaning(
        "What all clients ask in one turn of the loop leaves in one writev, at the end of the turn. No reply says whose it "
        "is. But the server answers in the order in which it was asked, and so a reply belongs to the oldest request in "
        "the server's queue."
    )


def without_server(stage: Stage) -> None:
    stage.page.step("The server goes", "It is stopped. A does not know that, and asks.")
    stage.server.stop()
    stage.page.row("server", f"has ended, with status {stage.server.process.returncode}", "server")
    stage.a.ask(b"get colour\r\n")
    proxy = stage.proxy.said.until(rf"^>{stage.a.sfd} SERVER_ERROR", "what it replies")
    stage.page.log("proxy", [line for line in proxy if line[1:].startswith(f"{stage.a.sfd} ")][-2:], "proxy")
    stage.a.hear()
    stage.page.meaning("An error for this request, and for nothing else: A's connection is as open as before.")


def server_again(stage: Stage) -> None:
    stage.page.step(
        "The server comes back",
        f"It is started again on its old port, {stage.server.port}, and is empty. A uses the connection that it has.",
    )
    through(stage, b"get colour\r\n")
    stage.page.line()
    stage.page.pause(0.5)
    through(stage, b"set colour 0 0 3\r\nred\r\n")
    stage.page.meaning(
        "The first request that wanted to go there has made the proxy connect again. Nobody had to tell the clients."
    )


def show(page: Page, program: str, behind: str, _can: frozenset[str]) -> None:
    page.paragraph(
        f"What follows happens now: two clients, A and B, the proxy, and one server behind it ({Path(behind).name}). The "
        "rows of the proxy and of the server are what each says itself, with -vv."
    )
    page.pause(1.5)
    with contextlib.ExitStack() as running:
        port = running.enter_context(held_port()).getsockname()[1]

        def start_server() -> Speaker:
            server = Speaker(behind, port=port)
            running.callback(server.kill)
            return server

        server = start_server()
        proxy = running.enter_context(Speaker(program, "-o", f"server={server.address}"))
        a, b = (Client(name, page, proxy) for name in "AB")
        for client in (a, b):
            running.enter_context(client.socket)
        stage = Stage(page, proxy, server, a, b)
        pass_through(stage)
        together(stage)
        without_server(stage)
        stage.server = start_server()
        server_again(stage)
