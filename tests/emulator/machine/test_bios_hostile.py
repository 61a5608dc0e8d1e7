"""The BIOS's services with any registers whatever: nothing is raised but what says that no drive can be booted."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

import imgtools
from emulator.machine.config import CDROM, FLOPPY, Drive, PcConfig
from emulator.machine.errors import GuestError
from emulator.machine.firmware import FIRST_PORT, ROM
from emulator.machine.pc import Pc
from emulator.x86.instruction import CS

CALLS = 1500
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x4F02, 0xE820, 0x12345678, 0xFFFFFFFF)


@pytest.fixture
def machine(tmp_path: Path) -> Pc:
    drives = []
    for name, size, interface, media in (
        ("disk", 3 << 20, "ide", "disk"),
        ("floppy", 1440 << 10, FLOPPY, "disk"),
        ("cd", 1 << 20, "ide", CDROM),
        ("odd", 777, "virtio", "disk"),
    ):
        path = tmp_path / name
        path.write_bytes(random.Random(name).randbytes(size))
        drives.append(Drive(imgtools.open(str(path), writable=media != CDROM), interface, media))
    machine = Pc(PcConfig(memory=8 << 20, drives=drives))
    assert machine.firmware is not None
    machine.firmware.post.prepare()
    return machine


@pytest.mark.parametrize("seed", range(4))
def test_any_registers(machine: Pc, seed: int) -> None:
    bios, values = machine.firmware, random.Random(seed)
    assert bios is not None
    cpu = machine.processor.core.cpu
    numbers = list(bios.numbers)
    for _ in range(CALLS):
        for register in range(8):
            cpu.registers[register] = values.choice((values.choice(INTERESTING), values.randrange(1 << 32)))
        for segment in cpu.segments:
            segment.selector = values.choice((0, 0x40, 0xA000, 0xB800, 0xF000, 0xFFFF, values.randrange(0x10000)))
            segment.base = segment.selector << 4
        cpu.segments[CS].base = ROM
        if values.random() < 0.3:  # the BIOS's own data is in reach of every program
            machine.space.write(0x400 + values.randrange(0x100), values.randbytes(values.choice((1, 2, 64))))
        vector, function = values.choice(numbers)
        if function is not None:
            cpu.registers[0] = function if function > 0xFF else function << 8 | values.randrange(256)
        with contextlib.suppress(GuestError):
            bios.write(FIRST_PORT + bios.vectors.index(vector), 0)
    for drive in machine.config.drives:
        drive.node.close()


def test_programs_cannot_call_directly(machine: Pc) -> None:
    """The ports are the stubs': a program's write to one of them is nothing."""
    bios = machine.firmware
    assert bios is not None
    caller = bios.caller
    machine.processor.core.cpu.segments[CS].base = 0x10000
    caller.ax = 0x1234
    bios.write(FIRST_PORT + bios.vectors.index(0x12), 0)
    assert caller.ax == 0x1234
    machine.processor.core.cpu.segments[CS].base = ROM
    bios.write(FIRST_PORT + bios.vectors.index(0x12), 0)
    assert caller.ax == 639
