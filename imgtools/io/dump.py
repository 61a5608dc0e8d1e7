"""Bytes made readable."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = 16
LETTERS = bytes(byte if chr(byte).isalnum() and byte < 128 else ord(".") for byte in range(256))
"""Each byte as `read -v` shows it: letters and digits as they are."""
PRINTABLE = bytes(byte if 32 <= byte < 127 else ord(".") for byte in range(256))


def dump(data: memoryview, offset: int) -> Iterator[str]:
    """The lines of `read -v`; `offset` is where `data` begin."""
    for start in range(0, len(data), LINE):
        line = bytes(data[start : start + LINE])
        yield f"{offset + start:08x}:  {line.hex(' ')}  {line.translate(LETTERS).decode()}\n"


def hexdump(data: memoryview, offset: int) -> Iterator[str]:
    """The lines of `hexdump`: offset, bytes, text; "*" stands for lines like the one before."""
    before, skipped = None, False
    for start in range(0, len(data), LINE):
        line = bytes(data[start : start + LINE])
        if line == before and start + LINE < len(data):
            if not skipped:
                yield "*\n"
            skipped = True
            continue
        before, skipped = line, False
        halves = f"{line[:8].hex(' ')}  {line[8:].hex(' ')}".rstrip()
        yield f"{offset + start:08x}  {halves:<48}  |{line.translate(PRINTABLE).decode()}|\n"
