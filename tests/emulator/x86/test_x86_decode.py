"""The reference decoder and the disassembler on encodings worked out from the manual."""

from __future__ import annotations

import pytest

from emulator.x86.decode import DecodeError, InvalidOpcode, TooLong, Truncated, decode
from emulator.x86.disasm import disassemble, text
from emulator.x86.instruction import RIP, Immediate, Memory, Register, Relative


def code(digits: str) -> bytes:
    return bytes.fromhex(digits)


@pytest.mark.parametrize(
    ("digits", "mode", "expected"),
    [
        ("00 c4", 64, "add ah,al"),
        ("40 00 c4", 64, "add spl,al"),
        ("66 48 01 c8", 64, "add rax,rcx"),
        ("48 66 01 c8", 64, "add ax,cx"),  # a REX that is not last is ignored
        ("67 8b 00", 64, "mov eax,DWORD PTR [eax]"),
        ("67 8b 00", 32, "mov eax,DWORD PTR [bx+si]"),
        ("66 67 8b 44 24 04", 16, "mov eax,DWORD PTR [esp+0x4]"),
        ("8b 04 25 78 56 34 12", 64, "mov eax,DWORD PTR ds:0x12345678"),
        ("8b 05 78 56 34 12", 64, "mov eax,DWORD PTR [rip+0x12345678]"),
        ("8b 05 78 56 34 12", 32, "mov eax,DWORD PTR ds:0x12345678"),
        ("42 8b 04 25 00 00 00 00", 64, "mov eax,DWORD PTR [r12*1]"),
        ("41 8b 04 24", 64, "mov eax,DWORD PTR [r12]"),
        ("41 8b 45 00", 64, "mov eax,DWORD PTR [r13]"),
        ("64 2e 8b 00", 64, "mov eax,DWORD PTR fs:[rax]"),  # CS is ignored in 64-bit mode
        ("64 2e 8b 00", 32, "mov eax,DWORD PTR cs:[eax]"),
        ("3e 8b 45 00", 32, "mov eax,DWORD PTR ds:[ebp]"),
        ("6a ff", 64, "push 0xffffffffffffffff"),
        ("66 6a ff", 64, "push 0xffff"),
        ("68 00 00 00 80", 64, "push 0xffffffff80000000"),
        ("48 b8 08 07 06 05 04 03 02 81", 64, "mov rax,0x8102030405060708"),
        ("66 e8 00 00", 32, "call 0x4"),
        ("66 e8 00 00 00 00", 64, "call 0x6"),  # f64: 66 has no effect (Intel)
        ("e3 fe", 16, "jcxz 0x0"),
        ("67 e3 fd", 64, "jecxz 0x0"),
        ("90", 64, "nop"),
        ("f3 90", 64, "pause"),
        ("41 90", 64, "xchg r8d,eax"),
        ("f3 0f bc c1", 64, "tzcnt eax,ecx"),
        ("f2 0f bc c1", 64, "bsf eax,ecx"),
        ("66 f3 0f b8 c1", 64, "popcnt ax,cx"),
        ("f2 66 0f 58 c1", 64, "addsd xmm0,xmm1"),  # F2 and F3 come before 66
        ("66 0f 58 c1", 64, "addpd xmm0,xmm1"),
        ("66 f2 0f 38 f1 c1", 64, "crc32 eax,cx"),
        ("0f c7 0f", 64, "cmpxchg8b QWORD PTR [rdi]"),
        ("48 0f c7 0f", 64, "cmpxchg16b XMMWORD PTR [rdi]"),
        ("f0 48 0f c7 0f", 64, "lock cmpxchg16b XMMWORD PTR [rdi]"),
        ("c4 e2 78 f3 c8", 64, "blsr eax,eax"),
        ("c4 e2 78 f2 c8", 64, "andn ecx,eax,eax"),
        ("c4 e2 f0 f2 c2", 64, "andn rax,rcx,rdx"),
        ("c4 e2 f0 f2 c2", 32, "andn eax,ecx,edx"),  # VEX.W is ignored
        ("c4 02", 32, "les eax,FWORD PTR [edx]"),
        ("c5 02", 32, "lds eax,FWORD PTR [edx]"),
        ("f3 a6", 32, "repz cmps BYTE PTR ds:[esi],BYTE PTR es:[edi]"),
        ("64 f3 a5", 64, "rep movs DWORD PTR es:[rdi],DWORD PTR fs:[rsi]"),
        ("9a 78 56 34 12 bc 9a", 32, "call 0x9abc:0x12345678"),
        ("c8 34 12 05", 64, "enter 0x1234,0x5"),
        ("44 0f 20 c0", 64, "mov rax,cr8"),
        ("0f 20 18", 64, "mov rax,cr3"),  # mod is ignored
        ("d8 c3", 32, "fadd st,st(3)"),
        ("dc c3", 32, "fadd st(3),st"),
        ("9c", 64, "pushfq"),
        ("66 9c", 64, "pushf"),
        ("48 cf", 64, "iretq"),
    ],
)
def test_texts(digits: str, mode: int, expected: str) -> None:
    instruction = decode(code(digits) + code("ff" * 8), mode)
    assert text(instruction) == expected
    assert instruction.length == len(code(digits))


