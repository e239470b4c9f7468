"""The servers that can be measured: where they are, how each is started, and what the kernel says it has used."""

import contextlib
import ctypes
import os
import pathlib
import pwd
import re
import resource
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace

HOUSE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HOUSE / "common" / "scripts"))

from chapters import NoSuchChapter, find as find_chapter, read_table  # noqa: E402

CONNECTIONS = 2048  # what every server is told to allow
PEERS = ("memcached", "nutcracker")  # found in PATH
START_DEADLINE = 30  # seconds; a server under valgrind takes a few
STOP_DEADLINE = 30

libc = ctypes.CDLL(None, use_errno=True)
STOPS = {signal.SIGINT, signal.SIGTERM}
PR_SET_PDEATHSIG = 1
IN_MOVED_TO = 0x80


class Failure(Exception):
    """Ends the run with one line for the user."""


@dataclass(frozen=True)
class Program:
    """Something that can be started as a memcached."""

    name: str
    path: pathlib.Path
    flags: str  # the letters of memcached's command line that it takes
    capabilities: frozenset
    extra: tuple = ()  # further arguments, from the user
    threads: int = 1

    @property
    def is_proxy(self):
        return "proxy" in self.capabilities

    @property
    def stores(self):
        """By itself: what a proxy can do, the servers behind it do."""
        return "store" in self.capabilities and not self.is_proxy

    def command(self, connections=CONNECTIONS):
        """Loopback, a port of the kernel's choice; of all that only the flags that the program takes."""
        wanted = {"p": "-1", "l": "127.0.0.1", "U": "0", "t": str(self.threads), "c": str(connections)}
        if os.getuid() == 0:
            wanted["u"] = pwd.getpwuid(0).pw_name
        arguments = [word for letter, value in wanted.items() if letter in self.flags for word in ("-" + letter, value)]
        return [str(self.path), *arguments, *self.extra]


def chapters(build):
    """All chapters, in order; `build` need not contain them."""
    return [_program(chapter, build) for chapter in read_table()]


def _program(chapter, build):
    return Program(chapter.name, pathlib.Path(build) / "chapters" / chapter.name, chapter.flags, chapter.capabilities)


def foreign(name, path):
    """One that is not ours: a memcached, which takes all flags and can do all that memcached can, or a nutcracker."""
    if pathlib.Path(path).name == "nutcracker":
        return Program(name, pathlib.Path(path), "csao", frozenset({"proxy"}))
    return Program(name, pathlib.Path(path), "plUtcu", frozenset({"line", "store", "multiget"}))


def find(word, build):
    """The program that the user means: '05', '05-memcached-1.0', 'memcached', a path; more words are its arguments."""
    name, *extra = shlex.split(word)
    if name in PEERS:
        path = shutil.which(name)
        if path is None:
            raise Failure(f"{name} is not installed (Debian: apt install {name})")
        program = foreign(name, path)
    elif "/" in name:
        if not os.access(name, os.X_OK):
            raise Failure(f"{name}: no such program")
        program = foreign(name, pathlib.Path(name).resolve())
    else:
        try:
            program = _program(find_chapter(name, read_table()), build)
        except NoSuchChapter as problem:
            raise Failure(f"{problem}; a server is a chapter, memcached, nutcracker, or a path") from problem
    if extra:
        program = replace(program, name=" ".join([program.name, *extra]), extra=tuple(extra))
    return program


def cores():
    """A core for the servers and one for the load: the same one if the machine gives us no second."""
    ours = sorted(os.sched_getaffinity(0))
    return ours[0], ours[-1]


def core_behind():
    """The core for the servers behind a proxy: a third one, or else the load's, never the proxy's if that can be."""
    ours = sorted(os.sched_getaffinity(0))
    return ours[-2] if len(ours) > 2 else ours[-1]


@contextlib.contextmanager
def undisturbed():
    """Ctrl-C waits until the block has ended: of a child that is born and not yet noted, nobody would take care."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def tied_to(core, descriptors=None):
    """For Popen's preexec_fn: a child on one core, in its own session (Ctrl-C is for us), that never outlives us."""

    def prepare():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, {core})
        hard = descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


@contextlib.contextmanager
def child(command, core, *, gently=False, descriptors=None, **options):
    """A process that is gone when the block ends. `gently`: it is asked first, and may still write what it has to."""
    with contextlib.ExitStack() as stack:
        with undisturbed():
            process = subprocess.Popen(command, preexec_fn=tied_to(core, descriptors), **options)
            stack.callback(end, process, gently)
        yield process


