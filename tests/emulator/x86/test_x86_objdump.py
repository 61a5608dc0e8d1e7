"""The decoder and the disassembler against GNU objdump: length, mnemonic and operands of random encodings.

In CI a bounded sample with a fixed seed. The long run, over further seeds; 256 of them are every ModRM byte of every
opcode with every mandatory prefix:

    X86_SEEDS=256 pytest -n auto tests/emulator/x86/test_x86_objdump.py
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
import x86_objdump
from x86_differences import reason

from emulator.x86.decode import DecodeError, decode
from emulator.x86.disasm import text
from emulator.x86.random_code import random_encoding
from emulator.x86.table import ENCODINGS
from tests.conftest import require_tool

SEEDS = int(os.environ.get("X86_SEEDS", "1"))


@pytest.fixture(autouse=True)
def objdump() -> str:
    return require_tool("objdump")


def disagreements(codes: Sequence[bytes], mode: int) -> tuple[list[str], Counter[str]]:
    """What no known reason explains, and how often each reason was needed."""
    unexplained, known = [], Counter[str]()
    for index, (code, theirs) in enumerate(zip(codes, x86_objdump.disassemble(codes, mode), strict=True)):
        ours = decoded(code, mode, x86_objdump.address_of(index))
        if ours == theirs or (ours is None and "(bad)" in theirs[1]):
            known["equal"] += 1
        elif why := reason(code, mode, ours, theirs):
            known[why] += 1
        else:
            unexplained.append(f"{code.hex()} mode {mode}: {ours}, objdump: {theirs}")
    return unexplained, known


def every_opcode(modrm: int, random: Random) -> list[bytes]:
    """All opcodes of all maps, with each prefix that may select a row, and one ModRM byte."""
    return [
        prefix + escape + bytes((opcode, modrm)) + random.randbytes(12)
        for escape in (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
        for prefix in (b"", b"\x66", b"\xf3", b"\xf2")
        for opcode in range(256)
    ]


def decoded(code: bytes, mode: int, address: int) -> tuple[int, str] | None:
    try:
        instruction = decode(code, mode)
    except DecodeError:
        return None
    return instruction.length, text(instruction, address)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [16, 32, 64])
def test_every_row(mode: int, seed: int) -> None:
    random = Random(f"rows {mode} {seed}")
    codes = [
        random_encoding(encoding, mode, random, junk)
        for encoding in ENCODINGS
        if mode in encoding.modes
        for junk in (0, 0, 0.4)
    ]
    unexplained, known = disagreements(codes, mode)
    assert not unexplained, "\n".join(unexplained[:20])
    assert known["equal"] > 0.8 * len(codes)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [16, 32, 64])
def test_every_opcode(mode: int, seed: int) -> None:
    modrm = (seed * 77 + 0x44) % 256  # 77 is odd: 256 seeds are all bytes
    codes = every_opcode(modrm, Random(f"opcodes {mode} {seed}"))
    unexplained, known = disagreements(codes, mode)
    assert not unexplained, "\n".join(unexplained[:20])
    assert known["equal"] > 0.5 * len(codes)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [16, 32, 64])
def test_random_bytes(mode: int, seed: int) -> None:
    random = Random(f"bytes {mode} {seed}")
    codes = [random.choice((b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")) + random.randbytes(15) for _ in range(2000)]
    unexplained, known = disagreements(codes, mode)
    assert not unexplained, "\n".join(unexplained[:20])
    assert known["equal"] > 0.6 * len(codes)
