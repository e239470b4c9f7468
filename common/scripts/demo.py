#!/usr/bin/env python3
"""A guided demo: clients talk to the real program, and it tells what it does.

    demo.py [--fast] PROGRAM [FLAG]...       a memcached chapter, or any server that takes memcached's flags
    demo.py [--fast] PROXY SERVER            a proxy, with servers of the other program behind it
    demo.py [--fast] --tour PROGRAM CROWDED  for who sees it all for the first time: one client of the first program, and a
                                             crowd that is too large for the second

--fast: without pauses. Where nobody looks, on a pipe, there are none anyway.
"""
import os
import signal
import sys
from pathlib import Path

import chapters
import demo_edges
import demo_pools
import demo_proxy
import demo_redis
import demo_states
from demo_stage import Page, ReaderGone
from server import ServerFailed


def what_next(page: Page, commands: list[tuple[str, str]]) -> None:
    page.heading("what next")
    for command, meaning in commands:
        if not meaning or len(command) >= 32:
            page.line("  " + page.paint("client", command))
            command = ""
        if meaning:
            page.line(f"  {page.paint('client', f'{command:<32}')}{meaning}")
    page.line()


def title(page: Page, program: str, table: list[chapters.Chapter]) -> chapters.Chapter | None:
    """Says which chapter comes now, if it is one."""
    chapter = next((c for c in table if c.name == Path(program).name), None)
    page.heading(Path(program).name)
    if chapter:
        page.paragraph(chapter.idea[0].upper() + chapter.idea[1:] + ".")
        page.line()
    return chapter


def play(page: Page, program: str, rest: list[str]) -> None:
    table = chapters.read_table()
    chapter = title(page, program, table)
    can = chapter.capabilities if chapter else demo_states.ALL
    if "proxy" in can:
        demo = demo_redis if "redis" in can else demo_pools if "pools" in can else demo_proxy
        if len(rest) != 1:
            raise ServerFailed(f"{chapter.name} is a proxy: which program serves behind it?")
        demo.show(page, program, rest[0], can)
    else:
        demo = demo_edges if "edges" in can else demo_states
        demo.show(page, program, rest, can)
        if "maxconns" in can:
            page.pause(1.0)
            page.heading("a crowd")
            demo.show_crowd(page, program, rest)
    page.pause(1.0)
    if chapter:
        what_next(page, demo.what_next(chapter))


def play_tour(page: Page, program: str, crowded: str) -> None:
    table = chapters.read_table()
    first = title(page, program, table)
    demo_states.show(page, program, [], first.capabilities)
    page.pause(1.0)
    title(page, crowded, table)
    demo_states.show_crowd(page, crowded, [])
    page.pause(1.0)
    page.heading("the chapters")
    chapters.print_list(table)
    what_next(page, demo_states.what_next(first))


def end(number: int, _frame: object) -> None:
    """Unwinds as Ctrl-C does, so that the servers end too."""
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    words = list(arguments)
    fast, tour = (bool(words[:1] == [flag] and words.pop(0)) for flag in ("--fast", "--tour"))
    if not words or words[0].startswith("-") or (tour and len(words) != 2):
        print(__doc__.strip(), file=sys.stderr)
        return 64
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, end)
    page = Page(fast)
    try:
        if tour:
            play_tour(page, *words)
        else:
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
