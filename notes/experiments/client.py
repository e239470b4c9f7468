"""What the experiments share: a connection that sends, and reads as much as it is told to."""

import argparse
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SETUP = Path(__file__).resolve().parents[2] / "common" / "scripts" / "setup.sh"


class Client:
    """One connection to the server under study. Owns: its socket."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        try:
            self.link = socket.create_connection(("127.0.0.1", port), timeout)
        except ConnectionRefusedError:
            what = f"nobody listens on port {port}: start the server first, as the note says"
            raise ConnectionRefusedError(what) from None
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


def verdict(text: str) -> None:
    """The last line of every experiment: what it has shown."""
    print(f"verdict: {text}")


def needs(package: str) -> None:
    """Installs a program that the experiment runs, as chapters/run does it, or ends with a line that says how."""
    done = subprocess.run(["bash", "-c", '. "$0"; require_packages "run this experiment" "$1"', SETUP, package])
    if done.returncode != 0:
        raise SystemExit(done.returncode)


def run(main: Callable[[], None]) -> None:
    """Runs an experiment. Where it cannot go on it ends with one line; where it is interrupted, with none."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, EOFError) as problem:  # no server, no such process, no right to signal or trace it; or it has hung up
        sys.exit(f"{Path(sys.argv[0]).name}: {problem}")
