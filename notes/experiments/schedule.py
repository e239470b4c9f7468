"""What the schedules share: experiments that hold the server's threads. Start the server with `--conduct PATH`."""

import argparse
import select
import sys
from pathlib import Path

from client import Client

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "common" / "scripts"))
from conductor import Conductor, Held, Hold  # noqa: E402  (for the schedules)

__all__ = ["Conductor", "Held", "Hold", "arguments", "fill", "has_answer", "parser"]

PATIENCE = 0.5  # seconds; an answer takes less than a millisecond


def parser(description: str) -> argparse.ArgumentParser:
    """The command line of every schedule: the server's port, and the socket that its --conduct names."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("port", type=int, help="where the server listens on 127.0.0.1")
    made.add_argument("conduct", help="what the server's --conduct names")
    return made


def arguments(description: str) -> argparse.Namespace:
    return parser(description).parse_args()


def has_answer(client: Client, seconds: float = PATIENCE) -> bool:
    """Whether the server has said something to this client that it has not read, or says it now."""
    return bool(select.select([client.link], [], [], seconds)[0])


def fill(port: int, full: Hold) -> tuple[list[Client], Client]:
    """Comes again and again until the master is held at `full`. Returns who is served, and who is not: both have asked."""
    crowd: list[Client] = []
    while True:
        newcomer = Client(port)
        newcomer.send(b"version\r\n")
        while not has_answer(newcomer, 0.01):
            if full.held_within(0):
                return crowd, newcomer
        newcomer.until(b"\r\n")
        crowd.append(newcomer)
