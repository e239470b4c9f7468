#!/usr/bin/env python3
"""What the linters say of the tree: nothing. clang-tidy looks at what changed since it was last content. Part `lint` of tests/run.

What clang-format and clang-tidy want differs from version to version: the project keeps to one. The status is 0 if all is well
or did not run, for which a line gives the reason.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"  # tests/run has set it up
STAMPS = BUILD / "lint"
VERSION = 14  # of clang-format and clang-tidy, Debian 12's
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def find_clang_tool(name: str) -> str | None:
    for program in (f"{name}-{VERSION}", name):
        if shutil.which(program):
            said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
            if re.search(rf"version {VERSION}\.", said):
                return program
    print(f"not run: there is no {name} {VERSION}")
    return None


def find_tool(name: str) -> str | None:
    if not shutil.which(name):
        print(f"not run: there is no {name}")
        return None
    return name


def tracked(*patterns: str) -> list[str]:
    """Files of the project, those among them that are not in Git yet too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns]
    names = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and (TOP / name).is_file()]


def scripts(interpreter: str) -> list[str]:
    """Those that begin with #! and its name."""
    first_lines = ((name, (TOP / name).open("rb").readline()) for name in tracked())
    return [name for name, line in first_lines if line.startswith(b"#!") and interpreter.encode() in line]


def content(command: list[str], files: list[str]) -> bool:
    """Whether it has nothing to say."""
    return not files or subprocess.run([*command, *files], cwd=TOP, stdin=subprocess.DEVNULL).returncode == 0


def with_headers(path: Path, command: list[str], seen: set[Path]) -> set[Path]:
    """A source and what it includes of the project."""
    seen.add(path)
    directories = [path.parent, TOP, *(Path(word[2:]) for word in command if word.startswith("-I"))]
    for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        for header in (Path(os.path.normpath(BUILD / directory / name)) for directory in directories):
            if header.is_file() and header not in seen:
                with_headers(header, command, seen)
    return seen


def digest(path: Path, command: list[str]) -> str:
    """Of all that clang-tidy's opinion depends on."""
    hashed = hashlib.sha256(json.dumps(command).encode())
    for each in sorted({*with_headers(path, command, set()), TOP / ".clang-tidy"}):
        hashed.update(each.read_bytes())
    return hashed.hexdigest()


def tidy(program: str) -> bool:
    entries = json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8"))
    due = []
    for entry in entries:
        path = Path(os.path.normpath(BUILD / entry["file"]))
        name = path.relative_to(TOP)
        if name.parts[0] in ("chapters", "common"):
            stamp = STAMPS / str(name).replace("/", "-")
            state = digest(path, entry["command"].split())
            if not stamp.exists() or stamp.read_text(encoding="ascii") != state:
                due.append((name, stamp, state))
    STAMPS.mkdir(exist_ok=True)

    def look(name: Path, stamp: Path, state: str) -> tuple[Path, str]:
        command = [program, "-p", str(BUILD), "--quiet", str(name)]
        done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            stamp.write_text(state, encoding="ascii")
            return name, ""
        return name, done.stdout or done.stderr

    well = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = [pool.submit(look, *each) for each in due]
        for number, future in enumerate(concurrent.futures.as_completed(looks), 1):
            name, complaint = future.result()
            print(f"[{number}/{len(due)}] clang-tidy {name}", flush=True)
            if complaint:
                print(complaint, flush=True)
                well = False
    return well


def main() -> int:
    well = True
    if program := find_clang_tool("clang-format"):
        well &= content([program, "--dry-run", "-Werror"], tracked("*.cpp", "*.h"))
    if program := find_tool("shellcheck"):
        well &= content([program, "--external-sources"], scripts("bash"))
    if program := find_tool("pyflakes3"):
        well &= content([program], sorted({*scripts("python"), *tracked("*.py")}))
    if program := find_clang_tool("clang-tidy"):
        well &= tidy(program)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
