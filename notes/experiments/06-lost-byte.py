#!/usr/bin/env python3
"""Three clients of one worker. The byte that announces the second one is lost: who is served, and when?

The server runs with one worker, and under strace, which makes one write() fail: note 06 shows how."""

from client import Client, arguments, run, verdict

PATIENCE = 1.0  # seconds; an answer takes less than a millisecond
LATER = 3.0


class Newcomer:
    """A client that has asked its question, and the letter by which we call it."""

    def __init__(self, port: int, letter: str) -> None:
        self.letter, self.served = letter, False
        self.client = Client(port, timeout=PATIENCE)
        self.client.send(b"version\r\n")

    def look(self) -> str:
        """Waits for the answer, but not for ever. Returns what became of it; "" if the client has had it before."""
        if not self.served:
            try:
                self.client.until(b"\r\n")
                self.served = True
                return f"{self.letter} is served"
            except TimeoutError:
                return f"{self.letter} waits"
        return ""


def main() -> None:
    args = arguments(__doc__)
    crowd: list[Newcomer] = []
    waited: set[str] = set()
    for letter in "ABC":
        crowd.append(Newcomer(args.port, letter))
        seen = [newcomer.look() for newcomer in crowd]
        waited |= {newcomer.letter for newcomer in crowd if not newcomer.served}
        print(f"{letter} comes:", ", ".join(filter(None, seen)))
    for newcomer in crowd:
        newcomer.client.link.settimeout(LATER)
    print("three seconds later:", ", ".join(filter(None, (newcomer.look() for newcomer in crowd))) or "nobody waits")
    late = [newcomer.letter for newcomer in crowd if not newcomer.served]
    if late:
        verdict(f"one byte was lost, and the worker is one client behind for ever: now it is {late[0]} who waits")
    elif waited:
        verdict("one byte was lost, and who waited for it was served as soon as the next client came")
    else:
        verdict("no byte was lost")


if __name__ == "__main__":
    run(main)
