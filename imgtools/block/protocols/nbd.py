"""A disk that an NBD server has: nbd://host/export, nbd+unix:///export?socket=PATH, or options (server.path=...).

Large reads and writes become many requests that are under way together; where the server lets several connections
in, threads use one each. Extents are the server's block status. A server may demand that requests begin and end on
blocks: smaller ones are then widened, writes by reading what is around them first.
"""

from __future__ import annotations

import errno
from _thread import RLock

from imgtools.align import round_down, round_up
from imgtools.block.driver import Driver, Option
from imgtools.block.extent import ABSENT, DATA, RESERVED, ZERO, Extent, merge
from imgtools.block.node import Storage, fill_zero
from imgtools.errors import BadOption, InputOutput, ReadOnly
from imgtools.nbd import protocol
from imgtools.nbd.address import Address, address_of, options_of_name
from imgtools.nbd.client.connection import Request
from imgtools.nbd.client.session import CONNECTIONS, REPLY_PATIENCE, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Change, Node

PIECE = 256 << 10
"""Bytes of a request when there is more to read or write: its data fits the caches, and several are under way."""
LARGEST_STATUS = 1 << 30
"""Bytes whose status is asked for at a time, which bounds what an answer may have to list."""


KINDS = (DATA, ABSENT, RESERVED, ZERO)
"""Of an extent, by the flags of base:allocation; other contexts' are read alike, as QEMU does."""


