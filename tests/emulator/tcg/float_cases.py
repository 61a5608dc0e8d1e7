"""Cases of floating-point instructions with operands where they change their mind: NaNs, denormals, infinities, ties
and the ends of the formats, in all rounding modes and precisions, with exceptions masked and not.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from struct import pack

from emulator.x86.generate import AREA_SIZE, Case
from emulator.x86.hostcpu import Fault, Outcome

SINGLE, DOUBLE = (8, 23), (11, 52)
FLOAT_VECTORS = (16, 19)  # #MF and #XM; the host reports both by SIGFPE
SIGFPE_VECTOR = 0


def random_float(random: Random, exponent_bits: int, fraction_bits: int) -> int:
    """The bits of a number of a format."""
    top = (1 << exponent_bits) - 1
    bias = top >> 1
    kind = random.randrange(10)
    if kind == 0:
        exponent, fraction = 0, 0
    elif kind == 1:
        exponent, fraction = top, 0
    elif kind == 2:
        exponent, fraction = top, random.getrandbits(fraction_bits) | 1
    elif kind == 3:
        exponent, fraction = 0, _fraction(random, fraction_bits)
    elif kind == 4:
        exponent, fraction = random.choice((1, 2, top - 1, top - 2)), _fraction(random, fraction_bits)
    elif kind == 5:
        exponent, fraction = random.randrange(1, top), _fraction(random, fraction_bits)
    else:
        exponent, fraction = bias + random.randrange(-5, 70) // 2, _fraction(random, fraction_bits)
    return random.getrandbits(1) << exponent_bits + fraction_bits | exponent << fraction_bits | fraction


def _fraction(random: Random, bits: int) -> int:
    """Uniform, or with few bits at either end, so that sums and products are exact or lie halfway."""
    kind = random.randrange(4)
    if kind == 0:
        return random.getrandbits(bits)
    if kind == 1:
        return random.getrandbits(4) << bits - 4
    if kind == 2:
        return random.getrandbits(bits // 2) << bits - bits // 2
    return (1 << bits) - 1 - random.getrandbits(3) if random.getrandbits(1) else random.getrandbits(3)


def random_extended(random: Random, encodings: bool = True) -> int:
    """An 80-bit number; with `encodings` also those that no instruction makes: unnormal and pseudo-denormal ones."""
    value = random_float(random, 15, 63)
    exponent = value >> 63 & 0x7FFF
    integer_bit = int(exponent != 0)
    if encodings and random.random() < 0.05:
        integer_bit ^= 1
    return value >> 78 << 79 | exponent << 64 | integer_bit << 63 | value & (1 << 63) - 1


def random_vector(random: Random) -> bytes:
    if random.getrandbits(1):
        return pack("<4I", *(random_float(random, *SINGLE) for _ in range(4)))
    return pack("<2Q", *(random_float(random, *DOUBLE) for _ in range(2)))


def hardened(case: Case, random: Random) -> Case:
    """The same instruction in a state full of special numbers. Integers in memory stay possible."""
    state = case.state
    memory = bytearray(state.memory)
    for start in range(0, AREA_SIZE, 16):
        if random.random() < 0.8:
            memory[start : start + 16] = random_vector(random)
    masks = 0x3F if random.random() < 0.6 else random.getrandbits(6)
    flags = random.choice((0, 0, 0x20, random.getrandbits(6)))
    flush = random.choice((0, 0, 0, 0x40, 0x8000, 0x8040))
    precision = random.choice((3, 3, 3, 2, 0))
    x87_masks = 0x3F if random.random() < 0.6 else random.getrandbits(6)
    return replace(
        case,
        state=replace(
            state,
            xmm=tuple(int.from_bytes(random_vector(random), "little") for _ in state.xmm),
            x87=tuple(random_extended(random) for _ in state.x87),
            control=0x40 | x87_masks | precision << 8 | random.randrange(4) << 10,
            status=state.status | random.getrandbits(4) << 8 & 0x700 | random.choice((0, 0, 0x20)) & x87_masks,
            mxcsr=flags & masks | masks << 7 | random.randrange(4) << 13 | flush,
            memory=bytes(memory),
        ),
    )


def as_host(outcome: Outcome) -> Outcome:
    """An outcome in the terms of the host's signals."""
    return Fault(SIGFPE_VECTOR) if isinstance(outcome, Fault) and outcome.vector in FLOAT_VECTORS else outcome


TRANSCENDENTAL = ("FSIN", "FCOS", "FSINCOS", "FPTAN", "FPATAN", "F2XM1", "FYL2X", "FYL2XP1")
ROUNDED_UP = 1 << 9  # C1


def in_domain(case: Case) -> bool:
    """Whether the manual defines the result of F2XM1 and FYL2XP1 for this operand."""
    name, top = case.instruction.form.mnemonic, case.state.x87[0]
    exponent = top >> 64 & 0x7FFF
    if name == "F2XM1":
        return exponent < 0x3FFF or exponent == 0x7FFF
    return name != "FYL2XP1" or exponent < 0x3FFD or exponent == 0x7FFF


def ulps(a: int, b: int) -> int:
    """The distance of two 80-bit numbers in units of the last place; large if they are not of one kind."""
    if a == b:
        return 0
    if a >> 79 != b >> 79:
        return 1 << 80
    places = [(value >> 64 & 0x7FFF) << 63 | value & (1 << 63) - 1 for value in (a, b)]
    return abs(places[0] - places[1])


def usual(case: Case) -> Case:
    """The same with what MXCSR controls as after a reset: exceptions masked, to nearest, denormals as they are."""
    return replace(case, state=replace(case.state, mxcsr=case.state.mxcsr & 0x3F | 0x1F80))
