#!/usr/bin/env python3
"""Both commands of README on bare machines: Debian or Ubuntu as debootstrap leaves it, in a folder. Started by tests/run fresh.

A machine has this one's release, and gets its packages from where this one gets them. The checkout is cloned there: what is
not committed stays behind. The machine shares the kernel, the network, and /dev with this one; its processes and mounts are
in namespaces of their own, which end with the command that runs there.

The last line is "N passed, N failed"; the status is 0 if nothing failed, and 77 where such a machine cannot be made.
"""
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drive_machine"
DAYS = 30  # for so long the bare system is kept
SECONDS = 1800  # for one command
NOT_RUN = 77
COMPONENTS = {"debian": "main", "ubuntu": "main,universe"}

OF_THE_TESTS = ("ctags", "git", "memcached", "clang")
# Who runs what, each in a new machine; and which programs may not be there after it, since it does not need them.
MACHINES = {
    "root": [
        ("chapters/run", OF_THE_TESTS),
        ("tests/run 01 unit ladder contract", ()),
    ],
    "reader": [  # with sudo
        ("chapters/run list", ("c++", "meson", *OF_THE_TESTS)),
        ("chapters/run", OF_THE_TESTS),
    ],
}

MOUNT = """
mount -t proc proc "$1/proc" && mount -t sysfs sysfs "$1/sys" && mount --rbind /dev "$1/dev" || exit
exec chroot "$1" su - "$2" -c "$3"
"""


class CannotBeMade(Exception):
    """Why there is no bare machine here."""


class Failed(Exception):
    """What a command said that had to succeed."""


class Screen:
    """Progress: on a terminal the last line of what runs; elsewhere such a line now and then."""

    EVERY = 30  # seconds

    def __init__(self):
        self._tty = sys.stdout.isatty()
        self._begin = self._told = time.monotonic()

    def say(self, text: str) -> None:
        print(("\r\x1b[K" if self._tty else "") + text, flush=True)
        self._told = time.monotonic()

    def start(self) -> None:
        self._begin = self._told = time.monotonic()

    def progress(self, line: str) -> None:
        text = f"  {self.seconds():5.0f} s   {line.strip()}"
        if self._tty:
            print(f"\r\x1b[K{text[: os.get_terminal_size().columns - 1]}", end="", flush=True)
        elif time.monotonic() - self._told > self.EVERY:
            self.say(text)

    def seconds(self) -> float:
        return time.monotonic() - self._begin


def isolated(*command: str | Path) -> list[str]:
    """In namespaces of its own, so that its mounts and its processes end with it."""
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", *map(str, command)]


def run(screen: Screen, command: list[str], seconds: float = SECONDS) -> tuple[int, list[str]]:
    """An isolated command to its end. Returns its status and what it said."""
    screen.start()
    # In a session of its own: Ctrl-C reaches us, and we end it.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )
    said = []
    try:
        signal.signal(signal.SIGALRM, lambda *_: end_namespace(process))
        signal.alarm(int(seconds))
        for line in process.stdout:
            said.append(line.rstrip())
            screen.progress(line)
        return process.wait(), said
    finally:
        signal.alarm(0)
        end_namespace(process)


def end_namespace(process: subprocess.Popen) -> None:
    """Kills the first process in there, with which all others end; unshare waits for it."""
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        for child in map(int, children):
            os.kill(child, signal.SIGKILL)
        process.wait()


def call(screen: Screen, command: list[str]) -> None:
    status, said = run(screen, command)
    if status != 0:
        raise Failed("\n".join([*said[-20:], f"{' '.join(command)}: status {status}"]))


