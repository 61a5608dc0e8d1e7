"""Other people's servers, for our client."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import PATIENCE, hold_port, require_tool, wait_until

LISTENING, TCP_LISTENING = "00010000", "0A"
"""A unix socket's flags in /proc/net/unix, a TCP socket's state in /proc/net/tcp."""


class Peer:
    """A server, started by `command`, in which SOCKET stands for a path in `directory` and PORT for a free TCP port."""

    def __init__(self, directory: Path, *command: str | Path) -> None:
        self.socket = directory / f"peer{len(list(directory.iterdir()))}.sock"
        self.held = hold_port()
        self.port = self.held.getsockname()[1]
        self.is_tcp = "PORT" in map(str, command)
        words = [str(word).replace("SOCKET", str(self.socket)).replace("PORT", str(self.port)) for word in command]
        self.process = subprocess.Popen([require_tool(words[0]), *words[1:]], stdin=subprocess.DEVNULL)
        wait_until(self._listens)

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.socket}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    def _listens(self) -> bool:
        assert self.process.poll() is None
        return listens_at_port(self.port) if self.is_tcp else listens_at(self.socket)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.held.close()


def listens_at(path: Path) -> bool:
    """Whether a server is ready at this unix socket: one that lets in one client must not be tried by connecting."""
    sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return any(words[-1] == str(path) and words[3] == LISTENING for words in sockets)


def listens_at_port(port: int) -> bool:
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(words[1].endswith(f":{port:04X}") and words[3] == TCP_LISTENING for words in sockets)


def nbdkit_runs_in(directory: Path) -> bool:
    """Whether there is an nbdkit with its socket there."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if words[0].endswith(b"nbdkit") and any(word.startswith(bytes(directory)) for word in words):
            return True
    return False
