"""The server's half of the handshake: a client chooses an export, and both agree on extensions.

Specification: proto.md, "Handshake phase", fixed newstyle. Strangers speak first here, so everything is bounded: the
bytes of an option, the texts in it, and the time until the client has chosen (a server that waited for ever could
be filled up with half handshakes, as in CVE-2024-7409).

`OPTIONS` names a method for each option. It answers by `_reply`; an `OptionError` becomes the error reply.
"""

from __future__ import annotations

import time

from imgtools.nbd import protocol
from imgtools.nbd.server.replies import ExtendedReplies, SimpleReplies, StructuredReplies
from imgtools.nbd.server.wire import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

    from imgtools.nbd.server.export import Export
    from imgtools.nbd.server.status import Context

MAX_OPTION = 64 << 10
"""Bytes of an option. The longest sensible one asks for some contexts of 4096 bytes each."""
MAX_QUERIES = 64
"""In a meta context option: more than an export has contexts."""
PREFERRED_BLOCK = 4096
"""What a client should align its requests to, as it is a page of the host; any other is served, too."""


class OptionError(Exception):
    """An option that is refused: the error reply's type, and a text for people."""

    def __init__(self, type: int, text: str) -> None:
        super().__init__(text)
        self.type = type


class Agreement:
    """What the handshake ends with: the export, the shape of replies, and the socket, which may be TLS by now."""

    def __init__(
        self, socket: socket.socket, export: Export, replies: SimpleReplies, contexts: dict[int, Context], secure: bool
    ) -> None:
        self.socket = socket
        self.export = export
        self.replies = replies
        self.contexts = contexts
        """Meta contexts by the numbers that block status replies will have."""
        self.splices = not secure
        """Whether bytes may go from a file to the socket without passing through us."""


