"""The three shapes of replies: simple, structured, and with extended headers.

All of them are short and made as bytes; a read's data is sent behind its header from wherever it lies.
"""

from __future__ import annotations

from struct import Struct

from imgtools.errors import BadOption, ImageError, OutOfBounds, ReadOnly, UnsupportedFeature
from imgtools.nbd import protocol
from imgtools.nbd.protocol import (
    CHUNK_OFFSET_DATA,
    EXTENDED_REPLY_MAGIC,
    REPLY_DONE,
    SIMPLE_REPLY,
    SIMPLE_REPLY_MAGIC,
    STRUCTURED_REPLY_MAGIC,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OFFSET_SIZE = protocol.CHUNK_OFFSET.size


class SimpleReplies:
    """Replies without extensions: an error number, and the data of a read."""

    request = protocol.REQUEST
    request_magic = protocol.REQUEST_MAGIC
    extended = False
    """Whether requests have the extended header, in which a flag says that data follows."""
    data_head = protocol.SIMPLE_REPLY.size

    def data(self, cookie: int, request: int, offset: int, length: int, flags: int) -> bytes:
        """The header of `length` bytes at `offset`, for the read that began at `request`; has `data_head` bytes."""
        return SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, 0, cookie)

    def done(self, cookie: int, offset: int) -> bytes:
        """A request without data went well."""
        return protocol.SIMPLE_REPLY.pack(protocol.SIMPLE_REPLY_MAGIC, 0, cookie)

    def empty(self, cookie: int, offset: int) -> bytes:
        """A read of no bytes went well."""
        return self.done(cookie, offset)

    def error(self, cookie: int, offset: int, error: int, text: str) -> bytes:
        """A request failed; `text` is for people, where there is room for it."""
        return protocol.SIMPLE_REPLY.pack(protocol.SIMPLE_REPLY_MAGIC, error, cookie)


class StructuredReplies(SimpleReplies):
    """Replies in chunks, each of a type. What carries no data may still be answered by a simple reply."""

    _data = Struct(">IHHQIQ")
    """STRUCTURED_REPLY and CHUNK_OFFSET."""
    data_head = _data.size

    def data(self, cookie: int, request: int, offset: int, length: int, flags: int) -> bytes:
        return self._data.pack(STRUCTURED_REPLY_MAGIC, flags, CHUNK_OFFSET_DATA, cookie, length + OFFSET_SIZE, offset)

    def empty(self, cookie: int, offset: int) -> bytes:
        return self.chunk(REPLY_DONE, protocol.CHUNK_NONE, cookie, offset, b"")

    def error(self, cookie: int, offset: int, error: int, text: str) -> bytes:
        return self.chunk(REPLY_DONE, protocol.CHUNK_ERROR, cookie, offset, error_content(error, text))

    def hole(self, cookie: int, request: int, offset: int, length: int, flags: int) -> bytes:
        """`length` zero bytes at `offset`, for the read that began at `request`."""
        content = protocol.CHUNK_HOLE.pack(offset, length)
        return self.chunk(flags, protocol.CHUNK_OFFSET_HOLE, cookie, request, content)

    def status(self, cookie: int, offset: int, context: int, runs: Sequence[tuple[int, int]], flags: int) -> bytes:
        """The block status in one context, as (length, status) each."""
        content = [protocol.STATUS_HEAD.pack(context)]
        content += [protocol.STATUS_DESCRIPTOR.pack(*run) for run in runs]
        return self.chunk(flags, protocol.CHUNK_BLOCK_STATUS, cookie, offset, b"".join(content))

    def chunk(self, flags: int, kind: int, cookie: int, offset: int, content: bytes) -> bytes:
        head = protocol.STRUCTURED_REPLY.pack(protocol.STRUCTURED_REPLY_MAGIC, flags, kind, cookie, len(content))
        return head + content


class ExtendedReplies(StructuredReplies):
    """Structured replies whose headers count in 64 bits, for requests that do."""

    request = protocol.EXTENDED_REQUEST
    request_magic = protocol.EXTENDED_REQUEST_MAGIC
    extended = True
    _data = Struct(">IHHQQQQ")
    """EXTENDED_REPLY and CHUNK_OFFSET."""
    data_head = _data.size

    def data(self, cookie: int, request: int, offset: int, length: int, flags: int) -> bytes:
        head = (EXTENDED_REPLY_MAGIC, flags, CHUNK_OFFSET_DATA, cookie, request, length + OFFSET_SIZE, offset)
        return self._data.pack(*head)

    def done(self, cookie: int, offset: int) -> bytes:
        return self.empty(cookie, offset)

    def status(self, cookie: int, offset: int, context: int, runs: Sequence[tuple[int, int]], flags: int) -> bytes:
        content = [protocol.STATUS_EXT_HEAD.pack(context, len(runs))]
        content += [protocol.STATUS_EXT_DESCRIPTOR.pack(*run) for run in runs]
        return self.chunk(flags, protocol.CHUNK_BLOCK_STATUS_EXT, cookie, offset, b"".join(content))

    def chunk(self, flags: int, kind: int, cookie: int, offset: int, content: bytes) -> bytes:
        head = protocol.EXTENDED_REPLY.pack(protocol.EXTENDED_REPLY_MAGIC, flags, kind, cookie, offset, len(content))
        return head + content


def error_content(error: int, text: str) -> bytes:
    """What an error chunk holds: the error, and a text for people that is cut where it is too long."""
    words = text.encode(errors="replace")[: protocol.MAX_STRING].decode(errors="ignore").encode()
    return protocol.CHUNK_ERROR_HEAD.pack(error, len(words)) + words


def number_of(error: ImageError) -> int:
    """The protocol's number for an error."""
    if error.errno:
        return protocol.ERROR_OF_ERRNO.get(error.errno, protocol.EIO)
    if isinstance(error, ReadOnly):
        return protocol.EPERM
    if isinstance(error, UnsupportedFeature):
        return protocol.ENOTSUP
    return protocol.EINVAL if isinstance(error, OutOfBounds | BadOption) else protocol.EIO
