"""MMX, SSE and x87 beyond random cases: alignment, availability, exceptions, images of the state, strings."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from tcg_cases import Interpreter
from test_tcg_oracle import differences

from emulator.tcg.core import EXCEPTION, GP, MF, NM, UD, XM
from emulator.tcg.forms import covered
from emulator.x86.cpuid import INSTRUCTION_FEATURES
from emulator.x86.decode import decode
from emulator.x86.generate import AREA, CODE, Case, random_case
from emulator.x86.host import available
from emulator.x86.hostcpu import Host
from emulator.x86.table import ENCODINGS, FORMS
from tests.conftest import cannot_run

EM, TS, NE, MP = 1 << 2, 1 << 3, 1 << 5, 1 << 1
OSFXSR, OSXMMEXCPT, OSXSAVE = 1 << 9, 1 << 10, 1 << 18
RDI = 7


def execute(guest: Interpreter, *code: str) -> int:
    """Run until the UD2 behind the code, or an exception before it: its vector."""
    text = bytes.fromhex("".join(code)) + b"\x0f\x0b"
    guest.space.write(CODE, text.ljust(64, b"\xcc"))
    guest.core.cpu.rip = CODE
    guest.core.cpu.registers[RDI] = AREA
    assert guest.processor.run() == EXCEPTION
    done = guest.core.fault_vector == UD and guest.core.cpu.rip == CODE + len(text) - 2
    return -1 if done else guest.core.fault_vector


@pytest.fixture(params=[True, False], ids=["native", "python"])
def guest(request: pytest.FixtureRequest) -> Interpreter:
    made = Interpreter(64, native=request.param)
    assert execute(made, "0f77", "dbe3") == -1  # emms; fninit
    made.core.cpu.mxcsr = 0x1F80
    return made


def set_control(guest: Interpreter, cr0: int = 0, cr4: int = OSFXSR | OSXMMEXCPT) -> None:
    guest.core.cpu.cr0, guest.core.cpu.cr4 = 0x11 | cr0, cr4
    guest.processor.state_changed()


# movaps xmm0, [rdi + 8]; movups; paddb xmm0, [rdi + 8]; paddb mm0, [rdi + 1]; movss xmm0, [rdi + 1]
ALIGNMENT = {"0f284708": GP, "0f104708": -1, "660ffc4708": GP, "0ffc4701": -1, "f30f104701": -1, "0f294708": GP}


@pytest.mark.parametrize("code", ALIGNMENT)
def test_alignment(guest: Interpreter, code: str) -> None:
    assert execute(guest, code) == ALIGNMENT[code]


# fld1; paddb mm0, mm1; paddb xmm0, xmm1; fwait; crc32 eax, al; fxsave [rdi]; xsave [rdi]
FLD1, MMX, SSE, FWAIT, CRC32, FXSAVE, XSAVE = "d9e8", "0ffcc1", "660ffcc1", "9b", "f20f38f0c0", "0fae07", "0fae27"
AVAILABILITY = [
    (EM, OSFXSR, {FLD1: NM, MMX: UD, SSE: UD, FWAIT: -1, CRC32: -1, FXSAVE: NM, XSAVE: UD}),
    (TS, OSFXSR, {FLD1: NM, MMX: NM, SSE: NM, FWAIT: -1, CRC32: -1, FXSAVE: NM}),
    (TS | MP, OSFXSR | OSXSAVE, {FLD1: NM, FWAIT: NM, XSAVE: NM}),
    (0, 0, {FLD1: -1, MMX: -1, SSE: UD, FXSAVE: -1, XSAVE: UD}),
    (0, OSFXSR | OSXSAVE, {SSE: -1, XSAVE: -1}),
]


@pytest.mark.parametrize("cr0, cr4, expected", AVAILABILITY)
def test_availability(guest: Interpreter, cr0: int, cr4: int, expected: dict[str, int]) -> None:
    set_control(guest, cr0, cr4)
    assert {code: execute(guest, code) for code in expected} == expected


def test_x87_exception_waits_for_the_next_instruction(guest: Interpreter) -> None:
    """1 / 0 unmasked: the division is done with; FLD1 raises #MF, FNSTSW does not."""
    divide = ("66c7073b03", "d92f", "d9ee", "d9e8", "def1")  # mov word [rdi], 33bh; fldcw; fldz; fld1; fdivrp
    set_control(guest, NE)
    assert execute(guest, *divide, "dfe0") == -1
    assert guest.core.cpu.x87_status & 0x84 == 0x84
    assert execute(guest, FLD1) == MF
    assert execute(guest, MMX) == MF
    set_control(guest)
    assert execute(guest, FLD1) == -1
    assert guest.core.float_error == 1


