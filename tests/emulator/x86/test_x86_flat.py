"""The decoder over flat tables equals the reference decoder, record for record and error for error.

In CI a bounded sample with a fixed seed. The long run, 8,000 encodings and 6,000 random byte strings a seed:

    X86_SEEDS=200 pytest -n auto tests/emulator/x86/test_x86_flat.py
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from random import Random

import pytest

from emulator.x86 import flat
from emulator.x86.decode import InvalidOpcode, TooLong, Truncated, decode
from emulator.x86.flat_tables import build_shapes, build_tree
from emulator.x86.instruction import Instruction
from emulator.x86.random_code import LEGACY_PREFIXES, random_encoding
from emulator.x86.table import ENCODINGS, FORMS

SEEDS = int(os.environ.get("X86_SEEDS", "1"))
ERRORS = {InvalidOpcode: flat.INVALID, TooLong: flat.TOO_LONG, Truncated: flat.TRUNCATED}
FIELDS = (
    "form", "length", "opcode", "operand_size", "address_size", "segment", "rep", "lock", "rex",
    "reg", "rm", "base", "index", "scale", "displacement", "immediate", "immediate2", "vvvv",
)  # fmt: skip


def by_reference(code: bytes, mode: int) -> dict[str, object] | int:
    try:
        instruction = decode(code, mode)
    except tuple(ERRORS) as error:
        return ERRORS[type(error)]
    return fields_of(instruction)


def fields_of(instruction: Instruction) -> dict[str, object]:
    return {name: getattr(instruction, name) for name in FIELDS}


def by_flat(code: bytes, mode: int, run: Callable[..., int] = flat.decode_flat) -> dict[str, object] | int:
    record = flat.Record()
    memory = (ctypes.c_uint8 * max(len(code), 1)).from_buffer_copy(code or b"\0")
    length = run(memory, len(code), mode, ctypes.byref(record))
    if length < 0:
        return length
    assert length == record.length
    named = {name: getattr(record, name) for name in FIELDS}
    return named | {"form": FORMS[record.form], "lock": bool(record.lock)}


def random_bytes(random: Random) -> bytes:
    """Random bytes behind some prefixes and an escape, cut somewhere: most are no instruction."""
    prefixes = bytes(random.choices(LEGACY_PREFIXES + bytes((0x48, 0x41, 0x4F)), k=random.choice((0, 0, 1, 3, 12))))
    escape = random.choice((b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a", b"\xc4", b"\xc4\xe2", b"\xc5"))
    code = prefixes + escape + random.randbytes(16)
    return code[: random.choice((4, 8, 15, 30))]


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [16, 32, 64])
def test_every_row(mode: int, seed: int) -> None:
    random = Random(f"flat rows {mode} {seed}")
    for encoding in ENCODINGS:
        if mode not in encoding.modes:
            continue
        for junk in (0, 0.3, 0.7):
            code = random_encoding(encoding, mode, random, junk) + bytes(2)
            assert by_flat(code, mode) == by_reference(code, mode), f"{code.hex()} mode {mode}"


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", [16, 32, 64])
def test_random_bytes(mode: int, seed: int) -> None:
    random = Random(f"flat bytes {mode} {seed}")
    for _ in range(2000):
        code = random_bytes(random)
        assert by_flat(code, mode) == by_reference(code, mode), f"{code.hex()} mode {mode}"


@pytest.mark.parametrize("mode", [16, 32, 64])
def test_every_length_of_a_long_instruction(mode: int) -> None:
    """Bytes that run out, and prefixes that make an instruction longer than 15 bytes."""
    for tail in ("81842400000080ffffffff", "b8ffffffffffffffff", "c8ffffff", "9affffffffffff", "c4e37bf084248000ff"):
        for prefixes in range(16):
            whole = b"\x2e" * prefixes + bytes.fromhex(tail)
            for end in range(len(whole) + 1):
                assert by_flat(whole[:end], mode) == by_reference(whole[:end], mode), whole[:end].hex()


def test_machine_code() -> None:
    """The decoder compiled gives what it gives as Python."""
    pytest.importorskip("llvmlite")
    run = flat.decoder_unit().load().decode_flat
    random = Random("flat native")
    for mode in (16, 32, 64):
        codes = [random_bytes(random) for _ in range(1000)]
        codes += [random_encoding(row, mode, random, 0.2) for row in ENCODINGS if mode in row.modes]
        for code in codes:
            assert by_flat(code, mode, run) == by_flat(code, mode), f"{code.hex()} mode {mode}"


def test_tables_fit() -> None:
    assert max(build_tree()) < 1 << 16
    assert max(build_shapes()) < 1 << 16
