"""JSON as the field's tools spell it: ASCII, and the keys of an object in an order all its own.

The peers keep objects in a hash table of 512 places and go through them in its order: printed JSON, `json:` names
and the choice of which of several mistakes is told all follow it. Scripts compare that text, so the order is part of
the interface; it follows from the keys alone, by the hash function of Samba's tdb.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLACES = 512
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def place(key: str) -> int:
    """Where a key lies in the peers' hash table."""
    name = key.encode(errors="surrogateescape")
    value = 0x238F13AF * len(name) + sum(byte << (5 * index % 24) for index, byte in enumerate(name))
    return (1103515243 * value + 12345) % (1 << 32) % PLACES


def ordered(mapping: dict[str, Any]) -> list[tuple[str, Any]]:
    """The items of an object in the order in which they are printed."""
    return sorted(mapping.items(), key=lambda item: place(item[0]))


def on_one_line(value: Any) -> str:
    """`value` as JSON on one line."""
    if isinstance(value, dict):
        members = [f"{quoted(key)}: {on_one_line(member)}" for key, member in ordered(value)]
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(on_one_line, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A string, a number, true, false or null as JSON."""
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def quoted(text: str) -> str:
    """A JSON string; what is no valid text (a file name can hold any bytes) becomes U+FFFD."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if character in ESCAPES:
        return ESCAPES[character]
    if 0x20 <= code < 0x7F:
        return character
    if 0xD800 <= code < 0xE000:
        return "\\uFFFD"
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04X}\\u{0xDC00 + (code & 0x3FF):04X}"
    return f"\\u{code:04X}"