def test_simd_exception(guest: Interpreter) -> None:
    """0 / 0 unmasked is #XM, or #UD without CR4.OSXMMEXCPT; the target stays."""
    guest.core.cpu.mxcsr = 0x1F00
    guest.core.cpu.xmm[0].low = guest.core.cpu.xmm[1].low = 0
    assert execute(guest, "f20f5ec1") == XM
    assert guest.core.cpu.mxcsr == 0x1F01
    assert guest.core.cpu.xmm[0].low == 0
    set_control(guest, cr4=OSFXSR)
    assert execute(guest, "f20f5ec1") == UD


def fill(guest: Interpreter) -> None:
    """Numbers in all registers: 1 and pi on the stack, every XMM register its own."""
    assert execute(guest, FLD1, "d9eb") == -1
    for number, vector in enumerate(guest.core.cpu.xmm):
        vector.low, vector.high = number + 1, ~number & (1 << 64) - 1


def state(guest: Interpreter) -> tuple[object, ...]:
    cpu = guest.core.cpu
    registers = [(register.significand, register.exponent) for register in cpu.x87]
    vectors = [(vector.low, vector.high) for vector in cpu.xmm]
    tags = [cpu.x87_tags >> 2 * number & 3 == 3 for number in range(8)]
    return cpu.x87_control, cpu.x87_status, tags, cpu.mxcsr, registers, vectors


