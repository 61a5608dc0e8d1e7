"""The display adapter as a PCI card, 1234:1111: the VGA's ports, those of the Bochs extensions, memory in a window.

Window 0 is all of display memory, window 2 has the same registers in memory (400h: ports from 3C0h on, 500h: extended
ones), window 6 the option ROM of a firmware that brings one.
"""

from __future__ import annotations

from typing import Any

from emulator.hw.device import Clock
from emulator.hw.pci import Bar, PciBus, PciFunction
from emulator.softmmu.space import Region
from emulator.softmmu.structs import ROM

from .memory import Memory
from .registers import (
    ATTRIBUTE_COUNT,
    BLANK,
    CRTC_COUNT,
    GRAPHICS_COUNT,
    GRAPHICS_MASKS,
    RETRACE,
    Registers,
)

MEMORY_SIZE = 16 << 20
REGISTERS_SIZE = 4096
PORTS, EXTENDED = 0x400, 0x500  # in window 2
ATTRIBUTE, ATTRIBUTE_READ, MISC, SEQUENCER, SEQUENCER_DATA = 0x3C0, 0x3C1, 0x3C2, 0x3C4, 0x3C5
PIXEL_MASK, DAC_READ, DAC_WRITE, DAC_DATA, MISC_READ = 0x3C6, 0x3C7, 0x3C8, 0x3C9, 0x3CC
GRAPHICS, GRAPHICS_DATA, CRTC, CRTC_DATA, STATUS = 0x3CE, 0x3CF, 0x3D4, 0x3D5, 0x3DA
MONO = 0x20  # below 3D0h in the colour mode's place
DISPI_INDEX, DISPI_DATA = 0x1CE, 0x1CF
PROTECT = 0x80  # CRTC 11h: registers 0 to 7 cannot be written
COLOR = 1  # MISC: the CRTC is at 3D4h
SCREEN_ON = 0x20  # in the attribute controller's index
LINE_TIME, FRAME_LINES, SHOWN_LINES = 31_778, 525, 480  # ns at 640x480, 60 Hz


