"""Numbers in commands, with qemu-io's messages where they make no sense."""

from __future__ import annotations

from functools import lru_cache

from imgtools.errors import BadOption
from imgtools.io.command import Failed
from imgtools.sizes import TooLarge, parse_size

MAX_REQUEST = ((1 << 31) - 1) & ~511
"""Bytes of one request: what QEMU's block layer takes at once."""

HEX_SUFFIXES = "kmgtp"
"""Suffixes that cannot be mistaken for a hexadecimal digit."""


def number(text: str) -> int:
    """An offset or a length: decimal with a suffix ("64k", "1.5M") or hexadecimal."""
    return int(text) if text.isdigit() and text.isascii() and len(text) < 19 else _written(text)


@lru_cache(maxsize=64)
def _written(text: str) -> int:
    """A number that is more than digits; scripts write the same few over and over."""
    plain = text.removeprefix("+")
    factor = 1
    if plain[:2].lower() == "0x" and plain[-1].lower() in HEX_SUFFIXES:
        factor = 1 << 10 * (1 + HEX_SUFFIXES.index(plain[-1].lower()))
        plain = plain[:-1]
    try:
        if plain.startswith("."):
            raise BadOption("a number begins with a digit")
        value = parse_size(plain) * factor
        if value >> 63:
            raise TooLarge("more than can be addressed")
    except TooLarge:
        raise Failed(f"Parsing error: argument too large -- {text}") from None
    except BadOption:
        raise Failed(f"Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- {text}") from None
    return value


def whole_number(text: str) -> int | None:
    """A number as C's strtol takes it (0x10, 010, -5); None where it is none."""
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    base = 16 if digits[:2].lower() == "0x" else 8 if len(digits) > 1 and digits[0] == "0" else 10
    try:
        return sign * int(digits, base) if digits.isalnum() and digits.isascii() else None
    except ValueError:
        return None


@lru_cache(maxsize=256)
def pattern(text: str) -> int:
    """A byte to fill with or to expect."""
    value = whole_number(text)
    if value is None or not 0 <= value <= 255:
        raise Failed(f"{text} is not a valid pattern byte")
    return value


def request_length(text: str, remark: str = "") -> int:
    """The length of one request."""
    length = number(text)
    if length > MAX_REQUEST:
        raise Failed(f"length cannot exceed {MAX_REQUEST}{remark}, given {text}")
    return length


def vector_length(texts: list[str]) -> int:
    """The length of a request that is made of several."""
    total = 0
    for text in texts:
        length = number(text)
        if length > MAX_REQUEST:
            raise Failed(f"Argument '{text}' exceeds maximum size {MAX_REQUEST}")
        if total + length > MAX_REQUEST:
            raise Failed(f"The total number of bytes exceed the maximum size {MAX_REQUEST}")
        total += length
    return total
