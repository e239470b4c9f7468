#!/usr/bin/env python3
"""The workers are paused, resumed, and paused again, while one of them is held in the middle of its first rest.

Start the server with two workers: `-t 2 --conduct PATH`."""

import os
import signal

from client import Client, run, verdict
from schedule import Conductor, has_answer, parser

OVERTAKES = 0.5  # seconds: how long the master has to tell a worker to pause again, which it should not do yet


def main() -> None:
    more = parser(__doc__)
    more.add_argument("pid", type=int, help="the server's process number")
    args = more.parse_args()
    with Conductor(args.conduct) as conductor:
        one, two = Client(args.port), Client(args.port)  # worker 1's, and worker 2's
        for client in (one, two):
            client.ask(b"version\r\n")
        rests, rests_too = (conductor.hold(f"worker {number}", "registered") for number in (1, 2))
        os.kill(args.pid, signal.SIGUSR1)
        print(f"SIGUSR1: worker 1 is held on its way to rest:   {rests.wait_until_held().line}")
        rests_too.pass_by()
        two.send(b"version\r\n")
        os.kill(args.pid, signal.SIGUSR2)
        answer = two.until(b"\r\n").decode().strip()
        print(f"SIGUSR2: worker 2 has rested, and answers:   {answer}")
        told = conductor.hold("master", "byte_written", text="the byte p")
        os.kill(args.pid, signal.SIGUSR1)
        overtaken = told.held_within(OVERTAKES)
        print("SIGUSR1: the master", f"tells the workers at once:   {overtaken.line}" if overtaken else "waits for worker 1")
        rests.release()
        if not overtaken:
            print(f"worker 1 goes on, and so does the master:   {told.wait_until_held().line}")
        rests_too = conductor.hold("worker 2", "registered")
        told.release()
        rests_too.pass_by()
    os.kill(args.pid, signal.SIGUSR2)
    for client in (one, two):
        client.send(b"version\r\n")
    patience = 0.3 if overtaken else 5.0
    served = [name for name, client in (("one", one), ("two", two)) if has_answer(client, patience)]
    print("SIGUSR2: who is answered?  ", " and ".join(served) or "nobody")
    if len(served) == 2:
        verdict("a worker that still rests is waited for")
    else:
        verdict("the master waits for a worker that has never seen its second 'p'")


if __name__ == "__main__":
    run(main)
