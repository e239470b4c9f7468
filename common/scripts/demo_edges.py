"""The demo of a loop of one's own: what a client says, and what one turn of the loop makes of it."""
import subprocess

from chapters import Chapter
from demo_stage import DEADLINE, Page, Said, reply
from demo_states import what_next as commands
from server import Server, ServerFailed



def what_next(chapter: Chapter) -> list[tuple[str, str]]:
    """Commands for a reader, each with what it is for."""
    words = commands(chapter)
    return [*words[:-1], ("notes/experiments/13-read-once.py", "who does not read to the end"), words[-1]]


class Loop(Said):
    """What the program says with -vvv. One turn of its loop is what it says until it sleeps again."""

    def __init__(self, stream):
        super().__init__(stream)
        self.until("asleep", "that it listens and sleeps")

    def turns_until(self, pattern: str, what: str) -> list[str]:
        """Its lines, until the one that is meant, and then until it sleeps; without the sleeping."""
        lines = self.until(pattern, what) + self.until("asleep", "that it sleeps again")
        return [line for line in lines if "asleep" not in line]


def talk(page: Page, server: Server) -> None:
    loop = Loop(server.process.stderr)
    with server.connect(DEADLINE) as client:
        page.step(
            "A client connects",
            "epoll_wait returns, and brings a pointer to the connection that listens. Its recv is proxy_recv: it accepts "
            "until nobody waits, for it is told of them only once.",
        )
        page.row("client", "connect()", "client")
        page.log("loop", loop.turns_until("new client", "that the client is accepted"), "server")

        def ask(title: str, explanation: str, *pieces: bytes, replies: int = 1, until: str = r"writev\(\)") -> None:
            page.pause(0.5)
            page.step(title, explanation)
            for piece in pieces[:-1]:
                page.bytes("client", piece, "client")
                client.sendall(piece)
                page.log("loop", loop.turns_until(r"read\(\)", "that it has read"), "server")
            page.bytes("client", pieces[-1], "client")
            client.sendall(pieces[-1])
            answer = reply(client, replies)
            page.bytes("server", answer, "server")
            page.log("loop", loop.turns_until(until, "that it has answered"), "server")

        ask(
            "A line in, a line out",
            "The connection of a client has another recv: client_recv. The loop calls it, and does not know what it is.",
            b"version\r\n",
        )
        ask("A line in two pieces", "What has arrived stays in the buffer until the rest comes.", b"vers", b"ion\r\n")
        ask("Something that is no command", "A bad line costs one ERROR and nothing else.", b"sing\r\n")

        page.pause(0.5)
        page.step("Good-bye", "The connection is closed; the loop goes on.")
        client.sendall(b"quit\r\n")
        page.bytes("client", b"quit\r\n", "client")
        if client.recv(1):
            raise ServerFailed("the server answered 'quit'")
        page.log("loop", loop.turns_until("connection closed", "that it has closed"), "server")


def show(page: Page, program: str, flags: list[str], _can: frozenset[str]) -> None:
    page.paragraph(
        "What follows happens now: a client talks to the program through a socket, and the program tells with -vvv what "
        "each turn of its loop does: who is ready, and which calls are made."
    )
    page.pause(1.5)
    with Server(program, "-vvv", *flags, stderr=subprocess.PIPE) as server:
        talk(page, server)