class Vga(PciFunction):
    vendor_id, device_id, class_code = 0x1234, 0x1111, 0x030000
    revision = 2
    subsystem_vendor_id, subsystem_id = 0x1AF4, 0x1100
    ports = (*range(0x3B4, 0x3B6), 0x3BA, *range(0x3C0, 0x3D0), 0x3D4, 0x3D5, 0x3DA, *range(0x1CE, 0x1D1))

    def __init__(self, clock: Clock, option_rom: bytes | None = None) -> None:
        self.clock = clock
        self.registers = Registers(MEMORY_SIZE)
        self.memory = Memory(self.registers, MEMORY_SIZE)
        bars = {
            0: Bar(MEMORY_SIZE, region=self.memory.linear, prefetchable=True),
            2: Bar(REGISTERS_SIZE, read=self.read_window, write=self.write_window),
        }
        if option_rom is not None:
            bars[6] = Bar(_power_of_two(len(option_rom)), region=_rom(option_rom))
        super().__init__(bars)
        self._clear()

    def _clear(self) -> None:
        self.registers.reset()
        self.index = dict.fromkeys((SEQUENCER, GRAPHICS, CRTC, ATTRIBUTE, DISPI_INDEX), 0)
        self.attribute_data = False  # the next write to 3C0h is data
        self.dac_read = self.dac_write = 0  # the next byte of the palette
        self.dac_state = 0

    def connect(self, pci: PciBus) -> None:
        """Into slot 2, and the window at A0000h into memory."""
        pci.add(self, 2)
        self.memory.connect(pci.space)

    def reset(self) -> None:
        super().reset()
        self._clear()
        self.memory.update()

    # -- ports ----------------------------------------------------------------------------------------------

    def _port(self, port: int) -> int | None:
        """The port as in colour modes; None where the card does not answer now."""
        if 0x3B0 <= port < 0x3C0:
            return None if self.registers.misc & COLOR else port + MONO
        if port >= 0x3D0 and not self.registers.misc & COLOR:
            return None
        return port

    def read(self, port: int) -> int:
        place = self._port(port)
        registers = self.registers
        match place:
            case 0x3C0:
                return self.index[ATTRIBUTE]
            case 0x3C1:
                number = self.index[ATTRIBUTE] & 31
                return registers.attribute[number] if number < ATTRIBUTE_COUNT else 0
            case 0x3C2:
                return 0x10  # a display is there
            case 0x3C4 | 0x3CE | 0x3D4:
                return self.index[place]
            case 0x3C5:
                return registers.sequencer[self.index[SEQUENCER]]
            case 0x3C6:
                return registers.pixel_mask
            case 0x3C7:
                return self.dac_state
            case 0x3C8:
                return self.dac_write // 3
            case 0x3C9:
                value = registers.palette[self.dac_read]
                self.dac_read = (self.dac_read + 1) % len(registers.palette)
                return value
            case 0x3CC:
                return registers.misc
            case 0x3CF:
                number = self.index[GRAPHICS]
                return registers.graphics[number] if number < GRAPHICS_COUNT else 0
            case 0x3D5:
                number = self.index[CRTC]
                return registers.crtc[number] if number < CRTC_COUNT else 0
            case 0x3DA:
                self.attribute_data = False
                return self._status()
        return 0 if place == 0x3CA else 0xFF

    def _status(self) -> int:
        """Where the beam is, by the clock."""
        position = self.clock() // (LINE_TIME // 8)
        line = position // 8 % FRAME_LINES
        if line >= SHOWN_LINES:
            return BLANK | RETRACE * (line >= SHOWN_LINES + 10)
        return BLANK * (position % 8 == 7)

    def write(self, port: int, value: int) -> None:
        place = self._port(port)
        registers = self.registers
        match place:
            case 0x3C0:
                self._write_attribute(value)
            case 0x3C2:
                registers.misc = value
            case 0x3C4:
                self.index[SEQUENCER] = value & 7
            case 0x3C5:
                registers.sequencer[self.index[SEQUENCER]] = value
                self.memory.update()
            case 0x3C6:
                registers.pixel_mask = value
            case 0x3C7:
                self.dac_read, self.dac_state = value * 3, 3
            case 0x3C8:
                self.dac_write, self.dac_state = value * 3, 0
            case 0x3C9:
                registers.palette[self.dac_write] = value
                self.dac_write = (self.dac_write + 1) % len(registers.palette)
            case 0x3CE | 0x3D4:
                self.index[place] = value
            case 0x3CF:
                if self.index[GRAPHICS] < GRAPHICS_COUNT:
                    registers.graphics[self.index[GRAPHICS]] = value & GRAPHICS_MASKS[self.index[GRAPHICS]]
                    self.memory.update()
            case 0x3D5:
                self._write_crtc(self.index[CRTC], value)

    def _write_attribute(self, value: int) -> None:
        if not self.attribute_data:
            self.index[ATTRIBUTE] = value & 0x3F
        elif self.index[ATTRIBUTE] & 31 < ATTRIBUTE_COUNT:
            self.registers.attribute[self.index[ATTRIBUTE] & 31] = value
        self.attribute_data = not self.attribute_data

    def _write_crtc(self, number: int, value: int) -> None:
        crtc = self.registers.crtc
        if number >= CRTC_COUNT:
            return
        if number < 8 and crtc[0x11] & PROTECT:
            if number == 7:  # but for one bit of the line comparison
                crtc[7] = crtc[7] & ~0x10 | value & 0x10
            return
        crtc[number] = value

    def read_wide(self, port: int, size: int) -> int:
        if port == DISPI_INDEX and size == 2:
            return self.index[DISPI_INDEX]
        if port == DISPI_DATA and size == 2:
            return self.registers.read_extended(self.index[DISPI_INDEX])
        return super().read_wide(port, size)

    def write_wide(self, port: int, size: int, value: int) -> None:
        if port == DISPI_INDEX and size == 2:
            self.index[DISPI_INDEX] = value
        elif port == DISPI_DATA and size == 2:
            self._write_extended(self.index[DISPI_INDEX], value)
        else:
            super().write_wide(port, size, value)

    def _write_extended(self, index: int, value: int) -> None:
        if self.registers.write_extended(index, value):
            view = self.memory.linear.view
            assert view is not None
            size = min(self.registers.line_size * self.registers.dispi[2], MEMORY_SIZE)
            view[:size] = bytes(size)
        self.memory.update()

    # -- the same in memory ---------------------------------------------------------------------------------

    def read_window(self, offset: int, size: int) -> int:
        if offset >= PORTS and offset + size <= PORTS + 0x20:
            return self.read_wide(offset - PORTS + 0x3C0, size)
        if EXTENDED <= offset < EXTENDED + 22 and size == 2:
            return self.registers.read_extended((offset - EXTENDED) // 2)
        return 0

    def write_window(self, offset: int, size: int, value: int) -> None:
        if offset >= PORTS and offset + size <= PORTS + 0x20:
            self.write_wide(offset - PORTS + 0x3C0, size, value)
        elif EXTENDED <= offset < EXTENDED + 22 and size == 2:
            self._write_extended((offset - EXTENDED) // 2, value)

    def save(self) -> dict[str, Any]:
        fields = ("index", "attribute_data", "dac_read", "dac_write", "dac_state")
        state: dict[str, Any] = {name: getattr(self, name) for name in fields if name != "index"}
        state |= {"index": list(self.index.items()), "config": self.config.hex()}
        return state | {"registers": self.registers.save(), "memory": self.memory.save()}

    def load(self, state: dict[str, Any]) -> None:
        fields = dict(state)
        self.registers.load(fields.pop("registers"))
        memory, self.config[:] = fields.pop("memory"), bytes.fromhex(fields.pop("config"))
        self.index = dict(map(tuple, fields.pop("index")))
        vars(self).update(fields)
        self.memory.load(memory)
        if self.pci is not None:
            self.pci.map_windows(self)


def _power_of_two(size: int) -> int:
    return max(4096, 1 << (size - 1).bit_length())


def _rom(data: bytes) -> Region:
    import mmap

    size = _power_of_two(len(data))
    memory = mmap.mmap(-1, size)
    memory[: len(data)] = data
    return Region(0, size, ROM, 1, "display ROM", memory=memory)