@pytest.mark.parametrize(
    ("digits", "mode"),
    [
        ("06", 64),  # i64
        ("82 c0 00", 64),
        ("9a 00 00 00 00 00 00", 64),
        ("0f 05", 32),  # o64
        ("f0 01 c8", 64),  # LOCK and a register
        ("f0 03 08", 64),  # LOCK and a destination that is a register
        ("f0 90", 64),
        ("f3 0f 28 c0", 64),  # no row for F3
        ("66 0f ae 10", 64),  # NP
        ("0f c7 c8", 64),  # CMPXCHG8B of a register
        ("8d c0", 64),  # LEA of a register
        ("0f 20 c8", 64),  # CR1
        ("44 0f 23 c0", 64),  # DR8
        ("8e c8", 64),  # MOV to CS
        ("8c f8", 64),
        ("c5 f8 58 c0", 64),  # AVX
        ("c4 e2 78 f3 c0", 64),  # group 17 has no /0
        ("c4 e2 f4 f2 c2", 64),  # VEX.L
        ("66 c4 e2 f0 f2 c2", 64),  # 66 before VEX
        ("48 c4 e2 f0 f2 c2", 64),  # REX before VEX
        ("c4 e3 73 f0 c2 01", 64),  # RORX with a vvvv
        ("8f c8", 64),  # POP /1: XOP of AMD
        ("0f 0a", 64),
        ("d9 d1", 64),
    ],
)
def test_undefined(digits: str, mode: int) -> None:
    with pytest.raises(InvalidOpcode):
        decode(code(digits) + bytes(8), mode)


def test_length_limit() -> None:
    assert decode(code("2e" * 14 + "90"), 64).length == 15
    with pytest.raises(TooLong):
        decode(code("2e" * 15 + "90"), 64)
    with pytest.raises(TooLong):
        decode(code("2e" * 10 + "81 00 00 00 00 00"), 64)
    with pytest.raises(Truncated):
        decode(code("2e" * 14), 64)


@pytest.mark.parametrize("digits", ["", "66", "0f", "0f 38", "01", "8b 04", "8b 05 00 00 00", "c8 00 00", "c4 e2 70"])
def test_truncated(digits: str) -> None:
    with pytest.raises(Truncated):
        decode(code(digits), 64)


def test_operands() -> None:
    instruction = decode(code("65 48 6b 5c 8e 10 fb"), 64)
    assert instruction.operands == (
        Register("gpr", 3, 8),
        Memory(segment=5, base=6, index=1, scale=4, displacement=0x10, size=8, address_size=64),
        Immediate(2**64 - 5, 8),
    )
    assert (instruction.form.name, instruction.operand_size, instruction.segment) == ("IMUL_Gv_Ev_Ibs", 64, 5)
    assert decode(code("74 80"), 64).operands == (Relative(-128),)
    memory = decode(code("8b 05 fc ff ff ff"), 64).operands[1]
    assert isinstance(memory, Memory)
    assert (memory.base, memory.displacement) == (RIP, -4)


def test_the_stack_segment_is_the_default_of_its_pointers() -> None:
    for digits, segment in (("8b 04 24", 2), ("8b 45 00", 2), ("8b 03", 3), ("41 8b 04 24", 3), ("8b 04 2b", 3)):
        assert decode(code(digits), 64).segment == segment, digits
    assert decode(code("8b 02"), 16).segment == 2  # [bp+si]


def test_a_listing_goes_on_after_bad_bytes() -> None:
    lines = disassemble(code("06 90 0f"), 64, 0x1000)
    assert lines == [(0x1000, b"\x06", "(bad)"), (0x1001, b"\x90", "nop"), (0x1002, b"\x0f", "(truncated)")]


def test_errors_have_one_base() -> None:
    for error in (InvalidOpcode, TooLong, Truncated):
        assert issubclass(error, DecodeError)
