"""The buffers between a connection's socket and its requests: what came, and what is to be sent.

Requests arrive in `inbox`, as many as there are at a time; replies are laid out one behind the other in `outbox`; the
data of large writes passes through `payload`, piece by piece. Their sizes are fixed, whatever a client asks for; and
they are mapped, not filled, so that a client takes no more memory than it uses.
"""

from __future__ import annotations

import os
from mmap import mmap

from imgtools.block.extent import DATA
from imgtools.block.node import ZEROES
from imgtools.block.protocols.file import FileNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from imgtools.block.extent import Extent
    from imgtools.nbd.server.replies import SimpleReplies

INBOX = 320 << 10
"""A burst of 64 writes of a page fits in."""
LARGE = 64 << 10
"""From this size on reads and writes go piece by piece, and not through the inbox."""
PIECE = 1 << 20
"""Bytes of a large read or write that are held at a time."""
OUTBOX = 2 * PIECE
PAGE_BORDER = 4096
"""Where in the outbox the second page begins: reads into whole pages are several times faster."""


class ProtocolError(Exception):
    """The peer broke the rules, or can no longer be answered: the connection ends."""


class Wire:
    """Both directions of a connection. `splices` says whether bytes may go from a file to the socket directly."""

    def __init__(self, socket: socket.socket, replies: SimpleReplies, *, splices: bool) -> None:
        self.socket = socket
        self.replies = replies
        self.splices = splices
        self.inbox = mmap(-1, INBOX)
        self.incoming = memoryview(self.inbox)
        self.at = self.end = 0
        """What was received and not yet looked at: inbox[at:end]."""
        self.payload = memoryview(b"")
        """PIECE bytes, once there is a large write."""
        self.unread = 0
        """Bytes of the present request's data that were not taken yet."""
        self.appetite = INBOX
        """How much to receive at a time."""
        self.outbox = mmap(-1, OUTBOX)
        self.outgoing = memoryview(self.outbox)
        self.first = self.used = 0
        """What waits to be sent: outbox[first:used]."""

    # Requests.

    def _receive_more(self) -> int:
        """Take what has come, as much as fits behind what is left; how much there is then, 0 at the client's end."""
        left = self.end - self.at
        self.incoming[:left] = self.incoming[self.at : self.end]
        count = self.socket.recv_into(self.incoming[left : left + self.appetite])
        self.appetite = INBOX
        if left and not count:
            raise ProtocolError("the client hung up in the middle of a request")
        return left + count

    def _take_data(self, length: int) -> memoryview:
        """The next `length` bytes, at most PIECE, of the present request's data."""
        if not self.payload:
            self.payload = memoryview(mmap(-1, PIECE))
        here = min(length, self.end - self.at)
        self.payload[:here] = self.incoming[self.at : self.at + here]
        self.at += here
        if here < length:
            self._send()  # a client that is slow with its data need not wait for earlier answers
        while here < length:
            count = self.socket.recv_into(self.payload[here:length])
            if not count:
                raise ProtocolError("the client hung up in the middle of a request")
            here += count
        self.unread -= length
        return self.payload[:length]

    def _skip_data(self) -> None:
        """Throw away what was not taken of the present request's data."""
        while self.unread:
            self._take_data(min(self.unread, PIECE))

    # Replies.

    def _room_for(self, length: int) -> int:
        """Where in the outbox the data of a reply may be laid, with room for its header before it."""
        start = self.used + self.replies.data_head
        if length < LARGE and start + length <= OUTBOX:
            return start
        self._send()
        self.first = self.used = PAGE_BORDER - self.replies.data_head
        return PAGE_BORDER

    def _head(self, start: int, cookie: int, request: int, offset: int, length: int, flags: int) -> None:
        """Lay the header of a read's data in front of `start`."""
        self.outbox[start - self.replies.data_head : start] = self.replies.data(cookie, request, offset, length, flags)
        self.used = start

    def _put(self, message: bytes) -> None:
        if self.used + len(message) > OUTBOX:
            self._send()
        self.outbox[self.used : self.used + len(message)] = message
        self.used += len(message)

    def _send(self) -> None:
        if self.used > self.first:
            self.socket.sendall(self.outgoing[self.first : self.used])
        self.first = self.used = 0

    def _file(self, extent: Extent) -> FileNode | None:
        """The file that a large extent's bytes can be passed on from, without being copied."""
        if self.splices and extent.kind == DATA and extent.length >= LARGE and isinstance(extent.storage, FileNode):
            return extent.storage
        return None

    def _splice(self, extent: Extent) -> None:
        """Send an extent's bytes from its file."""
        assert isinstance(extent.storage, FileNode) and extent.offset is not None
        self._send()
        at, left = extent.offset, extent.length
        while left:
            count = os.sendfile(self.socket.fileno(), extent.storage.fd, at, left)
            if not count:  # the file was cut short under our hands: it reads as zeroes from there
                count = min(left, len(ZEROES))
                self.socket.sendall(ZEROES[:count])
            at, left = at + count, left - count
