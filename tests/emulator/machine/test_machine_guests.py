"""Protection, exceptions and interrupts: programs whose output is compared with QEMU's, line by line.

Where QEMU does not do what the manual says, `MANUAL` has what the line must contain and the section.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_programs import build, build_boot_sector, run_here, run_qemu

NO_SEGMENT_CHECKS = "Vol. 3, 5.3 and 5.5: limits and types are checked"
MANUAL = {
    "MSR": ("vector 0000000D code 00000000", "Vol. 2, RDMSR: #GP(0) for an MSR that is not there"),
    "through null": ("vector 0000000D code 00000000", "Vol. 3, 3.4.2: a null selector cannot be used"),
    "write to read-only": ("vector 0000000D", NO_SEGMENT_CHECKS),
    "write to code": ("vector 0000000D", NO_SEGMENT_CHECKS),
    "read of execute-only": ("vector 0000000D", NO_SEGMENT_CHECKS),
    "busy task": ("vector 0000000D code 00000028", "the segment that the line before this one left in CS"),
    "one beyond": ("vector 0000000D", NO_SEGMENT_CHECKS),
    "write beyond": ("vector 0000000D", NO_SEGMENT_CHECKS),
    "expand-down outside": ("vector 0000000D", NO_SEGMENT_CHECKS),
    "string limit": ("vector 0000000D", NO_SEGMENT_CHECKS),
    "0000000C 00000010 ": ("0000000C 00000010", "Vol. 2, REP: 8 of 20 bytes were stored before the limit"),
    "virtual": ("vector 0000000D code 00000000 at 00000003", NO_SEGMENT_CHECKS),
    "not canonical by stack": ("vector 000000000000000C", "Vol. 3, 6.15: through the stack it is #SS"),
    "jump to not canonical": ("at 0000000000000000 cs", "Vol. 2, JMP: #GP(0) of the jump itself"),
    "return to not canonical": ("at 0000000000000001 cs", "Vol. 2, RET: #GP(0) of the return itself"),
    "FS base, not canonical": ("vector 000000000000000D", "Vol. 2, WRFSBASE: #GP(0)"),
    "MSR, not canonical": ("vector 000000000000000D", "Vol. 2, WRMSR: #GP(0)"),
    "kernel gate": ("code 0000000000000212", "Vol. 3, 6.13: the vector, whatever a gate's size is"),
}


@pytest.mark.parametrize(("name", "bits"), [("exceptions32.S", 32), ("long64.S", 64)])
def test_protected(name: str, bits: int, tmp_path: Path) -> None:
    program = build(name, tmp_path / "program", bits)
    ours, qemus = run_here(program), run_qemu(program)
    assert ours.status == qemus.status == 1
    lines = ours.output.splitlines(), qemus.output.splitlines()
    for here, there in zip(*lines, strict=True):
        if here == there:
            continue
        expected = MANUAL.get(here.partition(":")[0])
        assert expected is not None, (here, there)
        assert expected[0] in here


def test_real_mode(tmp_path: Path) -> None:
    """A boot sector: the firmware's services, the IVT, the timer, long limits in real mode."""
    disk = build_boot_sector("boot16.S", tmp_path / "disk")
    assert run_here(disk) == run_qemu(disk, disk=True)


def test_manual(tmp_path: Path) -> None:
    """Exceptions that QEMU does not raise, and the RF of a frame (SDM Vol. 3, 2.5 and 17.3.1.1)."""
    lines = run_here(build("manual32.S", tmp_path / "program")).output.splitlines()
    frames = dict(line.split(": ") for line in lines)
    for name in ("reserved bit of CR4", "paging without protection", "write-through without the cache"):
        assert frames[name].startswith("00000000 001"), name  # the error code 0, and the address
    assert int(frames["flags of a fault"].split()[2], 16) & 0x10000
    assert not int(frames["flags of a trap"].split()[2], 16) & 0x10000
