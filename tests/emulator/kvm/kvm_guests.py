"""Boot sectors from assembly, on a PC with either engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import imgtools
from emulator.machine.config import Drive, PcConfig
from emulator.machine.pc import Pc
from tests.conftest import PATIENCE, require_tool, run

HEAD = """
    .code16
    .globl start
start: ljmp $0, $0x7c00 + begin - start
begin: xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
"""
END = """
    mov $5, %al
    out %al, $0xf4
    hlt
"""
SIZE = 1 << 20
MEMORY = 16 << 20
STATUS, LATE = 11, 255  # of a program that ends as END does; of one that does not end


class Outcome(NamedTuple):
    status: int
    output: bytes


def boot_sector(folder: Path, text: str) -> Path:
    """A raw disk; behind the sector are bytes by their place. END is put behind the program."""
    source, objects, image = folder / "sector.S", folder / "sector.o", folder / "sector"
    source.write_text(HEAD + text + END)
    run(require_tool("gcc"), "-m32", "-c", "-o", objects, source)
    run(require_tool("objcopy"), "-O", "binary", "-j", ".text", objects, image)
    code = image.read_bytes()
    assert len(code) <= 510
    sector = code.ljust(510, b"\0") + b"\x55\xaa"
    image.write_bytes((sector + bytes(range(256)) * 2).ljust(SIZE, b"\0"))
    return image


def nothing(machine: Pc) -> None:
    """What is done with a machine by default."""


def run_pc(
    image: Path,
    accelerator: str,
    prepare: Callable[[Pc], None] = nothing,
    finish: Callable[[Pc], None] = nothing,
    *,
    reboot: bool = True,
    bios: bytes | None = None,
) -> Outcome:
    """Boot a disk: what the machine ends with, and what the debug console got. Others see it before and afterwards."""
    output = bytearray()
    with imgtools.open(str(image), format="raw") as disk:
        config = PcConfig(
            MEMORY, [Drive(disk)], console=output.extend, accelerator=accelerator, reboot=reboot, bios=bios
        )
        with Pc(config) as machine:
            machine.power_on()
            prepare(machine)
            too_long = threading.Timer(PATIENCE, machine.end, (LATE,))
            too_long.start()
            try:
                status = machine.run()
            finally:
                too_long.cancel()
            finish(machine)
    return Outcome(status, bytes(output))
