"""Random encodings of a row of the opcode table: bytes for decoders, any prefix, any operand."""

from __future__ import annotations

from random import Random

from emulator.x86.notation import Encoding

ESCAPES = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
LEGACY_PREFIXES = bytes.fromhex("26 2E 36 3E 64 65 66 67 F0 F2 F3")


def random_encoding(encoding: Encoding, mode: int, random: Random, junk: float = 0.0) -> bytes:
    """15 bytes that start with what the row describes.

    `junk` is the probability of each further prefix; with it the bytes may belong to another row, or be no instruction.
    """
    code = bytearray()
    while random.random() < junk:
        code.append(random.choice(LEGACY_PREFIXES))
    code += _vex(encoding, mode, random) if encoding.map > 3 else _prefixes(encoding, mode, random)
    code.append(random.choice(encoding.opcodes))
    if encoding.modrm:
        mod = random.randrange(3) if random.choice(encoding.memory) else 3
        code.append(mod << 6 | random.choice(encoding.reg) << 3 | random.choice(encoding.rm))
    return bytes(code + random.randbytes(15))[:15]


def _prefixes(encoding: Encoding, mode: int, random: Random) -> bytes:
    prefix = bytes.fromhex(encoding.prefix) if encoding.prefix not in ("", "np") else b""
    rex = b""
    if mode == 64 and (encoding.w == (1,) or random.random() < 0.7):
        rex_b = 0 if encoding.b == (0,) else random.randrange(2)
        rex = bytes((0x40 | random.choice(encoding.w) << 3 | random.randrange(4) << 1 | rex_b,))
    return prefix + rex + ESCAPES[encoding.map]


def _vex(encoding: Encoding, mode: int, random: Random) -> bytes:
    """A three-byte VEX prefix, SDM Vol. 2, section 2.3.5; outside 64-bit mode R and X must read as set."""
    inverted = random.randrange(8) << 5 | (0 if mode == 64 else 0xC0)
    uses_vvvv = any(code.method == "B" for code in encoding.form.operands)
    vvvv = random.randrange(16) if uses_vvvv else 15
    return bytes((0xC4, inverted | encoding.map - 2, random.choice(encoding.w) << 7 | vvvv << 3 | encoding.prefixes[0]))
