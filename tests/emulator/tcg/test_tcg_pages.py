"""Code and page borders: instructions that cross one, pages remapped under them, faults in the middle, aliases."""

from __future__ import annotations

from struct import pack

import pytest
from paged_guests import Guest

from emulator.tcg.core import GP, PF, UD
from emulator.x86.instruction import CS, DS

CODE_32, CODE_16, DATA = 0xC09B, 0x009B, 0xC093
PE, PG = 1, 1 << 31
DIRECTORY, TABLE = 0x10000, 0x11000
RAX, RCX, RSP, RSI, RDI = 0, 1, 4, 6, 7
BORDER = 0x3000


class Flat(Guest):
    """One processor in 32-bit protected mode; pages of the first 4 MiB are mapped to themselves."""

    def __init__(self, native: bool) -> None:
        super().__init__(native=native, ops=1 << 10)
        cpu = self.cpu
        for number, segment in enumerate(cpu.segments):
            segment.base, segment.limit = 0, 0xFFFFFFFF
            segment.attributes = CODE_32 if number == CS else DATA
        self.space.write(DIRECTORY, pack("<I", TABLE | 7))
        for page in range(256):
            self.map(page, page)
        cpu.cr0, cpu.cr3 = PE | PG, DIRECTORY
        self.processor.state_changed()

    def map(self, page: int, frame: int, present: bool = True) -> None:
        self.space.write(TABLE + 4 * page, pack("<I", frame << 12 | 6 | present))
        self.processor.state_changed()


@pytest.fixture(params=[True, False], ids=["native", "python"])
def flat(request: pytest.FixtureRequest) -> Flat:
    return Flat(request.param)


def test_crossing(flat: Flat) -> None:
    """mov eax, imm32 across a border; then its second half is changed, by a write and by another page."""
    flat.write(BORDER - 2, "b8 11223344 0f0b")
    assert flat.run(BORDER - 2) == UD and flat.cpu.registers[RAX] == 0x44332211
    flat.write(BORDER, "55")
    assert flat.run(BORDER - 2) == UD and flat.cpu.registers[RAX] == 0x44335511
    flat.write(0x8000, "66 7788 0f0b")
    flat.map(BORDER >> 12, 8)
    assert flat.run(BORDER - 2) == UD and flat.cpu.registers[RAX] == 0x88776611


def test_crossing_into_nothing(flat: Flat) -> None:
    """The fault is that of the second page, the instruction's address the first; nothing happened."""
    flat.write(BORDER - 4, "90 90 b8 11")
    flat.map(BORDER >> 12, 0, present=False)
    assert flat.run(BORDER - 4) == PF
    assert (flat.cpu.rip, flat.cpu.cr2) == (BORDER - 2, BORDER)
    flat.map(BORDER >> 12, BORDER >> 12)
    flat.write(BORDER, "223344 0f0b")
    assert flat.run(flat.cpu.rip) == UD and flat.cpu.registers[RAX] == 0x44332211


def test_string_restarts(flat: Flat) -> None:
    """rep movsd up to an absent page: as many elements as fit, and the rest when it is there."""
    flat.space.write(0x5000, bytes(range(64)))
    flat.write(0x2000, "f3a5 0f0b")
    registers = flat.cpu.registers
    registers[RSI], registers[RDI], registers[RCX] = 0x5000, 0x7000 - 32, 16
    flat.map(7, 0, present=False)
    assert flat.run(0x2000) == PF
    assert (flat.cpu.rip, flat.cpu.cr2, flat.processor.core.fault_code) == (0x2000, 0x7000, 2)
    assert (registers[RSI], registers[RDI], registers[RCX]) == (0x5020, 0x7000, 8)
    flat.map(7, 9)
    assert flat.run(flat.cpu.rip) == UD and registers[RCX] == 0
    assert flat.space.read(0x7000 - 32, 32) + flat.space.read(0x9000, 32) == bytes(range(64))


