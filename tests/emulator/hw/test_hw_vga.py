"""The display by its registers and its memory: where the window is, planes, palette, the extended modes, pictures."""

from __future__ import annotations

import json
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from emulator.hw.device import Bus
from emulator.hw.pci import PciBus
from emulator.hw.vga import picture
from emulator.hw.vga.card import Vga
from emulator.hw.vga.font import CODE_PAGE, font
from emulator.machine.bios import modes
from emulator.softmmu.space import AddressSpace
from emulator.softmmu.structs import RAM

LINEAR = 0xE0000000
INDEX, DATA = 0x1CE, 0x1CF
RED, GREEN = (255, 0, 0), (0, 255, 0)


class Board:
    def __init__(self) -> None:
        self.space, self.bus = AddressSpace(), Bus()
        self.space.add_ram(0, 1 << 20)
        self.pci = PciBus(self.bus, self.space, lambda slot, pin, asserted: None)
        self.card = Vga(lambda: 0)
        self.card.connect(self.pci)
        self.card.write_config(0x10, 4, LINEAR)
        self.card.write_config(4, 2, 3)

    def indexed(self, port: int, number: int, value: int) -> None:
        self.bus.write(port, 1, number)
        self.bus.write(port + 1, 1, value)

    def extended(self, **values: int) -> None:
        names = {"width": 1, "height": 2, "depth": 3, "enable": 4, "bank": 5, "virtual": 6, "x": 8, "y": 9}
        for name, value in values.items():
            self.bus.write(INDEX, 2, names[name])
            self.bus.write(DATA, 2, value)

    def at(self, address: int) -> str:
        """The name of the region that is seen at an address."""
        return next(region.name for first, last, region in self.space.flatten() if first <= address <= last)

    def region_kind(self, address: int) -> int:
        return next(region.kind for first, last, region in self.space.flatten() if first <= address <= last)


@pytest.fixture
def board() -> Board:
    return Board()


def test_windows(board: Board) -> None:
    """Text and chained modes have RAM in the window, planar ones are computed."""
    modes.program(board.card, modes.MODES[3])
    assert board.at(0xB8000) == "text" and board.at(0xA0000) == "VGA"
    modes.program(board.card, modes.MODES[7])
    assert board.at(0xB0000) == "text" and board.at(0xB8000) == "VGA"
    modes.program(board.card, modes.MODES[0x13])
    assert board.region_kind(0xA0000) == RAM and board.at(0xB8000) == "VGA"
    modes.program(board.card, modes.MODES[0x12])
    assert board.at(0xA0000) == "VGA"


def test_text_survives_a_font_change(board: Board) -> None:
    """Programs that load a font leave text mode for a moment: planes 0 and 1 are what the window had."""
    modes.program(board.card, modes.MODES[3])
    board.space.write(0xB8000, b"A\x07B\x1f")
    for port, number, value in ((0x3C4, 2, 4), (0x3C4, 4, 7), (0x3CE, 5, 0), (0x3CE, 6, 0)):
        board.indexed(port, number, value)
    assert board.at(0xB8000) == "VGA"
    for line in range(16):
        board.card.memory.write(0x41 * 32 + line, 1, 0x80 + line)
    assert board.card.memory.plane(0)[:2] == b"AB" and board.card.memory.plane(1)[:2] == b"\x07\x1f"
    for port, number, value in ((0x3C4, 2, 3), (0x3C4, 4, 2), (0x3CE, 5, 0x10), (0x3CE, 6, 14)):
        board.indexed(port, number, value)
    assert board.space.read(0xB8000, 4) == b"A\x07B\x1f"
    assert board.card.memory.plane(2)[0x41 * 32 : 0x41 * 32 + 2] == b"\x80\x81"


def test_text_screen(board: Board) -> None:
    modes.program(board.card, modes.MODES[3])
    board.space.write(0xB8000, b" \x07" * 16384)
    board.space.write(0xB8000 + 160 * 2, "".join(f"{letter}\x07" for letter in "Hello").encode())
    board.indexed(0x3D4, 14, 0)
    board.indexed(0x3D4, 15, 165)
    screen = picture.text_screen(board.card)
    assert screen is not None and (screen.columns, screen.rows, screen.cursor) == (80, 25, (5, 2))
    assert screen.lines[2] == "Hello" and screen.lines[3] == ""
    board.indexed(0x3D4, 13, 160)  # the picture begins two lines later
    moved = picture.text_screen(board.card)
    assert moved is not None and moved.lines[0] == "Hello" and moved.cursor == (5, 0)
    assert list(picture.changed_lines(screen, moved)) == [0, 2]


def test_crtc_protection(board: Board) -> None:
    modes.program(board.card, modes.MODES[3])
    board.indexed(0x3D4, 1, 10)
    board.bus.write(0x3D4, 1, 1)
    assert board.bus.read(0x3D5, 1) == 79
    assert board.bus.read(0x3B5, 1) == 0xFF  # the monochrome address, in a colour mode


def test_palette(board: Board) -> None:
    board.bus.write(0x3C8, 1, 5)
    for value in (63, 0, 21, 1, 2, 3):
        board.bus.write(0x3C9, 1, value)
    assert board.card.registers.color(5) == (255, 0, 85)
    board.bus.write(0x3C7, 1, 6)
    assert [board.bus.read(0x3C9, 1) for _ in range(3)] == [1, 2, 3]


