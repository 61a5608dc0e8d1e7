"""virtio-blk: a disk (section 5.2). Requests are done as soon as the driver says that they are there, one by one.

Data goes between the image and guest memory by `Gather`. What the image cannot do is answered with an error.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from emulator.hw.medium import BadSector, Medium

from .device import VirtioDevice
from .ring import Chain, RingError

if TYPE_CHECKING:
    from emulator.hw.gather import Gather

SECTOR = 512
QUEUE_SIZE = 256
QUEUES = 4
SEGMENTS = QUEUE_SIZE - 2  # of data, beside header and status
TURN = 64 << 20  # bytes of a turn; a larger request is an error
MAX_RANGES = 32  # of a discard request
MAX_RANGE = (1 << 32) - 1 >> 9  # sectors
ID_SIZE = 20
# Features (5.2.3)
SEG_MAX, READ_ONLY, BLOCK_SIZE, FLUSH, WRITE_CACHE = 1 << 2, 1 << 5, 1 << 6, 1 << 9, 1 << 11
MANY_QUEUES, DISCARD, WRITE_ZEROES = 1 << 12, 1 << 13, 1 << 14
OK, IO_ERROR, UNSUPPORTED = 0, 1, 2  # status of a request (5.2.6)
UNMAP = 1  # flag of a range

HEADER = Struct("<IxxxxQ")  # type, sector
RANGE = Struct("<QII")  # sector, sectors, flags
# Capacity, largest segment, segments, geometry, block size, topology, write cache, queues, limits of discards and of
# zeroes: sectors and ranges (5.2.4)
CONFIGURATION = Struct("<QIIHBBIBBHIBxHIIIIIB3x")
WRITE_CACHE_PLACE = 32


class Kind:
    """Types of requests (5.2.6)."""

    IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13


class Refused(Exception):
    """A request fails with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class VirtioBlk(VirtioDevice):
    """A disk, whose name for the guest is `serial`."""

    device_id = 2
    class_code = 0x010000

    def __init__(self, medium: Medium, serial: str = "", *, queues: int = QUEUES) -> None:
        self.medium = medium
        self.identity = serial.encode(errors="replace")[:ID_SIZE].ljust(ID_SIZE, b"\0")
        self.features = SEG_MAX | BLOCK_SIZE | FLUSH | WRITE_CACHE | (MANY_QUEUES if queues > 1 else 0)
        self.features |= READ_ONLY if medium.read_only else DISCARD | WRITE_ZEROES
        super().__init__([QUEUE_SIZE] * queues)

    def reset(self) -> None:
        super().reset()
        self.write_cache = True

    # -- configuration --------------------------------------------------------------------------------------

    def configuration(self) -> bytes:
        return CONFIGURATION.pack(
            self.medium.sectors, 0, SEGMENTS, 0, 0, 0, SECTOR, 0, 0, 0, 0, self.write_cache, len(self.queues),
            MAX_RANGE, MAX_RANGES, 1, MAX_RANGE, MAX_RANGES, 1,
        )  # fmt: skip

    def write_configuration(self, offset: int, data: bytes) -> None:
        if offset == WRITE_CACHE_PLACE and self.accepted & WRITE_CACHE:
            try:
                if not data[0] & 1:
                    self.medium.flush()
            except BadSector:
                return  # what is not durable yet needs its flush
            self.write_cache = bool(data[0] & 1)

    @property
    def writes_back(self) -> bool:
        """Whether writes need a flush to be durable (5.2.6.2). Those of a driver that knows of none do not."""
        return self.write_cache if self.accepted & WRITE_CACHE else bool(self.accepted & FLUSH)

    # -- requests -------------------------------------------------------------------------------------------

    def serve(self, number: int) -> bool:
        queue = self.queues[number]
        left = TURN
        while left > 0:
            chain = queue.take()
            if chain is None:
                return False
            left -= chain.readable.size + chain.writable.size + SECTOR
            queue.give(chain, self._serve(chain))
        return True

    def _serve(self, chain: Chain) -> int:
        """Do a request: how many bytes of its buffer were written."""
        head, source = chain.readable.split(HEADER.size)
        target, last = chain.writable.split(chain.writable.size - 1)
        if head.size < HEADER.size or not last.size:
            raise RingError("a request without a header or a status")
        kind, sector = HEADER.unpack(head.read())
        status, written = OK, 0
        try:
            written = self._do(kind, sector, source, target)
        except Refused as refused:
            status = refused.status
        except BadSector:
            status = IO_ERROR
        last.write(bytes((status,)))
        return written + 1

    def _do(self, kind: int, sector: int, source: Gather, target: Gather) -> int:
        """How many bytes were written to `target`."""
        match kind:
            case Kind.IN:
                self._check(sector, target.size)
                target.read_from(self.medium, sector * SECTOR)
                return target.size
            case Kind.OUT:
                self._check(sector, source.size, writing=True)
                source.write_to(self.medium, sector * SECTOR)
                if not self.writes_back:
                    self.medium.flush()
            case Kind.FLUSH:
                self.medium.flush()
            case Kind.GET_ID:
                return target.write(self.identity)
            case Kind.DISCARD | Kind.WRITE_ZEROES:
                self._do_ranges(kind, source)
            case _:
                raise Refused(UNSUPPORTED)
        return 0

    def _do_ranges(self, kind: int, source: Gather) -> None:
        """Discard, or write zeroes."""
        wanted = DISCARD if kind == Kind.DISCARD else WRITE_ZEROES
        if not self.features & wanted or source.size % RANGE.size or source.size > MAX_RANGES * RANGE.size:
            raise Refused(IO_ERROR if self.medium.read_only else UNSUPPORTED)
        for sector, count, flags in RANGE.iter_unpack(source.read()):
            if flags & ~(UNMAP if kind == Kind.WRITE_ZEROES else 0):
                raise Refused(UNSUPPORTED)
            self._check(sector, count * SECTOR, writing=True, limit=MAX_RANGE * SECTOR)
            self._change(kind, sector * SECTOR, count * SECTOR, bool(flags & UNMAP))
        if not self.writes_back:
            self.medium.flush()

    def _change(self, kind: int, offset: int, length: int, unmap: bool) -> None:
        if kind == Kind.DISCARD:
            self.medium.discard(offset, length)
        else:
            self.medium.zero(offset, length, unmap=unmap)

    def _check(self, sector: int, size: int, *, writing: bool = False, limit: int = TURN) -> None:
        """Whether a range is on the disk, and may be written."""
        on_disk = sector + size // SECTOR <= self.medium.sectors
        if size % SECTOR or not on_disk or size > limit or (writing and self.medium.read_only):
            raise Refused(IO_ERROR)

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return super().save() | {"write_cache": self.write_cache}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.write_cache = state["write_cache"]
