"""Sizes as people write them ("10G", "1.5M", "0x200") and as the tools print them ("10 GiB").

Suffixes are powers of 1024, as in every disk-image tool: b/B (1), k/K, M, G, T, P, E.
"""

from __future__ import annotations

from imgtools.errors import BadOption


class TooLarge(BadOption):
    """A number that is more than can be addressed."""


SUFFIXES = "bkmgtpe"
DIGITS = "0123456789abcdef"
MOST_DIGITS = 40
"""Of a number that is turned into one: more say nothing new, and very many take long."""
LARGEST = (1 << 63) - 1


def parse_size(text: str, what: str = "size", default_suffix: str = "b") -> int:
    """Bytes in `text`. A fraction needs a suffix and is rounded to a byte ("1.5M"); hexadecimal takes none.

    Raises BadOption for anything else, for negative numbers and for more than 2^63-1 bytes.
    """
    number, shift = text.strip(), 10 * SUFFIXES.index(default_suffix)
    if number[:2].lower() == "0x":
        try:
            value = parse_number(number)
        except ValueError:
            raise BadOption(f"Invalid {what} '{text}'") from None
        return _bounded(value, text, what)
    if number and number[-1].lower() in SUFFIXES:
        shift = 10 * SUFFIXES.index(number[-1].lower())
        number = number[:-1]
    whole, _, fraction = number.partition(".")
    digits_only = (whole or "0").isdecimal() and (fraction or "0").isdecimal() and number.isascii()
    if not (whole or fraction) or not digits_only or (fraction.strip("0") and not shift):
        raise BadOption(f"Invalid {what} '{text}'", hint="Write bytes, or a number with k, M, G, T, P or E.")
    whole, fraction = whole.lstrip("0"), fraction[:MOST_DIGITS]
    if len(whole) > MOST_DIGITS:
        return _bounded(LARGEST + 1, text, what)
    value = int(whole or "0") << shift
    if fraction:
        value += (int(fraction) * (1 << shift) * 2 + 10 ** len(fraction)) // (2 * 10 ** len(fraction))
    return _bounded(value, text, what)


def parse_number(text: str) -> int:
    """A whole number as C writes it: decimal, hexadecimal after 0x, octal after 0. Raises ValueError for all else."""
    base = 16 if text[:2].lower() == "0x" else 8 if text[:1] == "0" else 10
    digits = text[2:] if base == 16 else text
    if not digits or not set(digits.lower()) <= set(DIGITS[:base]):
        raise ValueError(f"'{text}' is not a whole number")
    significant = digits.lstrip("0")
    return int(significant[:MOST_DIGITS] or "0", base)


def _bounded(value: int, text: str, what: str) -> int:
    if value > LARGEST:
        raise TooLarge(f"{what.capitalize()} '{text}' is too large: at most 8 EiB - 1 can be addressed.")
    return value


def format_size(size: int) -> str:
    """Three significant digits and a binary unit: "512 B", "1.95 MiB", "10 GiB".

    The unit is the largest power of 1024 that leaves at least 0.977 of it, so that "1000 KiB"
    becomes "0.977 MiB", which is how the tools of this field have always printed it.
    """
    unit = max(0, (size * 1024 // 1000).bit_length() - 1) // 10
    value = size / (1 << (10 * unit))
    return f"{value:.3g} {['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'][unit]}B"
