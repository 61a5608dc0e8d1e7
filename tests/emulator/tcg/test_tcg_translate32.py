"""32-bit code in T0 and T1: what differs from 64-bit code. Each test runs interpreted and translated at once."""

from __future__ import annotations

from struct import pack

import pytest
from paged_guests import Guest

from emulator.tcg.core import GP, PF, UD
from emulator.tcg.translate.block import ALIGNMENT
from emulator.x86.host import available
from emulator.x86.instruction import CS, DS, FS, GS, SS
from tests.conftest import cannot_run

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
PAGE, TOP = 4096, 1 << 32
DIRECTORY, TABLE, HIGH_TABLE, CODE, DATA, OTHER, MISSING, LAST = (0x10000 * number for number in range(1, 9))
OPEN, READ_ONLY, SHORT_STACK = 0xC093, 0xC091, 0x8093  # the last one without the bit for ESP as the stack pointer
STACK = DATA + 2048
RUBBISH = 0xABCD1234 << 32


class Flat(Guest):
    """32-bit kernel mode with flat segments; the first MiB is mapped to itself but for one page, the last page too."""

    def __init__(self, translate: bool) -> None:
        super().__init__(translate=translate)
        cpu = self.cpu
        self.space.write(DIRECTORY, pack("<I", TABLE | 7))
        self.space.write(DIRECTORY + PAGE - 4, pack("<I", HIGH_TABLE | 7))
        for page in range(256):
            self.space.write(TABLE + page * 4, pack("<I", page * PAGE | 7))
        self.space.write(TABLE + MISSING // PAGE * 4, bytes(4))
        self.space.write(HIGH_TABLE + PAGE - 4, pack("<I", LAST | 7))
        cpu.cr0, cpu.cr3, cpu.cr4 = 0x80000011, DIRECTORY, 3 << 9
        for number, segment in enumerate(cpu.segments):
            segment.base, segment.limit = 0, TOP - 1
            segment.attributes = 0xC09B if number == CS else OPEN
        cpu.registers[RSP] = STACK
        self.processor.state_changed()

    def segment(self, number: int, base: int = 0, limit: int = TOP - 1, attributes: int = OPEN) -> None:
        segment = self.cpu.segments[number]
        segment.base, segment.limit, segment.attributes = base, limit, attributes
        self.processor.state_changed()


@pytest.fixture(params=[False, True], ids=["interpreted", "translated"])
def guest(request: pytest.FixtureRequest) -> Flat:
    if request.param and not available():
        cannot_run("blocks are translated on x86-64 Linux")
    return Flat(request.param)


def test_is_translated() -> None:
    """The other tests would not notice if nothing were."""
    if not available():
        cannot_run("blocks are translated on x86-64 Linux")
    for code in ("40", "50", "ff30", "a100000400", "c20800", "658b01", "e800000000"):
        guest = Flat(True)
        guest.write(CODE, code + "0f0b")
        guest.write(0, "0f0b")
        before = guest.core.code_used
        guest.cpu.registers[RAX] = guest.cpu.registers[RCX] = DATA
        assert guest.run(CODE) == UD
        assert guest.core.code_used > before + ALIGNMENT, code


def test_fault_in_a_block(guest: Flat) -> None:
    """add eax, ecx; mov [edi], eax; add eax, ecx: registers and flags are those before the second instruction."""
    guest.write(CODE, "01c8 8907 01c8 0f0b")
    cpu = guest.cpu
    for _ in range(2):
        cpu.registers[RAX], cpu.registers[RCX], cpu.registers[RDI] = RUBBISH | 0xFFFFFFFF, 1, RUBBISH | MISSING + 8
        guest.processor.rflags = 0x202
        assert guest.run(CODE) == PF
        assert (cpu.rip, cpu.cr2, cpu.registers[RAX]) == (CODE + 2, MISSING + 8, 0)
        assert guest.processor.rflags == 0x202 | 0x1 | 0x4 | 0x10 | 0x40
        cpu.registers[RDI] = DATA
        assert guest.run(cpu.rip) == UD and cpu.registers[RAX] == 1


@pytest.mark.parametrize("code", ["e800000000", "ff d1", "c3", "c20800", "50", "58", "c9", "6a01", "ff31"])
def test_fault_of_the_stack(guest: Flat, code: str) -> None:
    """What moves the stack leaves the stack pointer where it was."""
    guest.write(CODE, code + "0f0b")
    guest.cpu.registers[RCX] = DATA
    guest.cpu.registers[RSP] = guest.cpu.registers[RBP] = MISSING + 256
    for _ in range(2):
        assert guest.run(CODE) == PF
        assert (guest.cpu.rip, guest.cpu.registers[RSP]) == (CODE, MISSING + 256)


def test_stack(guest: Flat) -> None:
    """push -1; push eax; push [esp + 4]; call +2; ud2; mov ecx, esp; pop eax; push eax; ret 8"""
    guest.write(CODE, "6aff 50 ff742404 e802000000 0f0b 89e1 58 50 c20800")
    cpu = guest.cpu
    for _ in range(2):
        cpu.registers[RAX], cpu.registers[RSP] = RUBBISH | 7, RUBBISH | STACK
        assert (guest.run(CODE), cpu.rip) == (UD, CODE + 12)
        assert guest.space.read(STACK - 16, 16) == pack("<IiIi", CODE + 12, -1, 7, -1)
        assert (cpu.registers[RAX], cpu.registers[RCX], cpu.registers[RSP]) == (CODE + 12, STACK - 16, STACK - 4)


def test_frame(guest: Flat) -> None:
    """leave, and pop esp"""
    cpu = guest.cpu
    guest.space.write(STACK - 8, pack("<II", 0x1234, DATA))
    for code, expected in (("c9", STACK - 4), ("5c", 0x1234)):
        guest.write(CODE, code + "0f0b")
        for _ in range(2):
            cpu.registers[RSP] = cpu.registers[RBP] = RUBBISH | STACK - 8
            assert guest.run(CODE) == UD
            assert cpu.registers[RSP] == expected
            assert cpu.registers[RBP] == (0x1234 if code == "c9" else RUBBISH | STACK - 8)


def test_short_stack(guest: Flat) -> None:
    """mov [ebx], ebx; push eax; pop ecx, with ESP as the stack pointer, and with SP."""
    guest.write(CODE, "891b 50 59 0f0b")
    cpu = guest.cpu
    cpu.registers[RBX] = DATA
    for value, attributes, pointer, place in (
        (1, OPEN, STACK, STACK), (3, SHORT_STACK, DATA + 0x100, 0x100), (5, OPEN, STACK, STACK),
    ):  # fmt: skip
        guest.segment(SS, attributes=attributes)
        for turn in range(2):  # the second time the TLB knows the pages
            cpu.registers[RAX], cpu.registers[RSP] = value + turn, pointer
            assert guest.run(CODE) == UD
            assert (cpu.registers[RCX], cpu.registers[RSP]) == (value + turn, pointer)
            assert guest.space.read(place - 4, 4) == pack("<I", value + turn)


def test_addresses_wrap(guest: Flat) -> None:
    """mov eax, [ecx + edx*4 + 16]; lea ebx, [the same]; lea esi, [di + 16]; mov ebp, [si]: of 32 bits, and of 16"""
    guest.write(CODE, "8b449110 8d5c9110 678d7510 678b2c 0f0b")
    guest.space.write(DATA, pack("<I", 0x12345678))
    guest.space.write(15, pack("<I", 0x87654321))
    cpu = guest.cpu
    for _ in range(2):
        cpu.registers[RCX], cpu.registers[RDX] = RUBBISH | TOP - 16, RUBBISH | DATA // 4
        cpu.registers[RSI], cpu.registers[RDI] = RUBBISH | 0x12345678, RUBBISH | 0x1FFFF
        assert guest.run(CODE) == UD
        assert [cpu.registers[number] for number in (RAX, RBX, RSI, RBP)] == [0x12345678, DATA, 15, 0x87654321]


def test_absolute(guest: Flat) -> None:
    """mov eax, [DATA]; inc eax; mov [DATA + 4], eax; mov al, [DATA + 1]; mov [DATA + 8], al: CF stays."""
    guest.write(CODE, "a100000500 40 a304000500 a001000500 a208000500 0f0b")
    for _ in range(2):
        guest.space.write(DATA, pack("<III", 0xFFFFFFFF, 1, 0))
        guest.cpu.registers[RAX], guest.processor.rflags = RUBBISH, 0x203
        assert guest.run(CODE) == UD
        assert (guest.cpu.registers[RAX], guest.processor.rflags) == (0xFF, 0x203 | 0x4 | 0x10 | 0x40)
        assert guest.space.read(DATA, 12) == pack("<III", 0xFFFFFFFF, 0, 0xFF)


def test_segments(guest: Flat) -> None:
    """mov eax, gs:[ecx]; mov fs:[edx], eax: bases count, and wrap; limits and rights are kept.

    In front: mov esi, [edx]; mov [edi], ebp: the TLB knows the pages.
    """
    guest.write(CODE - 4, "8b32 892f 658b01 648902 0f0b")
    cpu = guest.cpu
    cpu.registers[RCX], cpu.registers[RDX] = RUBBISH | DATA + PAGE, RUBBISH | DATA
    cpu.registers[RDI], cpu.registers[RBP] = OTHER, 0
    read, write = CODE, CODE + 3
    for limit, gs, fs, expected in (
        (TOP - 1, OPEN, OPEN, (UD, CODE + 6)), (TOP - 2, OPEN, OPEN, (UD, CODE + 6)),
        (PAGE, OPEN, OPEN, (GP, read)), (TOP - 1, 0, OPEN, (GP, read)), (TOP - 1, READ_ONLY, OPEN, (UD, CODE + 6)),
        (TOP - 1, OPEN, READ_ONLY, (GP, write)), (TOP - 1, OPEN, 0, (GP, write)), (TOP - 1, OPEN, OPEN, (UD, CODE + 6)),
    ):  # fmt: skip
        guest.segment(GS, TOP - PAGE, limit, gs)
        guest.segment(FS, OTHER - DATA, attributes=fs)
        for _ in range(2):
            guest.space.write(DATA, pack("<I", 0x12345678))
            guest.space.write(OTHER, bytes(4))
            assert (guest.run(CODE - 4), cpu.rip) == expected
            assert guest.space.read(OTHER, 4) == (pack("<I", 0x12345678) if expected[0] == UD else bytes(4))


def test_other_segments(guest: Flat) -> None:
    """mov eax, [ecx]; mov edx, cs:[ecx]; push ebp; pop ebx, with a base of DS, of CS, and of SS"""
    guest.write(CODE, "8b01 2e8b11 fff5 5b 0f0b")
    guest.space.write(DATA, pack("<II", 1, 2))
    cpu = guest.cpu
    cpu.registers[RCX], cpu.registers[RBP] = DATA, 5
    for number, expected in ((None, [1, 1, 0]), (DS, [2, 1, 0]), (CS, [1, 2, 0]), (SS, [1, 1, 4]), (None, [1, 1, 0])):
        for other in (CS, DS, SS):
            guest.segment(other, 4 if other == number else 0, attributes=0xC09B if other == CS else OPEN)
        for _ in range(2):  # the second time the TLB knows the pages
            guest.space.write(STACK - 4, bytes(8))
            assert guest.run(CODE - (4 if number == CS else 0)) == UD
            place = guest.space.read(STACK - 4, 8).index(5)
            assert [cpu.registers[RAX], cpu.registers[RDX], place] == expected


def test_limit_of_code(guest: Flat) -> None:
    """mov eax, [ecx]; mov edx, cs:[ecx], beyond the limit of CS"""
    guest.write(CODE, "8b01 2e8b11 0f0b")
    guest.cpu.registers[RCX] = DATA
    for limit, expected in ((TOP - 1, UD), (CODE + PAGE, GP), (TOP - 1, UD)):
        guest.segment(CS, 0, limit, 0xC09B)
        for _ in range(2):
            assert guest.run(CODE) == expected


@pytest.mark.parametrize(
    ("code", "target", "behind"),
    [
        ("40 e900010000", 0x100, "40 0f0b"),  # inc eax; jmp
        ("40 40", 0, "40 0f0b"),  # inc eax; inc eax; and on
        ("40 7406 7504", 4, "40 0f0b"),  # inc eax; jz; jnz
        ("40 e8fc000000", 0xFC, "58 40 0f0b"),  # inc eax; call; pop eax; inc eax
    ],
)
def test_code_wraps(guest: Flat, code: str, target: int, behind: str) -> None:
    """Behind the last byte of 4 GiB is the first one."""
    size = len(bytes.fromhex(code))
    guest.write(LAST + PAGE - size, code)
    guest.write(target, behind)
    for _ in range(2):
        guest.cpu.registers[RAX] = 5
        assert guest.run(TOP - size) == UD
        assert target < guest.cpu.rip < target + 4
        assert guest.cpu.registers[RAX] == (1 if "e8" in code else 8 if code == "40 40" else 7)


def test_narrow(guest: Flat) -> None:
    """push ax; pop cx; call ax with operands of 16 bits, and a short jump that cuts EIP."""
    guest.write(CODE, "6650 6659 0f0b")
    cpu = guest.cpu
    for _ in range(2):
        cpu.registers[RAX], cpu.registers[RCX] = 0x11112222, 0x33334444
        assert guest.run(CODE) == UD
        assert (cpu.registers[RCX], cpu.registers[RSP]) == (0x33332222, STACK)
    guest.write(CODE, "66eb02")
    guest.write(CODE + 5 & 0xFFFF, "66ffd0")
    guest.write(0x80, "0f0b")
    for _ in range(2):
        cpu.registers[RAX], cpu.registers[RSP] = 0x11110080, STACK
        assert (guest.run(CODE), cpu.rip) == (UD, 0x80)
        assert cpu.registers[RSP] == STACK - 2
        assert guest.space.read(STACK - 2, 2) == pack("<H", 8)
