#!/usr/bin/env python3
"""accept4 has failed, and before the master says that it is going to wait, somebody leaves. Does it hear of that?

Start the server with one worker and a small limit: `-t 1 -c 40 --conduct PATH`."""

from client import run, verdict
from schedule import Conductor, arguments, fill, has_answer

LOOKS = 10


def main() -> None:
    args = arguments(__doc__)
    with Conductor(args.conduct) as conductor:
        failed = conductor.hold("master", "call", text="accept4() = -1, Too many open files")
        crowd, newcomer = fill(args.port, failed)
        print(f"{len(crowd)} clients are served; the master is held:   {failed.wait_until_held().line}")
        back = conductor.hold("worker 1", "given_back")
        crowd.pop(0).close()
        print(f"one of them leaves, and the worker goes on:   {back.pass_by().line}")
        crowd[0].ask(b"version\r\n")  # is answered by the same worker, which so has set the flag
        print("it has set allow_new_conns, and serves others")
        muted = conductor.hold("master", "muted")
        look = conductor.hold("master", "timer", text="maxconns")
        failed.release()
        print(f"the master goes on:   {muted.pass_by().line}")
        print(f"ten milliseconds later it looks at the flag:   {look.pass_by().line}")
        served = has_answer(newcomer)
        if not served:
            conductor.hold("master", "timer", text="maxconns", count=LOOKS).pass_by()
            served = has_answer(newcomer, 0)
        accepting = crowd[0].stats()["accepting_conns"]
        print("the newcomer", "is served" if served else f"is not served, {LOOKS} looks later;", f"  accepting_conns {accepting}")
    if served:
        verdict("the second look has found what the flag had lost")
    else:
        verdict("the news is lost: a descriptor is free, a client waits for it, and the server is deaf")


if __name__ == "__main__":
    run(main)
