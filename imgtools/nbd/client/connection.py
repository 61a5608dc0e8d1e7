"""The client's half of the transmission: requests, many in flight, and the replies to them in any order.

A connection serves one thread at a time: `carry_out` sends a list of requests and returns when all are answered.
Data of reads goes straight to where it is wanted. Whatever a server sends is held against what was asked: an unknown
cookie, data outside the request's range or too much of it end the connection.

Specification: proto.md, "Transmission". Replies are simple, structured or extended, as was agreed.
"""

from __future__ import annotations

import os

from imgtools.block.node import fill_zero
from imgtools.errors import ImageError, InputOutput
from imgtools.nbd import protocol
from imgtools.nbd.client.handshake import printable, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgtools.block.node import Buffer
    from imgtools.nbd.client.channel import Channel
    from imgtools.nbd.client.handshake import Export

IN_FLIGHT = 16
"""Requests that wait for their reply at a time: as many as qemu-nbd works on for one connection."""
MAX_STATUS = protocol.STATUS_EXT_HEAD.size + protocol.MAX_DESCRIPTORS * protocol.STATUS_EXT_DESCRIPTOR.size
"""Bytes of the longest chunk that a block status may have."""
MAX_ERROR = protocol.CHUNK_ERROR_HEAD.size + protocol.MAX_STRING + protocol.CHUNK_OFFSET.size

VERBS = {
    protocol.CMD_READ: "read",
    protocol.CMD_WRITE: "write",
    protocol.CMD_FLUSH: "flush",
    protocol.CMD_TRIM: "trim",
    protocol.CMD_CACHE: "cache",
    protocol.CMD_WRITE_ZEROES: "write zeroes to",
    protocol.CMD_BLOCK_STATUS: "ask for the status of",
}


class Request:
    """One request, and what came of it.

    A read has the buffer to fill as `view`, a write what to store as `data`. `status` are the descriptors of a block
    status, (length, flags), by the name of their context.
    """

    __slots__ = ("command", "data", "error", "flags", "length", "offset", "received", "status", "view")

    def __init__(
        self,
        command: int,
        offset: int = 0,
        length: int = 0,
        *,
        flags: int = 0,
        data: Buffer | None = None,
        view: memoryview | None = None,
    ) -> None:
        self.command = command
        self.offset = offset
        self.length = length
        self.flags = flags
        self.data = data
        self.view = view
        self.restart()

    def restart(self) -> None:
        """Forget what came of it, to ask once more."""
        self.received = 0
        self.error: ImageError | None = None
        self.status: dict[str, list[tuple[int, int]]] = {}


