"""How far we are, on stderr."""

import shutil
import sys
import time


class Progress:
    """One line that changes, gone at the end of the block. On something that is no terminal, a line for every tenth part."""

    def __init__(self, steps):
        self.steps = steps
        self.done = 0
        self.began = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, what):
        """Says what begins now."""
        rest = ""
        if self.done:
            rest = f", {(time.monotonic() - self.began) / self.done * (self.steps - self.done):.0f} s to go"
        line = f"[{self.done + 1}/{self.steps}] {what}{rest}"
        if self.terminal:
            room = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:room]}", end="", file=sys.stderr, flush=True)
        elif self.done * 10 // self.steps != (self.done - 1) * 10 // self.steps:
            print(line, file=sys.stderr, flush=True)
        self.done += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
