"""AES rounds and carry-less multiplication (Intel SDM Vol. 1, sections 12.13.1 to 12.13.3; FIPS 197).

A state is 16 bytes, column by column: byte r + 4c is row r of column c.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Array, Function, Ptr, addressof, copy_bytes, function, rotr, table, u8, u32, u64, u128

from .operands import computed

UNIT = "simd"
POLYNOMIAL = 0x11B  # x**8 + x**4 + x**3 + x + 1 (FIPS 197, section 4.2)


# -- the field of 256 elements ------------------------------------------------------------------------------


def _product(a: int, b: int) -> int:
    total = 0
    while b:
        total ^= a if b & 1 else 0
        a <<= 1
        a ^= POLYNOMIAL if a & 0x100 else 0
        b >>= 1
    return total


def _substituted(value: int) -> int:
    """The inverse, and an affine transformation of its bits (FIPS 197, section 5.1.1)."""
    inverse = next((other for other in range(256) if _product(value, other) == 1), 0)
    turned = [(inverse << count | inverse >> 8 - count) & 0xFF for count in range(5)]
    return turned[0] ^ turned[1] ^ turned[2] ^ turned[3] ^ turned[4] ^ 0x63


_BOX = [_substituted(value) for value in range(256)]
BOX = table(u8, _BOX)
INVERSE_BOX = table(u8, [_BOX.index(value) for value in range(256)])


@function(inline="always")
def doubled(value: u8) -> u8:
    return value << 1 ^ (0x1B if value >> 7 else u8(0))


@function
def mix_columns(state: Ptr[u8]) -> None:
    """Every column times 3x**3 + x**2 + x + 2."""
    out = Array[u8, 16]()
    for i in range(16):
        column = i & 12
        a = state[column + (i & 3)]
        b = state[column + (i + 1 & 3)]
        out[i] = doubled(a) ^ doubled(b) ^ b ^ state[column + (i + 2 & 3)] ^ state[column + (i + 3 & 3)]
    copy_bytes(state, Ptr[u8](addressof(out)), 16)


@function
def unmix_columns(state: Ptr[u8]) -> None:
    """Three times the way forward is the way back, as the polynomial's fourth power is 1."""
    for _ in range(3):
        mix_columns(state)


# -- rounds -------------------------------------------------------------------------------------------------


@cache
def encryption(last: bool) -> Function:
    """AESENC, AESENCLAST: rows are shifted, bytes substituted, columns mixed, and the key is added."""

    @function(symbol=f"emulator.tcg.aes.encrypt{int(last)}")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[u8, 16]()
        for i in range(16):
            out[i] = BOX[target[i + 4 * (i & 3) & 15]]
        if not last:
            mix_columns(Ptr[u8](addressof(out)))
        for i in range(16):
            target[i] = out[i] ^ source[i]

    return operation


@cache
def decryption(last: bool) -> Function:
    """AESDEC, AESDECLAST: the equivalent inverse cipher, which mixes columns before the key is added."""

    @function(symbol=f"emulator.tcg.aes.decrypt{int(last)}")
    def operation(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
        out = Array[u8, 16]()
        for i in range(16):
            out[i] = INVERSE_BOX[target[i - 4 * (i & 3) & 15]]
        if not last:
            unmix_columns(Ptr[u8](addressof(out)))
        for i in range(16):
            target[i] = out[i] ^ source[i]

    return operation


@function
def inverse_key(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """AESIMC."""
    copy_bytes(target, source, 16)
    unmix_columns(target)


@function
def expand_key(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """AESKEYGENASSIST: words 1 and 3 substituted, and the same rotated, with the round's constant."""
    out = Array[u32, 4]()
    for i in range(2):
        word: u32 = 0
        for k in range(4):
            word |= u32(BOX[source[8 * i + 4 + k]]) << (8 * k)
        out[2 * i] = word
        out[2 * i + 1] = rotr(word, 8) ^ immediate
    copy_bytes(target, Ptr[u8](addressof(out)), 16)


@function
def carryless_product(target: Ptr[u8], source: Ptr[u8], immediate: u32) -> None:
    """PCLMULQDQ of the halves that the immediate selects."""
    a = u128(Ptr[u64](target)[immediate & 1])
    b = Ptr[u64](source)[immediate >> 4 & 1]
    total: u128 = 0
    for i in range(64):
        if b >> i & 1:
            total ^= a << i
    Ptr[u128](target)[0] = total


OPERATIONS = {
    "AESENC": encryption(False),
    "AESENCLAST": encryption(True),
    "AESDEC": decryption(False),
    "AESDECLAST": decryption(True),
    "AESIMC": inverse_key,
    "AESKEYGENASSIST": expand_key,
    "PCLMULQDQ": carryless_product,
}
HANDLERS = {
    name: lambda form, size, memory, operation=operation: computed(operation, form)
    for name, operation in OPERATIONS.items()
}
