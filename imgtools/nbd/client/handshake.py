"""The client's half of the handshake: what a server has, and the choice of an export.

Specification: proto.md, "Fixed newstyle negotiation". What is better than plain NBD is asked for and done without
where a server lacks it: extended headers, structured replies, meta contexts, GO.
"""

from __future__ import annotations

import time

from imgtools.align import is_power_of_two
from imgtools.errors import InputOutput, UnsupportedFeature
from imgtools.nbd import protocol
from imgtools.nbd.protocol import MAX_PAYLOAD, MAX_STRING

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from imgtools.nbd.client.channel import Channel

OPTION_NAMES = {
    protocol.OPT_EXPORT_NAME: "export name",
    protocol.OPT_LIST: "list",
    protocol.OPT_STARTTLS: "starttls",
    protocol.OPT_INFO: "info",
    protocol.OPT_GO: "go",
    protocol.OPT_STRUCTURED_REPLY: "structured reply",
    protocol.OPT_LIST_META_CONTEXT: "list meta context",
    protocol.OPT_SET_META_CONTEXT: "set meta context",
    protocol.OPT_EXTENDED_HEADERS: "extended headers",
}
MAX_REPLY = 4 * MAX_STRING
"""Bytes of a reply to an option: the longest ones have two strings."""
MAX_REPLIES = 10_000
"""Replies to one option. A server may list thousands of exports, but not without end."""
LARGEST_SIZE = (1 << 63) - 1
EXPECTED_INFO = (protocol.INFO_BLOCK_SIZE, protocol.INFO_DESCRIPTION)


class Refusal(InputOutput):
    """The server has answered an option with an error of this reply type."""

    def __init__(self, message: str, type: int, *, path: str, hint: str | None) -> None:
        super().__init__(message, path=path, hint=hint)
        self.type = type


