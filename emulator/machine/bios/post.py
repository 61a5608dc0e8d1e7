"""What the firmware does between a reset and booting: chips, the table of vectors, the BIOS data area."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.firmware import ROM, Service, call

from . import data
from .drive import FLOPPY, HARD_DISK

if TYPE_CHECKING:
    from .pc import Bios

POWER_ON = 0x100  # not a vector: the stub that a reset leads to
RESET_VECTOR, DATE, MODEL = 0xFFF0, 0xFFF5, 0xFFFE  # in the ROM
SHUTDOWN_CODE, CMOS_INDEX, CMOS_DATA = 0x0F, 0x70, 0x71
RESUMES = (0x05, 0x0A)  # with and without an EOI before
INTERRUPT_CONTROLLERS = (
    (0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x70), (0xA1, 2), (0xA1, 1),
    (0x21, 0xB8), (0xA1, 0x8F),
)  # fmt: skip
TIMER = ((0x43, 0x36), (0x40, 0), (0x40, 0))
# Self-test, keyboard on, command byte: interrupt 1, translation, no mouse
KEYBOARD = ((0x64, 0xAA), (0x64, 0xAE), (0x64, 0x60), (0x60, 0x65))
MAX_KEYS = 256  # bytes that a keyboard may hold
PORT_92, A20 = 0x92, 2
# Equipment: coprocessor, mouse, 80 columns in colour; floppies and serial ports are added
COPROCESSOR, MOUSE, COLOR_80 = 2, 4, 0x20
SERIAL = 0x3F8


def power_on(port: int) -> bytes:
    """CLI; XOR AX, AX; MOV SS, AX; MOV SP, 7C00h; MOV DS, AX; OUT port, AL; JC resume; STI; INT 19h
    resume: JMP FAR [467h]
    """
    start = bytes((0xFA, 0x31, 0xC0, 0x8E, 0xD0, 0xBC, 0x00, 0x7C, 0x8E, 0xD8, 0xE6, port, 0x72, 3, 0xFB, 0xCD, 0x19))
    return start + bytes((0xFF, 0x2E, 0x67, 0x04))


# PUSH AX; MOV AL, 20h; OUT 20h, AL; POP AX; IRET, and the same with OUT A0h, AL in front
END_INTERRUPT = bytes((0x50, 0xB0, 0x20, 0xE6, 0x20, 0x58, 0xCF))
END_SECOND = bytes((0x50, 0xB0, 0x20, 0xE6, 0xA0, 0xE6, 0x20, 0x58, 0xCF))
RETURN = bytes((0xCF,))


class Post(Service):
    """`bios` has the other services."""

    stubs = {POWER_ON: power_on}

    def __init__(self, bios: Bios) -> None:
        super().__init__(bios)
        self.bios = bios

    def finish_rom(self) -> None:
        """What has its fixed place in the ROM, once the stubs are there."""
        firmware = self.firmware
        rom, entry = firmware.rom, firmware.entries[POWER_ON]
        rom[RESET_VECTOR : RESET_VECTOR + 5] = bytes(
            (0xEA, *entry.to_bytes(2, "little"), *(ROM >> 4).to_bytes(2, "little"))
        )
        rom[DATE : DATE + 8] = b"01/01/26"
        rom[MODEL] = 0xFC
        self.ends = {vector: firmware.add_code(END_INTERRUPT) for vector in range(0x08, 0x10)}
        self.ends |= {vector: firmware.add_code(END_SECOND) for vector in range(0x70, 0x78)}
        self.default = firmware.add_code(RETURN)

    @call(POWER_ON)
    def start(self) -> None:
        self.firmware.out(CMOS_INDEX, SHUTDOWN_CODE)
        code = self.firmware.input(CMOS_DATA)
        self.firmware.out(CMOS_DATA, 0)
        self.caller.wait(code in RESUMES)  # the carry flag
        if code not in RESUMES:
            self.prepare()

    def prepare(self) -> None:
        """All but booting."""
        self._write_low_memory()
        for port, value in (*INTERRUPT_CONTROLLERS, *TIMER, *KEYBOARD):
            self.firmware.out(port, value)
        for _ in range(MAX_KEYS):
            if not self.firmware.input(0x64) & 1:
                break
            self.firmware.input(0x60)  # the self-test's answer, and what was typed too early
        self.firmware.out(PORT_92, A20)
        self.bios.pci.set_up()
        self.bios.keyboard.start()
        self.bios.video.set_mode(3)
        self.bios.clock.set_ticks_by_clock()

    def _write_low_memory(self) -> None:
        """Vectors, the BIOS data area and the extended one."""
        self.space.write(0x400, bytes(0x100))
        self.firmware.write_vectors(self.default, self.ends)
        floppies = self.bios.drives.count(FLOPPY)
        equipment = COPROCESSOR | MOUSE | COLOR_80 | 1 << 9
        if floppies:
            equipment |= 1 | (min(floppies, 4) - 1) << 6
        self.put(data.EQUIPMENT, equipment, 2)
        self.put(data.SERIAL_PORTS, SERIAL, 2)
        self.put(data.EBDA_SEGMENT, data.EBDA >> 4, 2)
        self.put(data.EBDA, data.EBDA_SIZE_KILOBYTES)
        self.put(data.MEMORY_KILOBYTES, data.LOW_KILOBYTES, 2)
        self.put(data.DISK_COUNT, min(self.bios.drives.count(HARD_DISK), 255))
