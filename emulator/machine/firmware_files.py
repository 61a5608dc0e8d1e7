"""What a firmware that is brought along learns of the machine, by the names and numbers that SeaBIOS knows
("QEMU Firmware Configuration (fw_cfg) Device", docs/specs/fw_cfg; "Runtime_config" of SeaBIOS).
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from emulator.hw import ide
from emulator.hw.fw_cfg import ARCHITECTURE, FirmwareConfiguration
from emulator.hw.virtio import mmio
from emulator.hw.virtio.blk import VirtioBlk
from emulator.hw.virtio.pci import VirtioPci

from .acpi.linker import ROOT, TABLES
from .config import CDROM, DISK, FLOPPY, IDE, VIRTIO

if TYPE_CHECKING:
    from .pc import Pc

MEMORY_SIZE, NO_GRAPHICS, PROCESSORS, BOOT_MENU, MOST_PROCESSORS = 3, 4, 5, 14, 15
TIMER_OVERRIDE = ARCHITECTURE | 2  # the timer is at pin 2 of the I/O APIC
RAM = 1
HIGH_MEMORY = 4 << 30
# ACPI's sleeping states: the type of each, and bit 7 where it may be used; neither S3 nor S4
SLEEPING_STATES = bytes((128, 0, 0, 1, 2, 128))

HOST_BRIDGE = "/pci@i0cf8"
FLOPPY_PATH = HOST_BRIDGE + "/isa@1/fdc@03f0/floppy@{}"
IDE_PATH = HOST_BRIDGE + "/ide@1,1/drive@{}/disk@{}"
VIRTIO_PATH, MMIO_PATH = HOST_BRIDGE + "/scsi@{:x}/disk@0,0", "/virtio-mmio@{:016x}/disk@0,0"


def configuration(machine: Pc) -> FirmwareConfiguration:
    """The chip with all that it says."""
    chip = FirmwareConfiguration(machine.space)
    chip.add(MEMORY_SIZE, pack("<Q", machine.config.memory))
    for key, value in ((NO_GRAPHICS, 0), (PROCESSORS, 1), (BOOT_MENU, 0), (MOST_PROCESSORS, 1)):
        chip.add(key, pack("<H", value))
    chip.add(TIMER_OVERRIDE, b"\1")
    chip.add_file("etc/e820", _memory(machine))
    chip.add_file("etc/system-states", SLEEPING_STATES)
    if machine.config.drives:
        chip.add_file("bootorder", lambda: "\n".join(boot_paths(machine)).encode() + b"\0")
    chip.add_file(TABLES, lambda: bytes(machine.acpi_tables().tables.data))
    chip.add_file(ROOT, lambda: bytes(machine.acpi_tables().root.data))
    chip.add_file("etc/table-loader", lambda: machine.acpi_tables().script())
    return chip


def _memory(machine: Pc) -> bytes:
    """RAM only, as address, size and kind."""
    pieces = [(0, machine.low_memory)]
    if machine.high_ram is not None:
        pieces.append((HIGH_MEMORY, machine.high_ram.size))
    return b"".join(pack("<QQI", first, size, RAM) for first, size in pieces)


def boot_paths(machine: Pc) -> list[str]:
    """What may be booted, the first first, as Open Firmware names it."""
    kinds = {"a": (FLOPPY, DISK), "c": (None, DISK), "d": (None, CDROM)}
    paths = _paths(machine)
    found = []
    for letter in machine.config.boot_order:
        interface, media = kinds.get(letter, (None, None))
        for drive in machine.config.drives:
            if drive.media == media and (drive.interface == FLOPPY) == (interface == FLOPPY):
                found.append(paths[id(drive)])
    return found


def _paths(machine: Pc) -> dict[int, str]:
    """By the drives' identity."""
    drives = machine.config.drives_on
    paths = {id(drive): FLOPPY_PATH.format(number) for number, drive in enumerate(drives(FLOPPY))}
    for place, drive in ide.arrange(drives(IDE)).items():
        paths[id(drive)] = IDE_PATH.format(*divmod(place, 2))
    blocks = [device for device in machine.virtio if isinstance(device, VirtioBlk)]
    for place, (device, drive) in enumerate(zip(blocks, drives(VIRTIO), strict=True)):
        card = device.transport
        first = mmio.FIRST + place * mmio.STEP
        paths[id(drive)] = VIRTIO_PATH.format(card.slot) if isinstance(card, VirtioPci) else MMIO_PATH.format(first)
    return paths
