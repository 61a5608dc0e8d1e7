"""The 82078 floppy controller (Intel 82078 data sheet, 290468): registers, phases, and the commands without data.

A command is a method marked with its code and the number of its bytes. It ends by `result`; a command that moves data
without DMA gives the host a `data` phase first, through the same register.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..device import Device, Line
from .drive import DRIVES, FloppyDrive

BASE = 0x3F0
STATUS_A, STATUS_B, OUTPUT, TAPE, MAIN_STATUS, FIFO, INPUT = 0, 1, 2, 3, 4, 5, 7
DATA_RATE, CONTROL = MAIN_STATUS, INPUT  # when they are written
NOT_RESET, GATE, MOTORS = 0x04, 0x08, 4  # digital output: GATE lets interrupts and DMA out
SOFT_RESET, RATE = 0x80, 0x03  # data rate select
RQM, DIO, NON_DMA, BUSY = 0x80, 0x40, 0x20, 0x10  # main status
CHANGED = 0x80  # digital input
# Status 0
ABNORMAL, INVALID, READY_CHANGED, SEEK_END, HEAD = 0x40, 0x80, 0xC0, 0x20, 0x04
# Status 3
PROTECTED, TRACK_0, ALWAYS = 0x40, 0x10, 0x28
# CONFIGURE
IMPLIED_SEEK, NO_FIFO, NO_POLL = 0x40, 0x20, 0x10
NO_DMA = 1  # the second byte of SPECIFY
VERSION, PART = 0x90, 0x41
CODE = 0x1F  # of a command's first byte; above it are its flags

Method = Callable[..., None]


def command(code: int, size: int, *, flags: int = 0) -> Callable[[Method], Method]:
    """Declare what is done for a code; `flags` are bits of the first byte that may be set beside it."""

    def mark(function: Method) -> Method:
        function.declared = (code, size, flags)  # type: ignore[attr-defined]
        return function

    return mark


class CommandController(Device):
    """The controller and its drives."""

    commands: ClassVar[dict[int, tuple[str, int]]] = {}
    ports = tuple(BASE + n for n in (STATUS_A, STATUS_B, OUTPUT, TAPE, MAIN_STATUS, FIFO, INPUT))

    def __init_subclass__(cls) -> None:
        """The table of all first bytes: a method's name, and how many bytes its command has."""
        cls.commands = {}
        for name in dir(cls):
            if hasattr(getattr(cls, name), "declared"):
                code, size, flags = getattr(cls, name).declared
                cls.commands |= {first: (name, size) for first in range(256) if first & ~flags == code}

    def __init__(self, line: Line, drives: Sequence[FloppyDrive]) -> None:
        self.line = line
        self.drives = [*drives, *(FloppyDrive() for _ in range(DRIVES - len(drives)))]
        self.present = len(drives)
        self.reset()

    def reset(self) -> None:
        self.output = NOT_RESET | GATE
        self.rate = 2
        self.tape = 0
        self.specified = [0, 0]
        self.perpendicular = 0
        self.locked = False
        self.configured, self.precompensation = NO_FIFO, 0
        self.end_of_track = 0
        self._restart()
        self.polls = 0
        self._interrupt(False)

    def _restart(self) -> None:
        """The part of the state that every kind of reset loses."""
        self.received: list[int] = []  # a command
        self.results: list[int] = []
        self.data = bytearray()  # of a data phase
        self.place = 0
        self.inward = True
        self.then = ""
        self.polls = 0  # drives whose change of state is still to be sensed after a reset
        self.sought: list[int] = []  # status and track of seeks that ended
        if not self.locked:
            self.configured, self.precompensation = NO_FIFO | self.configured & IMPLIED_SEEK, 0

    def _interrupt(self, high: bool) -> None:
        self.high = high
        self.line(high and bool(self.output & GATE))

    # -- registers ------------------------------------------------------------------------------------------

    def read(self, port: int) -> int:
        match port - BASE:
            case 0:
                return self.high << 7 | (self.present < 2) << 6
            case 1:
                return 0xC0 | self.output >> MOTORS & 3
            case 2:
                return self.output
            case 3:
                return self.tape
            case 4:
                return self._main_status()
            case 5:
                return self._read_fifo()
            case _:
                drive = self.output & 3
                motor = self.output >> MOTORS + drive & 1
                return CHANGED if drive < self.present and motor and self.drives[drive].changed else 0

    def write(self, port: int, value: int) -> None:
        match port - BASE:
            case 2:
                self._write_output(value)
            case 3:
                self.tape = value & 3
            case 4:
                self.rate = value & RATE
                if value & SOFT_RESET:
                    self._restarted()
            case 5:
                self._write_fifo(value)
            case 7:
                self.rate = value & RATE

    def _write_output(self, value: int) -> None:
        before, self.output = self.output, value
        if not value & NOT_RESET:
            self._restart()
            self._interrupt(False)
        elif not before & NOT_RESET:
            self._restarted()
        else:
            self._interrupt(self.high)

    def _restarted(self) -> None:
        """A reset is over: the controller polls its drives, and says so."""
        self._restart()
        if not self.configured & NO_POLL:
            self.polls = 4
            self._interrupt(True)

    def _main_status(self) -> int:
        if not self.output & NOT_RESET:
            return 0
        if self.data:
            return RQM | NON_DMA | BUSY | (DIO if self.inward else 0)
        if self.results:
            return RQM | DIO | BUSY
        return RQM | (BUSY if self.received else 0)

    # -- phases ---------------------------------------------------------------------------------------------

    def _read_fifo(self) -> int:
        if self.data:
            return self._data_byte(None) if self.inward else 0
        if not self.results:
            return 0
        self._interrupt(False)
        return self.results.pop(0)

    def _write_fifo(self, value: int) -> None:
        if not self.output & NOT_RESET or self.results:
            return
        if self.data:
            if not self.inward:
                self._data_byte(value)
            return
        self.received.append(value)
        name, size = self.commands.get(self.received[0], ("invalid", 1))
        if len(self.received) >= size:
            parameters, self.received = self.received, []
            getattr(self, name)(parameters)

    def start_data(self, data: bytearray, then: str, *, inward: bool) -> None:
        """Data that the host reads or writes byte by byte, and the method that goes on."""
        self.data, self.place, self.then, self.inward = data, 0, then, inward
        self._interrupt(True)

    def _data_byte(self, value: int | None) -> int:
        """A byte of the data phase; there is an interrupt for each."""
        self._interrupt(False)
        if value is not None:
            self.data[self.place] = value
        byte = self.data[self.place]
        self.place += 1
        if self.place < len(self.data):
            self._interrupt(True)
        else:
            data, self.data = self.data, bytearray()
            getattr(self, self.then)(data)
        return byte

    def result(self, *values: int, interrupt: bool = False) -> None:
        self.results = list(values)
        if interrupt:
            self._interrupt(True)

    # -- commands -------------------------------------------------------------------------------------------

    def invalid(self, parameters: list[int]) -> None:
        self.result(INVALID)

    @command(0x03, 3)
    def specify(self, parameters: list[int]) -> None:
        self.specified = parameters[1:]

    @command(0x04, 2)
    def sense_drive(self, parameters: list[int]) -> None:
        number = parameters[1] & 3
        status = ALWAYS | parameters[1] & 7
        if number < self.present:
            drive = self.drives[number]
            status |= TRACK_0 * (drive.track == 0)
            status |= PROTECTED * (drive.medium is None or drive.medium.read_only)
        self.result(status)

    @command(0x08, 1)
    def sense_interrupt(self, parameters: list[int]) -> None:
        self._interrupt(False)
        if self.polls:
            number = 4 - self.polls
            self.polls -= 1
            self.result(READY_CHANGED | number, self._track(number))
        elif self.sought:
            self.result(*self.sought)
            self.sought = []
        else:
            self.result(INVALID)

    def _track(self, number: int) -> int:
        return self.drives[number].track if number < self.present else 0

    @command(0x07, 2)
    def recalibrate(self, parameters: list[int]) -> None:
        self._seek(parameters[1] & 3, 0)

    @command(0x0F, 3)
    def seek(self, parameters: list[int]) -> None:
        self._seek(parameters[1] & 7, parameters[2])

    @command(0x8F, 3, flags=0x40)
    def relative_seek(self, parameters: list[int]) -> None:
        steps = parameters[2] if parameters[0] & 0x40 else -parameters[2]
        self._seek(parameters[1] & 7, self._track(parameters[1] & 3) + steps)

    def _seek(self, which: int, track: int) -> None:
        """Without a drive there is no track 0: the head seems never to come there."""
        number = which & 3
        if number < self.present:
            self.drives[number].move(track)
            self.sought = [SEEK_END | which, self.drives[number].track]
        else:
            self.sought = [SEEK_END | ABNORMAL | 0x10 | which, 0]
        self.polls = 0
        self._interrupt(True)

    @command(0x10, 1)
    def version(self, parameters: list[int]) -> None:
        self.result(VERSION)

    @command(0x18, 1)
    def part_id(self, parameters: list[int]) -> None:
        self.result(PART)

    @command(0x0E, 1)
    def dump_registers(self, parameters: list[int]) -> None:
        tracks = [self._track(number) for number in range(4)]
        last = self.locked << 7 | self.perpendicular & 0x7F
        self.result(*tracks, *self.specified, self.end_of_track, last, self.configured, self.precompensation)

    @command(0x13, 4)
    def configure(self, parameters: list[int]) -> None:
        self.configured, self.precompensation = parameters[2], parameters[3]

    @command(0x12, 2)
    def perpendicular_mode(self, parameters: list[int]) -> None:
        self.perpendicular = parameters[1] & 0x7F

    @command(0x14, 1, flags=0x80)
    def lock(self, parameters: list[int]) -> None:
        self.locked = bool(parameters[0] & 0x80)
        self.result(self.locked << 4)

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        wiring = ("line", "drives", "dma", "channel", "present")
        fields = {name: value for name, value in vars(self).items() if name not in wiring}
        drives = [{"track": drive.track, "changed": drive.changed} for drive in self.drives]
        return fields | {"data": self.data.hex(), "drives": drives}

    def load(self, state: dict[str, Any]) -> None:
        drives = state["drives"]
        fields = {name: value for name, value in state.items() if name != "drives"}
        vars(self).update(fields | {"data": bytearray.fromhex(state["data"])})
        for drive, saved in zip(self.drives, drives, strict=True):
            vars(drive).update(saved)
        self._interrupt(self.high)
