"""Machine code of x86-64, as much as translations need (Intel SDM Vol. 2, chapter 2).

`code` is an opcode and what comes with it: its map in bits 8 and 9, a mandatory prefix in bits 12 and 13, and
`BYTES` if its registers are of 8 bits.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, i32, i64, u8, u32, u64

from .layout import CORE, NO_REGISTER, Translation

MAP_0F = 1 << 8
MAP_SHIFT, PREFIX_SHIFT = 8, 12
BYTES = 1 << 14  # without REX, numbers 4 to 7 would be AH to BH
# Opcodes: the direction is register, r/m
ADD, AND, XOR, SUB, CMP = 0x03, 0x23, 0x33, 0x2B, 0x3B
LOAD, STORE, LEA, TEST, SIGN_EXTEND = 0x8B, 0x89, 0x8D, 0x85, 0x63
GROUP_1, GROUP_1_BYTE, SHIFT, GROUP_5, MOVE_IMMEDIATE = 0x81, 0x83, 0xC1, 0xFF, 0xC7
# ModRM.reg in groups
TO_AND, TO_CMP, TO_SHL, TO_SHR, TO_SAR, TO_JUMP = 4, 7, 4, 5, 7, 4
BELOW, ABOVE_OR_EQUAL, EQUAL, NOT_EQUAL, BELOW_OR_EQUAL, ABOVE = 2, 3, 4, 5, 6, 7


@function(inline="never")
def put(t: Ptr[Translation], value: u64, size: u32) -> None:
    """Little-endian bytes. Up to 8 are written, whatever the size is."""
    Ptr[u64](t.out)[0] = value
    t.out = t.out + size


@function(inline="never")
def head(t: Ptr[Translation], code: u32, size: u32, reg: u32, index: u32, base: u32) -> None:
    """Prefixes and opcode."""
    prefix = code >> PREFIX_SHIFT & 3
    if size == 16 or prefix == 1:
        put(t, 0x66, 1)
    if prefix >= 2:
        put(t, 0xF3 if prefix == 2 else 0xF2, 1)
    rex = (8 if size == 64 else 0) | reg >> 3 << 2 | index >> 3 << 1 | base >> 3
    if rex or (code & BYTES and (reg >= 4 or base >= 4)):
        put(t, 0x40 | rex, 1)
    opcode_map = code >> MAP_SHIFT & 3
    if opcode_map:
        put(t, 0x0F, 1)
    if opcode_map >= 2:
        put(t, 0x38 if opcode_map == 2 else 0x3A, 1)
    put(t, code & 0xFF, 1)


@function
def with_register(t: Ptr[Translation], code: u32, size: u32, reg: u32, other: u32) -> None:
    """An instruction of two registers."""
    head(t, code, size, reg, 0, other)
    put(t, 0xC0 | (reg & 7) << 3 | other & 7, 1)


@function(inline="never")
def with_memory(t: Ptr[Translation], code: u32, size: u32, reg: u32, base: u32, displacement: i32) -> None:
    """An instruction of a register, and memory at a base and a displacement."""
    head(t, code, size, reg, 0, base)
    place(t, reg, base, displacement, base & 7 == 4, 0x24)


@function(inline="never")
def place(t: Ptr[Translation], reg: u32, base: u32, displacement: i32, sib: bool, sib_byte: u32) -> None:
    """ModRM, SIB and displacement of memory at a base."""
    mode: u32 = 2
    if displacement == 0 and base & 7 != 5:
        mode = 0
    elif -128 <= displacement <= 127:
        mode = 1
    put(t, mode << 6 | (reg & 7) << 3 | (4 if sib else base & 7), 1)
    if sib:
        put(t, sib_byte, 1)
    if mode:
        put(t, u64(i64(displacement)), 1 if mode == 1 else 4)


@function(inline="never")
def with_sum(
    t: Ptr[Translation], code: u32, size: u32, reg: u32, base: u32, index: u32, scale: u32, displacement: i32
) -> None:
    """The same with an index, whose scale is a power of two; without a base the displacement has 32 bits."""
    head(t, code, size, reg, index & 15, base & 15)
    low_index: u32 = 4 if index == NO_REGISTER else index & 7
    if base == NO_REGISTER:
        put(t, (reg & 7) << 3 | 4, 1)
        put(t, scale << 6 | low_index << 3 | 5, 1)
        put(t, u64(i64(displacement)), 4)
    else:
        place(t, reg, base, displacement, True, scale << 6 | low_index << 3 | base & 7)


@function
def with_core(t: Ptr[Translation], code: u32, size: u32, reg: u32, offset: u32) -> None:
    """An instruction of a register and a field of `Core`."""
    with_memory(t, code, size, reg, CORE, i32(offset))


@function
def number(t: Ptr[Translation], reg: u32, value: u64) -> None:
    """A register becomes a number; flags stay."""
    if value >> 32 == 0:
        head(t, 0xB8 | reg & 7, 32, 0, 0, reg)
        put(t, value, 4)
    elif fits(value):
        with_register(t, MOVE_IMMEDIATE, 64, 0, reg)
        put(t, value, 4)
    else:
        head(t, 0xB8 | reg & 7, 64, 0, 0, reg)
        put(t, value, 8)


@function
def fits(value: u64) -> bool:
    """Whether 32 bits say it, sign-extended."""
    return value + 0x8000_0000 <= 0xFFFF_FFFF


@function
def jump(t: Ptr[Translation], target: Ptr[u8]) -> None:
    put(t, 0xE9, 1)
    relative(t, target)


@function
def relative(t: Ptr[Translation], target: Ptr[u8]) -> None:
    """The last four bytes of a jump."""
    put(t, u64(target) - u64(t.out + 4), 4)


@function
def jump_if(t: Ptr[Translation], condition: u32) -> None:
    """On a condition of EFLAGS, to where `patch` says."""
    put(t, 0x0F, 1)
    put(t, 0x80 | condition, 1)
    put(t, 0, 4)


@function
def patch(behind: Ptr[u8], target: Ptr[u8]) -> None:
    """Direct the jump that ends at `behind`."""
    Ptr[u32](behind - 4)[0] = u32(u64(target) - u64(behind))


@function
def register_byte(opcode: u32, reg: u32) -> u32:
    return opcode | reg & 7
