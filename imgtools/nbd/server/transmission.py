"""The transmission phase of one connection: requests in, replies out, as many at a time as there are.

Specification: proto.md, "Transmission phase". One thread does it all:

    one receive, as large as it gets     every whole request in it is carried out     one send of all replies

so a client that keeps many requests in flight costs two system calls for all of them. What a connection needs
beside the disk is bounded, and allocated once (`wire`). Large reads go from the file to the socket without being
copied, where the disk says in which file they lie; small ones are sent out of the page cache, where the disk lends it.

A read that would have to wait for a device is put off until everything else in the batch is done, and the device
is told of it at once, so that it works on all of them together.
"""

from __future__ import annotations

import errno
from itertools import islice
from socket import MSG_DONTWAIT

from imgtools.block.cached import lend_nothing
from imgtools.block.extent import READS_ZERO
from imgtools.errors import BadOption, ImageError, OutOfBounds, ReadOnly, UnsupportedFeature
from imgtools.nbd import protocol
from imgtools.nbd.protocol import (
    CMD_BLOCK_STATUS,
    CMD_CACHE,
    CMD_DISC,
    CMD_FLUSH,
    CMD_READ,
    CMD_TRIM,
    CMD_WRITE,
    CMD_WRITE_ZEROES,
    FLAG_DF,
    FLAG_FAST_ZERO,
    FLAG_FUA,
    FLAG_NO_HOLE,
    FLAG_PAYLOAD_LEN,
    FLAG_REQ_ONE,
    REPLY_DONE,
)
from imgtools.nbd.server.replies import StructuredReplies, number_of
from imgtools.nbd.server.waiting import Waiting
from imgtools.nbd.server.wire import INBOX, LARGE, OUTBOX, PAGE_BORDER, PIECE, ProtocolError, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgtools.block.node import Buffer
    from imgtools.nbd.server.handshake import Agreement

    Read = tuple[int, int, int]
    """Cookie, offset and length of a read."""

MAX_PIECES = 1000
"""Buffers that one call sends; the kernel takes 1024."""
MAX_STATUS = 1 << 14
"""Runs in a block status reply. A client asks again for what it was not told."""


