"""Virtio: devices that are made for virtual machines ("Virtual I/O Device (VIRTIO) Version 1.2", OASIS, and its legacy
interface).

`ring.py` is how driver and device share memory, `device.py` what all devices have in common, `pci.py` and `mmio.py` the
transports by which the driver reaches the device's registers, and the rest are devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .blk import VirtioBlk, report
from .pci import VirtioPci

if TYPE_CHECKING:
    from emulator.hw.pci import PciBus
    from emulator.machine.config import Drive
    from imgtools import ImageError


def add_cards(pci: PciBus, drives: Iterable[Drive], on_error: Callable[[ImageError], bool] = report) -> None:
    """Put what a machine's configuration asks for on its bus."""
    for drive in drives:
        if drive.interface == "virtio":
            disk = VirtioBlk(drive.node, drive.serial, read_only=drive.read_only, on_error=on_error)
            pci.add(VirtioPci(disk))
