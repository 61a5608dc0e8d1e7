"""INT 11h, 12h and 15h: equipment, memory and its map, A20, moving blocks, waiting."""

from __future__ import annotations

from struct import pack, unpack
from typing import TYPE_CHECKING

from emulator.machine.firmware import CARRY, ROM, Service, call, waiting
from emulator.x86.instruction import ES

from . import data

if TYPE_CHECKING:
    from emulator.machine.firmware import Firmware

MAP_SIGNATURE = 0x534D4150  # "SMAP"
RAM, RESERVED = 1, 2
MEBIBYTE = 1 << 20
UNSUPPORTED = 0x86
PORT_92, A20 = 0x92, 2
MODEL, SUBMODEL, REVISION = 0xFC, 0, 1
# INT 15h, AH = C0h, first byte: a second interrupt controller, an RTC, INT 15h/4Fh; the second: INT 16h/09h
FEATURES = bytes((0x70, 0x40, 0, 0, 0))

MemoryMap = list[tuple[int, int, int]]  # address, size, type


class System(Service):
    """`memory_map` is what E820h says."""

    stubs = {0x15: waiting}

    def __init__(self, firmware: Firmware, memory_map: MemoryMap) -> None:
        super().__init__(firmware)
        self.memory_map = memory_map
        self._wakes: int | None = None  # when a wait is over
        self.configuration = firmware.add_code(pack("<HBBB", 8, MODEL, SUBMODEL, REVISION) + FEATURES)

    @property
    def extended(self) -> int:
        """Bytes of RAM from 1 MiB on, without a gap."""
        return next((size for address, size, kind in self.memory_map if (address, kind) == (MEBIBYTE, RAM)), 0)

    @call(0x11)
    def equipment(self) -> None:
        self.caller.ax = self.get(data.EQUIPMENT, 2)

    @call(0x12)
    def memory(self) -> None:
        self.caller.ax = self.get(data.MEMORY_KILOBYTES, 2)

    # -- INT 15h --------------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        self.caller.ah = 0
        self.caller.set_flag(CARRY, False)

    def _fail(self, status: int = UNSUPPORTED) -> None:
        self.caller.ah = status
        self.caller.set_flag(CARRY, True)

    @call(0x15)
    def unknown(self) -> None:
        """APM, PS/2 features that are not there, and all else."""
        self._fail()

    @call(0x15, 0xE820)
    def map(self) -> None:
        caller = self.caller
        if caller.edx != MAP_SIGNATURE or caller.ebx >= len(self.memory_map) or caller.ecx < 20:
            self._fail()
            return
        number = caller.ebx
        self.space.write(caller.es(caller.di), pack("<QQI", *self.memory_map[number]))
        caller.ebx = (number + 1) % len(self.memory_map)
        caller.eax, caller.ecx = MAP_SIGNATURE, 20
        caller.set_flag(CARRY, False)

    @call(0x15, 0xE801, 0xE881)
    def memory_in_two_parts(self) -> None:
        """KiB from 1 to 16 MiB, and pieces of 64 KiB above."""
        caller, extended = self.caller, self.extended
        caller.ax = caller.cx = min(extended, 15 << 20) >> 10
        caller.bx = caller.dx = max(0, extended - (15 << 20)) >> 16
        caller.set_flag(CARRY, False)

    @call(0x15, 0x88)
    def extended_memory(self) -> None:
        self.caller.ax = min(self.extended >> 10, 0xFC00)
        self.caller.set_flag(CARRY, False)

    @call(0x15, 0x2400, 0x2401)
    def set_a20(self) -> None:
        value = self.firmware.input(PORT_92) & ~(A20 | 1)
        self.firmware.out(PORT_92, value | A20 * (self.caller.al & 1))
        self._succeed()

    @call(0x15, 0x2402)
    def a20_status(self) -> None:
        self.caller.al = self.firmware.input(PORT_92) >> 1 & 1
        self._succeed()

    @call(0x15, 0x2403)
    def a20_support(self) -> None:
        """By port 92h and by the keyboard controller."""
        self.caller.bx = 3
        self._succeed()

    @call(0x15, 0x87)
    def move(self) -> None:
        """CX words, between the segments that two descriptors at ES:SI + 10h say."""
        caller, count = self.caller, self.caller.cx * 2
        table = self.space.read(caller.es(caller.si + 0x10), 16)
        addresses = []
        for entry in (table[:8], table[8:]):
            low, middle, high = (*unpack("<HB", entry[2:5]), entry[7])
            addresses.append(low | middle << 16 | high << 24)
        self.space.write(addresses[1], self.space.read(addresses[0], count))
        self._succeed()

    @call(0x15, 0x86)
    def wait(self) -> None:
        """CX:DX microseconds; the stub halts until then."""
        now = self.firmware.machine.now()
        if self._wakes is None:
            self._wakes = now + (self.caller.cx << 16 | self.caller.dx) * 1000
        self.caller.wait(now < self._wakes)
        if now >= self._wakes:
            self._wakes = None
            self.caller.set_flag(CARRY, False)

    @call(0x15, 0x4F)
    def key(self) -> None:
        """A key passes unchanged: CF stays set as INT 09h sets it."""
        self.caller.set_flag(CARRY, True)

    @call(0x15, 0x90, 0x91, 0x80, 0x81, 0x82, 0x85)
    def nothing(self) -> None:
        """What operating systems hook."""
        self._succeed()

    @call(0x15, 0xC0)
    def system_configuration(self) -> None:
        self.caller.set_segment(ES, ROM >> 4)
        self.caller.bx = self.configuration
        self._succeed()

    @call(0x15, 0xC1)
    def extended_data_area(self) -> None:
        self.caller.set_segment(ES, self.get(data.EBDA_SEGMENT, 2))
        self.caller.set_flag(CARRY, False)