class NbdNode(Storage):
    """An export, by a session. Its size is fixed; past its end it reads as zeroes and takes no writes."""

    driver = "nbd"
    fixed_layout = True
    starts_as_zeroes = False

    def __init__(
        self, session: Session, filename: str, *, read_only: bool, cache: str = "writeback", context: str
    ) -> None:
        export = session.export
        super().__init__(filename, export.size, read_only=read_only)
        self.session = session
        self.export = export
        self.cache = cache
        self.context = context
        """The meta context that extents are made of."""
        self.block = export.minimum_block
        self.piece = max(self.block, round_down(min(PIECE, export.maximum_payload), self.block))
        self._fua = cache in ("writethrough", "directsync") and export.can(protocol.SEND_FUA)
        self._changing = RLock()
        """Held by writers where blocks are larger than a byte: they may read and write what others write."""

    def readinto(self, offset: int, buffer: memoryview) -> None:
        inside = max(0, min(len(buffer), self.size - offset))
        if inside < len(buffer):
            fill_zero(buffer[inside:])
            buffer = buffer[:inside]
        first, last = round_down(offset, self.block), round_up(offset + inside, self.block)
        if last - first != inside:
            whole = bytearray(last - first)
            self._read(first, memoryview(whole))
            buffer[:] = memoryview(whole)[offset - first :][:inside]
        elif inside:
            self._read(offset, buffer)

    def read(self, offset: int, length: int) -> bytes:
        """As Node.read, but past the end the answer is short, as a file's is."""
        return super().read(offset, max(0, min(length, self.size - offset)))

    def write(self, offset: int, data: Buffer) -> None:
        self._check_write(offset, len(data))
        with memoryview(data) as plain, plain.cast("B") as view:
            if self.block == 1:
                self._write(offset, view)
                return
            with self._changing:
                self._write_widened(offset, view)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._check_write(offset, length)
        first, last = round_up(offset, self.block), round_down(offset + length, self.block)
        if not self.export.can(protocol.SEND_WRITE_ZEROES) or first >= last:
            super().zero(offset, length, unmap=unmap)
            return
        with self._changing:
            super().zero(offset, first - offset)
            flags = 0 if unmap else protocol.FLAG_NO_HOLE
            self._change(self._commands(protocol.CMD_WRITE_ZEROES, first, last, flags))
            super().zero(last, offset + length - last)

    def discard(self, offset: int, length: int) -> None:
        self._check_write(offset, length)
        if self.export.can(protocol.SEND_TRIM):
            first, last = round_up(offset, self.block), round_down(offset + length, self.block)
            with self._changing:
                self._change(self._commands(protocol.CMD_TRIM, first, last))

    def apply(self, changes: Iterable[Change]) -> None:
        """As Node.apply: where nothing has to be widened to whole blocks, all of it is under way together."""
        if self.block > 1 or not self.export.can(protocol.SEND_WRITE_ZEROES):
            super().apply(changes)
            return
        requests: list[Request] = []
        for offset, length, data in changes:
            self._check_write(offset, length)
            if data is None:
                requests += self._commands(protocol.CMD_WRITE_ZEROES, offset, offset + length)
            else:
                requests += self._writes(offset, data)
        self._change(requests)

    def flush(self) -> None:
        if self.cache != "unsafe" and not self.read_only and self.export.can(protocol.SEND_FLUSH):
            self.session.carry_out([Request(protocol.CMD_FLUSH)])

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        end = min(offset + length, self.size)
        if offset < end:
            yield from merge(self._known(offset, end))
        if end < offset + length:
            start = max(offset, end)
            yield Extent(start, offset + length - start, ZERO, 0, self, start)

    def status(self, context: str, offset: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(start, length, flags) over a range, as the server tells for a meta context that was agreed upon."""
        while offset < end:
            first = round_down(offset, self.block)
            request = Request(protocol.CMD_BLOCK_STATUS, first, min(round_up(end, self.block) - first, LARGEST_STATUS))
            self.session.carry_out([request])
            position = first
            for length, flags in request.status.get(context, ()):
                stop = min(position + length, end)
                if stop > offset:
                    yield offset, stop - offset, flags
                    offset = stop
                position += length
            if position <= first:
                raise InputOutput(f"NBD server at '{self.filename}' gives no block status", path=self.filename)

    def limits(self) -> dict[str, int]:
        own = {"request-alignment": self.block, "max-transfer": self.export.maximum_payload}
        return {**super().limits(), **own, "opt-transfer": self.export.preferred_block}

    def truncate(self, size: int) -> None:
        """An export keeps its size; a file that is to be shorter leaves the rest of it unused."""
        if size > self.size:
            raise InputOutput("Cannot grow NBD nodes", path=self.filename, errno=errno.ENOTSUP)

    def allocate(self, offset: int, length: int) -> None:
        self._check_write(offset, length)

    def close(self) -> None:
        self.session.close()

    @property
    def allocated_size(self) -> int | None:
        return None

    @property
    def _fua_flag(self) -> int:
        return protocol.FLAG_FUA if self._fua else 0

    def _check_write(self, offset: int, length: int) -> None:
        if self.read_only:
            self.refuse_write()
        if offset + length > self.size:
            raise InputOutput(
                f"'{self.filename}' ends at byte {self.size}", path=self.filename, offset=offset, errno=errno.ENOSPC
            )

    def _read(self, offset: int, buffer: memoryview) -> None:
        self.session.carry_out(
            [
                Request(protocol.CMD_READ, offset + start, len(view), view=view)
                for start in range(0, len(buffer), self.piece)
                if (view := buffer[start : start + self.piece])
            ]
        )

    def _write(self, offset: int, data: memoryview) -> None:
        self._change(self._writes(offset, data))

    def _writes(self, offset: int, data: memoryview) -> list[Request]:
        return [
            Request(protocol.CMD_WRITE, offset + start, len(piece), data=piece, flags=self._fua_flag)
            for start in range(0, len(data), self.piece)
            if (piece := data[start : start + self.piece])
        ]

    def _change(self, requests: list[Request]) -> None:
        """Carry out requests that write, as durably as the cache mode says."""
        self.session.carry_out(requests)
        if self.cache in ("writethrough", "directsync") and not self._fua:
            self.flush()

    def _write_widened(self, offset: int, data: memoryview) -> None:
        """Write `data` and what is around it in the blocks at its ends, which is read before."""
        end, block = offset + len(data), self.block
        first, last = round_down(offset, block), round_up(end, block)
        if (first, last) == (offset, end):
            self._write(offset, data)
            return
        whole = memoryview(bytearray(last - first))
        self._read(first, whole[:block])
        self._read(last - block, whole[-block:])
        whole[offset - first : end - first] = data
        self._write(first, whole)

    def _commands(self, command: int, first: int, last: int, flags: int = 0) -> list[Request]:
        """A command without data on a range, in as few requests as its length field allows."""
        largest = last if self.export.extended else round_down(protocol.MAX_LENGTH, max(self.block, 4096))
        starts, flags = range(first, last, largest or 1), flags | self._fua_flag
        return [Request(command, start, min(largest, last - start), flags=flags) for start in starts]

    def _known(self, offset: int, end: int) -> Iterator[Extent]:
        if self.context not in self.export.contexts.values():
            yield Extent(offset, end - offset, DATA, 0, self, offset)
            return
        for start, length, flags in self.status(self.context, offset, end):
            # Of depths only their difference from 1 counts.
            kind = KINDS[min(flags, 2) if self.context == protocol.ALLOCATION_DEPTH else flags & 3]
            yield Extent(start, length, kind, 0, self, None if kind == ABSENT else start)


class NbdDriver(Driver):
    """An NBD server's export."""

    name = "nbd"
    is_protocol = True
    children = ()
    open_options = (
        Option("server.type", "text", "how the server is reached", choices=("inet", "unix"), identity=True),
        Option("server.path", "text", "its unix socket", identity=True),
        Option("server.host", "text", "its host", identity=True),
        Option("server.port", "text", "its TCP port", identity=True),
        Option("path", "text", "the same as server.path", identity=True),
        Option("host", "text", "the same as server.host", identity=True),
        Option("port", "text", "the same as server.port", identity=True),
        Option("export", "text", "the export's name", identity=True),
        Option("x-dirty-bitmap", "text", "the meta context to make extents of, in place of base:allocation"),
        Option("tls-creds", "text", "the id of the object that has the TLS credentials"),
        Option("tls-hostname", "text", "the name that the server's certificate must have"),
        Option("tls", "bool", "use TLS, with the system's certificate authorities"),
        Option("tls-certificates", "text", "use TLS; a directory with ca-cert.pem, client-cert.pem and client-key.pem"),
        Option("tls-psk-file", "text", "use TLS; a file with a key that the server knows: USER:KEY"),
        Option("tls-username", "text", "whose key that is (the login name)"),
        Option("tls-verify-peer", "bool", "look at the server's certificate"),
        Option("reconnect-delay", "int", "seconds for which a lost connection is tried again (0)"),
        Option("open-timeout", "int", "seconds for which a first connection is tried again (0)"),
        Option("timeout", "int", f"seconds without an answer after which a server is dead ({REPLY_PATIENCE:.0f})"),
        Option("connections", "int", f"connections at most ({CONNECTIONS}), where the server lets several in"),
    )

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        return open_export(context.options, context)

    def parse_name(self, name: str) -> dict[str, Any]:
        return options_of_name(name)

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        address: Address = address_of(options)
        return address.uri()


def open_export(
    options: dict[str, Any], context: Context, contexts: Sequence[str] = (protocol.BASE_ALLOCATION,)
) -> NbdNode:
    """The export that the driver's options describe; block status will tell `contexts`, extents the first of them."""
    wanted = options.get("x-dirty-bitmap")
    contexts = contexts if wanted is None else (wanted,)
    address, tls = address_of(options), tls_context(options, context.objects)
    session = Session(
        address,
        tls=tls,
        tls_hostname=options.get("tls-hostname"),
        contexts=contexts,
        connections=options.get("connections", CONNECTIONS),
        open_timeout=options.get("open-timeout", 0),
        reconnect_delay=options.get("reconnect-delay", 0),
        reply_timeout=options.get("timeout", REPLY_PATIENCE),
    )
    if wanted is not None and wanted not in session.export.contexts.values():
        session.close()
        raise BadOption(f"requested x-dirty-bitmap {wanted} not found", path=address.server)
    if context.writable and session.export.can(protocol.READ_ONLY):
        session.close()
        raise ReadOnly("request on denied: the NBD export is read-only", path=address.server)
    return NbdNode(
        session,
        address.uri(tls=tls is not None),
        read_only=not context.writable,
        cache=context.cache,
        context=contexts[0],
    )


def tls_context(options: dict[str, Any], objects: dict[str, Any]) -> ssl.SSLContext | None:
    """What the options say of TLS; None where it is not to be used."""
    if "tls-creds" in options:
        from imgtools.nbd.credentials import context_of

        return context_of(options["tls-creds"], objects, "client")
    if "tls-psk-file" in options:
        from imgtools.nbd.tls import client_context_of_keys

        return client_context_of_keys(options["tls-psk-file"], options.get("tls-username") or login_name())
    if options.get("tls") or "tls-certificates" in options:
        from imgtools.nbd.tls import client_context

        return client_context(options.get("tls-certificates"), verify_peer=options.get("tls-verify-peer", True))
    return None


def login_name() -> str:
    """Who a client with a key says that it is, unless it is told otherwise: as libnbd does."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise BadOption("a server that knows users by their keys must be told who asks: tls-username") from None


DRIVERS = (NbdDriver(),)
