"""What the tests of a proxy for redis share: Debian's redis-server on a unix socket, and the words of its protocol."""
import contextlib
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from client_test import find_tool
from proxy import DEADLINE, Peer, Pool, Proxy, wait_until

REDIS = find_tool("redis-server", "redis-server")
NUTCRACKER = find_tool("nutcracker", "nutcracker")


def word(text: bytes | str | int) -> bytes:
    data = text if isinstance(text, bytes) else str(text).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def command(*words: bytes | str | int) -> bytes:
    return array(*map(word, words))


def array(*elements: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(elements), b"".join(elements))


class RedisServer:
    """Owns: the process, ended by stop(), and a directory for its socket. It has no port, so none can be taken."""

    def __init__(self, *flags: str):
        self._directory = tempfile.TemporaryDirectory(prefix="drive_machine-")
        self.address = f"{self._directory.name}/socket"
        here = ("--port", "0", "--unixsocket", self.address, "--dir", self._directory.name)
        keeps_nothing = ("--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", f"{self._directory.name}/log")
        self.process = subprocess.Popen([REDIS, *here, *keeps_nothing, *flags], stdin=subprocess.DEVNULL)
        try:
            wait_until(self._answers, "redis-server answers")
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            log = Path(self._directory.name) / "log"
            raise AssertionError(f"redis-server has ended\n{log.read_text(encoding='utf-8') if log.exists() else ''}")
        try:
            peer = self.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        peer.close()
        return True

    def connect(self) -> Peer:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        try:
            connection.connect(self.address)
        except BaseException:
            connection.close()
            raise
        return Peer(connection)

    def stop(self) -> None:
        self.process.kill()  # it has nothing to keep
        self.process.wait()
        with contextlib.suppress(FileNotFoundError):
            self._directory.cleanup()


class Front:
    """A proxy for redis with servers of its own. Owns: all their processes."""

    def __init__(self, proxy: str, servers: int, more: str = "hash: murmur", server_flags: tuple[str, ...] = ()):
        with ThreadPoolExecutor() as threads:
            self.servers = list(threads.map(lambda _: RedisServer(*server_flags), range(servers)))
        try:
            self.proxy = Proxy(proxy, [Pool([s.address for s in self.servers], f"redis: true\n{more}")])
        except BaseException:
            self._stop_servers()
            raise

    def connect(self) -> Peer:
        return self.proxy.connect()

    def stop(self) -> None:
        try:
            self.proxy.stop()
        finally:
            self._stop_servers()

    def _stop_servers(self) -> None:
        for server in self.servers:
            server.stop()