class Machine:
    """A bare machine. Owns: its folder."""

    def __init__(self, screen: Screen, base: Path, user: str):
        self._screen = screen
        self._user = user
        self.root = Path(tempfile.mkdtemp(prefix="drive_machine-fresh-"))
        try:
            self._set_up(base)
        except BaseException:
            self.close()
            raise

    def _set_up(self, base: Path) -> None:
        call(self._screen, isolated("tar", "-xpf", base, "-C", self.root))
        self.root.chmod(0o755)  # a temporary folder's is 0o700, and so the archive has it
        for file in ("resolv.conf", "hosts"):
            shutil.copyfile(f"/etc/{file}", self.root / "etc" / file)
        (self.root / "etc/apt/apt.conf.d/99this-machine").write_text(package_access(), encoding="utf-8")
        no_service_starts = self.root / "usr/sbin/policy-rc.d"
        no_service_starts.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        no_service_starts.chmod(0o755)
        home = "/root"
        if self._user != "root":
            home = f"/home/{self._user}"
            self._must(f"apt-get -q update && apt-get -q -y install --no-install-recommends sudo && useradd -m {self._user}")
            sudoers = self.root / "etc/sudoers.d" / self._user
            sudoers.write_text(f"{self._user} ALL=(ALL) NOPASSWD: ALL\n", encoding="ascii")
        git("clone", "-q", TOP, f"{self.root}{home}/src")
        self._must(f"chown -R {self._user}: {home}/src")

    def _must(self, command: str) -> None:
        call(self._screen, self._inside("root", command))

    def _inside(self, user: str, command: str) -> list[str]:
        return isolated("sh", "-c", MOUNT, "sh", self.root, user, command)

    def check(self, command: str, needless: tuple[str, ...]) -> bool:
        """Runs it as the user; says how that went."""
        status, said = run(self._screen, self._inside(self._user, f"cd src && {command}"))
        extra = [program for program in needless if (self.root / "usr/bin" / program).exists()]
        good = status == 0 and not extra
        if status != 0:
            self._screen.say("\n".join([f"---- {self._user}: {command} ended with status {status} ----", *said[-60:]]))
        elif extra:
            self._screen.say(f"---- {self._user}: {command} has installed what it does not need: {', '.join(extra)} ----")
        self._screen.say(f"  {self._screen.seconds():5.0f} s   {'passed' if good else 'FAILED'}  {self._user}: {command}")
        return good

    def close(self) -> None:
        shutil.rmtree(self.root)

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def git(*words: str | Path) -> str:
    """The checkout may be somebody else's, whom sudo has made root."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as config:
        config.write("[safe]\n\tdirectory = *\n")
        config.flush()
        env = os.environ | {"GIT_CONFIG_GLOBAL": config.name}
        return subprocess.run(["git", "-C", TOP, *words], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def package_access() -> str:
    """What this machine's apt has been told of how to reach packages, and its proxies, for another apt.conf."""
    dump = subprocess.run(["apt-config", "dump"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    lines = [line for line in dump if line.startswith(("Acquire::Check-", "Acquire::Force", "Acquire::http"))]
    for scheme in ("http", "https"):
        if proxy := os.environ.get(f"{scheme}_proxy"):
            lines.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return "\n".join(lines) + "\n"


def bare_system(screen: Screen) -> Path:
    """An archive of what debootstrap makes, kept for a while."""
    system = platform.freedesktop_os_release()
    kind, release = system.get("ID", ""), system.get("VERSION_CODENAME", "")
    if kind not in COMPONENTS:
        raise CannotBeMade(f"this is {system.get('PRETTY_NAME', 'neither Debian nor Ubuntu')}, and neither Debian nor Ubuntu")
    base = CACHE / f"{kind}-{release}.tar"
    if base.exists() and time.time() - base.stat().st_mtime < DAYS * 24 * 3600:
        return base
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {release}", "Created-By: Packages"]
    known = subprocess.run(targets, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    mirror = [uri for uri in known if uri.startswith("http")][:1]  # none: debootstrap knows one
    screen.say(f"  a bare {release}, kept in {CACHE}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drive_machine-fresh-") as folder:
        variant = ["--variant=minbase", f"--components={COMPONENTS[kind]}"]
        call(screen, isolated("debootstrap", *variant, release, folder, *mirror))
        unfinished = base.with_suffix(".part")
        call(screen, isolated("tar", "-cf", unfinished, "-C", folder, "."))
        unfinished.replace(base)
    return base


def check_rights(screen: Screen) -> None:
    for what, command in {
        "a container without --privileged": isolated("mount", "-t", "proc", "proc", "/proc"),
        "no right to chroot": ["chroot", "/", "true"],
    }.items():
        status, said = run(screen, command)
        if status != 0:
            raise CannotBeMade(f"{what}: {' '.join(said)}")


def main() -> int:
    screen, passed, failed = Screen(), 0, 0
    try:
        check_rights(screen)
        if changed := git("status", "--porcelain").splitlines():
            screen.say(f"  the machines get HEAD; {len(changed)} changed files are not in it")
        base = bare_system(screen)
        for user, commands in MACHINES.items():
            with Machine(screen, base, user) as machine:
                for command, needless in commands:
                    if machine.check(command, needless):
                        passed += 1
                    else:
                        failed += 1
    except CannotBeMade as reason:
        screen.say(f"not run: {reason}")
        return NOT_RUN
    except Failed as problem:
        screen.say(str(problem))
        failed += 1
    screen.say(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


def end(number: int, _frame: object) -> None:
    """Unwinds as Ctrl-C does."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, end)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
