#!/usr/bin/env python3
"""A strict reader of what --trace writes: whatever a viewer would have to guess, or to leave out, is an error here.

    trace_reader.py FILE            says what is in it, or what is wrong with it
    trace_reader.py FILE TRACK      the slices of a track, "worker 1" or "connection 29": begin and length in microseconds

It keeps to the description of the Trace Event Format, and to what Perfetto's importer counts as an error: slices that do not
nest or do not end, arrows that begin or end nowhere or leave no slice, fields that are missing.
"""
import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

# Of each phase the fields beside "ph" and "pid": all of them, and no others.
FIELDS = {
    "M": {"name", "args"},
    "B": {"name", "tid", "ts"},
    "E": {"tid", "ts"},
    "b": {"name", "cat", "id", "ts"},
    "e": {"name", "cat", "id", "ts"},
    "n": {"name", "cat", "id", "ts"},
    "s": {"name", "tid", "cat", "id", "ts"},
    "t": {"name", "tid", "cat", "id", "ts"},
    "f": {"name", "tid", "cat", "id", "ts", "bp"},
    "C": {"name", "ts", "args"},
    "i": {"name", "s", "ts"},
}

EVENTS = r"nothing|EV_\w+( \| EV_\w+)*"
# Everything that a slice may be called, by where it may stand.
NAMES = {
    "event": rf"outside the event loop|in the event loop|\d+: woken by ({EVENTS})|timer: \w+|\d+: read the byte [a-z?]|"
    r"\d+ events lost: too many for this file|conn_\w+",
    "thing": r"<\d+ .*|>\d+ .*|\d+: (accept4|read|readv|recvfrom|write|writev|sendmsg)\(\) = .*|\d+: conn_new, in conn_\w+|"
    r"\d+: for worker \d+|\d+: pushed, \d+ in the queue|\d+: popped, \d+ left in the queue|\d+: wrote the byte [a-z?]|"
    r"\d+: muted|\d+: heard again|\d+: registered|\d+: descriptor given back|[a-z ]+\(\): .*|\d+: request \d+.*|"
    r"request \d+, a part of \d+|"
    r"\d+: the response to request \d+|.* is ejected|.* takes ejected servers back",
    "connection": rf"listener \d+|connection \d+( to .+)?|conn_\w+|asleep, waiting for ({EVENTS})|muted|[<>]\d+ .*",
    "request": r"request|part of a request|connection \d+( to .+)?",
}


class TraceError(Exception):
    """What is wrong, and with which line."""


@dataclass
class Slice:
    name: str
    start: int  # nanoseconds
    end: int | None = None  # None: it has not ended
    inside: list["Slice"] = field(default_factory=list)

    def walk(self):
        yield self
        for slice in self.inside:
            yield from slice.walk()


@dataclass
class Track:
    """Of a thread, a connection or a request."""

    name: str
    slices: list[Slice] = field(default_factory=list)
    open: list[Slice] = field(default_factory=list)
    time: int = 0

    def walk(self):
        for slice in self.slices:
            yield from slice.walk()

    def names(self) -> list[str]:
        return [slice.name for slice in self.walk()]

    def draw(self, slice: Slice) -> None:
        (self.open[-1].inside if self.open else self.slices).append(slice)


@dataclass
class Arrows:
    """One way, from slice to slice."""

    slices: list[tuple[str, Slice]] = field(default_factory=list)  # each with its thread's name
    ended: bool = False


def require(condition: bool, what: str) -> None:
    if not condition:
        raise TraceError(what)


def nanoseconds(microseconds: str) -> int:
    whole, _, fraction = microseconds.partition(".")
    return int(whole) * 1000 + int(fraction.ljust(3, "0"))


