"""Random operands: not only uniform bits, but the values where instructions change their mind."""

from __future__ import annotations

from functools import cache
from random import Random
from struct import pack

SPECIAL_SINGLES = (0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x00000001, 0x4F000000)


def random_integer(random: Random, bits: int) -> int:
    """Uniform, small, near a power of two, or all ones."""
    kind = random.randrange(6)
    if kind < 3:
        return random.getrandbits(bits)
    if kind == 3:
        return random.randrange(-4, 5) % (1 << bits)
    if kind == 4:
        return ((1 << random.randrange(bits)) + random.randrange(-1, 2)) % (1 << bits)
    return random.getrandbits(random.randrange(1, bits + 1))


def random_single(random: Random) -> float:
    """A number of moderate size: sums and products of a few stay finite."""
    if random.random() < 0.3:
        return float(random.randrange(-100, 100))
    return random.uniform(-1, 1) * 2.0 ** random.randrange(-20, 40)


def random_vector(random: Random) -> int:
    """128 bits: integers, floats or doubles."""
    kind = random.randrange(5)
    if kind == 0:
        packed = pack("<4f", *(random_single(random) for _ in range(4)))
    elif kind == 1:
        packed = pack("<2d", *(random_single(random) for _ in range(2)))
    elif kind == 2:
        packed = pack("<4I", *(random.choice(SPECIAL_SINGLES) for _ in range(4)))
    elif kind == 3:
        packed = b"".join(random_integer(random, 64).to_bytes(8, "little") for _ in range(2))
    else:
        packed = random.randbytes(16)
    return int.from_bytes(packed, "little")


@cache
def _pool() -> bytes:
    """64 KiB of vectors, made once: memory is cut from them."""
    random = Random("memory")
    return b"".join(random_vector(random).to_bytes(16, "little") for _ in range(4096))


def random_memory(random: Random, size: int) -> bytes:
    """Memory full of operands as `random_vector` makes them; at most 32 KiB."""
    start = random.randrange(0, len(_pool()) - size, 16)
    return _pool()[start : start + size]


def random_extended(random: Random) -> int:
    """An 80-bit number (SDM Vol. 1, section 4.2.2): normal, now and then a zero, an infinity or a quiet NaN."""
    sign = random.getrandbits(1) << 79
    kind = random.randrange(12)
    if kind == 0:
        return sign
    if kind == 1:
        return sign | 0x7FFF << 64 | 1 << 63
    if kind == 2:
        return sign | 0x7FFF << 64 | 3 << 62
    exponent = 16383 + random.randrange(-40, 40)
    fraction = random.getrandbits(63) if kind < 8 else random.getrandbits(8) << 55
    return sign | exponent << 64 | 1 << 63 | fraction
