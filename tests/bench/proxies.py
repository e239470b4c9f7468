"""The proxies that can be measured: how each is told where to listen, and which servers it stands in front of."""

import contextlib
import pathlib
import re
import select
import socket
import tempfile
import time
from dataclasses import replace

from servers import PortFile, START_DEADLINE, Failure, core_behind, launched, pidfd, running

STARTS = 5  # with fixed ports, which somebody else may take first
LOOK_AGAIN = 0.005  # seconds
NAMES = "one two three four five six seven eight nine".split()  # by which, not by ports, keys are spread
LISTENING = "0A"  # a state in /proc/net/tcp


def knows_one_server(proxy):
    """Chapter 14: it takes memcached's command line, which has -l, and `-o server=…`. The others take nutcracker's."""
    return "l" in proxy.flags


def can_front(proxy, count):
    return count == 1 if knows_one_server(proxy) else 1 <= count <= len(NAMES)


def refuses_to_split(proxy):
    """Chapter 15: a get whose keys are with several servers."""
    return "pools" in proxy.capabilities and "fragments" not in proxy.capabilities


@contextlib.contextmanager
def fronting(proxy, core, backend, count, under=()):
    """A proxy that listens, with so many servers of its own behind it, until the end of the block. `under`: see running()."""
    with contextlib.ExitStack() as stack:
        behind = [stack.enter_context(running(backend, core_behind())).port for _ in range(count)]
        yield stack.enter_context(_started(proxy, core, behind, under))


def _started(proxy, core, behind, under):
    if knows_one_server(proxy):
        (server,) = behind
        return running(replace(proxy, extra=(*proxy.extra, "-o", f"server=127.0.0.1:{server}")), core, under=under)
    how = _with_ports_we_choose if _is_foreign(proxy) else _with_a_conf
    return how(proxy, core, behind, under)


def _is_foreign(proxy):
    return proxy.path.name == "nutcracker"


@contextlib.contextmanager
def _with_a_conf(proxy, core, behind, under):
    """From chapter 15 on they understand nutcracker's conf, and port 0."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file, PortFile() as ports:
        command = [*under, *_command(proxy, file, 0, 0, behind)]
        with launched(proxy, command, core, ports.port, env=ports.environment, gently=bool(under)) as server:
            yield server


@contextlib.contextmanager
def _with_ports_we_choose(proxy, core, behind, under):
    """nutcracker: it has no port 0. One that was free a moment ago may be gone, so it gets several starts."""
    with contextlib.ExitStack() as stack, tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        server = None
        for left in reversed(range(STARTS)):
            port, statistics = free_ports(2)
            command = [*under, *_command(proxy, file, port, statistics, behind)]
            find_port = lambda process, port=port: _wait_for(process, port)  # noqa: E731
            try:
                server = stack.enter_context(launched(proxy, command, core, find_port, gently=bool(under)))
                break
            except Failure:
                if left == 0:
                    raise
        yield server


def _command(proxy, file, port, statistics, behind):
    file.seek(0)
    file.truncate()
    file.write(conf(port, behind))
    file.flush()
    where = ["-c", file.name, "-o", "/dev/stderr"]
    if "s" in proxy.flags:
        where += ["-a", "127.0.0.1", "-s", str(statistics)]
    return [str(proxy.path), *where, *proxy.extra]


def conf(port, behind):
    """A pool with nutcracker's defaults in all that costs time."""
    servers = "".join(f"    - 127.0.0.1:{server}:1 {name}\n" for name, server in zip(NAMES, behind))
    return f"bench:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n{servers}"


def free_ports(count):
    """Different ones, free at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [held.getsockname()[1] for held in sockets]


def _wait_for(process, port):
    """Returns the port as soon as this very process listens on it; None when it ended, or did not in time.

    Nobody connects to find out: another may have the port, and a proxy's memory is measured before its first client.
    """
    end = time.monotonic() + START_DEADLINE
    with pidfd(process) as life:
        while time.monotonic() < end:
            if listens(process.pid, port):
                return port
            if select.select([life], [], [], LOOK_AGAIN)[0]:
                return None
    return None


def listens(pid, port):
    """True if the process has a listening socket on this port of 127.0.0.1."""
    rows = (line.split() for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    inodes = {row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == LISTENING}
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # closed since
            found = re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))
            if found and found.group(1) in inodes:
                return True
    return False
