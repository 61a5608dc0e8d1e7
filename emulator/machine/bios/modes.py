"""The video modes of INT 10h: register values and palettes (IBM "VGA Technical Reference", "BIOS modes")."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.hw.device import Device

TEXT, PLANAR, BYTES = range(3)

# Attribute controllers: colours, then mode, overscan, planes, panning, select
TEXT_COLORS = bytes.fromhex("00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f")
ATTRIBUTES = {
    "text": TEXT_COLORS + bytes.fromhex("0c 00 0f 08 00"),
    "mono": bytes.fromhex("00 08 08 08 08 08 08 08 10 18 18 18 18 18 18 18 0e 00 0f 08 00"),
    "low": bytes.fromhex("00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17 01 00 0f 00 00"),
    "planar": TEXT_COLORS + bytes.fromhex("01 00 0f 00 00"),
    "two": bytes.fromhex("00 3f 3f 3f 3f 3f 3f 3f 3f 3f 3f 3f 3f 3f 3f 3f 01 00 01 00 00"),
    "bytes": bytes(range(16)) + bytes.fromhex("41 00 0f 00 00"),
}
CRTCS = {
    "40 text": "2d 27 28 90 2b a0 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 14 1f 96 b9 a3 ff",
    "80 text": "5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff",
    "80 mono": "5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 0d 96 b9 a3 ff",
    "320x200": "2d 27 28 90 2b 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 e3 ff",
    "640x200": "5f 4f 50 82 54 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 28 00 96 b9 e3 ff",
    "640x350": "5f 4f 50 82 54 80 bf 1f 00 40 00 00 00 00 00 00 83 85 5d 28 0f 63 ba e3 ff",
    "640x480": "5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff",
    "bytes": "5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff",
}


@dataclass(frozen=True)
class Mode:
    kind: int
    columns: int
    rows: int
    height: int  # lines of a character
    memory: int  # segment
    page_size: int
    misc: int
    sequencer: bytes  # registers 1 to 4
    crtc: str
    graphics: bytes  # registers 5 and 6
    attributes: str
    pages: int = 1

    @property
    def is_text(self) -> bool:
        return self.kind == TEXT


def _text(columns: int, crtc: str, *, mono: bool = False) -> Mode:
    segment, misc, window = (0xB000, 0x66, 0x0A) if mono else (0xB800, 0x67, 0x0E)
    sequencer = bytes((8 * (columns == 40), 3, 0, 2))
    attributes = "mono" if mono else "text"
    size = 0x1000 if columns == 80 else 0x800
    return Mode(TEXT, columns, 25, 16, segment, size, misc, sequencer, crtc, bytes((0x10, window)), attributes, 8)


def _planar(columns: int, rows: int, height: int, size: int, misc: int, crtc: str, attributes: str, pages: int) -> Mode:
    sequencer = bytes((1 | 8 * (columns == 40), 15, 0, 6))
    return Mode(
        PLANAR, columns, rows, height, 0xA000, size, misc, sequencer, crtc, bytes((0, 5)), attributes, pages
    )  # fmt: skip


MODES = {
    0x00: _text(40, "40 text"),
    0x01: _text(40, "40 text"),
    0x02: _text(80, "80 text"),
    0x03: _text(80, "80 text"),
    0x07: _text(80, "80 mono", mono=True),
    0x0D: _planar(40, 25, 8, 0x2000, 0x63, "320x200", "low", 8),
    0x0E: _planar(80, 25, 8, 0x4000, 0x63, "640x200", "low", 4),
    0x10: _planar(80, 25, 14, 0x8000, 0xA3, "640x350", "planar", 2),
    0x11: _planar(80, 30, 16, 0x10000, 0xE3, "640x480", "two", 1),
    0x12: _planar(80, 30, 16, 0x10000, 0xE3, "640x480", "planar", 1),
    0x13: Mode(
        BYTES, 40, 25, 8, 0xA000, 0x10000, 0x63, bytes((1, 15, 0, 14)), "bytes", bytes((0x40, 5)), "bytes"
    ),
}  # fmt: skip


def program(vga: Device, mode: Mode) -> None:
    """Write a mode's registers, as any program would."""

    def indexed(port: int, first: int, values: bytes) -> None:
        for number, value in enumerate(values, first):
            vga.write(port, number)
            vga.write(port + 1, value)

    crtc_port = 0x3D4 if mode.misc & 1 else 0x3B4
    vga.write(0x3C2, mode.misc)
    indexed(0x3C4, 0, bytes((3, *mode.sequencer)))
    indexed(crtc_port, 0x11, b"\0")  # unlock
    indexed(crtc_port, 0, bytes.fromhex(CRTCS[mode.crtc]))
    indexed(0x3CE, 0, bytes((0, 0, 0, 0, 0, *mode.graphics, 15, 255)))
    vga.read(crtc_port + 6)
    for number, value in enumerate(ATTRIBUTES[mode.attributes]):
        vga.write(0x3C0, number)
        vga.write(0x3C0, value)
    vga.write(0x3C0, 0x20)  # and the screen is on
    vga.write(0x3C6, 0xFF)
    write_palette(
        vga, byte_palette() if mode.kind == BYTES else low_palette() if mode.attributes == "low" else ega_palette()
    )


def write_palette(vga: Device, palette: bytes) -> None:
    vga.write(0x3C8, 0)
    for value in palette:
        vga.write(0x3C9, value)


def ega_palette() -> bytes:
    """64 colours: two bits for each of red, green and blue, the strong ones in bits 2 to 0."""
    return bytes(
        42 * (number >> color & 1) + 21 * (number >> color + 3 & 1) for number in range(64) for color in (2, 1, 0)
    )


def low_palette() -> bytes:
    """The 16 colours of CGA; bit 4 of their number is the bright half."""
    ega = ega_palette()
    colors = [ega[number * 3 : number * 3 + 3] for number in TEXT_COLORS]
    return b"".join(colors[number & 7 | (number & 0x10) >> 1] for number in range(64))


def byte_palette() -> bytes:
    """256 colours: those of CGA, 16 greys, and circles of 24 hues in 3 intensities and 3 saturations."""
    ega = ega_palette()
    palette = b"".join(ega[number * 3 : number * 3 + 3] for number in TEXT_COLORS)
    palette += bytes(grey for grey in (0, 5, 8, 11, 14, 17, 20, 24, 28, 32, 36, 40, 45, 50, 56, 63) for _ in range(3))
    for high in (63, 28, 16):
        for low in (0, high // 2, high * 5 // 7):
            steps = [low + ((high - low) * step * 2 + 3) // 8 for step in range(5)]  # rounded
            palette += b"".join(_hue(number, steps) for number in range(24))
    return palette.ljust(768, b"\0")


def _hue(number: int, steps: list[int]) -> bytes:
    """From blue by magenta, red, yellow, green and cyan, 4 steps each."""
    part, step = divmod(number, 4)
    up, down, low, high = steps[step], steps[4 - step], steps[0], steps[4]
    return bytes(
        ((up, low, high), (high, low, down), (high, up, low), (down, high, low), (low, high, up), (low, down, high))[
            part
        ]
    )
