#!/usr/bin/env python3
"""Every break-it of one chapter's note: it applies, and the code does before and after what the note says.

A schedule leaves nothing to luck: it does so ten times of ten, beside a busy core. Under a sanitizer only those run that
ask for it.
"""
import argparse
import contextlib
import subprocess
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "common" / "scripts"))

import breaks  # noqa: E402

TIMES = 10


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """A loop without an end: whatever runs beside it is interrupted anywhere, and kept waiting."""
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


class BreaksTest(unittest.TestCase):
    program: Path
    sanitize: str

    def test_before_and_after(self) -> None:
        own = [each for each in breaks.read_breaks() if each.chapter == self.program.name]
        for each in own:
            if each.sanitize != self.sanitize:
                continue
            said: list[str] = []
            with self.subTest(each.name), busy_core() if each.is_schedule else contextlib.nullcontext():
                try:
                    breaks.play(each, self.program, TIMES if each.is_schedule else 1, lambda text, end="\n": said.append(text + end))
                except breaks.BreakFailed as problem:
                    self.fail("".join(said[-2:]) + str(problem))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the chapter's, as it is")
    parser.add_argument("--sanitize", default="", help="what it was built with")
    args = parser.parse_args()
    BreaksTest.program, BreaksTest.sanitize = args.program.resolve(), args.sanitize
    unittest.main(argv=sys.argv[:1])


if __name__ == "__main__":
    main()
