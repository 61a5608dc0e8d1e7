"""SeaBIOS on our chips: what it finds, and what it hands on."""

from __future__ import annotations

from pathlib import Path
from struct import unpack_from

import pytest

from emulator.machine.config import CDROM, IDE, VIRTIO, Drive, PcConfig
from emulator.machine.firmware_files import boot_paths
from emulator.machine.pc import Pc
from imgtools.block.protocols.memory import MemoryNode
from tests.conftest import cannot_run

ROM = Path("/usr/share/seabios/bios.bin")
LAST_WORDS = b"No bootable device."
DONE = 77


def boot(config: PcConfig) -> tuple[str, Pc]:
    """What it says until it gives up, and the machine then."""
    said = bytearray()

    def listen(data: bytes) -> None:
        said.extend(data)
        if said.endswith(LAST_WORDS):
            machine.end(DONE)

    config.bios, config.console = ROM.read_bytes(), listen
    with Pc(config) as machine:
        machine.power_on()
        assert machine.run() == DONE
    return said.decode("latin-1"), machine


@pytest.fixture(scope="module")
def booted() -> tuple[str, Pc]:
    if not ROM.exists():
        cannot_run("SeaBIOS is not installed (package seabios)")
    drives = [Drive(MemoryNode(1 << 20)), Drive(MemoryNode(1 << 20), interface=VIRTIO)]
    return boot(PcConfig(memory=64 << 20, drives=drives))


def test_finds_the_board(booted: tuple[str, Pc]) -> None:
    said, _ = booted
    for text in (
        "Running on QEMU (i440fx)",
        "fw_cfg DMA interface supported",
        "addr 0x0000000000000000 len 0x0000000004000000 [RAM]",
        "PIIX3/PIIX4 init: elcr=00 0c",
        "CPU Mhz=1000 (invtsc)",
        "Moving pm_base to 0x600",
        "Found 1 cpu(s) max supported 1 cpu(s)",
        "1: /pci@i0cf8/ide@1,1/drive@0/disk@0",
        "2: /pci@i0cf8/scsi@3/disk@0,0",
    ):
        assert text in said
    assert "timeout" not in said.lower()


def test_acpi(booted: tuple[str, Pc]) -> None:
    """The tables are linked where it put them."""
    _, machine = booted
    segment = machine.space.read(0xE0000, 0x20000)
    root = segment.index(b"RSD PTR ")
    assert sum(segment[root : root + 36]) & 0xFF == 0
    (place,) = unpack_from("<Q", segment, root + 24)
    table = machine.space.read(place, 68)
    assert table.startswith(b"XSDT") and sum(table) & 0xFF == 0
    fixed = machine.space.read(unpack_from("<Q", table, 36)[0], 244)
    assert fixed.startswith(b"FACP") and sum(fixed) & 0xFF == 0
    assert unpack_from("<I", fixed, 56)[0] == 0x600  # the power management's ports, which SeaBIOS has moved


def test_boot_order() -> None:
    drives = [
        Drive(MemoryNode(1 << 20), interface=VIRTIO),
        Drive(MemoryNode(1 << 20), interface=IDE),
        Drive(MemoryNode(1 << 20), interface=IDE, media=CDROM),
    ]
    cd, ide, virtio = "ide@1,1/drive@1/disk@0", "ide@1,1/drive@0/disk@0", "scsi@3/disk@0,0"
    for order, wanted in (("dc", [cd, virtio, ide]), ("cad", [virtio, ide, cd]), ("n", [])):
        with Pc(PcConfig(memory=64 << 20, drives=drives, boot_order=order)) as machine:
            assert boot_paths(machine) == [f"/pci@i0cf8/{path}" for path in wanted]
    with Pc(PcConfig(memory=64 << 20, drives=drives[:1], devices=["virtio-mmio"])) as machine:
        assert boot_paths(machine) == ["/virtio-mmio@00000000fed80000/disk@0,0"]


def test_starts_anew() -> None:
    """A reset brings the ROM back over the shadow RAM, and all is found again."""
    if not ROM.exists():
        cannot_run("SeaBIOS is not installed (package seabios)")
    said = bytearray()

    def listen(data: bytes) -> None:
        said.extend(data)
        if said.endswith(LAST_WORDS):
            machine.end(DONE) if said.count(LAST_WORDS) > 2 else machine.reset()

    with Pc(PcConfig(memory=64 << 20, bios=ROM.read_bytes(), console=listen)) as machine:
        machine.power_on()
        assert machine.run() == DONE
    text = said.decode("latin-1")
    assert text.count("Moving pm_base") == 3 and text.count("e820 map has 6 items") == 3
