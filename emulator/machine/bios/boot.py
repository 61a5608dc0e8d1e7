"""INT 18h and 19h: which drive is booted, and what is said when none can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from emulator.hw.medium import BadSector
from emulator.machine.errors import GuestError
from emulator.machine.firmware import Service, call
from emulator.x86.instruction import DS, ES

from . import data
from .drive import CD, CD_SECTOR, FLOPPY, HARD_DISK, SECTOR, SIGNATURE
from .drives import FIRST_NUMBERS, NotBootable

if TYPE_CHECKING:
    from emulator.machine.firmware import Firmware

    from .drives import Drives

KINDS = {"a": FLOPPY, "c": HARD_DISK, "d": CD}
NAMES = {FLOPPY: "floppy", HARD_DISK: "hard disk", CD: "CD-ROM"}


class Boot(Service):
    """Tries the drives in `order`, letters as in QEMU's -boot: the first of each kind."""

    def __init__(self, firmware: Firmware, drives: Drives, order: str) -> None:
        super().__init__(firmware)
        self.drives = drives
        self.order = order
        self._candidates: Iterator[int] = iter(())
        self._failures: list[str] = []

    @call(0x19)
    def start(self) -> None:
        """From the first drive on."""
        self.drives.emulation = None
        self.drives.number()
        self._candidates = (KINDS[letter] for letter in self.order if letter in KINDS)
        self._failures = []
        self.next()

    @call(0x18)
    def next(self) -> None:
        """The drive after the one that was tried last, whose program has given up."""
        for kind in self._candidates:
            try:
                self._boot(kind)
            except NotBootable as error:
                self._failures.append(str(error))
            except BadSector as error:
                self._failures.append(f"{NAMES[kind]}: {error}")
            else:
                return
        reasons = "".join(f"\n  {reason}" for reason in self._failures) or "\n  the program that was booted gave up"
        raise GuestError(f"no drive can be booted:{reasons}")

    def _boot(self, kind: int) -> None:
        number = FIRST_NUMBERS[kind]
        drive = self.drives.by_number.get(number)
        if drive is None:
            raise NotBootable(f"{NAMES[kind]}: there is none")
        segment, offset = 0, data.BOOT_ADDRESS
        if drive.kind == CD:
            boot = self.drives.start_emulation(drive)
            number, drive = boot.number, boot.drive or drive
            segment = boot.segment if boot.drive is None else 0
            offset = 0 if boot.drive is None else data.BOOT_ADDRESS
            program = bytes(boot.cd.medium.read(boot.image * CD_SECTOR, max(1, boot.count) * SECTOR))
        elif drive.sectors < 1:
            raise NotBootable(f"{NAMES[kind]}: {drive.name} is empty")
        else:
            program = drive.read(0)
        if drive.kind != CD and program[SECTOR - 2 : SECTOR] != SIGNATURE:
            raise NotBootable(f"{NAMES[kind]}: the first sector of {drive.name} does not end in 55 AA")
        if segment * 16 + offset + len(program) > data.EBDA:
            raise NotBootable(f"{NAMES[kind]}: the boot image does not fit into low memory")
        self.space.write(segment * 16 + offset, program)
        self._enter(segment, offset, number)

    def _enter(self, segment: int, offset: int, number: int) -> None:
        caller = self.caller
        for name in ("eax", "ebx", "ecx", "edx", "esi", "edi"):
            setattr(caller, name, 0)
        caller.ax = 0xAA55
        caller.dl = number
        for register in (DS, ES):
            caller.set_segment(register, 0)
        caller.return_to(segment, offset)
