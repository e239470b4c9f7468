#!/usr/bin/env python3
"""Starts a chapter's program for its reader: on this machine alone, if no flag says otherwise; and tells where it listens.

    serve.py PROGRAM [FLAG]...

A program by itself listens on all interfaces, as its original does: a reader's may not serve everybody in the room.
"""
import getopt
import ipaddress
import os
import re
import subprocess
import sys
from pathlib import Path

import chapters

LOOPBACK = "127.0.0.1,::1"
POOL = re.compile(r"^(?P<name>[^\s#][^:]*):\s*(?:#.*)?$|^\s+[\"']?listen[\"']?:\s*[\"']?(?P<listen>[^\s\"'#]+)", re.MULTILINE)


def flags_of(program: str) -> dict[str, tuple[str, bool]]:
    """Its letters, each with its long name and whether it takes a value: the program's own --help is the truth.

    An option without a letter stands under its name."""
    text = subprocess.run([program, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = re.findall(r"^  (?:-(\w),|   ) --([\w-]+)(=?)", text, re.MULTILINE)
    return {letter or name: (name, bool(value)) for letter, name, value in rows}


def given(words: list[str], flags: dict[str, tuple[str, bool]]) -> dict[str, str]:
    """The flags among the words, each with its last value. As getopt_long reads them, which the programs use."""
    letters = "".join(letter + ":" * value for letter, (name, value) in flags.items() if letter != name)
    names = [name + "=" * value for name, value in flags.values()]
    letter_of = {f"--{name}": letter for letter, (name, _) in flags.items()} | {f"-{letter}": letter for letter in flags}
    return {letter_of[word]: value for word, value in getopt.gnu_getopt(words, letters, names)[0]}


def is_local(address: str) -> bool:
    """Whether only this machine reaches HOST:PORT, [HOST]:PORT, or the path of a unix socket."""
    if address.startswith("/"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_pools(conf: str) -> list[str]:
    """Lines about the pools of a nutcracker.yml that others reach as well. What cannot be read, the proxy will complain of."""
    try:
        text = Path(conf).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    pool, lines = "", []
    for match in POOL.finditer(text):
        if match["name"]:
            pool = match["name"].strip("\"' ")
        elif not is_local(match["listen"]):
            lines.append(f"Not on this machine alone: pool {pool} listens on {match['listen']}, as {conf} says.")
    return lines


def pools(words: list[str], flags: dict[str, tuple[str, bool]]) -> tuple[list[str], list[str]]:
    """For a proxy with a conf. Returns flags to add, and what to say."""
    has = given(words, flags)
    if has.keys() & set("htDV"):
        return [], []
    conf = has.get("c", "conf/nutcracker.yml")
    added = ["-a", "127.0.0.1"] if "a" in flags and "a" not in has else []
    where = " (added: -a 127.0.0.1, statistics for this machine alone)" if added else ""
    return added, [f"where {conf} says{where}", *open_pools(conf)]


def server(words: list[str], flags: dict[str, tuple[str, bool]]) -> tuple[list[str], list[str]]:
    """For what has memcached's command line. Returns flags to add, and what to say."""
    has = given(words, flags)
    if has.keys() & set("hV"):
        return [], []
    if "s" in has:
        return [], [f"on the unix socket {has['s']}"]
    port = has.get("p", "11211")
    known = {"0": "without TCP", "-1": "on a port of the kernel's choice (the file named by MEMCACHED_PORT_FILENAME has it)"}
    where = known.get(port, f"on port {port}")
    if "l" in has:
        return [], [f"{where}, at {has['l']}"]
    return ["-l", LOOPBACK], [f"{where}, for this machine alone (added: -l {LOOPBACK})"]


def main(arguments: list[str]) -> None:
    program, *words = arguments
    name = Path(program).name
    chapter = next(c for c in chapters.read_table() if c.name == name)
    read = pools if "pools" in chapter.capabilities else server
    try:
        added, says = read(words, flags_of(program))
    except getopt.GetoptError:
        added, says = [], []  # it says itself what it does not know
    for i, line in enumerate(says):
        print(f"Starting {name} {line}; Ctrl-C stops it." if i == 0 else line, file=sys.stderr)
    os.execv(program, [program, *added, *words])


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(64)
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
