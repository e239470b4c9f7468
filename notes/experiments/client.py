"""What the experiments share: a connection that sends, and reads as much as it is told to."""

import argparse
import socket


class Client:
    """One connection to the server under study. Owns: its socket."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self.link = socket.create_connection(("127.0.0.1", port), timeout)
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""

    def send(self, data: bytes) -> None:
        self.link.sendall(data)

    def until(self, end: bytes) -> bytes:
        """Returns what comes up to and including `end`. Raises ConnectionError when the server closes before it."""
        while end not in self.unread:
            data = self.link.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self.unread += data
        reply, _, self.unread = self.unread.partition(end)
        return reply + end

    def ask(self, command: bytes, end: bytes = b"\r\n") -> str:
        """Sends a command and returns its reply as text, without the last line end."""
        self.send(command)
        return self.until(end).decode("latin-1").removesuffix("\r\n")

    def stats(self, group: str = "") -> dict[str, str]:
        """The server's statistics by name."""
        lines = self.ask(f"stats {group}".strip().encode() + b"\r\n", b"END\r\n").splitlines()
        return {line.split(" ", 2)[1]: line.split(" ", 2)[2] for line in lines[:-1]}

    def close(self) -> None:
        self.link.close()


def arguments(description: str, **flags: str) -> argparse.Namespace:
    """The command line of every experiment: the server's port, and the flags given by name and help."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int, help="where the server listens on 127.0.0.1")
    for name, text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    return parser.parse_args()