class Trace:
    """`whole`: the writer has ended it. Otherwise it was killed: the end may be missing, of the file and of slices."""

    def __init__(self, path: str | Path, whole: bool = True):
        self.whole = whole
        self.threads: dict[int, Track] = {}
        self.tracks: dict[tuple[str, str], Track] = {}  # by category and id
        self.arrows: dict[tuple[str, str], Arrows] = defaultdict(Arrows)
        self.counters: dict[str, list[int]] = defaultdict(list)
        self.program = self.last_words = ""
        self._pid = None
        for number, event in enumerate(self._events(Path(path).read_text(encoding="ascii")), 1):
            try:
                self._add(event)
            except TraceError as error:
                raise TraceError(f"event {number}: {error}: {json.dumps(event)}") from None
        if whole:
            require(self.last_words.startswith("the end: "), "there is no last word")
            for track in [*self.threads.values(), *self.tracks.values()]:
                require(not track.open, f"{track.name}: a slice does not end: {[slice.name for slice in track.open]}")

    @property
    def lost(self) -> int:
        return int(re.search(r"(\d+) lost", self.last_words)[1])

    def thread(self, name: str) -> Track:
        return next(track for track in self.threads.values() if track.name == name)

    def of_category(self, category: str) -> list[Track]:
        return [track for (its, _), track in self.tracks.items() if its == category]

    def _events(self, text: str) -> list[dict]:
        require(text.startswith("[\n"), "it does not begin with [")
        require(text.endswith("}\n]\n" if self.whole else "},\n"), "it does not end as it should")
        lines = text.splitlines()[1 : -1 if self.whole else None]
        for line in lines[: -1 if self.whole else None]:
            require(line.endswith("},"), f"no whole event: {line}")
        return json.loads("[" + "\n".join(lines).removesuffix(",") + "]", parse_float=nanoseconds)

    def _add(self, event: dict) -> None:
        phase, name = event.pop("ph"), event.get("name", "")
        require(phase in FIELDS, "an unknown phase")
        require(self._pid in (None, event.get("pid")), "another process")
        self._pid = event.pop("pid")
        require(set(event) - ({"tid"} if phase == "M" else set()) == FIELDS[phase], "fields too many or too few")
        if phase == "M":
            return self._name(name, event)
        if phase == "C":
            ((what, value),) = event["args"].items()
            require(isinstance(value, int) and value >= 0, "no number")
            return self.counters[f"{name} {what}"].append(value)
        require(not self.last_words, "something comes after the end")
        if phase == "i":
            self.last_words = name
        elif phase in "ben":
            self._add_to_track(phase, name, event)
        elif phase in "stf":
            self._add_arrow(phase, event)
        else:
            self._add_to_thread(phase, name, event)

    def _name(self, what: str, event: dict) -> None:
        if what == "process_name":
            self.program = event["args"]["name"]
        else:
            require(what == "thread_name" and event["tid"] not in self.threads, "a name for what?")
            self.threads[event["tid"]] = Track(event["args"]["name"])

    def _add_to_thread(self, phase: str, name: str, event: dict) -> None:
        require(event["tid"] in self.threads, "a thread without a name")
        track = self.threads[event["tid"]]
        require(event["ts"] >= track.time, "time goes back")
        track.time = event["ts"]
        if phase == "E":
            require(bool(track.open), "the end of nothing")
            track.open.pop().end = event["ts"]
            return
        require(any(re.fullmatch(NAMES[kind], name) for kind in ("event", "thing")), "an unknown name")
        track.draw(Slice(name, event["ts"]))
        track.open.append((track.open[-1].inside if track.open else track.slices)[-1])

    def _add_to_track(self, phase: str, name: str, event: dict) -> None:
        key = event["cat"], event["id"]
        require(phase == "b" or key in self.tracks, "an unknown track")
        require(event["cat"] in NAMES and re.fullmatch(NAMES[event["cat"]], name) is not None, "an unknown name")
        track = self.tracks.setdefault(key, Track(name))
        require(event["ts"] >= track.time, "time goes back")
        track.time = event["ts"]
        if phase == "e":
            require(bool(track.open) and track.open[-1].name == name, "it is not what has begun")
            track.open.pop().end = event["ts"]
            return
        require(bool(track.open) or not track.slices, "a life has ended, and goes on")
        slice = Slice(name, event["ts"], event["ts"] if phase == "n" else None)
        track.draw(slice)
        if phase == "b":
            track.open.append(slice)

    def _add_arrow(self, phase: str, event: dict) -> None:
        track, way = self.threads[event["tid"]], self.arrows[event["cat"], event["id"]]
        require((phase == "s") == (not way.slices), "no beginning, or a second one")
        require(not way.ended, "the way has ended")
        require(bool(track.open) and event["ts"] >= track.time, "it leaves no slice")
        slice = track.open[-1]
        require(phase != "f" or event["bp"] == "e", "it would bind to the next slice")
        way.slices.append((track.name, slice))
        way.ended = phase == "f"


def outline(slice: Slice, depth: int = 0) -> None:
    length = "" if slice.end is None else f"{(slice.end - slice.start) / 1000:.1f}"
    print(f"{slice.start / 1000:15.1f} {length:>11}  {'  ' * depth}{slice.name}")
    for inner in slice.inside:
        outline(inner, depth + 1)


def main() -> None:
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    path = Path(sys.argv[1])
    try:
        trace = Trace(path, whole=path.read_text(encoding="ascii").endswith("]\n"))
    except (TraceError, ValueError, OSError) as error:
        sys.exit(f"{path}: {error}")
    tracks = [*trace.threads.values(), *trace.tracks.values()]
    if len(sys.argv) == 3:
        for slice in (slice for track in tracks if track.name == sys.argv[2] for slice in track.slices):
            outline(slice)
        return
    for track in tracks:
        print(f"{track.name}: {len(track.names())} slices")
    print(f"{len(trace.arrows)} ways of arrows, counters: {', '.join(trace.counters)}")
    print(trace.last_words or "the end is missing")


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)
