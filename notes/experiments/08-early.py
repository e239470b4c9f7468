#!/usr/bin/env python3
"""A client leaves, its number goes to a newcomer of the other worker, and all the while the first worker is held.

Start the server with two workers: `-t 2 --conduct PATH`."""

from client import Client, run, verdict
from schedule import Conductor, arguments


def main() -> None:
    args = arguments(__doc__)
    with Conductor(args.conduct) as conductor:
        crowd = [Client(args.port) for _ in range(3)]  # worker 1 has the first and the third
        for client in crowd:
            client.ask(b"version\r\n")
        first, _, third = crowd
        back = conductor.hold("worker 1", "given_back")
        first.close()
        held = back.wait_until_held()
        print(f"a client leaves, and worker 1 is held:   {held.line}")
        taken = conductor.hold("worker 2", "asleep", connection=held.connection)
        newcomer = Client(args.port)
        print(f"another one comes, to worker 2:   {taken.pass_by().line}")
        back.release()
        third.ask(b"version\r\n")  # is answered by worker 1, which so has done with the one who left
        print("worker 1 has gone on, and serves others")
    try:
        answer = newcomer.ask(b"version\r\n")
        print(f"the newcomer asks:   {answer}")
        verdict("a number is given back when its connection is ready for the next one")
    except ConnectionError as problem:
        print(f"the newcomer asks:   {problem.strerror or problem}")
        verdict("the number was given back too early: worker 1 has tidied up a connection that was worker 2's")


if __name__ == "__main__":
    run(main)
