#!/usr/bin/env python3
"""The master is muted. Somebody leaves, and the worker is held between its two steps: the close, and the flag.

Start the server with one worker and a small limit: `-t 1 -c 40 --conduct PATH`."""

from client import run, verdict
from schedule import Conductor, arguments, fill, has_answer

LOOKS = 10


def main() -> None:
    args = arguments(__doc__)
    with Conductor(args.conduct) as conductor:
        muted = conductor.hold("master", "asleep", text="waiting for nothing")  # after its second look
        crowd, newcomer = fill(args.port, muted)
        print(f"{len(crowd)} clients are served; the master has no descriptor left:   {muted.pass_by().line}")
        between = conductor.hold("worker 1", "given_back")
        crowd.pop(0).close()
        print(f"one of them leaves, and the worker is held:   {between.wait_until_held().line}")
        # Twice: when it looks again, whatever the first look has led to is over.
        for _ in range(2):
            look = conductor.hold("master", "timer", text="maxconns")
            print(f"the master looks at the flag:   {look.pass_by().line}")
        between.release()
        print("the worker goes on")
        served = has_answer(newcomer)
        if not served:
            conductor.hold("master", "timer", text="maxconns", count=LOOKS).pass_by()
            served = has_answer(newcomer, 0)
        stats = crowd[0].stats()
        print("the newcomer", "is served" if served else f"is not served, {LOOKS} looks later;",
              "  ".join(f"  {name} {stats[name]}" for name in ("listen_disabled_num", "accepting_conns")))
    if served:
        verdict("who hears that somebody has left finds a descriptor")
    else:
        verdict("the master heard of a descriptor that was not free yet, and never hears of it again")


if __name__ == "__main__":
    run(main)
