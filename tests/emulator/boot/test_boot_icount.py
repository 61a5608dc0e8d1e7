"""--icount: the same image and input give the same output, memory and number of instructions each time."""

from __future__ import annotations

import hashlib

from linux_guests import kernel

from emulator.machine.config import LinuxBoot, PcConfig
from emulator.machine.pc import Pc

MEMORY = 256 << 20
LAST = b"Memory: "  # what the kernel prints last


def outcome() -> tuple[bytes, int, str]:
    said = bytearray()

    def listen(data: bytes) -> None:
        said.extend(data)
        if LAST in said:
            machine.end(0)

    boot = LinuxBoot(kernel("cloud-amd64").image.read_bytes(), b"", "console=ttyS0 earlyprintk=ttyS0,115200")
    with Pc(PcConfig(MEMORY, serial=listen, linux=boot, icount=True)) as machine:
        machine.power_on()
        assert machine.run() == 0
        digest = hashlib.sha256(machine.space.read(0, MEMORY)).hexdigest()
        return bytes(said), machine.processor.core.instructions, digest


def test_runs_are_alike() -> None:
    said, instructions, digest = outcome()
    assert instructions > 1_000_000 and LAST in said
    assert outcome() == (said, instructions, digest)
