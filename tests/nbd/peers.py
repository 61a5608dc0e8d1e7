"""Other people's servers, for our client."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from tests.conftest import require_tool
from tests.nbd.serving import PATIENCE

LISTENING = "00010000"
"""A unix socket's flags in /proc/net/unix: a server that lets in one client must not be tried by connecting."""


class Peer:
    """A server, started by `command`, in which SOCKET stands for a path in `directory` and PORT for a free TCP port."""

    def __init__(self, directory: Path, *command: str | Path) -> None:
        self.socket = directory / f"peer{len(list(directory.iterdir()))}.sock"
        self.port = free_port()
        self.is_tcp = "PORT" in map(str, command)
        words = [str(word).replace("SOCKET", str(self.socket)).replace("PORT", str(self.port)) for word in command]
        self.process = subprocess.Popen([require_tool(words[0]), *words[1:]], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.socket}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    def _listens(self) -> bool:
        if self.is_tcp:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        return any(words[-1] == str(self.socket) and words[3] == LISTENING for words in sockets)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
