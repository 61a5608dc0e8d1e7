"""A small assembler for the ACPI Machine Language (ACPI 6.4, chapter 20): a function for each term gives its bytes.

Paths are text as in ASL; an integer among the terms is a constant.

    >>> device("COM1", name("_HID", eisa_id("PNP0501"))).hex(" ")
    '5b 82 0f 43 4f 4d 31 08 5f 48 49 44 0c 41 d0 05 01'
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

Term = bytes | int

SYSTEM_IO, PCI_CONFIG = 1, 2  # spaces of operation regions
BYTE_ACCESS = 1
SERIALIZED = 8  # added to a method's number of arguments
LOCAL0, ARG0 = b"\x60", b"\x68"
NOWHERE = b"\x00"  # as a target


def term(value: Term) -> bytes:
    """An integer as the shortest constant."""
    if isinstance(value, bytes):
        return value
    if value in (0, 1):
        return bytes([value])
    for prefix, size in ((0x0A, 1), (0x0B, 2), (0x0C, 4)):
        if value < 1 << 8 * size:
            return bytes([prefix]) + value.to_bytes(size, "little")
    return b"\x0e" + value.to_bytes(8, "little")


def terms(values: Iterable[Term]) -> bytes:
    return b"".join(map(term, values))


def path(text: str) -> bytes:
    """A name string: `\\` is the root, `^` the parent, names are filled up to four characters."""
    prefix = "".join(takewhile(lambda character: character in "\\^", text))
    names = [part.ljust(4, "_").encode() for part in text[len(prefix) :].split(".") if part]
    assert all(len(part) == 4 for part in names), f"{text}: names have up to four characters"
    count = {0: b"\x00", 1: b"", 2: b"\x2e"}.get(len(names), b"\x2f" + bytes([len(names)]))
    return prefix.encode() + count + b"".join(names)


def length(size: int, *, itself: bool = True) -> bytes:
    """A package length, which counts `itself`; the width of a field does not."""
    if size + itself < 1 << 6:
        return bytes([size + itself])
    for more in (1, 2, 3):
        total = size + (1 + more) * itself
        if total < 1 << 4 + 8 * more:
            return bytes([more << 6 | total & 15]) + (total >> 4).to_bytes(more, "little")
    raise ValueError(f"a package of {size} bytes is too long")


def _packed(opcode: bytes, body: bytes) -> bytes:
    return opcode + length(len(body)) + body


# -- data ---------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    return b"\x0d" + value.encode() + b"\x00"


def eisa_id(identity: str) -> bytes:
    """Three letters and four hexadecimal digits, compressed."""
    letters = [ord(letter) - 0x40 for letter in identity[:3]]
    value = letters[0] << 26 | letters[1] << 21 | letters[2] << 16 | int(identity[3:], 16)
    return b"\x0c" + value.to_bytes(4, "big")


def package(*items: Term) -> bytes:
    return _packed(b"\x12", bytes([len(items)]) + terms(items))


def buffer(data: bytes) -> bytes:
    return _packed(b"\x11", term(len(data)) + data)


# -- objects ------------------------------------------------------------------------------------------------


def name(where: str, value: Term) -> bytes:
    return b"\x08" + path(where) + term(value)


def scope(where: str, *body: Term) -> bytes:
    return _packed(b"\x10", path(where) + terms(body))


def device(where: str, *body: Term) -> bytes:
    return _packed(b"\x5b\x82", path(where) + terms(body))


def method(where: str, arguments: int, *body: Term) -> bytes:
    return _packed(b"\x14", path(where) + bytes([arguments]) + terms(body))


def region(where: str, space: int, first: int, size: int) -> bytes:
    return b"\x5b\x80" + path(where) + bytes([space]) + term(first) + term(size)


def field(of: str, access: int, *units: tuple[str, int]) -> bytes:
    """Names and widths in bits."""
    parts = b"".join(unit.ljust(4, "_").encode() + length(bits, itself=False) for unit, bits in units)
    return _packed(b"\x5b\x81", path(of) + bytes([access]) + parts)


def dword_field(of: Term, place: Term, where: str) -> bytes:
    return b"\x8a" + term(of) + term(place) + path(where)


# -- statements ---------------------------------------------------------------------------------------------


def store(value: Term, target: Term) -> bytes:
    return b"\x70" + term(value) + term(target)


def bit_and(one: Term, other: Term, target: Term = NOWHERE) -> bytes:
    return b"\x7b" + term(one) + term(other) + term(target)


def bit_or(one: Term, other: Term, target: Term = NOWHERE) -> bytes:
    return b"\x7d" + term(one) + term(other) + term(target)


def if_(condition: Term, *body: Term) -> bytes:
    return _packed(b"\xa0", term(condition) + terms(body))


def return_(value: Term) -> bytes:
    return b"\xa4" + term(value)


# -- resources (section 6.4) --------------------------------------------------------------------------------


def resources(*descriptors: bytes) -> bytes:
    """A resource template; its checksum is not used."""
    return buffer(b"".join(descriptors) + b"\x79\x00")


def ports(first: int, count: int) -> bytes:
    """I/O ports at a fixed place, all 16 address lines decoded."""
    return b"\x47\x01" + first.to_bytes(2, "little") * 2 + bytes([1, count])


def irq(number: int) -> bytes:
    """An edge of the ISA bus."""
    return b"\x22" + (1 << number).to_bytes(2, "little")


def level_interrupts(*numbers: int) -> bytes:
    """Level-triggered, active high, shared; the first number is 5 bytes behind the start."""
    data = bytes([0b1001, len(numbers)]) + b"".join(number.to_bytes(4, "little") for number in numbers)
    return b"\x89" + len(data).to_bytes(2, "little") + data


def memory(first: int, size: int) -> bytes:
    """A fixed range of 32-bit addresses."""
    return b"\x86\x09\x00\x01" + first.to_bytes(4, "little") + size.to_bytes(4, "little")


def bus_numbers(first: int, last: int) -> bytes:
    return _window(0x88, 2, 2, 0, first, last)


def port_window(first: int, last: int) -> bytes:
    """Ports that a bridge hands on."""
    return _window(0x88, 2, 1, 3, first, last)


def memory_window(first: int, last: int) -> bytes:
    """Memory that a bridge hands on; not cached."""
    return _window(0x87, 4, 0, 1, first, last)


def _window(kind: int, width: int, space: int, flags: int, first: int, last: int) -> bytes:
    """An address space descriptor (section 6.4.3.5): produced, both ends fixed, decoded positively."""
    values = (0, first, last, 0, last - first + 1)  # granularity, both ends, translation, length
    numbers = b"".join(value.to_bytes(width, "little") for value in values)
    data = bytes([space, 0x0C, flags]) + numbers
    return bytes([kind]) + len(data).to_bytes(2, "little") + data
