"""The IDE disks and CD-ROM drives of a PC.

| file | what it is |
|---|---|
| `controller.py` | the PIIX3's PCI function |
| `channel.py` | the ports of two units |
| `bus_master.py` | DMA |
| `unit.py` | registers and protocols of any unit |
| `settings.py`, `smart.py`, `disk.py` | the commands of a hard disk |
| `packet.py`, `cdrom.py`, `disc.py` | the commands of a CD-ROM drive |
| `identify.py` | what both are |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from imgtools import Node
from imgtools.errors import BadOption

from ..device import Line
from ..medium import Medium, OnError, report
from ..pci import PciBus
from .cdrom import CdRom
from .controller import IdeController
from .disc import FRAME
from .disk import Disk
from .unit import Unit

SLOT, FUNCTION = 1, 1
IRQS = (14, 15)
PLACES = 4
CDROM_PLACE = 2  # the first CD-ROM drive is the second channel's master, if nothing else is


class Drive(Protocol):
    """What is attached."""

    node: Node
    media: str
    serial: str

    @property
    def read_only(self) -> bool: ...


def attach(
    pci: PciBus, irq: Callable[[int], Line], drives: Sequence[Drive], on_error: OnError = report
) -> IdeController:
    """Put the controller into its slot, and the drives on it."""
    controller = IdeController(pci.space, (irq(IRQS[0]), irq(IRQS[1])))
    pci.add(controller, SLOT, FUNCTION)
    controller.place(pci.bus)
    for place, drive in arrange(drives).items():
        controller.attach(place, make_unit(drive, place, on_error))
    return controller


def arrange(drives: Sequence[Drive]) -> dict[int, Drive]:
    """Which drive is where: 0 and 1 on the first channel, 2 and 3 on the second."""
    if len(drives) > PLACES:
        raise BadOption(
            f"{len(drives)} IDE drives, and a PC has room for {PLACES}", hint="Attach the others with if=virtio."
        )
    free = list(range(PLACES))
    placed: dict[int, Drive] = {}
    discs = [drive for drive in drives if drive.media == "cdrom"]
    if discs and len(drives) - len(discs) <= CDROM_PLACE:
        placed[CDROM_PLACE] = discs[0]
        free.remove(CDROM_PLACE)
    for drive in drives:
        if drive not in placed.values():
            placed[free.pop(0)] = drive
    return placed


def make_unit(drive: Drive, place: int, on_error: OnError) -> Unit:
    serial = drive.serial or f"IM{place + 1:05}"
    if drive.media == "cdrom":
        return CdRom(Medium(drive.node, FRAME, read_only=True, on_error=on_error), serial=serial)
    return Disk(Medium(drive.node, read_only=drive.read_only, on_error=on_error), serial=serial)
