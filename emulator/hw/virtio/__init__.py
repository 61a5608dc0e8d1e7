"""Virtio: devices that are made for virtual machines ("Virtual I/O Device (VIRTIO) Version 1.2", OASIS, and its legacy
interface).

`ring.py` is how driver and device share memory, `device.py` what all devices have in common, `pci.py` and `mmio.py` the
transports by which the driver reaches the device's registers, and the rest are devices.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from emulator.hw.medium import Medium, OnError, report

from .blk import VirtioBlk
from .console import VirtioConsole
from .device import VirtioDevice
from .pci import VirtioPci
from .rng import VirtioRng

if TYPE_CHECKING:
    from emulator.hw.pci import PciBus
    from emulator.machine.config import PcConfig

RNG, CONSOLE = "virtio-rng", "virtio-console"


def attach(pci: PciBus, config: PcConfig, on_error: OnError = report) -> list[VirtioDevice]:
    """Put what a machine's configuration asks for on its bus."""
    devices = list(_devices(config, on_error))
    for device in devices:
        pci.add(VirtioPci(device))
    return devices


def _devices(config: PcConfig, on_error: OnError) -> Iterator[VirtioDevice]:
    for drive in config.drives:
        if drive.interface == "virtio":
            yield VirtioBlk(Medium(drive.node, read_only=drive.read_only, on_error=on_error), drive.serial)
    if RNG in config.devices:
        # A run that shall be like any other has random numbers that are, too.
        source: Callable[[int], bytes] = random.Random(0).randbytes if config.icount else os.urandom
        yield VirtioRng(source)
    if CONSOLE in config.devices:
        yield VirtioConsole(config.serial)
