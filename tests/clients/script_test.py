"""Runs the test of a client from another language, which is a script in that language, against one server.

    script_test.py PROGRAM SCRIPT

The script is told HOST PORT PID and the server's capabilities. It prints what fails, and ends with "N passed, N failed".
"""
import shutil
import subprocess
import sys
from pathlib import Path

from client_test import capabilities, not_run
from server import HOST, Server

INTERPRETERS = {".pl": ("perl", "perl"), ".php": ("php", "php-cli"), ".rb": ("ruby", "ruby")}  # and Debian's package


def main() -> int:
    program, script = sys.argv[1:]
    name, package = INTERPRETERS[Path(script).suffix]
    # Debian's clients are for Debian's interpreter, which need not be the first in PATH.
    interpreter = shutil.which(f"/usr/bin/{name}") or shutil.which(name) or not_run(package)
    with Server(program) as server:
        command = [interpreter, script, HOST, str(server.port), str(server.process.pid), *sorted(capabilities(program))]
        return subprocess.run(command, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
