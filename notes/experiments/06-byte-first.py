#!/usr/bin/env python3
"""One client comes, and the master is held as soon as it has written the byte. What does the worker find in its queue?

Start the server with one worker: `-t 1 --conduct PATH`."""

from client import Client, run, verdict
from schedule import Conductor, arguments, has_answer


def what_became_of(newcomer: Client) -> str:
    return "has its answer" if has_answer(newcomer) else "has none"


def welcome(conductor: Conductor, port: int) -> Client:
    """A client that is served whatever the order is: the worker looks into its queue when the master has done all."""
    ready = conductor.hold("master", "asleep")
    read = conductor.hold("worker 1", "byte_read")
    client = Client(port)
    ready.pass_by()
    read.pass_by()
    client.ask(b"version\r\n")
    return client


def main() -> None:
    args = arguments(__doc__)
    with Conductor(args.conduct) as conductor:
        old = welcome(conductor, args.port)
        wrote = conductor.hold("master", "byte_written")
        read = conductor.hold("worker 1", "byte_read")
        newcomer = Client(args.port)
        newcomer.send(b"version\r\n")
        print(f"the master is held:   {wrote.wait_until_held().line}")
        print(f"the worker goes on:   {read.pass_by().line}")
        old.ask(b"version\r\n")  # is answered by the same worker, which so has looked into its queue
        print(f"it has looked into its queue, and serves others: the newcomer {what_became_of(newcomer)}")
        ready = conductor.hold("master", "asleep")
        wrote.release()
        ready.pass_by()
    old.ask(b"version\r\n")
    served = has_answer(newcomer)
    print(f"the master has done all that it does for a client: the newcomer {what_became_of(newcomer)}")
    if served:
        verdict("who is announced is in the queue")
        return
    another = Client(args.port)
    another.send(b"version\r\n")
    print(f"one more comes: the first {what_became_of(newcomer)}, the second {what_became_of(another)}")
    verdict("the byte came first, and the client is forgotten until the next one brings a byte")


if __name__ == "__main__":
    run(main)