class Handshake:
    """One client's haggling. `tls`, where given, is required of the client before anything else."""

    def __init__(
        self, socket: socket.socket, exports: Mapping[str, Export], *, tls: ssl.SSLContext | None, limit: float
    ) -> None:
        self.socket = socket
        self.exports = exports
        self.tls = tls
        self.deadline = time.monotonic() + limit
        self.secure = False
        self.no_zeroes = False
        self.option = 0
        self.forget()

    def forget(self) -> None:
        """Nothing is agreed upon (any more)."""
        self.replies = SimpleReplies()
        self.contexts: dict[int, Context] = {}
        self.contexts_of = ""
        """The export that the contexts were asked of."""

    def run(self) -> Agreement | None:
        """Haggle until the client has chosen; None where it went away politely.

        Raises ProtocolError where it breaks the rules, OSError where it vanishes or takes too long.
        """
        flags = protocol.FIXED_NEWSTYLE | protocol.NO_ZEROES
        self._send(protocol.GREETING.pack(protocol.INIT_MAGIC, protocol.OPTION_MAGIC, flags))
        (answer,) = protocol.CLIENT_FLAGS.unpack(self._receive(protocol.CLIENT_FLAGS.size))
        if answer & ~flags or not answer & protocol.FIXED_NEWSTYLE:
            raise ProtocolError(f"the client's flags are {answer:#x}")
        self.no_zeroes = bool(answer & protocol.NO_ZEROES)
        while True:
            magic, self.option, length = protocol.OPTION.unpack(self._receive(protocol.OPTION.size))
            if magic != protocol.OPTION_MAGIC:
                raise ProtocolError("an option begins with the wrong magic number")
            try:
                data = self._receive_option(length)
                if self.option == protocol.OPT_ABORT:
                    self._reply(protocol.REP_ACK)
                    return None
                export = self._answer(data)
            except OptionError as error:
                if self.option == protocol.OPT_EXPORT_NAME:
                    raise ProtocolError(str(error)) from error  # this option knows no error replies
                self._reply(error.type, str(error).encode()[: protocol.MAX_STRING])
                continue
            if export is not None:
                self.socket.settimeout(None)
                contexts = self.contexts if self.contexts_of == export.name else {}
                return Agreement(self.socket, export, self.replies, contexts, self.secure)

    def _answer(self, data: bytes) -> Export | None:
        """Answer an option; the export, where it chose one."""
        if self.tls and not self.secure and self.option != protocol.OPT_STARTTLS:
            raise OptionError(protocol.REP_ERR_TLS_REQD, "TLS must be started first")
        if self.option not in OPTIONS:
            raise OptionError(protocol.REP_ERR_UNSUP, f"Unsupported option {self.option}")
        return OPTIONS[self.option](self, data)

    # Options.

    def _export_name(self, data: bytes) -> Export:
        if self.replies.extended:
            raise OptionError(protocol.REP_ERR_INVALID, "EXPORT_NAME after EXTENDED_HEADERS")
        export = self._find(_text(data))
        size, flags = export.node.size, self._flags(export)
        padding = 0 if self.no_zeroes else protocol.EXPORT_NAME_PADDING
        self._send(protocol.EXPORT_NAME_REPLY.pack(size, flags) + bytes(padding))
        return export

    def _list(self, data: bytes) -> None:
        _must_be_empty(data)
        for export in self.exports.values():
            name = export.name.encode()
            self._reply(protocol.REP_SERVER, protocol.NAME_LENGTH.pack(len(name)) + name + export.description.encode())
        self._reply(protocol.REP_ACK)

    def _starttls(self, data: bytes) -> None:
        _must_be_empty(data)
        if self.tls is None:
            raise OptionError(protocol.REP_ERR_POLICY, "TLS not configured")
        if self.secure:
            raise OptionError(protocol.REP_ERR_INVALID, "TLS already enabled")
        self._reply(protocol.REP_ACK)
        self._hurry()
        self.socket = self.tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.socket.do_handshake()
        self.secure = True
        self.forget()

    def _info(self, data: bytes) -> None:
        self._go(data)

    def _go(self, data: bytes) -> Export:
        """Tell what there is to know of an export. The block sizes are told to everybody."""
        name, rest = _take_name(data)
        count = len(rest) // protocol.INFO_TYPE.size - 1
        if len(rest) % 2 or count < 0 or protocol.COUNT16.unpack_from(rest)[0] != count:
            raise OptionError(protocol.REP_ERR_INVALID, "the number of information requests is wrong")
        wanted = {kind for (kind,) in protocol.INFO_TYPE.iter_unpack(rest[protocol.COUNT16.size :])}
        export = self._find(name)
        if protocol.INFO_NAME in wanted:
            self._reply(protocol.REP_INFO, protocol.INFO_TYPE.pack(protocol.INFO_NAME) + export.name.encode())
        if protocol.INFO_DESCRIPTION in wanted and export.description:
            head = protocol.INFO_TYPE.pack(protocol.INFO_DESCRIPTION)
            self._reply(protocol.REP_INFO, head + export.description.encode())
        sizes = (1, PREFERRED_BLOCK, protocol.MAX_PAYLOAD)
        self._reply(protocol.REP_INFO, protocol.INFO_BLOCK_SIZE_DATA.pack(protocol.INFO_BLOCK_SIZE, *sizes))
        facts = (protocol.INFO_EXPORT, export.node.size, self._flags(export))
        self._reply(protocol.REP_INFO, protocol.INFO_EXPORT_DATA.pack(*facts))
        self._reply(protocol.REP_ACK)
        return export

    def _structured_reply(self, data: bytes) -> None:
        _must_be_empty(data)
        if self.replies.extended:
            raise OptionError(protocol.REP_ERR_INVALID, "extended headers have been negotiated already")
        self.replies = StructuredReplies()
        self._reply(protocol.REP_ACK)

    def _extended_headers(self, data: bytes) -> None:
        _must_be_empty(data)
        self.replies = ExtendedReplies()
        self._reply(protocol.REP_ACK)

    def _list_meta_context(self, data: bytes) -> None:
        export, queries = self._read_queries(data)
        for name in export.contexts:
            if not queries or any(_lists(query, name) for query in queries):
                self._reply(protocol.REP_META_CONTEXT, protocol.CONTEXT_ID.pack(0) + name.encode())
        self._reply(protocol.REP_ACK)

    def _set_meta_context(self, data: bytes) -> None:
        self.contexts = {}
        export, queries = self._read_queries(data)
        chosen = [context for name, context in export.contexts.items() if name in queries]
        self.contexts = dict(enumerate(chosen))
        self.contexts_of = export.name
        for number, context in self.contexts.items():
            self._reply(protocol.REP_META_CONTEXT, protocol.CONTEXT_ID.pack(number) + context.name.encode())
        self._reply(protocol.REP_ACK)

    def _read_queries(self, data: bytes) -> tuple[Export, list[str]]:
        if not isinstance(self.replies, StructuredReplies):
            raise OptionError(protocol.REP_ERR_INVALID, "meta contexts need structured replies")
        name, rest = _take_name(data)
        if len(rest) < protocol.COUNT32.size:
            raise OptionError(protocol.REP_ERR_INVALID, "the number of queries is missing")
        (count,) = protocol.COUNT32.unpack_from(rest)
        if count > MAX_QUERIES:
            raise OptionError(protocol.REP_ERR_TOO_BIG, f"more than {MAX_QUERIES} queries")
        rest, queries = rest[protocol.COUNT32.size :], []
        for _ in range(count):
            query, rest = _take_name(rest)
            queries.append(query)
        _must_be_empty(rest)
        return self._find(name), queries

    def _find(self, name: str) -> Export:
        export = self.exports.get(name)
        if export is None:
            raise OptionError(protocol.REP_ERR_UNKNOWN, f"export '{name}' not present")
        return export

    def _flags(self, export: Export) -> int:
        structured = isinstance(self.replies, StructuredReplies)
        return export.flags(structured=structured, extended=self.replies.extended)

    # Bytes.

    def _reply(self, type: int, data: bytes = b"") -> None:
        head = protocol.OPTION_REPLY.pack(protocol.OPTION_REPLY_MAGIC, self.option, type, len(data))
        self._send(head + data)

    def _send(self, data: bytes) -> None:
        self._hurry()
        self.socket.sendall(data)

    def _receive_option(self, length: int) -> bytes:
        """The data of an option; too long ones are thrown away. Raises OptionError, ProtocolError."""
        if length <= MAX_OPTION:
            return self._receive(length)
        if length > protocol.MAX_PAYLOAD:
            raise ProtocolError(f"an option of {length} bytes")
        while length:
            length -= len(self._receive(min(length, MAX_OPTION)))
        raise OptionError(protocol.REP_ERR_TOO_BIG, f"an option of more than {MAX_OPTION} bytes")

    def _receive(self, length: int) -> bytes:
        pieces = []
        while length:
            self._hurry()
            piece = self.socket.recv(length)
            if not piece:
                raise ProtocolError("the client hung up in the middle of the handshake")
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _hurry(self) -> None:
        """Let the next call on the socket take no longer than the client has time."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)


OPTIONS: dict[int, Callable[[Handshake, bytes], Export | None]] = {
    protocol.OPT_EXPORT_NAME: Handshake._export_name,
    protocol.OPT_LIST: Handshake._list,
    protocol.OPT_STARTTLS: Handshake._starttls,
    protocol.OPT_INFO: Handshake._info,
    protocol.OPT_GO: Handshake._go,
    protocol.OPT_STRUCTURED_REPLY: Handshake._structured_reply,
    protocol.OPT_LIST_META_CONTEXT: Handshake._list_meta_context,
    protocol.OPT_SET_META_CONTEXT: Handshake._set_meta_context,
    protocol.OPT_EXTENDED_HEADERS: Handshake._extended_headers,
}


def _must_be_empty(data: bytes) -> None:
    if data:
        raise OptionError(protocol.REP_ERR_INVALID, "the option has data that does not belong there")


def _take_name(data: bytes) -> tuple[str, bytes]:
    """The text, with its length in front, that `data` begins with; and the rest."""
    start = protocol.NAME_LENGTH.size
    if len(data) < start:
        raise OptionError(protocol.REP_ERR_INVALID, "the option is cut short")
    (length,) = protocol.NAME_LENGTH.unpack_from(data)
    if length > len(data) - start:
        raise OptionError(protocol.REP_ERR_INVALID, "a name is longer than the option")
    return _text(data[start : start + length]), data[start + length :]


def _text(data: bytes) -> str:
    if len(data) > protocol.MAX_STRING:
        raise OptionError(protocol.REP_ERR_INVALID, f"a name of more than {protocol.MAX_STRING} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise OptionError(protocol.REP_ERR_INVALID, "a name that is not UTF-8") from None


def _lists(query: str, name: str) -> bool:
    """Whether a query of LIST_META_CONTEXT means this context: by its name, or the beginning up to a colon."""
    return query == name or (query.endswith(":") and name.startswith(query))
