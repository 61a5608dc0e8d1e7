"""The floppy controller's commands that move data (82078 data sheet, chapter 6), by DMA or byte by byte.

A transfer goes from a sector to the end of the track, or with MT to the end of the other side's, unless DMA ends it
before. All of it is done at once when the last byte of the command has come.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..device import Line
from ..dma import FROM_MEMORY, TO_MEMORY, DmaControllers
from ..medium import BadSector, Medium
from .controller import ABNORMAL, IMPLIED_SEEK, NO_DMA, CommandController, command
from .drive import SECTOR, FloppyDrive

MT, MFM, SK = 0x80, 0x40, 0x20  # flags of a command's first byte
SIZE_CODE = 2  # of 512 bytes
# Status 1
END_OF_TRACK, DATA_ERROR, OVERRUN, NO_DATA, NOT_WRITABLE, NO_ADDRESS = 0x80, 0x20, 0x10, 0x04, 0x02, 0x01
# Status 2
DATA_FIELD, WRONG_TRACK = 0x20, 0x10
COUNT_IN_COMMAND = 0x80  # VERIFY: EC


class Failed(Exception):
    """A command ends abnormally, with these in status 1 and 2."""

    def __init__(self, status1: int, status2: int = 0) -> None:
        super().__init__(f"status {status1:#x} {status2:#x}")
        self.status = status1, status2


class FloppyController(CommandController):
    """All commands."""

    def __init__(self, line: Line, dma: DmaControllers, channel: int, drives: Sequence[FloppyDrive]) -> None:
        self.dma, self.channel = dma, channel
        super().__init__(line, drives)

    def reset(self) -> None:
        super().reset()
        self.which = 0  # drive and head of the transfer
        self.many = False  # MT
        self.at = [0, 0, 0, SIZE_CODE]  # track, head, sector, size code: the next sector's
        self.fill = 0

    # -- where ----------------------------------------------------------------------------------------------

    def _begin(self, parameters: list[int], *, writes: bool = False) -> Medium:
        """Take the place of a transfer from a command's bytes, and find it on the disk."""
        self.which, self.many = parameters[1] & 7, bool(parameters[0] & MT)
        self.at = parameters[2:6]
        self.end_of_track = parameters[6]
        track, head, sector, size = self.at
        if self.configured & IMPLIED_SEEK and self.which & 3 < self.present:
            self.drives[self.which & 3].move(track)
        medium = self._disk(writes=writes)
        drive = self.drives[self.which & 3]
        if track != drive.track:
            raise Failed(NO_DATA, WRONG_TRACK)
        if size != SIZE_CODE or head != self.which >> 2 or not 1 <= sector <= drive.format.sectors:
            raise Failed(NO_DATA)
        return medium

    def _disk(self, *, writes: bool) -> Medium:
        """The disk, if the head finds anything on it."""
        drive = self.drives[self.which & 3] if self.which & 3 < self.present else FloppyDrive()
        if not drive.readable(self.rate) or self.which >> 2 >= drive.format.heads or drive.medium is None:
            raise Failed(NO_ADDRESS)
        if writes and drive.medium.read_only:
            raise Failed(NOT_WRITABLE)
        return drive.medium

    def _pieces(self) -> list[tuple[int, int]]:
        """What the transfer may reach: offsets in the image, and bytes."""
        drive = self.drives[self.which & 3]
        _, head, sector, _ = self.at
        last = min(self.end_of_track, drive.format.sectors)
        pieces = [(drive.offset(head, sector), max(last - sector + 1, 0) * SECTOR)]
        if self.many and head == 0 and drive.format.heads > 1:
            pieces.append((drive.offset(1, 1), last * SECTOR))
        return pieces

    def _advance(self, sectors: int) -> None:
        """Behind the sectors that were moved (data sheet, table of result phases)."""
        track, head, sector, size = self.at
        last = max(min(self.end_of_track, self.drives[self.which & 3].format.sectors), sector)
        sector += sectors
        while sector > last:
            sector -= last
            if self.many and head == 0:
                head = 1
            else:
                track, head = track + 1, 0 if self.many else head
        self.at = [track & 0xFF, head, sector, size]

    # -- how ------------------------------------------------------------------------------------------------

    @property
    def by_dma(self) -> bool:
        return not self.specified[1] & NO_DMA

    def _finish(self, status1: int = 0, status2: int = 0) -> None:
        status0 = self.which | (ABNORMAL if status1 or status2 else 0)
        self.result(status0, status1, status2, *self.at, interrupt=True)

    def _room(self, direction: int) -> int:
        room = self.dma.room(self.channel, direction)
        if not room:
            raise Failed(OVERRUN)
        return room

    def _moved(self, size: int, *, counted: bool) -> None:
        """So many bytes were moved; a terminal count ended that, or else the end of the track did."""
        self._advance(-(-size // SECTOR))
        self._finish(0 if counted else END_OF_TRACK)

    def _guarded(self, name: str, *arguments: object) -> None:
        try:
            getattr(self, name)(*arguments)
        except Failed as failed:
            self._finish(*failed.status)
        except BadSector:
            self._finish(DATA_ERROR, DATA_FIELD)

    # -- reading --------------------------------------------------------------------------------------------

    @command(0x06, 9, flags=MT | MFM | SK)
    def read_data(self, parameters: list[int]) -> None:
        self._guarded("_read", parameters)

    @command(0x02, 9, flags=MFM | SK)
    def read_track(self, parameters: list[int]) -> None:
        """All sectors from the first one on, whatever they are called."""
        parameters[4] = 1
        self._guarded("_read", parameters)

    def _read(self, parameters: list[int]) -> None:
        medium = self._begin(parameters)
        data = b"".join(medium.read(*piece) for piece in self._pieces())
        if self.by_dma:
            room = self._room(TO_MEMORY)
            self.dma.give(self.channel, data[:room])
            self._moved(min(len(data), room), counted=len(data) >= room)
        elif data:
            self.start_data(bytearray(data), "was_read", inward=True)
        else:
            self._moved(0, counted=False)

    def was_read(self, data: bytearray) -> None:
        self._moved(len(data), counted=False)

    @command(0x16, 9, flags=MT | MFM | SK)
    def verify(self, parameters: list[int]) -> None:
        self._guarded("_verify", parameters)

    def _verify(self, parameters: list[int]) -> None:
        medium = self._begin(parameters)
        data = b"".join(medium.read(*piece) for piece in self._pieces())
        sectors = len(data) // SECTOR
        if parameters[1] & COUNT_IN_COMMAND:
            sectors = min(sectors, parameters[8])
        self._advance(sectors)
        self._finish()

    @command(0x0A, 2, flags=MFM)
    def read_id(self, parameters: list[int]) -> None:
        self._guarded("_read_id", parameters)

    def _read_id(self, parameters: list[int]) -> None:
        """The next sector that comes by is always the first one."""
        self.which = parameters[1] & 7
        self._disk(writes=False)
        self.at = [self.drives[self.which & 3].track, self.which >> 2, 1, SIZE_CODE]
        self._finish()

    # -- writing --------------------------------------------------------------------------------------------

    @command(0x05, 9, flags=MT | MFM)
    def write_data(self, parameters: list[int]) -> None:
        self._guarded("_write", parameters)

    def _write(self, parameters: list[int]) -> None:
        self._begin(parameters, writes=True)
        whole = sum(size for _, size in self._pieces())
        if self.by_dma:
            room = self._room(FROM_MEMORY)
            self._store(self.dma.take(self.channel, min(whole, room)), counted=whole >= room)
        elif whole:
            self.start_data(bytearray(whole), "was_written", inward=False)
        else:
            self._moved(0, counted=False)

    def was_written(self, data: bytearray) -> None:
        self._guarded("_store", data)

    def _store(self, data: bytes | bytearray, *, counted: bool = False) -> None:
        """Write what came; the rest of a sector that it does not fill is zeroes."""
        medium = self._disk(writes=True)
        filled = bytes(data) + bytes(-len(data) % SECTOR)
        for offset, size in self._pieces():
            if filled:
                medium.write(offset, filled[:size])
            filled = filled[size:]
        self._moved(len(data), counted=counted)

    @command(0x0D, 6, flags=MFM)
    def format_track(self, parameters: list[int]) -> None:
        self._guarded("_format", parameters)

    def _format(self, parameters: list[int]) -> None:
        """The host gives four bytes of address for each sector."""
        self.which = parameters[1] & 7
        self.at = [0, 0, 0, parameters[2]]
        self.fill = parameters[5]
        self._disk(writes=True)
        if parameters[2] != SIZE_CODE or parameters[3] > self.drives[self.which & 3].format.sectors:
            raise Failed(NO_DATA)
        size = 4 * parameters[3]
        if not self.by_dma and size:
            self.start_data(bytearray(size), "was_formatted", inward=False)
            return
        self._fill_sectors(self.dma.take(self.channel, min(size, self._room(FROM_MEMORY))))

    def was_formatted(self, data: bytearray) -> None:
        self._guarded("_fill_sectors", data)

    def _fill_sectors(self, data: bytes | bytearray) -> None:
        medium = self._disk(writes=True)
        drive = self.drives[self.which & 3]
        for place in range(0, len(data) & ~3, 4):
            self.at = list(data[place : place + 4])
            if 1 <= self.at[2] <= drive.format.sectors:
                medium.write(drive.offset(self.which >> 2, self.at[2]), bytes((self.fill,)) * SECTOR)
        self._finish()
