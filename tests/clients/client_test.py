"""What the tests of the real clients share: the server under test, what it can do, and what this machine has.

Each file here is a program: `/usr/bin/python3 pymemcache_test.py build/chapters/05-memcached-1.0 [TEST]...`; Debian's
own memcached may stand in for a chapter. Status 77: a package is missing, and the last line names it.
"""
import importlib
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "common" / "scripts"))

from chapters import read_table  # noqa: E402
from server import Server  # noqa: E402

NOT_RUN = 77
# Debian's memcached does all that a client can ask of a text server.
EVERYTHING = frozenset({"line", "store", "multiget", "swallow", "stats", "expiry", "noreply", "limits", "threads"})


def not_run(package: str) -> None:
    print(f"not run: {package} is not installed")
    sys.exit(NOT_RUN)


def import_from(package: str, module: str) -> ModuleType:
    """The module, or the end of this program if Debian's package is not here."""
    try:
        return importlib.import_module(module)
    except ImportError:
        not_run(package)


def find_tool(name: str, package: str = "libmemcached-tools") -> str:
    return shutil.which(name) or not_run(package)


def capabilities(program: str) -> frozenset[str]:
    return next((c.capabilities for c in read_table() if c.name == Path(program).name), EVERYTHING)


def needs(*wanted: str):
    """Marks a test that only a server with these capabilities can pass. The others do not load it."""

    def mark(test):
        test.needs = frozenset(wanted)
        return test

    return mark


class ClientTest(unittest.TestCase):
    """One server for all the tests of a class. It must live until they are done, and then stop when it is told to."""

    program = ""
    flags: tuple[str, ...] = ()
    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(cls.program, *cls.flags)
        cls.addClassCleanup(cls.server.stop)

    def setUp(self) -> None:
        # Tests share a server but no key.
        self.key = self.id().rpartition(".")[2]

    def run_tool(self, *command: str, status: int = 0, stdin: str | None = None) -> str:
        """Runs one of libmemcached's tools against the server; returns what it says on both streams."""
        done = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, errors="replace"
        )
        self.assertEqual(done.returncode, status, f"{' '.join(command)}\n{done.stdout}")
        return done.stdout


class Loader(unittest.TestLoader):
    def getTestCaseNames(self, case):
        can = capabilities(ClientTest.program)
        return [n for n in super().getTestCaseNames(case) if getattr(getattr(case, n), "needs", frozenset()) <= can]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PROGRAM [TEST]...")
    ClientTest.program = sys.argv.pop(1)
    unittest.main(module="__main__", testLoader=Loader())
