"""Two 8237A DMA controllers as a PC has them (Intel 8237A data sheet, 231466-005), and the page registers.

Channels 0 to 3 move bytes, 5 to 7 words; channel 4 is where the first controller hangs on the second. An address is
16 bits that wrap around, and its page above them: 64 KiB of bytes, 128 KiB of words. A device that has been given a
channel asks `room` how much it may move, and moves it by `give` or `take`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .device import Device

if TYPE_CHECKING:
    from emulator.softmmu.space import AddressSpace

FIRST, SECOND, PAGES = 0x00, 0xC0, 0x80
PAGE_OF_PORT = {0x87: 0, 0x83: 1, 0x81: 2, 0x82: 3, 0x8F: 4, 0x8B: 5, 0x89: 6, 0x8A: 7}
COMMAND, REQUEST, MASK, MODE, CLEAR_FLIP_FLOP, MASTER_CLEAR, CLEAR_MASK, ALL_MASKS = range(8, 16)
DISABLE = 0x04  # command
TO_MEMORY, FROM_MEMORY, AUTOMATIC, DOWN, CASCADE = 0x04, 0x08, 0x10, 0x20, 0xC0  # mode


class Channel:
    """A channel's registers; `unit` is the bytes of a transfer."""

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.page = 0
        self.clear()

    def clear(self) -> None:
        self.base_address = self.base_count = 0
        self.address = self.count = 0
        self.mode = 0
        self.masked = True
        self.requested = self.ended = False

    @property
    def left(self) -> int:
        """Bytes to the terminal count."""
        return (self.count + 1) * self.unit

    def place(self) -> int:
        """The physical address of the next byte."""
        return (self.page & ~1) << 16 | self.address << 1 if self.unit == 2 else self.page << 16 | self.address

    def run(self) -> tuple[int, int]:
        """Where the next bytes are, and how many until the address wraps around or the count ends."""
        if self.mode & DOWN:
            return self.place(), self.unit
        return self.place(), min(self.left, (0x10000 - self.address) * self.unit)

    def advance(self, size: int) -> None:
        steps = -(-size // self.unit)
        self.address = self.address + (-steps if self.mode & DOWN else steps) & 0xFFFF
        if steps <= self.count:
            self.count -= steps
            return
        self.ended = True  # the terminal count
        self.count = 0xFFFF
        if self.mode & AUTOMATIC:
            self.address, self.count = self.base_address, self.base_count
        else:
            self.masked = True


class DmaControllers(Device):
    """Channels 0 to 7."""

    ports = (*range(FIRST, FIRST + 16), *range(PAGES, PAGES + 16), *range(SECOND, SECOND + 32))

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self.channels = [Channel(1 + number // 4) for number in range(8)]
        self.pages = bytearray(16)  # as they were written; some belong to no channel
        self.flip_flops = [False, False]
        self.commands = [0, 0]

    def reset(self) -> None:
        for number in range(2):
            self._clear(number)

    # -- for devices ----------------------------------------------------------------------------------------

    def room(self, number: int, direction: int) -> int:
        """Bytes that a device may move; 0 while the channel is masked or goes the other way."""
        channel = self.channels[number]
        if channel.masked or channel.mode & CASCADE == CASCADE or self.commands[number // 4] & DISABLE:
            return 0
        moves = channel.mode & (TO_MEMORY | FROM_MEMORY)
        return channel.left if moves in (direction, 0) else 0

    def give(self, number: int, data: bytes | memoryview) -> None:
        """Bytes to memory, at most `room`; a channel that verifies only counts them."""
        channel = self.channels[number]
        place = 0
        while place < len(data):
            address, size = channel.run()
            size = min(size, len(data) - place)
            if channel.mode & TO_MEMORY:
                self.space.write(address, data[place : place + size])
            channel.advance(size)
            place += size

    def take(self, number: int, size: int) -> bytes:
        """Bytes from memory, at most `room`."""
        channel = self.channels[number]
        data = b""
        while len(data) < size:
            address, length = channel.run()
            length = min(length, size - len(data))
            data += self.space.read(address, length) if channel.mode & FROM_MEMORY else bytes(length)
            channel.advance(length)
        return data

    # -- registers ------------------------------------------------------------------------------------------

    def _which(self, port: int) -> tuple[int, int]:
        """Controller and register."""
        return (1, port - SECOND >> 1) if port >= SECOND else (0, port - FIRST)

    def read(self, port: int) -> int:
        if PAGES <= port < PAGES + 16:
            return self.pages[port - PAGES]
        number, register = self._which(port)
        channels = self.channels[4 * number : 4 * number + 4]
        if register < COMMAND:
            channel = channels[register // 2]
            value = channel.count if register & 1 else channel.address
            return value >> 8 * self._flip(number) & 0xFF
        if register == COMMAND:
            status = sum(c.ended << n | c.requested << n + 4 for n, c in enumerate(channels))
            for channel in channels:
                channel.ended = False
            return status
        if register == ALL_MASKS:
            return 0xF0 | sum(channel.masked << n for n, channel in enumerate(channels))
        return 0  # the temporary register, and what cannot be read

    def write(self, port: int, value: int) -> None:
        if PAGES <= port < PAGES + 16:
            self.pages[port - PAGES] = value
            if port in PAGE_OF_PORT:
                self.channels[PAGE_OF_PORT[port]].page = value
            return
        number, register = self._which(port)
        channels = self.channels[4 * number : 4 * number + 4]
        if register < COMMAND:
            self._write_channel(channels[register // 2], bool(register & 1), self._flip(number), value)
            return
        chosen = channels[value & 3]
        match register:
            case 8:
                self.commands[number] = value
            case 9:
                chosen.requested = bool(value & 4)
            case 10:
                chosen.masked = bool(value & 4)
            case 11:
                chosen.mode = value & ~3
            case 12:
                self.flip_flops[number] = False
            case 13:
                self._clear(number)
            case _:
                for place, channel in enumerate(channels):
                    channel.masked = register == ALL_MASKS and bool(value >> place & 1)

    @staticmethod
    def _write_channel(channel: Channel, is_count: bool, high: bool, value: int) -> None:
        """A byte of the address or the count: of what is in use, and of what AUTOMATIC begins with."""
        old = channel.base_count if is_count else channel.base_address
        new = old & 0xFF | value << 8 if high else old & 0xFF00 | value
        if is_count:
            channel.base_count = channel.count = new
        else:
            channel.base_address = channel.address = new

    def _flip(self, number: int) -> bool:
        """Whether it is the second of two bytes."""
        high = self.flip_flops[number]
        self.flip_flops[number] = not high
        return high

    def _clear(self, number: int) -> None:
        self.flip_flops[number], self.commands[number] = False, 0
        for channel in self.channels[4 * number : 4 * number + 4]:
            channel.clear()

    def save(self) -> dict[str, Any]:
        channels = [dict(vars(channel)) for channel in self.channels]
        return {
            "channels": channels,
            "pages": self.pages.hex(),
            "flip_flops": self.flip_flops,
            "commands": self.commands,
        }

    def load(self, state: dict[str, Any]) -> None:
        for channel, fields in zip(self.channels, state["channels"], strict=True):
            vars(channel).update(fields)
        self.pages = bytearray.fromhex(state["pages"])
        self.flip_flops, self.commands = list(state["flip_flops"]), list(state["commands"])
