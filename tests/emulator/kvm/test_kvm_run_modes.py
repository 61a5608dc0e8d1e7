"""Protected and 64-bit mode, as far as any KVM has them: programs of integer instructions, without interrupts."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvm_guests import STATUS, boot_sector, run_pc

from emulator.machine.bare import BareMachine
from emulator.machine.engine import KVM, TCG
from emulator.machine.programs import load
from tests.conftest import cannot_run
from tests.emulator.machine.guest_programs import build

VARIANTS = {32: "-O2 -ffreestanding -fno-pic -fno-stack-protector -mfpmath=387", 64: ""}


@pytest.mark.parametrize("bits", VARIANTS)
def test_integers(bits: int, tmp_path: Path) -> None:
    """Flat segments without paging, and 64-bit code with pages of 2 MiB."""
    program = build("integers.c", tmp_path / "program", bits, VARIANTS[bits])
    outcomes = []
    for accelerator in (KVM, TCG):
        output = bytearray()
        with BareMachine(output.extend, 64 << 20, accelerator=accelerator) as machine:
            load(machine, program)
            outcomes.append((machine.run(), bytes(output)))
    assert outcomes[0] == outcomes[1] and len(outcomes[0][1]) > 100


def test_seabios(tmp_path: Path) -> None:
    """A firmware of others: shadow RAM, devices that move, real and protected mode in turns, its drivers."""
    path = Path("/usr/share/seabios/bios-256k.bin")
    if not path.exists():
        cannot_run(f"{path} is not there")
    image = boot_sector(tmp_path, "")
    outcome = run_pc(image, KVM, bios=path.read_bytes())
    assert outcome.status == STATUS and b"Booting from Hard Disk" in outcome.output
