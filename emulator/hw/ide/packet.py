"""The PACKET command: a unit that gets its commands in packets of 12 bytes (ATA/ATAPI-7 Vol. 2, 9.8; SFF-8020i, 5.4).

What a packet's command answers is one stream of bytes. PIO gives it in portions of at most the byte count limit, with
the portion's size in MID and HIGH; the bus master takes it whole. COUNT is the reason of an interrupt.
"""

from __future__ import annotations

from collections.abc import Callable

from imgtools.block.node import spread

from . import identify
from .identify import Modes
from .settings import Settings
from .unit import ABRT, Refused, command

PACKET_SIZE = 12
COMMAND, TO_HOST, COMPLETE = 1, 2, 3  # reasons: C/D, I/O, both
DMA = 1  # FEATURE
MOST = 0xFFFE  # bytes of a portion

# Sense keys
NO_SENSE, NOT_READY, MEDIUM_ERROR, ILLEGAL_REQUEST, UNIT_ATTENTION = 0, 2, 3, 5, 6
# Additional sense codes and their qualifiers
UNREADABLE, UNKNOWN_COMMAND, OUT_OF_RANGE, BAD_FIELD = 0x1100, 0x2000, 0x2100, 0x2400
MEDIUM_CHANGED, SAVING_UNSUPPORTED, NO_MEDIUM, TRAY_OPEN, LOCKED = 0x2800, 0x3900, 0x3A01, 0x3A02, 0x5302


class Check(Refused):
    """A packet's command ends with CHECK CONDITION."""

    def __init__(self, key: int, code: int) -> None:
        super().__init__(key << 4 | ABRT * (key == ILLEGAL_REQUEST))
        self.key, self.code = key, code


def packet(code: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a method to be what a unit does for an operation code; it gets the packet."""

    def mark(function: Callable[..., None]) -> Callable[..., None]:
        function.operation = code  # type: ignore[attr-defined]
        return function

    return mark


class PacketUnit(Settings):
    """A unit with packets."""

    signature = (0x14, 0xEB)
    reset_status = 0
    wiring = (*Settings.wiring, "model", "serial")
    operations: dict[int, str] = {}

    def __init__(self, model: str, serial: str) -> None:
        self.model, self.serial = model, serial
        super().__init__()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        methods = {name: getattr(cls, name) for name in dir(cls)}
        cls.operations = {m.operation: name for name, m in methods.items() if hasattr(m, "operation")}

    def reset(self) -> None:
        super().reset()
        self.by_dma = False
        self.limit = MOST
        self.reply = memoryview(b"")
        self.length = self.given = 0  # bytes of the reply, or of the stream
        self.sense_key = self.sense_code = NO_SENSE

    # -- commands of the register interface -------------------------------------------------------------------

    @command(0xA0)
    def packet_command(self, code: int) -> None:
        self.by_dma = bool(self.feature & DMA)
        self.limit = min((self.high & 0xFF) << 8 | self.mid & 0xFE, MOST) or MOST
        self.count = COMMAND
        self.receive(PACKET_SIZE, "packet_came")

    @command(0xA1)
    def identify_packet_device(self, code: int) -> None:
        modes = Modes(self.multiword, self.ultra, 0, write_cache=False, look_ahead=False, smart=False)
        self.send(identify.cdrom(self.model, self.serial, modes))

    @command(0x20, 0x21, 0xEC)
    def show_kind(self, code: int) -> None:
        """IDENTIFY DEVICE and READ SECTORS: what systems without a notion of packets see."""
        self.sign()
        raise Refused

    @command(0x08)
    def device_reset(self, code: int) -> None:
        self.reset()

    # -- packets ----------------------------------------------------------------------------------------------

    def packet_came(self) -> None:
        data = bytes(self.data)
        self.reply, self.length, self.given = memoryview(b""), 0, 0
        name = self.operations.get(data[0])
        if name is None:
            raise Check(ILLEGAL_REQUEST, UNKNOWN_COMMAND)
        self.before(data[0])
        getattr(self, name)(data)

    def before(self, operation: int) -> None:
        """What can keep an operation from being done."""

    def done(self) -> None:
        """A packet's command has ended well."""
        self.count = COMPLETE
        self.finish()

    def fail(self, refused: Refused) -> None:
        if isinstance(refused, Check):
            self.sense_key, self.sense_code = refused.key, refused.code
            self.count = COMPLETE
        super().fail(refused)

    # -- data -------------------------------------------------------------------------------------------------

    def answer(self, data: bytes, allocated: int) -> None:
        """At most as much as the host has room for."""
        self.reply = memoryview(data)[:allocated]
        self.give(len(self.reply))

    def give(self, length: int) -> None:
        """Start to give the host the reply, or what `stream` has."""
        self.length = length
        if not length:
            self.done()
        elif self.by_dma:
            self.count = TO_HOST
            self.start_dma(length, to_memory=True, then="done")
        else:
            self.give_on()

    def give_on(self) -> None:
        """The next portion; only the last one may be odd."""
        size = min(self.length - self.given, self.limit)
        if self.given + size < self.length:
            size &= ~1
        portion = bytearray(size)
        self.readv(self.given, size, [memoryview(portion)])
        self.given += size
        self.count, self.mid, self.high = TO_HOST, size & 0xFF, size >> 8
        self.send(portion, "give_on" if self.given < self.length else "done")

    def readv(self, offset: int, length: int, views: list[memoryview]) -> None:
        if len(self.reply):
            spread(self.reply[offset : offset + length], views)
        else:
            self.stream(offset, length, views)

    def stream(self, offset: int, length: int, views: list[memoryview]) -> None:
        """What lies on the medium, for an operation that called `give`."""
