"""Small programs: linked branches, calls, and code that changes itself."""

from __future__ import annotations

import pytest
from tcg_cases import Interpreter

from emulator.tcg.core import EXCEPTION, UD
from emulator.x86.generate import CODE, MIDDLE

PROGRAMS = {
    # mov ecx, 100; add rax, rcx; dec ecx; jnz; ud2
    "loop": ("b964000000 4801c8 ffc9 75f9 0f0b", 5050),
    # mov byte [rip+1], 22h; mov al, 11h: the next instruction of the same block is overwritten
    "self-modifying": ("c6050100000022 b011 0f0b", 0x22),
    # call +2; ud2; inc eax; ret
    "call": ("e802000000 0f0b ffc0 c3", 1),
}


@pytest.mark.parametrize(("native", "translate"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, native: bool, translate: bool) -> None:
    code, expected = PROGRAMS[name]
    guest = Interpreter(64, native=native, translate=translate)
    for _ in range(2):
        guest.space.write(CODE, bytes.fromhex(code))
        guest.core.cpu.rip = CODE
        guest.core.cpu.registers[0] = 0
        guest.core.cpu.registers[4] = MIDDLE
        assert (guest.processor.run(), guest.core.fault_vector) == (EXCEPTION, UD)
        assert guest.core.cpu.registers[0] == expected