def test_overlapping_string(flat: Flat) -> None:
    """rep movsb to one byte higher repeats the first byte; downwards it moves the text."""
    flat.write(0x2000, "f3a4 0f0b")
    registers = flat.cpu.registers
    flat.space.write(0x5000, b"abcdef")
    registers[RSI], registers[RDI], registers[RCX] = 0x5000, 0x5001, 5
    assert flat.run(0x2000) == UD and flat.space.read(0x5000, 6) == b"aaaaaa"
    flat.space.write(0x5000, b"abcdef")
    flat.write(0x2000, "fd f3a4 0f0b")
    registers[RSI], registers[RDI], registers[RCX] = 0x5004, 0x5005, 5
    assert flat.run(0x2000) == UD and flat.space.read(0x5000, 6) == b"aabcde"


def test_write_across_code_border(flat: Flat) -> None:
    """A store across a border changes code on both sides."""
    flat.write(BORDER - 3, "b0 01 90 90 b4 01 0f0b")  # mov al, 1; nop; nop | mov ah, 1
    assert flat.run(BORDER - 3) == UD and flat.cpu.registers[RAX] & 0xFFFF == 0x0101
    flat.write(0x2000, f"c705 {pack('<I', BORDER - 2).hex()} 02 90 90 b4 e9 00000000")
    flat.write(0x200A, "e9" + pack("<i", BORDER - 3 - 0x200F).hex())
    assert flat.run(0x2000) == UD and flat.cpu.registers[RAX] & 0xFFFF == 0x0102


def test_alias(flat: Flat) -> None:
    """Two addresses of one page: code reached by one is changed through the other."""
    flat.map(0x40, 0x20)
    flat.map(0x41, 0x20)
    flat.write(0x20000, "b001 c3")
    flat.write(0x2000, "e8" + pack("<i", 0x40000 - 0x2005).hex())  # call; mov byte [41001h], 2; call; ud2
    flat.write(0x2005, "88c3 c605 01100400 02".replace("01100400", pack("<I", 0x41001).hex()))
    flat.write(0x200E, "e8" + pack("<i", 0x40000 - 0x2013).hex() + "0f0b")
    flat.cpu.registers[RSP] = 0x9000
    assert flat.run(0x2000) == UD
    assert (flat.cpu.registers[3] & 0xFF, flat.cpu.registers[RAX] & 0xFF) == (1, 2)


def test_indirect_branches(flat: Flat) -> None:
    """jmp *table(,%ecx,4): each target in turn, from one place."""
    for number in range(4):
        flat.space.write(0x6000 + 4 * number, pack("<I", 0x2100 + 16 * number))
        flat.write(0x2100 + 16 * number, f"6bc00a 83c0{number:02x} 41 eb{(0x2000 - (0x2109 + 16 * number)) & 0xFF:02x}")
        jump = pack("<i", 0x2000 - (0x210C + 16 * number)).hex()
        flat.write(0x2100 + 16 * number, f"6bc00a 83c0{number:02x} 41 e9{jump}")
    flat.write(0x2000, "83f904 7402 eb02 0f0b ff248d" + pack("<I", 0x6000).hex())
    flat.cpu.registers[RAX] = flat.cpu.registers[RCX] = 0
    assert flat.run(0x2000) == UD and flat.cpu.registers[RAX] == 123


def test_code_limit(flat: Flat) -> None:
    """The end of CS within an instruction is #GP, also where a block was made before the limit."""
    flat.write(0x2000, "90 b8 11223344 0f0b")
    assert flat.run(0x2000) == UD
    flat.cpu.segments[CS].limit = 0x2003
    flat.processor.state_changed()
    assert flat.run(0x2000) == GP and flat.cpu.rip == 0x2001


def test_16_bit_segments(flat: Flat) -> None:
    """16-bit code in a segment with a base, data in another one: addresses wrap within 64 KiB."""
    code, data = flat.cpu.segments[CS], flat.cpu.segments[DS]
    code.base, code.limit, code.attributes = 0x20000, 0xFFFF, CODE_16
    data.base, data.limit, data.attributes = 0x30000, 0xFFFF, 0x0093
    flat.processor.state_changed()
    flat.space.write(0x30010, pack("<H", 0x1234))
    flat.write(0x20100, "bbf0ff be2000 8b00 67668b05 10000000 0f0b")  # mov ax, [bx+si]; mov eax, [dword 10h]
    assert flat.run(0x100) == UD and flat.cpu.registers[RAX] == 0x1234
    flat.write(0x20100, "bbffff 8b07 0f0b")  # two bytes at FFFFh do not fit
    assert flat.run(0x100) == GP and flat.cpu.rip == 0x103