def test_extended_limits(board: Board) -> None:
    board.bus.write(INDEX, 2, 0)
    assert board.bus.read(DATA, 2) == 0xB0C5
    board.extended(enable=2)
    found = []
    for number in (1, 2, 3):
        board.bus.write(INDEX, 2, number)
        found.append(board.bus.read(DATA, 2))
    assert found == [2560, 1600, 32]
    board.bus.write(INDEX, 2, 10)
    assert board.bus.read(DATA, 2) == 256  # pieces of 64 KiB


@pytest.mark.parametrize(
    ("depth", "red", "green"),
    [
        (15, b"\x00\x7c", b"\xe0\x03"),
        (16, b"\x00\xf8", b"\xe0\x07"),
        (24, b"\0\0\xff", b"\0\xff\0"),
        (32, b"\0\0\xff\0", b"\0\xff\0\0"),
    ],
)
def test_linear(board: Board, depth: int, red: bytes, green: bytes) -> None:
    """Each depth, through the linear window and a bank of the small one."""
    board.extended(width=640, height=480, depth=depth, enable=0x41)
    board.space.write(LINEAR, red * 640)
    line = 640 * len(red)
    bank, place = divmod(60 * line, 0x10000)
    board.extended(bank=bank)
    board.space.write(0xA0000 + place, green * 640)
    image = picture.picture(board.card)
    assert image.shape == (480, 640, 3)
    assert (image[0] == RED).all() and (image[1] == 0).all() and (image[60] == GREEN).all()
    board.extended(virtual=800, y=1)
    assert picture.picture(board.card).shape == (480, 640, 3)


def test_enabling_clears(board: Board) -> None:
    board.space.write(LINEAR, b"\xff" * 64)
    board.extended(width=640, height=480, depth=8, enable=0xC1)  # keep memory
    assert board.space.read(LINEAR, 1) == b"\xff"
    board.extended(enable=0)
    board.extended(enable=0x41)
    assert board.space.read(LINEAR, 64) == bytes(64)


def test_png(board: Board, tmp_path: Path) -> None:
    """The file says what the picture is: chunks with right checks, lines that decompress to the pixels."""
    board.extended(width=16, height=2, depth=32, enable=0x41)
    board.space.write(LINEAR, bytes(range(128)))
    picture.save(board.card, tmp_path / "screen.png")
    data = (tmp_path / "screen.png").read_bytes()
    place, chunks = 8, {}
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + size]
        assert zlib.crc32(body) == struct.unpack_from(">I", data, place + 8 + size)[0]
        chunks[body[:4]] = body[4:]
        place += size + 12
    assert chunks[b"IHDR"] == struct.pack(">IIBBBBB", 16, 2, 8, 2, 0, 0, 0)
    lines = zlib.decompress(chunks[b"IDAT"])
    assert lines[1:7] == bytes((2, 1, 0, 6, 5, 4)) and len(lines) == 2 * (1 + 48)


def test_font() -> None:
    """Every letter has a glyph of its own, lines of boxes meet."""
    for height in (8, 14, 16):
        glyphs = font(height)
        assert len(glyphs) == 256 * height
        letters = {glyphs[code * height : (code + 1) * height] for code in range(33, 127)}
        assert len(letters) == 94
    box = {CODE_PAGE[code]: font(16)[code * 16 : (code + 1) * 16] for code in range(256)}
    assert all(line == 0x18 for line in box["│"]) and box["─"][7] == 0xFF
    assert box["┼"][0] == 0x18 and box["┼"][7] == 0xFF and box["║"][0] == 0x24


def test_save(board: Board) -> None:
    modes.program(board.card, modes.MODES[3])
    board.space.write(0xB8000, b"Q\x07")
    state = json.loads(json.dumps(board.card.save()))
    other = Board()
    other.card.load(state)
    assert other.space.read(0xB8000, 2) == b"Q\x07"
    assert np.array_equal(picture.picture(other.card), picture.picture(board.card))


@pytest.mark.parametrize("seed", range(12))
def test_hostile(board: Board, seed: int) -> None:
    """Any values in any registers: accesses to memory, pictures and screens never raise."""
    values = random.Random(seed)
    ports = [*range(0x3B4, 0x3DB), INDEX, DATA]
    for step in range(1500):
        port = values.choice(ports)
        if port in (INDEX, DATA):
            board.bus.write(INDEX, 2, values.randrange(12))
            board.bus.write(DATA, 2, values.choice((values.randrange(65536), values.randrange(256), 1, 0)))
        elif values.random() < 0.8:
            board.bus.write(port, 1, values.randrange(256))
        else:
            assert 0 <= board.bus.read(port, 1) <= 0xFF
        offset = values.randrange(0x20000)
        board.card.memory.write(offset, 2, values.randrange(65536))
        assert 0 <= board.card.memory.read(offset, 4) < 1 << 32
        if step % 100 == 0:
            picture.picture(board.card)
            picture.text_screen(board.card)
    board.card.write_window(0x500, 2, 1)
    board.card.reset()
    assert picture.picture(board.card).max() == 0