def end(process, gently):
    with contextlib.suppress(subprocess.TimeoutExpired):
        if gently:
            process.terminate()
            process.wait(STOP_DEADLINE)
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class PortFile:
    """Where a server says on which port it listens, in memcached's way. A context. inotify tells when the file appears."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.path = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))) / "port"
            self._fd = libc.inotify_init1(os.O_CLOEXEC)
            if self._fd >= 0:
                stack.callback(os.close, self._fd)
            if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(self.path.parent), IN_MOVED_TO) < 0:
                raise OSError(ctypes.get_errno(), "inotify")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    @property
    def environment(self):
        return os.environ | {"MEMCACHED_PORT_FILENAME": str(self.path)}

    def port(self, process):
        """Waits for it. None when the process ended first, or did not write it in time."""
        end = time.monotonic() + START_DEADLINE
        with pidfd(process) as life:
            while (rest := end - time.monotonic()) > 0:
                ready, _, _ = select.select([self._fd, life], [], [], rest)
                if self._fd in ready and self.path.name in self._names():
                    found = re.search(r"^TCP INET: (\d+)", self.path.read_text(), re.M)
                    return int(found.group(1)) if found else None
                if life in ready:
                    return None
        return None

    def _names(self):
        """Of the events that wait now: a header of four numbers, the last the length of the name padded with zeros."""
        events = os.read(self._fd, 4096)
        at = 0
        while at < len(events):
            (length,) = struct.unpack_from("12xI", events, at)
            yield os.fsdecode(events[at + 16 : at + 16 + length].rstrip(b"\0"))
            at += 16 + length


@contextlib.contextmanager
def pidfd(process):
    """Becomes readable when the process ends."""
    life = os.pidfd_open(process.pid)
    try:
        yield life
    finally:
        os.close(life)


@dataclass(frozen=True)
class Usage:
    """Nanoseconds since the process began, all its threads together."""

    ran: int  # on a core
    waited: int  # runnable, while others had the core

    def __sub__(self, earlier):
        return Usage(self.ran - earlier.ran, self.waited - earlier.waited)


class Server:
    """A program that has been started and listens."""

    def __init__(self, program, process, port):
        self.program = program
        self.process = process
        self.port = port
        self._proc = pathlib.Path(f"/proc/{process.pid}")

    def usage(self):
        """What the kernel has charged so far. Waits until all threads sleep: one is charged when it leaves the core."""
        end = time.monotonic() + 1
        while any(self._state(task) == "R" for task in self._tasks()) and time.monotonic() < end:
            pass
        books = [self._read(task, "schedstat").split() for task in self._tasks()]
        return Usage(sum(int(book[0]) for book in books), sum(int(book[1]) for book in books))

    def resident(self):
        """Bytes of memory, counted page by page (the figure in /proc/PID/status is an estimate)."""
        rollup = self._read(self._proc, "smaps_rollup")
        return int(re.search(r"^Rss:\s+(\d+) kB", rollup, re.M).group(1)) * 1024

    def peak(self):
        """The most that was resident since the last forget_peak(), in bytes."""
        status = self._read(self._proc, "status")
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M).group(1)) * 1024

    def forget_peak(self):
        (self._proc / "clear_refs").write_text("5")  # proc(5)

    def _tasks(self):
        return list((self._proc / "task").glob("*"))

    def _state(self, task):
        return self._read(task, "stat").rpartition(") ")[2][0]

    def _read(self, directory, name):
        try:
            return (directory / name).read_text()
        except (FileNotFoundError, ProcessLookupError) as gone:
            raise Failure(f"{self.program.name} has ended") from gone


@contextlib.contextmanager
def launched(program, command, core, find_port, **options):
    """A server that listens, until the end of the block. `find_port`: waits for a process's port; None: there is none."""
    if not os.access(program.path, os.X_OK):
        raise Failure(f"{program.name} is not built ({program.path})")
    nothing = subprocess.DEVNULL
    with tempfile.TemporaryFile("a+b") as errors:  # appending: a log sent to /dev/stderr does not overwrite it
        with child(command, core, stdin=nothing, stdout=nothing, stderr=errors, **options) as process:
            port = find_port(process)
            if port is None:
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip() or "nothing"
                raise Failure(f"{program.name} did not start to listen; on stderr it said: {said}")
            try:
                yield Server(program, process, port)
            except Failure as failure:
                if process.poll() is None:
                    raise
                raise Failure(f"{failure}\n  the server ended with status {process.returncode}") from failure


@contextlib.contextmanager
def running(program, core, *, under=(), connections=CONNECTIONS, descriptors=None):
    """The same for all that say themselves where they listen. `under`: the command of a tool to run it in."""
    command = [*under, *program.command(connections)]
    gently = bool(under)  # valgrind writes its counts at the end
    with PortFile() as file:
        options = {"gently": gently, "descriptors": descriptors, "env": file.environment}
        with launched(program, command, core, file.port, **options) as server:
            yield server
