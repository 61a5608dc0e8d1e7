"""A unit on an IDE channel: its registers, and the ways in which a command moves data (ATA8-ACS; ATA8-APT, chapter 11).

A command is a method that is marked with its codes. It ends at once by `finish`, or by raising `Refused`, or it starts
one of the three protocols and names the method that goes on when the data has been moved:

    send        data for the host, which reads it from the data register
    receive     data from the host, written to the data register
    start_dma   the bus master moves it, when that is ready, by `readv` and `write`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from imgtools.block.node import spread

from ..medium import BadSector

# Status
ERR, DRQ, DSC, DF, DRDY, BSY = 0x01, 0x08, 0x10, 0x20, 0x40, 0x80
READY = DRDY | DSC
# Error
ABRT, MCR, IDNF, MC, UNC, ICRC = 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
# Device
LBA, DEV, HEAD = 0x40, 0x10, 0x0F
OBSOLETE = 0xA0  # bits of the device register that read as ones
# Registers, by their offset
DATA, FEATURE, COUNT, LOW, MID, HIGH, DEVICE, COMMAND = range(8)
ERROR, STATUS = FEATURE, COMMAND

Buffer = bytes | bytearray | memoryview
PASSED = 0x01  # the diagnostic code of a unit that works


class Refused(Exception):
    """A command ends with an error; `sector` is where."""

    def __init__(self, error: int = ABRT, sector: int | None = None) -> None:
        super().__init__(f"error {error:#x}")
        self.error = error
        self.sector = sector


@dataclass
class Dma:
    """What a command wants from the bus master; `then` is the name of the method that goes on."""

    length: int
    to_memory: bool
    then: str


def command(*codes: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a method to be what a unit does for these command codes."""

    def mark(function: Callable[..., None]) -> Callable[..., None]:
        function.codes = codes  # type: ignore[attr-defined]
        return function

    return mark


