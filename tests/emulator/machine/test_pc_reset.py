"""Resets of the PC: by each way that a program has."""

from __future__ import annotations

import pytest

from emulator.machine.config import PcConfig
from emulator.machine.errors import GuestError
from emulator.machine.pc import Pc

# inc byte [500h]; cmp byte [500h], 3; jae exit
COUNT = bytes.fromhex("fe060005 803e000503 73")
EXIT = bytes.fromhex("b005 e6f4")  # mov al, 5; out F4h, al
WAYS = {
    "port 92h": "b001 e692",
    "port CF9h": "baf90c b006 ee",
    "triple fault": "0f011e2005 cc",  # lidt [520h], which is empty; int3
}
HALT = "fa f4 ebfd"  # what a reset does not get to


def firmware(way: str) -> bytes:
    """A ROM that resets the machine twice, and then ends it."""
    body = bytes.fromhex(WAYS[way] + HALT)
    program = COUNT + bytes([len(body)]) + body + EXIT
    return program.ljust(0xFFF0, b"\xf4") + bytes.fromhex("e90d00").ljust(16, b"\xf4")


@pytest.mark.parametrize("way", WAYS)
def test_reset(way: str) -> None:
    with Pc(PcConfig(memory=1 << 20)) as machine:
        machine.space.add_rom(0xFFFF0000, firmware(way))
        assert machine.run() == 11 and machine.space.read(0x500, 1) == b"\x03"


@pytest.mark.parametrize("way", WAYS)
def test_no_reboot(way: str) -> None:
    with Pc(PcConfig(memory=1 << 20, reboot=False)) as machine:
        machine.space.add_rom(0xFFFF0000, firmware(way))
        if way == "triple fault":
            with pytest.raises(GuestError, match="triple fault"):
                machine.run()
        else:
            assert machine.run() == 0
        assert machine.space.read(0x500, 1) == b"\x01"