class Transmission(Wire):
    """The requests of one client, on the terms that its handshake agreed upon.

    `is_alone` tells whether no other client needs this process' time.
    """

    def __init__(self, agreement: Agreement, is_alone: Callable[[], bool]) -> None:
        super().__init__(
            agreement.socket, agreement.replies, splices=agreement.splices and agreement.export.shows_files
        )
        self.receive_one = Waiting(self.socket, self.incoming, is_alone).receive if agreement.splices else None
        self.export = agreement.export
        self.contexts = agreement.contexts
        self.node = self.export.node
        self.head_size = self.replies.request.size
        self.late: list[Read] = []
        """Reads that wait for a device."""
        self.borrowers: list[Read] = []
        """Reads that were lent their data."""
        self.lent: list[Buffer] = []
        """Their replies: a header and the data for each."""
        self.leaving = False
        """Whether the client has said goodbye."""

    def run(self) -> None:
        """Serve until the client leaves. Raises ProtocolError where it breaks the rules, OSError where it vanishes.

        What a small read needs is at hand in local names: it is what most clients do most of the time, and at a depth
        of one they wait for each of these lines. All else is done by `_other`, with the state in its attributes.
        """
        disk, late, borrowers, lent = self.node.size, self.late, self.borrowers, self.lent
        read, lend = self.node.cached_reader()
        if not self.splices:
            lend = lend_nothing
        inbox, incoming, outbox, outgoing = self.inbox, self.incoming, self.outbox, self.outgoing
        receive, send = self.socket.recv_into, self.socket.sendall
        head_size, unpack, magic_of_request = (
            self.head_size,
            self.replies.request.unpack_from,
            self.replies.request_magic,
        )
        data_head, head_of = self.replies.data_head, self.replies.data
        receive_one = self.receive_one
        end = command = length = 0
        while not self.leaving:
            if self.at < self.end or self.appetite != INBOX:
                at, end = 0, self._receive_more()
            elif receive_one and (end == head_size or (command == CMD_WRITE and end == head_size + length)):
                at, end = 0, receive_one()  # as it does one request at a time
            else:
                at, end = 0, receive(incoming)
            if not end:
                return
            used = 0
            while end - at >= head_size:
                magic, flags, command, cookie, offset, length = unpack(inbox, at)
                if magic != magic_of_request:
                    raise ProtocolError(f"a request begins with {magic:#010x}")
                if command or flags or length >= LARGE or not length or offset + length > disk:
                    self.at, self.end, self.used = at, end, used
                    if not self._other(flags, command, cookie, offset, length):
                        break
                    at, end, used = self.at, self.end, self.used
                    continue
                at += head_size
                if (view := lend(offset, length)) is not None:
                    borrowers.append((cookie, offset, length))
                    lent += head_of(cookie, offset, offset, length, REPLY_DONE), view
                    if len(lent) >= MAX_PIECES:
                        self.used = used
                        self._send_lent()
                        used = self.used
                    continue
                if used + data_head + length > OUTBOX:
                    self.used = used
                    self._send()
                    used = 0
                start = used + data_head
                stop = start + length
                try:
                    if read(offset, outgoing[start:stop]):
                        outbox[used:start] = head_of(cookie, offset, offset, length, REPLY_DONE)
                        used = stop
                    else:
                        self.node.prefetch(offset, length)
                        late.append((cookie, offset, length))
                except ImageError as error:
                    self.used = used
                    self._fail(cookie, offset, error)
                    used = self.used
            self.at, self.end = at, end
            if lent or late or self.first:
                self.used = used
                self._send_lent()
                self._answer_late()
                self._send()
            elif used:
                send(outgoing[:used])
                self.used = 0

    # Batches.

    def _answer_late(self) -> None:
        for cookie, offset, length in self.late:
            self._guarded(self._read_whole, cookie, offset, length)
        self.late.clear()

    def _send_lent(self) -> None:
        """Answer the reads that were lent their data. What the socket has no room for, and what the file no longer
        has, they get as others do: so nobody's data is waiting in a place that may become another's meanwhile."""
        if not self.lent:
            return
        try:
            sent = self.socket.sendmsg(self.lent, (), MSG_DONTWAIT)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EFAULT):
                raise
            sent = 0
        if sent < sum(map(len, self.lent)):
            self._send_copies(sent)
        self.borrowers.clear()
        self.lent.clear()

    def _send_copies(self, sent: int) -> None:
        """Answer the reads whose replies are not among the first `sent` bytes of those that were lent."""
        for cookie, offset, length in self.borrowers:
            size = self.replies.data_head + length
            if sent >= size:
                sent -= size
            elif sent:
                self._finish_reply(cookie, offset, length, sent)
                sent = 0
            else:
                self._guarded(self._read_whole, cookie, offset, length)

    def _finish_reply(self, cookie: int, offset: int, length: int, sent: int) -> None:
        """Send what is missing of a reply of which `sent` bytes have gone."""
        reply = bytearray(self.replies.data(cookie, offset, offset, length, REPLY_DONE)) + bytearray(length)
        try:
            self.node.readinto(offset, memoryview(reply)[-length:])
        except ImageError as error:
            raise ProtocolError(f"a read failed after it was begun: {error}") from error
        self.socket.sendall(memoryview(reply)[sent:])

    def _other(self, flags: int, command: int, cookie: int, offset: int, length: int) -> bool:
        """Carry out any request, and small reads that are not quite usual. False where its data is not there yet, or
        the client leaves."""
        has_data = flags & FLAG_PAYLOAD_LEN if self.replies.extended else command == CMD_WRITE
        size = length if has_data else 0
        if size < LARGE and self.end - self.at < self.head_size + size:
            return False
        self._send_lent()
        self.at += self.head_size
        self.unread = size
        if command == CMD_DISC:
            self.leaving = True
            return False
        self._guarded(self._command, cookie, offset, length, flags, command)
        return True

    def _guarded(self, work: Callable[..., None], cookie: int, offset: int, length: int, *more: int) -> None:
        """Do something for a request, and tell the client where that fails."""
        try:
            work(cookie, offset, length, *more)
        except ImageError as error:
            self._skip_data()
            self._fail(cookie, offset, error)

    # Commands.

    def _command(self, cookie: int, offset: int, length: int, flags: int, command: int) -> None:
        """Carry out a request, once it is sound. Raises ImageError."""
        if self.unread > protocol.MAX_PAYLOAD:
            raise ProtocolError(f"a request brings {length} bytes of data")
        if command not in COMMANDS:
            raise BadOption(f"unknown command {command}")
        handler, possible, writes = COMMANDS[command]
        if flags & ~possible or (flags & FLAG_PAYLOAD_LEN and not self.replies.extended):
            raise BadOption(f"flags {flags:#x} make no sense for command {command}")
        if writes and self.export.read_only:
            raise ReadOnly("the export is read-only")
        handler(self, cookie, offset, length, flags)

    def _check_range(self, offset: int, length: int, error: int = errno.EINVAL) -> None:
        if offset + length > self.node.size:
            text = f"{offset}+{length} is outside the disk of {self.node.size} bytes"
            raise OutOfBounds(text, offset=offset, errno=error)

    def _read(self, cookie: int, offset: int, length: int, flags: int) -> None:
        self._check_range(offset, length)
        if length > protocol.MAX_PAYLOAD:
            raise BadOption(f"{length} bytes are more than a read can give")
        replies = self.replies
        if not length:
            self._put(replies.empty(cookie, offset))
        elif length < LARGE:
            self._read_whole(cookie, offset, length)
        elif isinstance(replies, StructuredReplies) and not flags & FLAG_DF:
            self._read_in_chunks(replies, cookie, offset, length)
        elif length <= PIECE:
            self._read_whole(cookie, offset, length)
        else:
            self._read_in_one_chunk(cookie, offset, length)

    def _read_whole(self, cookie: int, offset: int, length: int) -> None:
        """A read of at most PIECE bytes: all of it, or an error."""
        start = self._room_for(length)
        self.node.readinto(offset, self.outgoing[start : start + length])
        self._head(start, cookie, offset, offset, length, REPLY_DONE)
        self.used = start + length

    def _read_in_chunks(self, replies: StructuredReplies, cookie: int, offset: int, length: int) -> None:
        """A large read as its extents lie: holes are told, files' bytes are passed on, the rest goes piece by piece."""
        end = offset + length
        for extent in self.node.extents(offset, length):
            for start, size in _pieces(extent.start, extent.length, extent.length if self._file(extent) else PIECE):
                last = REPLY_DONE if start + size == end else 0
                if extent.kind in READS_ZERO:
                    self._put(replies.hole(cookie, offset, start, size, last))
                elif self._file(extent):
                    self._head(self._room_for(0), cookie, offset, start, size, last)
                    self._splice(extent)
                else:
                    at = self._room_for(size)
                    self.node.readinto(start, self.outgoing[at : at + size])
                    self._head(at, cookie, offset, start, size, last)
                    self.used = at + size

    def _read_in_one_chunk(self, cookie: int, offset: int, length: int) -> None:
        """A large read whose answer may not be divided. What fails on the way can no longer be told."""
        self._head(self._room_for(0), cookie, offset, offset, length, REPLY_DONE)
        try:
            for extent in self.node.extents(offset, length):
                if self._file(extent):
                    self._splice(extent)
                    continue
                for start, size in _pieces(extent.start, extent.length, PIECE):
                    self._send()
                    self.node.readinto(start, self.outgoing[PAGE_BORDER : PAGE_BORDER + size])
                    self.first, self.used = PAGE_BORDER, PAGE_BORDER + size
        except ImageError as error:
            raise ProtocolError(f"a read failed after it was begun: {error}") from error

    def _write(self, cookie: int, offset: int, length: int, flags: int) -> None:
        self._check_range(offset, length, errno.ENOSPC)
        if self.unread != length:
            raise BadOption("a write without its data")
        if length < LARGE:
            self.unread = 0
            self.at += length  # its data is no longer of interest, should the write fail
            self.node.write(offset, self.incoming[self.at - length : self.at])
        else:
            for start, size in _pieces(offset, length, PIECE):
                self.node.write(start, self._take_data(size))
            self.appetite = self.replies.request.size  # of what comes next only the header: its data need not move
        self._finish(cookie, offset, flags)

    def _flush(self, cookie: int, offset: int, length: int, flags: int) -> None:
        self.node.flush()
        self._done(cookie, offset)

    def _trim(self, cookie: int, offset: int, length: int, flags: int) -> None:
        self._check_range(offset, length)
        if self.export.discards:
            self.node.discard(offset, length)
        self._finish(cookie, offset, flags)

    def _cache(self, cookie: int, offset: int, length: int, flags: int) -> None:
        self._check_range(offset, length)
        self.node.prefetch(offset, length)
        self._done(cookie, offset)

    def _write_zeroes(self, cookie: int, offset: int, length: int, flags: int) -> None:
        self._check_range(offset, length, errno.ENOSPC)
        if flags & FLAG_FAST_ZERO and not self.export.zeroes_fast(offset, length):
            raise UnsupportedFeature("zeroes would have to be written", errno=errno.EOPNOTSUPP)
        self.node.zero(offset, length, unmap=self.export.discards and not flags & FLAG_NO_HOLE)
        self._finish(cookie, offset, flags)

    def _block_status(self, cookie: int, offset: int, length: int, flags: int) -> None:
        wanted = list(self.contexts)
        if flags & FLAG_PAYLOAD_LEN:
            length, wanted = self._read_status_payload(length)
        self._check_range(offset, length)
        if not wanted or not length or not isinstance(self.replies, StructuredReplies):
            raise BadOption("there is no block status without meta contexts and bytes")
        for number in wanted:
            status = self.contexts[number].status(offset, length)
            runs = list(islice(status, 1 if flags & FLAG_REQ_ONE else MAX_STATUS))
            last = REPLY_DONE if number == wanted[-1] else 0
            self._put(self.replies.status(cookie, offset, number, runs, last))

    def _read_status_payload(self, length: int) -> tuple[int, list[int]]:
        """How many bytes are asked about, and in which of the contexts."""
        count, rest = divmod(length - protocol.STATUS_PAYLOAD.size, protocol.CONTEXT_ID.size)
        if rest or not 0 <= count <= len(self.contexts):
            raise BadOption(f"{length} bytes are no list of meta contexts")
        data = self._take_data(length)
        (effect,) = protocol.STATUS_PAYLOAD.unpack_from(data)
        wanted = [number for (number,) in protocol.CONTEXT_ID.iter_unpack(data[protocol.STATUS_PAYLOAD.size :])]
        if len(set(wanted)) < len(wanted) or not self.contexts.keys() >= set(wanted):
            raise BadOption("a meta context that was not agreed upon, or twice the same")
        return effect, wanted

    # Answers.

    def _done(self, cookie: int, offset: int) -> None:
        """The request was carried out."""
        self._put(self.replies.done(cookie, offset))

    def _finish(self, cookie: int, offset: int, flags: int) -> None:
        """The disk was changed; it is on stable storage before the reply where the client asks for that."""
        if flags & FLAG_FUA:
            self.node.flush()
        self._done(cookie, offset)

    def _fail(self, cookie: int, offset: int, error: ImageError) -> None:
        self._put(self.replies.error(cookie, offset, number_of(error), str(error)))


