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

from . import mmio
from .blk import VirtioBlk
from .console import VirtioConsole
from .device import VirtioDevice
from .pci import VirtioPci
from .rng import VirtioRng

if TYPE_CHECKING:
    from emulator.hw.device import Line
    from emulator.hw.pci import PciBus
    from emulator.machine.config import PcConfig

RNG, CONSOLE, MMIO = "virtio-rng", "virtio-console", "virtio-mmio"


def attach(pci: PciBus, config: PcConfig, irq: Callable[[int], Line], on_error: OnError = report) -> list[VirtioDevice]:
    """Put what a machine's configuration asks for on its bus, or into its memory as far as there are places."""
    devices = list(_devices(config, on_error))
    in_memory = len(mmio.PINS) if MMIO in config.devices else 0
    for place, (device, pin) in enumerate(zip(devices[:in_memory], mmio.PINS, strict=False)):
        registers = mmio.VirtioMmio(device, pci.space, irq(pin))
        pci.bus.place(registers, pci.space, mmio.FIRST + place * mmio.STEP, mmio.SIZE, name="virtio")
    for device in devices[in_memory:]:
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
