"""Translated code against the interpreter: random blocks, faults and changes in the middle of them, requests to leave.

The long run is `TCG_SEEDS=200 pytest -n auto tests/emulator/tcg/test_tcg_translate.py`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random
from struct import pack
from threading import Timer

import pytest
from paged_guests import Guest
from tcg_cases import Interpreter

from emulator.tcg.core import EXCEPTION, GP, NM, PF, REQUESTED, UD
from emulator.tcg.forms import covered
from emulator.tcg.translate.block import ALIGNMENT
from emulator.tcg.translate.plans import plans
from emulator.x86.generate import CODE, Case, State, executable, random_case
from emulator.x86.host import available, host_features
from emulator.x86.instruction import CS, GS, NO_REGISTER, RIP
from emulator.x86.table import ENCODINGS, FORMS
from tests.conftest import cannot_run

SEEDS = int(os.environ.get("TCG_SEEDS", "1"))
BLOCKS = 400
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
END = b"\x0f\x0b"
DEFINE_FLAGS = bytes.fromhex("39 d3")  # cmp ebx, edx: behind an instruction that leaves some undefined
UNDEFINED_RESULTS = ("BSF", "BSR")


@pytest.fixture(autouse=True)
def _host() -> None:
    if not available():
        cannot_run("blocks are translated on x86-64 Linux")


# -- random blocks ------------------------------------------------------------------------------------------


def needed(case: Case) -> set[int]:
    """The registers without whose values an instruction would fault, or be undefined."""
    instruction = case.instruction
    marks, mnemonic = instruction.form.marks, instruction.form.mnemonic
    registers = {number for number in (instruction.base, instruction.index) if number not in (NO_REGISTER, RIP)}
    if marks & {"rep", "repe"}:
        registers |= {RSI, RDI, RCX}
    if "stack" in marks or mnemonic in ("LEAVE", "ENTER"):
        registers |= {RSP, RBP}
    if any(code.text == "CL" for code in instruction.form.operands):
        registers.add(RCX)
    if mnemonic in ("DIV", "IDIV"):
        registers |= {RAX, RDX}
    if mnemonic in ("XLATB", "MASKMOVQ", "MASKMOVDQU"):
        registers |= {RAX, RBX, RDI}
    if any(code.method == "M" or code.method == "E" for code in instruction.form.operands):
        registers |= {instruction.reg} if mnemonic in ("BT", "BTS", "BTR", "BTC") else set()
    return registers


def load(register: int, value: int, mode: int) -> bytes:
    """mov register, imm64 or imm32."""
    prefix = bytes((0x48 | register >> 3,)) if mode == 64 else b""
    return prefix + bytes((0xB8 | register & 7,)) + value.to_bytes(mode // 8, "little")


def random_block(random: Random, rows: list, mode: int) -> tuple[bytes, Case]:
    """Instructions one after another, and the state to begin with."""
    code, case = b"", None
    for _ in range(random.randrange(1, 12)):
        case = random_case(random.choice(rows), random, mode)
        if case.instruction.base == RIP or case.instruction.form.mnemonic in UNDEFINED_RESULTS:
            continue
        for register in sorted(needed(case)):
            code += load(register, case.state.registers[register], mode)
        code += case.code
        if case.undefined:
            code += DEFINE_FLAGS
    assert case is not None
    return code, case


def state_of(case: Case, random: Random, mode: int) -> State:
    """The state to begin with; what 64-bit code left in the upper halves of registers is no part of 32-bit code."""
    if mode == 64:
        return case.state
    return replace(case.state, registers=tuple(value | random.getrandbits(32) << 32 for value in case.state.registers))


@pytest.mark.parametrize("mode", [64, 32])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_blocks(seed: int, mode: int) -> None:
    random = Random(f"blocks {mode} {seed}")
    features = host_features() | {"base"}
    executed, planned = covered(), {form.name for form, plan in zip(FORMS, plans(), strict=True) if plan}
    rows = [
        row for row in ENCODINGS if executable(row, mode) and row.form.name in executed and row.form.feature in features
    ]
    translated = [row for row in rows if row.form.name in planned]
    interpreter, translator = Interpreter(mode), Interpreter(mode, translate=True)
    for _ in range(BLOCKS):
        code, case = random_block(random, rows if random.random() < 0.2 else translated, mode)
        state = state_of(case, random, mode)
        outcomes = []
        for guest in (interpreter, translator):
            guest.load(state)
            guest.space.write(CODE, code + END)
            guest.core.cpu.rip = CODE
            assert guest.processor.run() == EXCEPTION
            outcomes.append((guest.core.fault_vector, guest.core.cpu.rip, guest.state()))
        assert outcomes[0] == outcomes[1], code.hex()


@pytest.mark.parametrize("mode", [64, 32])
def test_most_is_translated(mode: int) -> None:
    """The test above would not notice if nothing were."""
    assert sum(plan != 0 for plan in plans()) > 150
    guest = Interpreter(mode, translate=True)
    guest.space.write(CODE, bytes.fromhex("01d8 ffc9") + END)
    guest.core.cpu.rip = CODE
    before = guest.core.code_used
    guest.processor.run()
    assert guest.core.code_used > before + ALIGNMENT


# -- long mode with pages -----------------------------------------------------------------------------------

PAGE = 4096
TABLES, CODE_PAGE, DATA_PAGE, OTHER_PAGE, MISSING = 0x10000, 0x20000, 0x30000, 0x40000, 0x50000
LEVELS = 4


class Long(Guest):
    """64-bit kernel mode; pages of the first 2 MiB are mapped to themselves, but for one."""

    def __init__(self, translate: bool) -> None:
        super().__init__(translate=translate)
        cpu = self.cpu
        for level in range(LEVELS - 1):
            self.space.write(TABLES + level * PAGE, pack("<Q", TABLES + (level + 1) * PAGE | 7))
        for page in range(512):
            self.map(page * PAGE, page * PAGE)
        self.map(MISSING, MISSING, present=False)
        cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer = 0x80000011, TABLES, 3 << 9 | 1 << 5, 0x500
        for number, segment in enumerate(cpu.segments):
            segment.base, segment.limit = 0, 0xFFFFFFFF
            segment.attributes = 0xA09B if number == CS else 0xC093
        self.processor.state_changed()
        cpu.registers[RSP] = DATA_PAGE + 2048

    def map(self, address: int, physical: int, present: bool = True) -> None:
        entry = TABLES + (LEVELS - 1) * PAGE + address // PAGE * 8
        self.space.write(entry, pack("<Q", physical | 6 | present))
        self.processor.state_changed()


@pytest.fixture(params=[False, True], ids=["interpreted", "translated"])
def guest(request: pytest.FixtureRequest) -> Long:
    return Long(request.param)


def test_fault_in_a_block(guest: Long) -> None:
    """add eax, ecx; mov [rdi], eax; add eax, ecx: registers and flags are those before the second instruction."""
    guest.write(CODE_PAGE, "01c8 8907 01c8 0f0b")
    for turn in range(2):  # the second time the block is translated already
        cpu = guest.cpu
        cpu.registers[RAX], cpu.registers[RCX], cpu.registers[RDI] = 0xFFFFFFFF, 1, MISSING + 8
        guest.processor.rflags = 0x202
        assert guest.run(CODE_PAGE) == PF
        assert (cpu.rip, cpu.cr2, cpu.registers[RAX]) == (CODE_PAGE + 2, MISSING + 8, 0)
        assert guest.processor.rflags == 0x202 | 0x1 | 0x4 | 0x10 | 0x40
        cpu.registers[RDI] = DATA_PAGE
        assert guest.run(cpu.rip) == UD and cpu.registers[RAX] == 1, turn


def test_fault_at_a_border(guest: Long) -> None:
    """A store across a border into a page that is not there leaves the first page as it is."""
    guest.write(CODE_PAGE, "48b80102030405060708 488907 0f0b")
    guest.cpu.registers[RDI] = MISSING - 4
    for _ in range(2):
        assert guest.run(CODE_PAGE) == PF
        assert (guest.cpu.rip, guest.cpu.cr2) == (CODE_PAGE + 10, MISSING)
        assert guest.space.read(MISSING - 4, 4) == bytes(4)


STORES = [
    ("8907", 4),
    ("668907", 2),
    ("488907", 8),
    ("660f7e07", 4),
    ("66480f7e07", 8),
    ("f20f1107", 8),
    ("0f1107", 16),
]
LOADS = [("660f6e07", 4), ("f20f2a07", 4), ("f2480f2a07", 8), ("f20f5807", 8), ("f30f5807", 4), ("f20f2d07", 8)]


@pytest.mark.parametrize(("code", "size"), STORES + LOADS)
def test_border(guest: Long, code: str, size: int) -> None:
    """mov cl, [rdi - 64]; mov [rdi - 64], cl: the TLB knows the page; then only the last byte is in the next one."""
    guest.write(CODE_PAGE, f"8a4fc0 884fc0 {code} 0f0b")
    cpu = guest.cpu
    cpu.registers[RDI], cpu.registers[RAX], cpu.xmm[0].low = MISSING - size + 1, (1 << 64) - 1, (1 << 64) - 1
    for _ in range(3):
        assert guest.run(CODE_PAGE) == PF
        assert (cpu.rip, cpu.cr2, cpu.xmm[0].low) == (CODE_PAGE + 6, MISSING, (1 << 64) - 1)
        assert guest.space.read(MISSING - 16, 16) == bytes(16)


def test_fault_of_the_stack(guest: Long) -> None:
    """call, ret, push and pop that fault leave the stack pointer where it was."""
    for code in ("e800000000", "c3", "50", "58", "c9"):
        guest.write(CODE_PAGE, code + "0f0b")
        guest.cpu.registers[RSP] = guest.cpu.registers[RBP] = MISSING + 256
        for _ in range(2):
            assert guest.run(CODE_PAGE) == PF
            assert (guest.cpu.rip, guest.cpu.registers[RSP]) == (CODE_PAGE, MISSING + 256), code


def test_vectors(guest: Long) -> None:
    """pxor xmm0, xmm1; movaps [rdi], xmm0: at an address that is not aligned, with CR0.TS set, and as it should be."""
    guest.write(CODE_PAGE, "660fefc1 0f2907 ffc0 0f0b")
    cpu = guest.cpu
    for place, switched, expected in ((8, 0, GP), (16, 8, NM), (16, 0, UD), (8, 0, GP)):
        cpu.cr0 = cpu.cr0 & ~8 | switched
        guest.processor.state_changed()
        cpu.registers[RDI] = DATA_PAGE + place
        cpu.xmm[0].low, cpu.xmm[1].low, cpu.xmm[1].high = 1, 3, 4
        for _ in range(2):
            cpu.xmm[0].low, cpu.xmm[0].high = 1, 0
            assert guest.run(CODE_PAGE) == expected
        if expected == UD:
            assert guest.space.read(DATA_PAGE + place, 16) == pack("<QQ", 2, 4)


def test_floats(guest: Long) -> None:
    """divsd xmm0, xmm1; stmxcsr [rdi]; ldmxcsr [rsi]; addsd xmm2, xmm3: flags where they are seen, and rounding."""
    guest.write(CODE_PAGE, "f20f5ec1 0fae1f 0fae16 f20f58d3 0f0b")
    cpu = guest.cpu
    cpu.registers[RDI], cpu.registers[RSI] = DATA_PAGE, DATA_PAGE + 8
    for control, total in ((0x1F80, 0.30000000000000004), (0x3F80, 0.3), (0x1F80, 0.30000000000000004)):
        guest.space.write(DATA_PAGE + 8, pack("<I", control))
        for _ in range(3):
            cpu.mxcsr = 0x1F81
            for register, value in enumerate((1.0, 0.0, 0.1, 0.2)):
                cpu.xmm[register].low = int.from_bytes(pack("<d", value), "little")
            assert guest.run(CODE_PAGE) == UD
            assert guest.space.read(DATA_PAGE, 4) == pack("<I", 0x1F85)
            assert cpu.mxcsr == control | 0x20
            assert cpu.xmm[2].low.to_bytes(8, "little") == pack("<d", total)


def test_loop_changes_itself(guest: Long) -> None:
    """inc eax; mov [rip+…], the opcode of `inc ecx`; dec edx; jnz: only the first turn counts in EAX."""
    guest.write(CODE_PAGE, "ffc0 c605f8ffffffc1 ffca 75f3 0f0b")
    for _ in range(3):
        guest.write(CODE_PAGE, "ffc0")
        guest.cpu.registers[RAX] = guest.cpu.registers[RCX] = 0
        guest.cpu.registers[RDX] = 100
        assert guest.run(CODE_PAGE) == UD
        assert (guest.cpu.registers[RAX], guest.cpu.registers[RCX]) == (1, 99)


def test_loop_begins_with_a_handler(guest: Long) -> None:
    """paddb mm0, mm1 has no translation, dec eax; jnz back to it have."""
    guest.write(CODE_PAGE, "0ffcc1 ffc8 75f9 0f0b")
    guest.cpu.registers[RAX] = 200
    guest.cpu.x87[0].significand, guest.cpu.x87[1].significand = 0, 1
    assert guest.run(CODE_PAGE) == UD
    assert guest.cpu.x87[0].significand == 200


def test_loop_calls_what_changes(guest: Long) -> None:
    """A function on another page is overwritten between its calls: mov [r8 + 1], al; call r8; add ebx, ecx; …"""
    guest.write(CODE_PAGE, "41884001 41ffd0 01cb fec8 75f3 0f0b")
    guest.write(OTHER_PAGE, "b900000000 c3")
    cpu = guest.cpu
    cpu.registers[8], cpu.registers[RAX], cpu.registers[RBX] = OTHER_PAGE, 100, 0
    assert guest.run(CODE_PAGE) == UD
    assert cpu.registers[RBX] == 5050


def test_remapped_target(guest: Long) -> None:
    """call OTHER_PAGE; twice, with another page behind the address."""
    guest.write(CODE_PAGE, f"e8{(OTHER_PAGE - CODE_PAGE - 5).to_bytes(4, 'little').hex()} 0f0b")
    guest.write(OTHER_PAGE, "b801000000 c3")
    guest.write(DATA_PAGE, "b802000000 c3")
    for page, expected in ((OTHER_PAGE, 1), (OTHER_PAGE, 1), (DATA_PAGE, 2), (OTHER_PAGE, 1)):
        guest.map(OTHER_PAGE, page)
        guest.cpu.registers[RSP] = DATA_PAGE + 2048
        assert guest.run(CODE_PAGE) == UD and guest.cpu.registers[RAX] == expected


def test_modes(guest: Long) -> None:
    """The same bytes as 64-bit and as 32-bit code. Between the pages a direct and an indirect jump lead to and fro.

    add rax, rbx; jmp; inc rax; jmp rcx, or: dec eax; add eax, ebx; jmp; dec eax; inc eax; jmp ecx
    """
    guest.write(CODE_PAGE, f"4801d8 e9{(OTHER_PAGE - CODE_PAGE - 8).to_bytes(4, 'little').hex()} 0f0b")
    guest.write(OTHER_PAGE, "48ffc0 ffe1")
    cpu = guest.cpu
    for long in (True, False, False, True, False, True):
        cpu.segments[CS].attributes = 0xA09B if long else 0xC09B
        guest.processor.state_changed()
        cpu.registers[RAX], cpu.registers[RBX] = 0x1_FFFFFFFF, 0x5_00000002
        cpu.registers[RCX] = CODE_PAGE + 8 | (0 if long else 1 << 32)
        cpu.registers[RSI] = cpu.registers[8] = cpu.registers[13] = 0x1234_56789ABC
        assert guest.run(CODE_PAGE) == UD and cpu.rip == CODE_PAGE + 8
        assert cpu.registers[RAX] == (0x7_00000002 if long else 0)
        assert cpu.registers[RSI] == cpu.registers[8] == cpu.registers[13] == 0x1234_56789ABC


@pytest.mark.parametrize("code", ["8b19", "658b1a", "5b", "8bd1 c9 5b", "51 8b19"])
def test_addresses_of_32_bits(guest: Long, code: str) -> None:
    """mov ebx, [ecx], …: the TLB knows the page 4 GiB higher, where 64-bit code has just been; it is not the one."""
    upper, number = 1 << 32, TABLES + LEVELS * PAGE
    guest.space.write(TABLES + PAGE + 4 * 8, pack("<Q", number | 7))
    guest.space.write(number, pack("<Q", number + PAGE | 7))
    guest.space.write(number + PAGE, pack("<Q", OTHER_PAGE | 7) * 512)
    guest.write(CODE_PAGE, "8b01 8901 0f0b")
    guest.write(OTHER_PAGE, "01" * 16)
    guest.write(CODE_PAGE + 64, code + "0f0b")
    cpu = guest.cpu
    for _ in range(2):
        guest.write(DATA_PAGE, "02" * 16)
        for long in (True, False):
            cpu.segments[CS].attributes = 0xA09B if long else 0xC09B
            guest.processor.code.update_mode(guest.processor.address)
            cpu.registers[RCX] = cpu.registers[RBP] = cpu.registers[RSP] = upper | DATA_PAGE + 4 * (code[:2] == "51")
            cpu.registers[RDX], cpu.segments[GS].base = upper - 16, DATA_PAGE + 16
            assert guest.run(CODE_PAGE if long else CODE_PAGE + 64) == UD
        assert cpu.registers[RBX] == 0x02020202
        assert guest.space.read(OTHER_PAGE, 16) == b"\x01" * 16


INVLPG, LOAD_CR3 = "410f0138", "0f20d8 0f22d8"


@pytest.mark.parametrize(("flush", "high"), [(INVLPG, False), (INVLPG, True), (LOAD_CR3, False)])
def test_flushes(guest: Long, flush: str, high: bool) -> None:
    """call r8; then its page table entry is changed, and forgotten by the processor; call r8 again."""
    guest.write(CODE_PAGE, f"41ffd0 01c3 48893e {flush} 41ffd0 01c3 0f0b")
    guest.write(OTHER_PAGE, "b801000000 c3")
    guest.write(DATA_PAGE, "b802000000 c3")
    cpu = guest.cpu
    cpu.cr4 |= 1 << 7
    guest.space.write(TABLES + 511 * 8, guest.space.read(TABLES, 8))
    is_global = 0x100 if high else 0
    for _ in range(3):
        guest.map(OTHER_PAGE, OTHER_PAGE | is_global)
        cpu.registers[8] = OTHER_PAGE | (0xFFFFFF80 << 32 if high else 0)
        cpu.registers[RSI] = TABLES + (LEVELS - 1) * PAGE + OTHER_PAGE // PAGE * 8
        cpu.registers[RDI] = DATA_PAGE | 7 | is_global
        cpu.registers[RBX], cpu.registers[RSP] = 0, DATA_PAGE + 2048
        assert guest.run(CODE_PAGE) == UD and cpu.registers[RBX] == 3


def test_crossing_instruction(guest: Long) -> None:
    """A loop with an instruction that lies in two pages, of which the second one changes."""
    border = CODE_PAGE + PAGE
    guest.write(border - 8, "31c0 ffc1 9090 0500")  # xor eax, eax; inc ecx; …; add eax, …
    guest.write(border, "010000 ffca 75f1 0f0b")
    for value in (1, 2):
        guest.write(border, f"{value:02x}0000")
        guest.cpu.registers[RCX], guest.cpu.registers[RDX] = 0, 50
        assert guest.run(border - 8) == UD
        assert (guest.cpu.registers[RCX], guest.cpu.registers[RAX]) == (50, value << 8)


@pytest.mark.parametrize(
    "loop", ["ebfe", "ffc0 ebfc", "7402 ebfc ebfa", "e800000000 58 ebf8", "0faee8 0f31 7400 ffc0 ebf5"]
)
def test_request_in_a_loop(guest: Long, loop: str) -> None:
    """Another thread gets the processor out of a loop that never ends."""
    guest.write(CODE_PAGE, loop)
    guest.cpu.rip = CODE_PAGE
    Timer(0.05, guest.processor.request_exit).start()
    assert guest.processor.run() == REQUESTED
    assert CODE_PAGE <= guest.cpu.rip < CODE_PAGE + 16


def test_device_changes_a_loop(guest: Long) -> None:
    """Another thread writes to the code that goes round: jmp $ becomes ud2."""
    guest.write(CODE_PAGE, "ebfe")
    Timer(0.05, guest.write, (CODE_PAGE, "0f0b")).start()
    assert guest.run(CODE_PAGE) == UD


def test_full(guest: Long) -> None:
    """More code than there is room for: blocks are dropped, and the program goes on."""
    blocks, turns = 60, 5
    guest.core.code_end = guest.core.code_used + (1 << 15)
    for number in range(blocks):
        guest.write(CODE_PAGE + number * 64, "ffc0 ffc1 01c8 90 eb37")  # inc eax; inc ecx; add eax, ecx; …
    back = -(blocks * 64 + 9) & 0xFFFFFFFF
    guest.write(CODE_PAGE + blocks * 64, f"ffca 7405 e9{back.to_bytes(4, 'little').hex()} 0f0b")
    cpu = guest.cpu
    cpu.registers[RAX], cpu.registers[RCX], cpu.registers[RDX] = 0, 0, turns
    assert guest.run(CODE_PAGE) == UD
    total = 0
    for count in range(1, turns * blocks + 1):
        total += 1 + count
    assert (cpu.registers[RAX], cpu.registers[RCX]) == (total, turns * blocks)
