"""What must hold, and the judgement. A bound that is loosened says why in its last column."""

from dataclasses import dataclass

CPU = "CPU per request, as a ratio to the peer's of the same run"  # memcached's, or of a proxy nutcracker's
PEAK = "resident memory at its largest under the load, as a ratio to the peer's of the same run"
RESIDENT = "resident memory while nobody asks, as a ratio to the peer's of the same run"
INSTRUCTIONS = "user-space instructions per request"
IDLE = "bytes of memory an idle connection"
SOAK = "bytes of growth under load, once warm"

FLAT = 256 * 1024
FOUR_THREADS = "get@50x4 set@50x4 get32@50x4 get100@50x4 connect@50x4".split()
PROXIED = "get@50 set@50 get32@50 get100@50".split()
CROWDS = "resident@0 resident@50 resident@1000".split()


@dataclass(frozen=True)
class Bound:
    chapter: str  # its number, or '*' for every chapter that can do the workload
    measure: str
    workload: str  # with @connections; '' where the measure has its own
    limit: float
    reason: str


BOUNDS = (
    Bound("05", CPU, "set@50", 1.10, "a get takes three writes before 07, a set takes one as everywhere"),
    Bound("05", INSTRUCTIONS, "get", 2470, "1.4.25's own count, which its descendants must not fall behind"),
    Bound("05", INSTRUCTIONS, "get32", 1740, "the same"),
    Bound("12", CPU, "get@50", 1.05, "1.4.25's network layer, beside its successor"),
    Bound("12", CPU, "set@50", 1.05, "the same"),
    Bound("12", CPU, "mix@50", 1.10, "the same"),
    Bound("12", CPU, "get32@50", 1.15, "both send a reply at a time"),
    Bound("12", CPU, "get100@50", 0.73, "one sendmsg for all items, as 1.4.25, which takes 0.73 of what 1.6.18 does"),
    Bound("12", CPU, "connect@50", 1.05, "as 1.4.25, which takes 0.98 to 1.03 of 1.6.18's where both were measured in one run"),
    *(Bound("12", CPU, what, 1.00, "four threads against four") for what in FOUR_THREADS),
    Bound("20", CPU, "get@50", 1.10, "what is new must not cost those who do not use it"),
    Bound("20", CPU, "get32@50", 0.40, "one sendmsg for the replies of a pipeline; 1.6.18 has not got it yet for gets"),
    Bound("20", CPU, "set32@50", 1.15, "1.6.18 has it for short replies"),
    Bound("12", INSTRUCTIONS, "get", 2150, "with the trace, whose branches take some 90 of them; 1.4.25 has 2,470"),
    Bound("12", INSTRUCTIONS, "get32", 1400, "the same; 1.4.25 has 1,740"),
    Bound("12", INSTRUCTIONS, "set32", 2800, "with the trace"),
    Bound("18", INSTRUCTIONS, "get", 5200, "twice a message's way: in, and out on the other side"),
    Bound("18", INSTRUCTIONS, "get32", 4200, "the same"),
    Bound("12", IDLE, "idle@1000", 11_250, "1.4.25's own figure"),
    Bound("20", IDLE, "idle@1000", 1_500, "buffers are lent: 1.6.18 takes about 660"),
    *(Bound("14", CPU, f"{what}/1", 1.00, "a proxy costs no more than nutcracker") for what in PROXIED),
    *(Bound("18", CPU, f"{what}/2", 1.00, "the same") for what in PROXIED),
    *(Bound("14", PEAK, f"{what}/1", 1.00, "nor takes more memory") for what in PROXIED),
    *(Bound("18", PEAK, f"{what}/2", 1.00, "the same") for what in PROXIED),
    *(Bound("14", RESIDENT, f"{what}/1", 1.15, "idle: the runtime of the language, and its own buffers") for what in CROWDS),
    *(Bound("18", RESIDENT, f"{what}/2", 1.25, "the same, and yaml-cpp") for what in CROWDS),
    Bound("*", SOAK, "", FLAT, "memory is flat"),
)


@dataclass(frozen=True)
class Verdict:
    server: str
    bound: Bound
    value: float  # None: could not be measured, which counts as missed

    @property
    def met(self):
        return self.value is not None and self.value <= self.bound.limit

    def __str__(self):
        value = "not measured" if self.value is None else f"{self.value:,.2f}"
        what = f"{self.bound.workload or 'soak'}: {self.bound.measure}"
        return f"{'met   ' if self.met else 'MISSED'}  {self.server}  {what}: {value}, at most {self.bound.limit:,.2f}"


def of(program, bounds=BOUNDS):
    """Those that this chapter must hold."""
    own = [b for b in bounds if b.chapter == program.name.split("-")[0]]
    every = [b for b in bounds if b.chapter == "*" and program.stores and program.name[:2].isdigit()]
    return own + every
