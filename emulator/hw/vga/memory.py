"""The display's memory as programs see it from A0000h to BFFFFh (IBM "VGA Technical Reference", "Display buffer").

The four planes lie byte by byte side by side: plane p of address a is at 4a + p, so that a latch is a word of 32 bits.
Where what a program writes goes to memory unchanged, the window is RAM: in text mode, in chained modes as 13h, and in
the modes of the Bochs extensions. Only planar modes are computed for each byte.

In text mode the window is a piece of RAM of its own, whose bytes go to planes 0 and 1 when the mode is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.softmmu.space import AddressSpace, Region, new_ram, part_of

if TYPE_CHECKING:
    from .registers import Registers

WINDOW, WINDOW_SIZE = 0xA0000, 0x20000
# Graphics register 6, bits 2 and 3: where the window is
PLACES = ((0xA0000, 0x20000), (0xA0000, 0x10000), (0xB0000, 0x8000), (0xB8000, 0x8000))
TEXT_SIZE = 0x8000
PLANE = 0x10000  # bytes of a plane
BANK = 0x10000
FONT_PLACES = (0, 0x4000, 0x8000, 0xC000, 0x2000, 0x6000, 0xA000, 0xE000)  # in plane 2
FONT_LINES = 32  # that a glyph has room for
PRIORITY, ABOVE = 2, 3  # of the window that is computed, and of RAM in it
NOTHING, TEXT, CHAINED, PLANAR = range(4)
ALL = 0xFFFFFFFF
SPREAD = [sum(0xFF << 8 * plane for plane in range(4) if planes >> plane & 1) for planes in range(16)]
EACH_PLANE = 0x01010101


class Memory:
    """`size` bytes; the first 256 KiB of it are the VGA's planes."""

    def __init__(self, registers: Registers, size: int) -> None:
        self.registers = registers
        self.linear = new_ram(size, "display memory")
        self.text = new_ram(TEXT_SIZE, "text", priority=ABOVE)
        self.cells = memoryview(self.linear.memory)[: PLANE * 4].cast("I")  # type: ignore[arg-type]
        self.latch = 0
        self.space: AddressSpace | None = None
        self.kind = NOTHING  # what is in the window
        self._shown: Region | None = None
        self._place: tuple[int, int] | None = None

    def connect(self, space: AddressSpace) -> None:
        """Show the window in a machine's memory."""
        self.space = space
        space.add_mmio(WINDOW, WINDOW_SIZE, self.read, self.write, priority=PRIORITY, name="VGA")
        self.update()

    # -- what is in the window ------------------------------------------------------------------------------

    def _wanted(self) -> tuple[int, tuple[int, int], int]:
        """What kind of window the registers ask for, its place and size, and where in memory it begins."""
        registers = self.registers
        place = PLACES[registers.graphics[6] >> 2 & 3]
        if registers.extended:
            return CHAINED, (WINDOW, BANK), registers.bank * BANK
        if registers.sequencer[4] & 8:
            chained = registers.sequencer[2] & 15 == 15 and registers.graphics[5] & 3 == 0
            return (CHAINED if chained else PLANAR), (place[0], min(place[1], BANK)), 0
        is_text = not registers.graphics[6] & 1 and registers.graphics[5] & 0x13 == 0x10 and place[1] == TEXT_SIZE
        if is_text and not registers.sequencer[4] & 4 and registers.sequencer[2] & 3 == 3:
            return TEXT, place, 0
        return PLANAR, place, 0

    def update(self) -> None:
        """After a change of registers."""
        kind, place, start = self._wanted()
        shown = (place[0], start) if kind != PLANAR else None
        if (kind, shown) == (self.kind, self._place):
            return
        if self.kind == TEXT != kind:
            self._keep_text()
        elif kind == TEXT != self.kind:
            self._show_text()
        self.kind, self._place = kind, shown
        if self.space is None:
            return
        if self._shown is not None:
            self.space.remove(self._shown)
            self._shown = None
        if kind == TEXT:
            self._shown = self.space.move(self.text, place[0])
        elif kind == CHAINED and start + place[1] <= self.linear.size:
            self._shown = self.space.move(part_of(self.linear, start, place[1], priority=ABOVE), place[0])

    def _keep_text(self) -> None:
        """Characters to plane 0, attributes to plane 1."""
        view = self.linear.view
        assert view is not None and self.text.view is not None
        data = bytes(self.text.view)
        planes = bytearray(view[: TEXT_SIZE * 2])
        planes[0::4], planes[1::4] = data[0::2], data[1::2]
        view[: TEXT_SIZE * 2] = planes

    def _show_text(self) -> None:
        view = self.linear.view
        assert view is not None and self.text.view is not None
        planes = bytes(view[: TEXT_SIZE * 2])
        data = bytearray(TEXT_SIZE)
        data[0::2], data[1::2] = planes[0::4], planes[1::4]
        self.text.view[:] = data

    def plane(self, number: int) -> bytes:
        """The bytes of a plane."""
        if self.kind == TEXT and number < 2:
            self._keep_text()
        view = self.linear.view
        assert view is not None
        return bytes(view[number : PLANE * 4 : 4])

    def clear(self) -> None:
        """The planes, which chained modes are a view of."""
        assert self.linear.view is not None
        self.linear.view[: PLANE * 4] = bytes(PLANE * 4)

    def load_font(self, glyphs: bytes, height: int, first: int, block: int) -> None:
        """Put glyphs of 8 points' width into plane 2, as a firmware does."""
        view = self.linear.view
        assert view is not None
        place = FONT_PLACES[block & 7] + (first & 0xFF) * FONT_LINES
        for start in range(0, len(glyphs) - height + 1, height):
            glyph = glyphs[start : start + height].ljust(FONT_LINES, b"\0")[: PLANE - place]
            view[place * 4 + 2 : (place + len(glyph)) * 4 : 4] = glyph
            place = min(place + FONT_LINES, PLANE)

    # -- planar access --------------------------------------------------------------------------------------

    def _locate(self, offset: int) -> tuple[int, int] | None:
        """The place in a plane, and which planes may be written; None outside of the window."""
        registers = self.registers
        first, size = PLACES[registers.graphics[6] >> 2 & 3]
        address = offset + WINDOW - first
        if not 0 <= address < size:
            return None
        mask = registers.sequencer[2] & 15
        if registers.sequencer[4] & 8:
            return address >> 2 & 0xFFFF, mask & 1 << (address & 3)
        if not registers.sequencer[4] & 4:  # odd addresses are odd planes
            return address >> 1 & 0xFFFF, mask & 5 << (address & 1)
        return address & 0xFFFF, mask

    def read(self, offset: int, size: int) -> int:
        return sum(self._read_byte(offset + number) << 8 * number for number in range(size))

    def write(self, offset: int, size: int, value: int) -> None:
        for number in range(size):
            self._write_byte(offset + number, value >> 8 * number & 0xFF)

    def _read_byte(self, offset: int) -> int:
        found = self._locate(offset)
        if found is None:
            return 0xFF
        registers, place = self.registers, found[0]
        latch = self.latch = self.cells[place]
        graphics, sequencer = registers.graphics, registers.sequencer
        if graphics[5] & 8:
            compared = (latch ^ SPREAD[graphics[2] & 15]) & SPREAD[graphics[7] & 15]
            return ~(compared | compared >> 8 | compared >> 16 | compared >> 24) & 0xFF
        plane = graphics[4] & 3
        if sequencer[4] & 8:
            plane = offset & 3
        elif graphics[5] & 0x10:
            plane = plane & 2 | offset & 1
        return latch >> 8 * plane & 0xFF

    def _write_byte(self, offset: int, value: int) -> None:
        found = self._locate(offset)
        if found is None:
            return
        place, planes = found
        mask = SPREAD[planes]
        self.cells[place] = self.cells[place] & ~mask & ALL | self._written(value) & mask

    def _written(self, value: int) -> int:
        """What a byte becomes in the four planes ("Graphics controller", write modes 0 to 3)."""
        graphics, latch = self.registers.graphics, self.latch
        mode, bits = graphics[5] & 3, graphics[8]
        if mode == 1:
            return latch
        set_reset = SPREAD[graphics[0] & 15]
        if mode == 2:
            data = SPREAD[value & 15]
        else:
            turn = graphics[3] & 7
            value = (value >> turn | value << 8 - turn) & 0xFF
            if mode == 3:
                bits &= value
                data = set_reset
            else:
                enabled = SPREAD[graphics[1] & 15]
                data = value * EACH_PLANE & ~enabled | set_reset & enabled
        match graphics[3] >> 3 & 3:
            case 1:
                data &= latch
            case 2:
                data |= latch
            case 3:
                data ^= latch
        bits *= EACH_PLANE
        return data & bits | latch & ~bits & ALL

    def save(self) -> dict[str, Any]:
        if self.kind == TEXT:
            self._keep_text()
        assert self.linear.view is not None
        return {"latch": self.latch, "memory": bytes(self.linear.view).hex()}

    def load(self, state: dict[str, Any]) -> None:
        assert self.linear.view is not None
        self.latch = state["latch"]
        self.linear.view[:] = bytes.fromhex(state["memory"])
        self.kind = NOTHING
        self.update()
        if self.kind == TEXT:
            self._show_text()
