"""An ATA hard disk: the commands that move sectors (ATA8-ACS, chapter 7; CHS addresses as in ATA/ATAPI-5, 6.2)."""

from __future__ import annotations

from struct import iter_unpack

from ..medium import Medium
from . import identify
from .identify import MULTIPLE_LIMIT, SECTOR, TRIM_BLOCKS, Geometry, Modes
from .smart import Smart
from .unit import ABRT, HEAD, IDNF, LBA, Buffer, Refused, command

EXTENDED = frozenset((0x24, 0x25, 0x29, 0x34, 0x35, 0x39, 0x3D, 0x42, 0xCE, 0xEA))  # LBA48
FORCED = frozenset((0x3D, 0xCE))  # on the medium before they end (FUA)
HEADS, SECTORS = 16, 63
PIECE = 2048  # sectors that READ VERIFY looks at together


class Disk(Smart):
    """A disk of 512-byte sectors."""

    wiring = (*Smart.wiring, "medium", "model", "serial", "default")

    def __init__(self, medium: Medium, *, model: str = "IMGTOOLS HARDDISK", serial: str = "") -> None:
        self.medium = medium
        self.model, self.serial = model, serial
        cylinders = min(medium.sectors // (HEADS * SECTORS), identify.MOST_CYLINDERS)
        self.default = Geometry(cylinders, HEADS, SECTORS)
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.heads, self.track = HEADS, SECTORS  # of the current geometry
        self.sector = self.remaining = 0  # of the command that is executed
        self.block = 1  # sectors between two interrupts
        self.extended = self.forced = False

    @property
    def geometry(self) -> Geometry:
        """As INITIALIZE DEVICE PARAMETERS made it."""
        cylinders = min(self.medium.sectors // (self.heads * self.track), identify.MOST_CYLINDERS)
        return Geometry(cylinders, self.heads, self.track)

    # -- addresses ------------------------------------------------------------------------------------------

    def _begin(self, code: int, *, writes: bool = False, block: int = 1) -> None:
        """Take the range of a command from the registers, and refuse what is not on the disk."""
        self.extended, self.forced, self.block = code in EXTENDED, code in FORCED, block
        if self.extended:
            self.remaining = self.count or 0x10000
        else:
            self.remaining = self.count & 0xFF or 0x100
        self.sector = self._address()
        if writes and self.medium.read_only:
            raise Refused(ABRT, self.sector)
        if self.sector + self.remaining > self.medium.sectors:
            raise Refused(IDNF, max(self.sector, self.medium.sectors))

    def _address(self) -> int:
        low, mid, high = self.low, self.mid, self.high
        if self.extended:
            upper = low >> 8 | mid & 0xFF00 | (high & 0xFF00) << 8
            return upper << 24 | (high & 0xFF) << 16 | (mid & 0xFF) << 8 | low & 0xFF
        low, mid, high = low & 0xFF, mid & 0xFF, high & 0xFF
        if self.device & LBA:
            return (self.device & HEAD) << 24 | high << 16 | mid << 8 | low
        if not 1 <= low <= self.track or self.device & HEAD >= self.heads:
            raise Refused(IDNF)
        return ((high << 8 | mid) * self.heads + (self.device & HEAD)) * self.track + low - 1

    def _put_address(self, sector: int) -> None:
        """Where a command failed, in the registers."""
        if self.extended:
            parts = [sector >> 8 * number & 0xFF for number in range(6)]
            self.low, self.mid, self.high = (parts[n + 3] << 8 | parts[n] for n in range(3))
            return
        if self.device & LBA:
            head, self.high, self.mid, self.low = sector >> 24, sector >> 16 & 0xFF, sector >> 8 & 0xFF, sector & 0xFF
        else:
            track, number = divmod(sector, self.track)
            cylinder, head = divmod(track, self.heads)
            self.high, self.mid, self.low = cylinder >> 8 & 0xFF, cylinder & 0xFF, number + 1
        self.device = self.device & ~HEAD | head & HEAD

    def fail(self, refused: Refused) -> None:
        if refused.sector is not None:
            self._put_address(refused.sector)
        super().fail(refused)

    def _take(self) -> tuple[int, int]:
        """The next sectors of a PIO command: where they are, and how many bytes."""
        offset, count = self.sector * SECTOR, min(self.block, self.remaining)
        self.sector += count
        self.remaining -= count
        return offset, count * SECTOR

    def _multiple(self) -> int:
        if not self.multiple:
            raise Refused
        return self.multiple

    # -- reading --------------------------------------------------------------------------------------------

    @command(0x20, 0x21, 0x24)
    def read_sectors(self, code: int) -> None:
        self._begin(code)
        self.read_on()

    @command(0xC4, 0x29)
    def read_multiple(self, code: int) -> None:
        self._begin(code, block=self._multiple())
        self.read_on()

    def read_on(self) -> None:
        data = self.medium.read(*self._take())
        self.send(data, "read_on" if self.remaining else "rest")

    @command(0xC8, 0xC9, 0x25)
    def read_dma(self, code: int) -> None:
        self._begin(code)
        self.start_dma(self.remaining * SECTOR, to_memory=True, then="finish")

    def readv(self, offset: int, length: int, views: list[memoryview]) -> None:
        self.medium.readv(self.sector * SECTOR + offset, length, views)

    @command(0x40, 0x41, 0x42)
    def read_verify(self, code: int) -> None:
        self._begin(code)
        self.block = PIECE
        while self.remaining:
            self.medium.read(*self._take())
        self.finish()

    # -- writing --------------------------------------------------------------------------------------------

    @command(0x30, 0x31, 0x34)
    def write_sectors(self, code: int) -> None:
        self._begin(code, writes=True)
        self._expect_block(interrupt=False)

    @command(0xC5, 0x39, 0xCE)
    def write_multiple(self, code: int) -> None:
        self._begin(code, writes=True, block=self._multiple())
        self._expect_block(interrupt=False)

    def _expect_block(self, *, interrupt: bool) -> None:
        self.receive(min(self.block, self.remaining) * SECTOR, "write_on", interrupt=interrupt)

    def write_on(self) -> None:
        offset, _ = self._take()
        self.medium.write(offset, self.data)
        if self.remaining:
            self._expect_block(interrupt=True)
        else:
            self.written()

    def written(self) -> None:
        if self.forced or not self.write_cache:
            self.medium.flush()
        self.finish()

    @command(0xCA, 0xCB, 0x35, 0x3D)
    def write_dma(self, code: int) -> None:
        self._begin(code, writes=True)
        self.start_dma(self.remaining * SECTOR, to_memory=False, then="written")

    def write(self, offset: int, data: Buffer) -> None:
        """A part of WRITE DMA's data, or of the ranges of DATA SET MANAGEMENT."""
        if len(self.data):
            super().write(offset, data)
        else:
            self.medium.write(self.sector * SECTOR + offset, data)

    @command(0xE7, 0xEA)
    def flush_cache(self, code: int) -> None:
        self.extended = code in EXTENDED
        self.medium.flush()
        self.finish()

    def settle(self) -> None:
        self.medium.flush()

    def settings_changed(self) -> None:
        if not self.write_cache:
            self.medium.flush()

    # -- data set management --------------------------------------------------------------------------------

    @command(0x06)
    def data_set_management(self, code: int) -> None:
        if not self.feature & 1 or not 1 <= self.count & 0xFFFF <= TRIM_BLOCKS or self.medium.read_only:
            raise Refused
        self.extended = True
        self.data = memoryview(bytearray(self.count * SECTOR))
        self.start_dma(len(self.data), to_memory=False, then="trim")

    def trim(self) -> None:
        """Ranges of 48 bits of address and 16 of length; those without length say nothing."""
        ranges = [(entry & (1 << 48) - 1, entry >> 48) for (entry,) in iter_unpack("<Q", self.data)]
        for sector, count in ranges:
            if sector + count > self.medium.sectors:
                raise Refused(IDNF, sector)
        for sector, count in ranges:
            if count:
                self.medium.discard(sector * SECTOR, count * SECTOR)
        self.finish()

    # -- what there is --------------------------------------------------------------------------------------

    @command(0xEC)
    def identify_device(self, code: int) -> None:
        modes = Modes(self.multiword, self.ultra, self.multiple, self.write_cache, self.look_ahead, self.smart)
        sectors = self.medium.sectors
        self.send(identify.disk(self.model, self.serial, sectors, self.default, self.geometry, modes))

    @command(0x91)
    def initialize_parameters(self, code: int) -> None:
        """Heads and sectors of a track for addresses by CHS."""
        heads, track = (self.device & HEAD) + 1, self.count & 0xFF
        if not 1 <= track <= SECTORS:
            raise Refused
        self.heads, self.track = heads, track
        self.finish()

    @command(0xC6)
    def set_multiple(self, code: int) -> None:
        count = self.count & 0xFF
        if count > MULTIPLE_LIMIT or count & count - 1:
            raise Refused
        self.multiple = count
        self.finish()

    @command(*range(0x10, 0x20), *range(0x70, 0x80))
    def seek(self, code: int) -> None:
        self.finish()