class Unit:
    """What disks and CD-ROM drives have in common. `changed` and `dma_ready` are set by the channel."""

    commands: dict[int, str] = {}
    wiring = ("changed", "dma_ready")  # what is not saved
    signature = (0, 0)  # in MID and HIGH: what kind of unit it is
    reset_status = READY

    def __init_subclass__(cls) -> None:
        methods = {name: getattr(cls, name) for name in dir(cls)}
        cls.commands = {code: name for name, method in methods.items() for code in getattr(method, "codes", ())}

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.dma_ready: Callable[[], None] = lambda: None
        self.reset()

    def reset(self) -> None:
        """Power-on, and the software reset."""
        self.feature = 0
        self.device = OBSOLETE
        self.pending = False  # an interrupt
        self._drop_transfer()
        self.sign()
        self.status, self.error = self.reset_status, PASSED

    def sign(self) -> None:
        """Say in the registers what kind of unit this is (ATA8-ACS, table "Device signatures")."""
        self.count = self.low = 1
        self.mid, self.high = self.signature
        self.device &= ~HEAD

    # -- registers ------------------------------------------------------------------------------------------

    def write_register(self, register: int, value: int) -> None:
        """A register of the command block but DATA and COMMAND. Those that LBA48 uses twice keep what was there."""
        match register:
            case 1:
                self.feature = self.feature << 8 & 0xFF00 | value
            case 2:
                self.count = self.count << 8 & 0xFF00 | value
            case 3:
                self.low = self.low << 8 & 0xFF00 | value
            case 4:
                self.mid = self.mid << 8 & 0xFF00 | value
            case 5:
                self.high = self.high << 8 & 0xFF00 | value
            case 6:
                self.device = value | OBSOLETE

    def read_register(self, register: int, previous: bool) -> int:
        """`previous` is HOB of the device control register: what was there before the last write."""
        value = (0, self.error, self.count, self.low, self.mid, self.high, self.device, self.status)[register]
        return value >> 8 if previous and register in (COUNT, LOW, MID, HIGH) else value & 0xFF

    def interrupt(self) -> None:
        self.pending = True
        self.changed()

    def acknowledge(self) -> None:
        """The host has read the status."""
        if self.pending:
            self.pending = False
            self.changed()

    # -- commands -------------------------------------------------------------------------------------------

    def execute(self, code: int) -> None:
        """The host writes the command register."""
        self.acknowledge()
        self._drop_transfer()
        self.error = 0
        name = self.commands.get(code)
        self._go_on(name or "unknown", code)

    def unknown(self, code: int) -> None:
        raise Refused

    def finish(self) -> None:
        """A command has ended well."""
        self.status = READY
        self.interrupt()

    def rest(self) -> None:
        """The same when the host knows already, since it has read the last data."""
        self.status = READY

    def fail(self, refused: Refused) -> None:
        """A command has ended with an error."""
        self.status, self.error = READY | ERR, refused.error
        self.interrupt()

    def _go_on(self, name: str, *arguments: int) -> None:
        try:
            getattr(self, name)(*arguments)
        except (Refused, BadSector) as error:
            self.give_up(error)

    def give_up(self, error: Refused | BadSector) -> None:
        self._drop_transfer()
        self.fail(self.refusal(error) if isinstance(error, BadSector) else error)

    def refusal(self, bad: BadSector) -> Refused:
        """What a sector that cannot be read or written is for the host."""
        return Refused(ABRT if bad.writing else UNC, bad.sector)

    # -- data -----------------------------------------------------------------------------------------------

    def _drop_transfer(self) -> None:
        self.data = memoryview(b"")
        self.position = 0
        self.then = "rest"
        self.inward = True  # to the host
        self.dma: Dma | None = None

    def send(self, data: bytes | bytearray, then: str = "rest") -> None:
        """Data for the host to read."""
        self._offer(memoryview(data), then, inward=True)
        self.interrupt()

    def receive(self, length: int, then: str, *, interrupt: bool = False) -> None:
        """Room for the host to write to; the first data of a command comes without an interrupt."""
        self._offer(memoryview(bytearray(length)), then, inward=False)
        if interrupt:
            self.interrupt()

    def _offer(self, data: memoryview, then: str, *, inward: bool) -> None:
        self.data, self.position, self.then, self.inward = data, 0, then, inward
        self.status = READY | DRQ

    def read_data(self, size: int) -> int:
        """2 or 4 bytes of the data register."""
        if not self.inward or not self.status & DRQ:
            return 0
        end = self.position + size
        value = int.from_bytes(self.data[self.position : end], "little")
        self._moved(end)
        return value

    def write_data(self, size: int, value: int) -> None:
        if self.inward or not self.status & DRQ:
            return
        end = min(self.position + size, len(self.data))
        self.data[self.position : end] = value.to_bytes(size, "little")[: end - self.position]
        self._moved(end)

    def read_block(self, size: int, count: int) -> bytes:
        """Elements of the data register for a string instruction: what remains of the data, at most."""
        if not self.inward or not self.status & DRQ:
            return b""
        count = min(count, (len(self.data) - self.position) // size)
        end = self.position + count * size
        data = bytes(self.data[self.position : end])
        if data:
            self._moved(end)
        return data

    def write_block(self, size: int, data: bytes) -> int:
        if self.inward or not self.status & DRQ:
            return 0
        count = min(len(data), len(self.data) - self.position) // size * size
        self.data[self.position : self.position + count] = data[:count]
        if count:
            self._moved(self.position + count)
        return count

    def _moved(self, end: int) -> None:
        self.position = end
        if end >= len(self.data):
            self.status &= ~DRQ
            self._go_on(self.then)

    def start_dma(self, length: int, *, to_memory: bool, then: str) -> None:
        """Wait for the bus master."""
        self.dma = Dma(length, to_memory, then)
        self.status = READY | DRQ
        self.dma_ready()

    def readv(self, offset: int, length: int, views: list[memoryview]) -> None:
        """The bus master reads a part of what a command gives. BadSector and Refused end the transfer."""
        spread(self.data[offset : offset + length], views)

    def write(self, offset: int, data: Buffer) -> None:
        """The bus master writes a part of what a command takes."""
        self.data[offset : offset + len(data)] = data

    def dma_done(self) -> None:
        """The bus master has moved all."""
        assert self.dma is not None
        then, self.dma = self.dma.then, None
        self._go_on(then)

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        fields = {name: value for name, value in vars(self).items() if name not in self.wiring}
        data = {name: value.hex() for name, value in fields.items() if isinstance(value, memoryview)}
        return fields | data | {"dma": self.dma and asdict(self.dma)}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            is_data = isinstance(getattr(self, name), memoryview)
            setattr(self, name, memoryview(bytearray.fromhex(value)) if is_data else value)
        self.dma = state["dma"] and Dma(**state["dma"])
