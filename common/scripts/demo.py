#!/usr/bin/env python3
"""A guided demo of one chapter: clients talk to the real program, and it tells what it does.

    demo.py [--fast] PROGRAM [FLAG]...   a memcached chapter, or any server that takes memcached's flags
    demo.py [--fast] PROXY SERVER        a proxy, with servers of the other program behind it

--fast: without pauses. Where nobody looks, on a pipe, there are none anyway.
"""
import os
import signal
import sys
from pathlib import Path

import chapters
import demo_pools
import demo_proxy
import demo_states
from demo_stage import Page, ReaderGone
from server import ServerFailed


def what_next(page: Page, chapter: chapters.Chapter, commands: list[tuple[str, str]]) -> None:
    page.heading("what next")
    for command, meaning in commands:
        if "{parent}" in command and not chapter.parent:
            continue
        command = command.format(number=chapter.number, name=chapter.name, parent=chapter.parent)
        if len(command) >= 32:
            page.line("  " + page.paint("client", command))
            continue
        page.line(f"  {page.paint('client', f'{command:<32}')}{meaning}")
    page.line()


def play(page: Page, program: str, rest: list[str]) -> None:
    table = chapters.read_table()
    chapter = next((c for c in table if c.name == Path(program).name), None)
    page.heading(Path(program).name)
    if chapter:
        page.paragraph(chapter.idea[0].upper() + chapter.idea[1:] + ".")
        page.line()
    if chapter and "proxy" in chapter.capabilities:
        demo = demo_pools if "pools" in chapter.capabilities else demo_proxy
        if len(rest) != 1:
            raise ServerFailed(f"{chapter.name} is a proxy: which program serves behind it?")
        demo.show(page, program, rest[0])
    else:
        demo = demo_states
        demo.show(page, program, rest, chapter.capabilities if chapter else demo_states.ALL)
    page.pause(1.0)
    if not chapter:
        return
    if demo is demo_states:
        page.heading("the chapters so far")
        chapters.print_list(table)
    what_next(page, chapter, demo.NEXT)


def end(number: int, _frame: object) -> None:
    """Unwinds as Ctrl-C does, so that the servers end too."""
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    fast = arguments[:1] == ["--fast"]
    words = arguments[1:] if fast else arguments
    if not words or words[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 64
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, end)
    page = Page(fast)
    try:
        play(page, words[0], words[1:])
        page.pause(0)
    except KeyboardInterrupt:
        page.line()
        return 130
    except ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still wants to say there
        return 128 + signal.SIGPIPE
    except (ServerFailed, OSError) as problem:
        page.pause(0)
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
