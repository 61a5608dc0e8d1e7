"""Connections in several processes, so that several processors serve them: threads of one take turns.

Only where every process sees the same disk without talking to the others: what is read only, and raw files, in which
each byte has its place and nothing is held in memory. Processes are made before the first client comes, while there is
but one thread. The parent accepts, and passes clients on through a channel to each process in turn; a process
tells of the end of a client as a thread would, and stops when its channel is closed, also by the death of its parent.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from itertools import cycle

from imgtools.block.protocols.file import FileNode
from imgtools.errors import InputOutput
from imgtools.formats.raw import GuessedRaw, RawNode
from imgtools.nbd.server.connections import GRACE, Connections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgtools.nbd.server.connections import Service
    from imgtools.nbd.server.export import Export

ENDING = 2
"""Seconds more that a process has to end than its clients have."""


def can_be_divided(export: Export) -> bool:
    """Whether several processes may serve the export, each by itself."""
    node = export.node.child if isinstance(export.node, GuessedRaw) else export.node
    if not export.shows_files:
        return False  # a filter that counts or delays does so for all clients together
    if export.read_only or not isinstance(node, RawNode):
        return export.read_only
    # A file that ends within the disk's last sector may yet grow, which the other processes would not notice.
    return isinstance(node.storage, FileNode) and node.window_start + node.size <= node.storage.size


class Workers:
    """`count` processes that serve clients; otherwise as `Connections`. `own` are files that they are to close."""

    def __init__(self, service: Service, ended: Callable[[bool], None], count: int, own: Sequence[int]) -> None:
        self.channels: list[socket.socket] = []
        self.pids: list[int] = []
        for _ in range(count):
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if not pid:
                for fd in (*own, ours.fileno(), *(channel.fileno() for channel in self.channels)):
                    os.close(fd)
                _work(theirs, Connections(service, ended))
            theirs.close()
            self.channels.append(ours)
            self.pids.append(pid)
        self.turns = cycle(self.channels)

    def start(self, client: socket.socket) -> None:
        """Have a client served that was accepted."""
        with client:
            try:
                socket.send_fds(next(self.turns), [b"c"], [client.fileno()])
            except OSError as error:
                raise InputOutput("a process of the server has ended unexpectedly") from error

    def stop(self, grace: float) -> None:
        """As Connections.stop; returns when the processes have ended."""
        deadline = time.monotonic() + grace + ENDING
        for channel in self.channels:
            channel.close()
        for pid in self.pids:
            while not os.waitpid(pid, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.005)


def _work(channel: socket.socket, connections: Connections) -> None:
    """What a process does: it serves the clients that come through its channel, and ends with it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the parent
    status = 0
    try:
        while True:
            message, clients, _, _ = socket.recv_fds(channel, 1, 1)
            if not message:
                break
            if clients:
                connections.start(socket.socket(fileno=clients[0]))
            else:  # the system had no file descriptor left for it here
                connections.turned_away(os.strerror(errno.EMFILE))
        connections.stop(GRACE)
    except BaseException as error:  # nothing may go up the stack, to where the parent goes on
        connections.service.log(f"internal error: {type(error).__name__}: {error}")
        status = 1
    os._exit(status)