COMMANDS: dict[int, tuple[Callable[[Transmission, int, int, int, int], None], int, bool]] = {
    CMD_READ: (Transmission._read, FLAG_FUA | FLAG_DF, False),
    CMD_WRITE: (Transmission._write, FLAG_FUA | FLAG_PAYLOAD_LEN, True),
    CMD_FLUSH: (Transmission._flush, FLAG_FUA, False),
    CMD_TRIM: (Transmission._trim, FLAG_FUA, True),
    CMD_CACHE: (Transmission._cache, FLAG_FUA, False),
    CMD_WRITE_ZEROES: (Transmission._write_zeroes, FLAG_FUA | FLAG_NO_HOLE | FLAG_FAST_ZERO, True),
    CMD_BLOCK_STATUS: (Transmission._block_status, FLAG_FUA | FLAG_REQ_ONE | FLAG_PAYLOAD_LEN, False),
}
"""For each command what carries it out, the flags that it may have (FUA any, says the specification: old clients set it
on a flush), and whether it changes the disk."""


def _pieces(offset: int, length: int, size: int) -> Iterator[tuple[int, int]]:
    """A range in pieces of at most `size` bytes, as (offset, length) each."""
    for start in range(offset, offset + length, size):
        yield start, min(size, offset + length - start)
