"""Small programs: linked branches, calls, and code that changes itself."""

from __future__ import annotations

import ctypes

import pytest
from tcg_cases import Interpreter

from emulator.tcg.core import EXCEPTION, HASH_SLOTS, UD, Block
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


def test_dead_blocks_are_forgotten() -> None:
    """Code that changes itself again and again: blocks are looked up among those that live."""
    guest = Interpreter(64)
    # mov ecx, 5000; again: mov [rip+3], cl; jmp +0; mov al, 0; dec ecx; jnz again; ud2
    guest.space.write(CODE, bytes.fromhex("b988130000 880d03000000 eb00 b000 ffc9 75f2 0f0b"))
    guest.core.cpu.rip = CODE
    assert (guest.processor.run(), guest.core.fault_vector) == (EXCEPTION, UD)
    assert guest.core.cpu.registers[0] & 0xFF == 1
    assert max(chain_length(guest, slot) for slot in range(HASH_SLOTS)) <= 2


def chain_length(guest: Interpreter, slot: int) -> int:
    """How many blocks are in a slot."""
    number, length = guest.core.hash[slot], 0
    while number:
        place = guest.core.blocks + (number - 1) * ctypes.sizeof(Block.ctype)
        number, length = Block.ctype.from_address(place).next_in_hash, length + 1
    return length