class Connection:
    """An export, over one channel."""

    def __init__(self, channel: Channel, export: Export) -> None:
        self.channel = channel
        self.export = export
        self.is_broken = False
        self._cookie = 0
        extended = export.extended
        self._request = protocol.EXTENDED_REQUEST if extended else protocol.REQUEST
        self._magic = protocol.EXTENDED_REQUEST_MAGIC if extended else protocol.REQUEST_MAGIC
        self._write_flags = protocol.FLAG_PAYLOAD_LEN if extended else 0

    def carry_out(self, requests: Iterable[Request]) -> None:
        """Send requests and wait for the replies to all.

        Raises the error that the server gives for the first that fails, once all are answered; ConnectionLost or
        BrokenProtocol at once.
        """
        waiting: dict[int, Request] = {}
        following, failure = iter(requests), None
        try:
            while True:
                self._send(following, waiting)
                if not waiting:
                    break
                request = self._receive(waiting)
                failure = failure or (request and request.error)
        except BaseException:  # also Ctrl-C: the replies to what is in flight are never read
            self.is_broken = True
            self.channel.close()
            raise
        if failure:
            raise failure

    def close(self) -> None:
        """Take leave of the server."""
        if not self.is_broken:
            self.is_broken = True
            try:
                self.channel.send([self._request.pack(self._magic, 0, protocol.CMD_DISC, 0, 0, 0)])
            except InputOutput:
                pass  # the server has left before us
            self.channel.close()

    def _send(self, following: Iterator[Request], waiting: dict[int, Request]) -> None:
        """Send as many requests as may be in flight, all at once."""
        pieces: list[Buffer] = []
        while len(waiting) < IN_FLIGHT and (request := next(following, None)) is not None:
            self._cookie += 1
            waiting[self._cookie] = request
            flags = request.flags | (self._write_flags if request.data is not None else 0)
            head = (self._magic, flags, request.command, self._cookie, request.offset, request.length)
            pieces.append(self._request.pack(*head))
            if request.data is not None:
                pieces.append(request.data)
        if pieces:
            self.channel.send(pieces)

    def _receive(self, waiting: dict[int, Request]) -> Request | None:
        """Take one message from the server; the request that it completes, which no longer waits then."""
        head = self.channel.take(protocol.SIMPLE_REPLY.size)
        magic, error, cookie = protocol.SIMPLE_REPLY.unpack(head)
        if magic != protocol.SIMPLE_REPLY_MAGIC or self.export.extended:
            return self._receive_chunk(bytes(head), waiting)
        request = self._waiting(waiting, cookie)
        if request.command == protocol.CMD_READ:
            if self.export.structured:
                raise self.channel.broken("a simple reply to a read where structured ones were agreed")
            if not error:
                assert request.view is not None
                self.channel.receive_into(request.view)
        if error:
            request.error = self._failure(request, error, "")
        del waiting[cookie]
        return request

    def _receive_chunk(self, begun: bytes, waiting: dict[int, Request]) -> Request | None:
        """A chunk of a structured or extended reply, of which `begun` has been received."""
        layout = protocol.EXTENDED_REPLY if self.export.extended else protocol.STRUCTURED_REPLY
        expected = protocol.EXTENDED_REPLY_MAGIC if self.export.extended else protocol.STRUCTURED_REPLY_MAGIC
        head = begun + self.channel.take(layout.size - len(begun))
        magic, flags, kind, cookie, *rest = layout.unpack(head)
        if magic != expected or not self.export.structured:
            raise self.channel.broken(f"invalid magic 0x{magic:08x}")
        request = self._waiting(waiting, cookie)
        self._take_chunk(request, kind, rest[-1])
        if not flags & protocol.REPLY_DONE:
            return None
        if request.error is None:
            if request.command == protocol.CMD_READ and request.received != request.length:
                raise self.channel.broken(f"{request.received} bytes for a read of {request.length}")
            if request.command == protocol.CMD_BLOCK_STATUS and not request.status:
                raise self.channel.broken("a block status without content")
        del waiting[cookie]
        return request

    def _waiting(self, waiting: dict[int, Request], cookie: int) -> Request:
        if cookie not in waiting:
            raise self.channel.broken("a reply to a request that was not made")
        return waiting[cookie]

    def _take_chunk(self, request: Request, kind: int, length: int) -> None:
        """Read a chunk's content of `length` bytes, and note it."""
        if kind == protocol.CHUNK_OFFSET_DATA:
            start = self._place(request, length, length - protocol.CHUNK_OFFSET.size)
            assert request.view is not None
            self.channel.receive_into(request.view[start : start + length - protocol.CHUNK_OFFSET.size])
        elif kind == protocol.CHUNK_OFFSET_HOLE and length == protocol.CHUNK_HOLE.size:
            offset, hole = protocol.CHUNK_HOLE.unpack(self.channel.take(length))
            start = self._within(request, offset, hole)
            assert request.view is not None
            fill_zero(request.view[start : start + hole])
        elif kind in (protocol.CHUNK_BLOCK_STATUS, protocol.CHUNK_BLOCK_STATUS_EXT):
            self._take_status(request, kind, length)
        elif kind & protocol.CHUNK_IS_ERROR:
            self._take_error(request, length)
        elif kind != protocol.CHUNK_NONE or length:
            raise self.channel.broken(f"a chunk of type {kind} and {length} bytes")

    def _place(self, request: Request, length: int, data: int) -> int:
        """Where the data of an OFFSET_DATA chunk belongs in the request's buffer."""
        if length <= protocol.CHUNK_OFFSET.size:
            raise self.channel.broken(f"a data chunk of {length} bytes")
        (offset,) = protocol.CHUNK_OFFSET.unpack(self.channel.take(protocol.CHUNK_OFFSET.size))
        return self._within(request, offset, data)

    def _within(self, request: Request, offset: int, length: int) -> int:
        """The place in a read's buffer of `length` bytes at `offset` of the disk, which no other chunk may have."""
        start = offset - request.offset
        request.received += length
        if request.command != protocol.CMD_READ or start < 0 or start + length > request.length:
            raise self.channel.broken("data that was not asked for")
        if request.received > request.length:
            raise self.channel.broken("more data than was asked for")
        return start

    def _take_status(self, request: Request, kind: int, length: int) -> None:
        is_ext = kind == protocol.CHUNK_BLOCK_STATUS_EXT
        head = protocol.STATUS_EXT_HEAD if is_ext else protocol.STATUS_HEAD
        layout = protocol.STATUS_EXT_DESCRIPTOR if is_ext else protocol.STATUS_DESCRIPTOR
        if request.command != protocol.CMD_BLOCK_STATUS or is_ext != self.export.extended or length > MAX_STATUS:
            raise self.channel.broken(f"a block status of {length} bytes")
        if length <= head.size or (length - head.size) % layout.size:
            raise self.channel.broken(f"a block status of {length} bytes")
        content = self.channel.receive(length)
        context = self.export.contexts.get(head.unpack_from(content)[0])
        if context is None or context in request.status:
            raise self.channel.broken("the status of a context that was not asked for")
        request.status[context] = list(layout.iter_unpack(memoryview(content)[head.size :]))

    def _take_error(self, request: Request, length: int) -> None:
        if not protocol.CHUNK_ERROR_HEAD.size <= length <= MAX_ERROR:
            raise self.channel.broken(f"an error of {length} bytes")
        content = self.channel.receive(length)
        number, size = protocol.CHUNK_ERROR_HEAD.unpack_from(content)
        words = content[protocol.CHUNK_ERROR_HEAD.size :][:size]
        if not number:
            raise self.channel.broken("an error without a number")
        request.error = request.error or self._failure(request, number, text_of(words))

    def _failure(self, request: Request, number: int, words: str) -> ImageError:
        return InputOutput(
            f"could not {VERBS[request.command]} '{self.channel.name}': {os.strerror(number)}",
            path=self.channel.name,
            offset=request.offset,
            errno=number,
            hint=f"server reported: {printable(words)}" if words else None,
        )
