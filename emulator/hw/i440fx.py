"""The i440FX host bridge: shadow RAM (Intel 82441FX data sheet, 290549-001, section 3.2.19, "PAM").

The registers 59h to 5Fh say for 13 pieces of C0000h to FFFFFh whether reads and writes go to RAM or to what lies on the
PCI bus there, the firmware's ROM. Where no ROM is, RAM is seen in either case. SMRAM (72h) is remembered only: there is
no system management mode.
"""

from __future__ import annotations

from typing import Any

from emulator.softmmu.space import AddressSpace, Region

from .pci import PciFunction

PAM, PAM_LAST, SMRAM = 0x59, 0x5F, 0x72
SMRAM_RESET = 2
READS, WRITES = 1, 2  # go to RAM
SEGMENT = 16 << 10
FIRST, SYSTEM = 0xC0000, 0xF0000  # the system BIOS is one piece of 64 KiB
ABOVE_ROM = 2


def segments() -> list[tuple[int, int]]:
    """Place and size of what each half of a register rules, the lower half of 59h first, which rules nothing."""
    pieces = [(place, SEGMENT) for place in range(FIRST, SYSTEM, SEGMENT)]
    return [(0, 0), (SYSTEM, 0x10000), *pieces]


class HostBridge(PciFunction):
    """Over a space whose RAM begins at 0 with the region `ram`."""

    vendor_id, device_id, class_code, revision = 0x8086, 0x1237, 0x060000, 2
    subsystem_vendor_id, subsystem_id = 0x1AF4, 0x1100

    def __init__(self, space: AddressSpace, ram: Region) -> None:
        super().__init__()
        self.memory, self.ram = space, ram
        self.shadows: dict[int, tuple[int, Region]] = {}  # by number: how it is set, and what shows it
        for register in (*range(PAM, PAM_LAST + 1), SMRAM):
            self.writable[register] = 0x33 if register < SMRAM else 0x7F
        self.config[SMRAM] = SMRAM_RESET

    def write_config(self, offset: int, size: int, value: int) -> None:
        super().write_config(offset, size, value)
        if offset + size > PAM and offset <= PAM_LAST:
            self._map()

    def _map(self) -> None:
        """Show what the registers say."""
        for number, (place, size) in enumerate(segments()):
            mode = self.config[PAM + number // 2] >> 4 * (number & 1) & 3
            before = self.shadows.get(number)
            if size == 0 or mode == (0 if before is None else before[0]):
                continue
            if before is not None:
                self.memory.remove(before[1])
                del self.shadows[number]
            if mode:
                self.shadows[number] = mode, self._show(mode, place, size)

    def _show(self, mode: int, place: int, size: int) -> Region:
        if mode & READS:
            return self.memory.add_alias(self.ram, place, size, writable=bool(mode & WRITES), priority=ABOVE_ROM)
        rom = self.memory.read(place, size)
        ram = self.ram.view
        assert ram is not None

        def read(offset: int, width: int) -> int:
            return int.from_bytes(rom[offset : offset + width], "little")

        def write(offset: int, width: int, value: int) -> None:
            ram[place + offset : place + offset + width] = value.to_bytes(width, "little")

        return self.memory.add_mmio(place, size, read, write, priority=ABOVE_ROM, name="shadow RAM to write")

    def reset(self) -> None:
        super().reset()
        self.config[PAM : PAM_LAST + 1] = bytes(PAM_LAST + 1 - PAM)
        self.config[SMRAM] = SMRAM_RESET
        self._map()

    def save(self) -> dict[str, Any]:
        return {"config": self.config.hex()}

    def load(self, state: dict[str, Any]) -> None:
        self.config[:] = bytes.fromhex(state["config"])
        self._map()