class Export:
    """What a server tells of an export; sizes in bytes, the server's words for people in `description`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.description = ""
        self.size = 0
        self.flags = 0
        self.minimum_block = 1
        self.preferred_block = 4096
        self.maximum_payload = MAX_PAYLOAD
        self.has_block_sizes = False
        self.structured = False
        self.extended = False
        self.tls = False
        self.contexts: dict[int, str] = {}
        """The meta contexts that block status will tell, by their number in replies."""

    def can(self, flag: int) -> bool:
        return bool(self.flags & flag)


class Handshake:
    """The negotiation on `channel`, which has to be over in `patience` seconds."""

    def __init__(self, channel: Channel, patience: float) -> None:
        self.channel = channel
        self.deadline = time.monotonic() + patience
        channel.limit_waits(patience)
        self.tls = False
        self.structured = self.extended = False
        self.no_zeroes = False
        self._greet()

    def start_tls(self, context: ssl.SSLContext, hostname: str | None) -> None:
        """Have all that follows encrypted."""
        self._expect_ack(protocol.OPT_STARTTLS)
        self.channel.start_tls(context, hostname)
        self.tls = True

    def extend(self) -> None:
        """Agree on extended headers, or at least on structured replies."""
        self.extended = self._agrees(protocol.OPT_EXTENDED_HEADERS)
        self.structured = self.extended or self._agrees(protocol.OPT_STRUCTURED_REPLY)

    def exports(self) -> list[tuple[str, str]]:
        """The names of the server's exports, with its descriptions."""
        found = []
        for type, data in self._replies(protocol.OPT_LIST):
            if type != protocol.REP_SERVER or len(data) < protocol.NAME_LENGTH.size:
                raise self.channel.broken(f"reply {type} to a request for the list of exports")
            end = protocol.NAME_LENGTH.size + protocol.NAME_LENGTH.unpack_from(data)[0]
            if end > len(data):
                raise self.channel.broken("a name longer than its reply")
            found.append((text_of(data[protocol.NAME_LENGTH.size : end]), text_of(data[end:])))
        return found

    def contexts(self, export: str) -> list[str]:
        """The names of the meta contexts that an export has."""
        if not self.structured:
            return []
        try:
            return list(self._contexts(protocol.OPT_LIST_META_CONTEXT, export, ()).values())
        except Refusal:
            return []

    def go(self, name: str, contexts: Sequence[str] = (), *, option: int = protocol.OPT_GO) -> Export:
        """Choose an export, and end the handshake; with OPT_INFO only look at it."""
        export = Export(name)
        export.structured, export.extended, export.tls = self.structured, self.extended, self.tls
        if contexts and self.structured:
            try:
                export.contexts = self._contexts(protocol.OPT_SET_META_CONTEXT, name, contexts)
            except Refusal:
                pass  # block status is not asked for then
        encoded = encode(name)
        wanted = b"".join(map(protocol.INFO_TYPE.pack, EXPECTED_INFO))
        request = protocol.NAME_LENGTH.pack(len(encoded)) + encoded + protocol.COUNT16.pack(len(EXPECTED_INFO)) + wanted
        is_described = False
        try:
            for type, data in self._replies(option, request):
                is_described |= self._take_info(export, type, data)
        except Refusal as error:
            if error.type == protocol.REP_ERR_UNSUP and option == protocol.OPT_GO:
                return self._choose_by_name(export, encoded)
            raise
        if not is_described:
            raise self.channel.broken("an export of which it does not tell the size")
        return self._checked(export)

    def abort(self) -> None:
        """Take leave without an export."""
        self._send(protocol.OPT_ABORT, b"")

    def _greet(self) -> None:
        magic, option_magic, flags = protocol.GREETING.unpack(self.channel.take(protocol.GREETING.size))
        if magic != protocol.INIT_MAGIC:
            raise self.channel.broken("Bad initial magic received")
        if int.from_bytes(option_magic, "big") == protocol.OLDSTYLE_MAGIC:
            raise UnsupportedFeature(f"NBD server at '{self.channel.name}' speaks only the protocol of before 2012")
        if option_magic != protocol.OPTION_MAGIC or not flags & protocol.FIXED_NEWSTYLE:
            raise self.channel.broken("Bad server magic received")
        self.no_zeroes = bool(flags & protocol.NO_ZEROES)
        self.channel.send([protocol.CLIENT_FLAGS.pack(flags & (protocol.FIXED_NEWSTYLE | protocol.NO_ZEROES))])

    def _send(self, option: int, data: bytes) -> None:
        self.channel.send([protocol.OPTION.pack(protocol.OPTION_MAGIC, option, len(data)) + data])

    def _replies(self, option: int, data: bytes = b"") -> Iterator[tuple[int, bytes]]:
        """Ask for an option: type and data of each reply before the last one. Raises Refusal."""
        self._send(option, data)
        for _ in range(MAX_REPLIES):
            magic, answered, type, length = protocol.OPTION_REPLY.unpack(self.channel.take(protocol.OPTION_REPLY.size))
            if magic != protocol.OPTION_REPLY_MAGIC or answered != option:
                raise self.channel.broken("Unexpected option reply magic or type")
            if length > MAX_REPLY:
                raise self.channel.broken(f"a reply of {length} bytes to option {option}")
            if time.monotonic() > self.deadline:
                raise self.channel.broken("its handshake does not come to an end")
            content = self.channel.receive(length)
            if type == protocol.REP_ACK:
                return
            if type & protocol.REP_ERROR:
                raise self._refusal(option, type, text_of(content))
            yield type, content
        raise self.channel.broken(f"more than {MAX_REPLIES} replies to option {option}")

    def _expect_ack(self, option: int) -> None:
        for type, _ in self._replies(option):
            raise self.channel.broken(f"reply {type} to option {option}")

    def _agrees(self, option: int) -> bool:
        try:
            self._expect_ack(option)
        except Refusal:
            return False  # if the reason is that TLS is missing, the choice of an export will tell
        return True

    def _contexts(self, option: int, export: str, queries: Sequence[str]) -> dict[int, str]:
        """What a server answers to meta context queries: number to name."""
        parts = [encode(export), *map(encode, queries)]
        sized = [protocol.NAME_LENGTH.pack(len(part)) + part for part in parts]
        request = sized[0] + protocol.COUNT32.pack(len(queries)) + b"".join(sized[1:])
        found: dict[int, str] = {}
        for type, data in self._replies(option, request):
            if type != protocol.REP_META_CONTEXT or len(data) < protocol.CONTEXT_ID.size:
                raise self.channel.broken(f"reply {type} to a request for meta contexts")
            number = protocol.CONTEXT_ID.unpack_from(data)[0]
            found[number if queries else len(found)] = text_of(data[protocol.CONTEXT_ID.size :])
        return {number: name for number, name in found.items() if not queries or name in queries}

    def _take_info(self, export: Export, type: int, data: bytes) -> bool:
        """Note what one reply to INFO or GO tells; whether that was the size."""
        if type != protocol.REP_INFO or len(data) < protocol.INFO_TYPE.size:
            raise self.channel.broken(f"reply {type} to the choice of an export")
        kind = protocol.INFO_TYPE.unpack_from(data)[0]
        if kind == protocol.INFO_EXPORT and len(data) == protocol.INFO_EXPORT_DATA.size:
            _, export.size, export.flags = protocol.INFO_EXPORT_DATA.unpack(data)
            return True
        if kind == protocol.INFO_DESCRIPTION:
            export.description = text_of(data[protocol.INFO_TYPE.size :])
        elif kind == protocol.INFO_BLOCK_SIZE and len(data) == protocol.INFO_BLOCK_SIZE_DATA.size:
            _, *sizes = protocol.INFO_BLOCK_SIZE_DATA.unpack(data)
            export.minimum_block, export.preferred_block, export.maximum_payload = sizes
            export.has_block_sizes = True
        return False

    def _choose_by_name(self, export: Export, name: bytes) -> Export:
        """The way of servers without GO: they hang up where they have no such export."""
        self._send(protocol.OPT_EXPORT_NAME, name)
        reply = self.channel.take(protocol.EXPORT_NAME_REPLY.size)
        export.size, export.flags = protocol.EXPORT_NAME_REPLY.unpack(reply)
        if not self.no_zeroes:
            self.channel.take(protocol.EXPORT_NAME_PADDING)
        return self._checked(export)

    def _checked(self, export: Export) -> Export:
        sizes = (export.minimum_block, export.preferred_block)
        if export.size > LARGEST_SIZE:
            raise self.channel.broken(f"an export of {export.size} bytes")
        if not all(map(is_power_of_two, sizes)) or export.minimum_block > min(65536, export.preferred_block):
            raise self.channel.broken(f"block sizes of {sizes[0]} and {sizes[1]} bytes")
        if export.maximum_payload < export.minimum_block:
            raise self.channel.broken(f"a largest payload of {export.maximum_payload} bytes")
        export.maximum_payload = min(export.maximum_payload, MAX_PAYLOAD)
        return export

    def _refusal(self, option: int, type: int, words: str) -> Refusal:
        what = f"option {option} ({OPTION_NAMES.get(option, 'unknown')})"
        texts = {
            protocol.REP_ERR_UNSUP: f"Server doesn't support {what}",
            protocol.REP_ERR_POLICY: f"Denied by server for {what}",
            protocol.REP_ERR_INVALID: f"Invalid parameters for {what}",
            protocol.REP_ERR_PLATFORM: f"Server lacks support for {what}",
            protocol.REP_ERR_TLS_REQD: f"TLS negotiation required before {what}",
            protocol.REP_ERR_UNKNOWN: "Requested export not available",
            protocol.REP_ERR_SHUTDOWN: f"Server shutting down before {what}",
            protocol.REP_ERR_BLOCK_SIZE_REQD: f"Server requires INFO_BLOCK_SIZE for {what}",
        }
        hints = [f"server reported: {printable(words)}"] if words else []
        if type == protocol.REP_ERR_TLS_REQD:
            hints.insert(0, "Did you forget a valid tls-creds?")
        text = texts.get(type, f"Unknown error code when asking for {what}")
        return Refusal(text, type, path=self.channel.name, hint="\n".join(hints) or None)


def encode(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def text_of(data: bytes) -> str:
    """A server's text for people or for use as a name, no longer than the specification allows."""
    return data[:MAX_STRING].decode(errors="surrogateescape")


def printable(text: str) -> str:
    """A server's words as one line that does nothing to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