# fxsave64, fxsave, xsave, xsavec and what restores them; EDX:EAX asks for everything
IMAGES = {
    "fxsave64": ("480fae07", "480fae0f"),
    "fxsave": (FXSAVE, "0fae0f"),
    "xsave": (XSAVE, "0fae2f"),
    "xsavec": ("0fc727", "0fae2f"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_image(guest: Interpreter, name: str) -> None:
    save, restore = IMAGES[name]
    set_control(guest, cr4=OSFXSR | OSXSAVE)
    guest.core.cpu.xcr0 = guest.core.cpu.registers[0] = 3
    guest.core.cpu.registers[2] = 0
    guest.space.write(AREA, bytes(1024))
    fill(guest)
    before = state(guest)
    assert execute(guest, save) == -1
    image = guest.space.read(AREA, 576)
    assert image[160:176] == (1).to_bytes(8, "little") + b"\xff" * 8
    assert image[4] == 0xC0  # two registers that are not empty
    assert int.from_bytes(image[512:528], "little") == {"xsave": 3, "xsavec": 1 << 127 | 3 << 64 | 3}.get(name, 0)
    assert execute(guest, "dbe3", "0f57c0") == -1
    assert state(guest) != before
    assert execute(guest, restore) == -1
    assert state(guest) == before


@pytest.mark.parametrize("prefix", ["", "66"])
def test_environment(guest: Interpreter, prefix: str) -> None:
    """FNSAVE and FRSTOR, FNSTENV and FLDENV, in both sizes."""
    fill(guest)
    before = state(guest)
    assert execute(guest, prefix, "dd37") == -1
    assert guest.core.cpu.x87_tags == 0xFFFF
    step = 2 if prefix else 4
    words = [int.from_bytes(guest.space.read(AREA + step * place, 2), "little") for place in range(3)]
    assert words == [0x37F, 0x3000, 0x0FFF]
    assert execute(guest, prefix, "dd27") == -1
    assert state(guest) == before
    assert execute(guest, prefix, "d937", "d9c9", prefix, "d927") == -1  # fxch in between
    assert state(guest)[:3] == before[:3]


# fninit; mov dword [rdi], 3f800000h; mov word [rdi + 4], 33bh; fldcw [rdi + 4]; fldz; fdivr dword [rdi]
DIVIDE_IN_MEMORY = ("dbe3", "c7070000803f", "66c747043b03", "d96f04", "d9ee", "d83f")


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("protected", [True, False])
def test_pointers_of_an_exception(native: bool, protected: bool) -> None:
    """Where the division by zero and its operand are, in the four layouts of the environment."""
    guest = Interpreter(32, native=native)
    guest.core.cpu.cr0 = 0x31 if protected else 0x30
    guest.processor.state_changed()
    place = CODE + len(bytes.fromhex("".join(DIVIDE_IN_MEMORY[:-1])))
    assert execute(guest, *DIVIDE_IN_MEMORY, "d937", "66d97740") == -1  # fnstenv [edi]; fnstenv16 [edi + 64]
    wide = [int.from_bytes(guest.space.read(AREA + 12 + step, 4), "little") for step in range(0, 16, 4)]
    narrow = [int.from_bytes(guest.space.read(AREA + 70 + step, 2), "little") for step in range(0, 8, 2)]
    if protected:
        assert wide == [place, 0, AREA, 0xFFFF0000]
        assert narrow == [place & 0xFFFF, 0, AREA & 0xFFFF, 0]
    else:
        assert wide == [place & 0xFFFF, place >> 16 << 12, AREA & 0xFFFF, AREA >> 16 << 12 | 0xFFFF0000]
        assert narrow == [place & 0xFFFF, (place >> 16 & 15) << 12, AREA & 0xFFFF, (AREA >> 16 & 15) << 12]


BAD_HEADERS = {"XSTATE_BV": b"\x80", "XCOMP_BV": b"\0" * 8 + b"\1", "reserved": b"\0" * 16 + b"\1"}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_xrstor_of_a_bad_header(guest: Interpreter, name: str) -> None:
    set_control(guest, cr4=OSFXSR | OSXSAVE)
    guest.core.cpu.xcr0 = guest.core.cpu.registers[0] = 3
    guest.space.write(AREA, bytes(1024))
    guest.space.write(AREA + 512, BAD_HEADERS[name])
    before = state(guest)
    assert execute(guest, "0fae2f") == GP
    assert state(guest) == before


def test_reserved_bits_of_mxcsr(guest: Interpreter) -> None:
    guest.space.write(AREA, bytes(512))
    guest.space.write(AREA + 26, b"\1")
    assert execute(guest, "0fae0f") == GP
    guest.space.write(AREA, (0x10000).to_bytes(4, "little"))
    assert execute(guest, "0fae17") == GP


def few_letters(case: Case, random: Random) -> Case:
    """Strings that match here and there, and lengths around theirs."""

    def text(size: int) -> bytes:
        return bytes(random.choices((0, 1, 2, 3, 0x80, 0xFF), (1, 4, 4, 4, 2, 2), k=size))

    registers = list(case.state.registers)
    for number in (0, 2):
        registers[number] = random.randrange(-20, 20) % (1 << 64)
    xmm = tuple(int.from_bytes(text(16), "little") for _ in case.state.xmm)
    return replace(case, state=replace(case.state, registers=tuple(registers), xmm=xmm))


def test_string_comparisons() -> None:
    """All immediates against the host."""
    if not available():
        cannot_run("the host is not an x86-64 Linux")
    random = Random("strings")
    rows = [row for row in ENCODINGS if row.form.mnemonic.startswith(("PCMPESTR", "PCMPISTR"))]
    cases = []
    for row in rows:
        base = random_case(row, random)
        for immediate in range(128):
            code = bytes.fromhex("660f3a") + bytes((row.opcodes[0], random.randrange(0xC0, 0x100), immediate))
            cases.append(few_letters(replace(base, code=code, instruction=decode(code, 64)), random))
    with Host() as host:
        assert differences(cases, Interpreter(64).run(cases), host.run(cases), 64) == []


def test_cpuid_announces_what_is_executed() -> None:
    executed = covered()
    missing = {form.feature for form in FORMS if form.name not in executed}
    assert missing & INSTRUCTION_FEATURES == set()
