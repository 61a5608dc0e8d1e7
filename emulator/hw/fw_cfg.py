"""What a firmware asks its machine for: QEMU's firmware configuration device ("QEMU Firmware Configuration (fw_cfg)
Device", docs/specs/fw_cfg), its ports and its DMA.

Items have numbers, and files have names and the numbers from 20h on, in a directory that is an item, too. Contents may
be made when they are first selected, since what they say depends on what the firmware has done by then.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, unpack
from typing import Any

from emulator.softmmu.space import AddressSpace

from .device import Device

SELECTOR, DATA, DMA = 0x510, 0x511, 0x514
DMA_SIZE = 8
SIGNATURE, FEATURES, DIRECTORY, FIRST_FILE = 0x00, 0x01, 0x19, 0x20
TRADITIONAL, HAS_DMA = 1, 2
DMA_SIGNATURE = b"QEMU CFG"
WRITE_CHANNEL, ARCHITECTURE = 0x4000, 0x8000  # in a key: historic, of no meaning; of the architecture alone

# The control word of a DMA, above it the key to select
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16
CHUNK = 1 << 20  # zeros that are written at a time
NAME_SIZE = 56

Content = bytes | Callable[[], bytes]


class FirmwareConfiguration(Device):
    ports = (SELECTOR, DATA, *range(DMA, DMA + DMA_SIZE))

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self.items: dict[int, Content] = {SIGNATURE: b"QEMU", FEATURES: pack("<I", TRADITIONAL | HAS_DMA)}
        self.items[DIRECTORY] = self._directory
        self.names: dict[int, str] = {}
        self.reset()

    def reset(self) -> None:
        """Contents are made anew."""
        self.made: dict[int, bytes] = {}
        self.key = self.place = 0
        self.address = 0  # of the DMA's control structure, high half first

    def add(self, key: int, content: Content) -> None:
        self.items[key] = content

    def add_file(self, name: str, content: Content) -> None:
        assert len(name) < NAME_SIZE, f"{name}: the name is too long"
        key = FIRST_FILE + len(self.names)
        self.names[key] = name
        self.items[key] = content

    def content(self, key: int) -> bytes:
        """Of an item; one that does not exist is empty."""
        if key not in self.items:
            return b""
        if key not in self.made:
            self.made[key] = self._make(key)
        return self.made[key]

    def _make(self, key: int) -> bytes:
        item = self.items[key]
        return item if isinstance(item, bytes) else item()

    def _directory(self) -> bytes:
        """Lengths are told before contents are made for good: what a firmware does meanwhile may change these."""
        entries = [pack(">IHH56s", len(self._make(key)), key, 0, self.names[key].encode()) for key in self.names]
        return pack(">I", len(entries)) + b"".join(entries)

    # -- ports ----------------------------------------------------------------------------------------------

    def _select(self, key: int) -> None:
        self.key, self.place = key & ~WRITE_CHANNEL, 0

    def _take(self, size: int) -> bytes:
        """The next bytes; behind the end there are none."""
        data = self.content(self.key)[self.place : self.place + size]
        self.place += size
        return data

    def read(self, port: int) -> int:
        if port == DATA:
            return int.from_bytes(self._take(1), "little")
        return DMA_SIGNATURE[port - DMA] if port >= DMA else 0

    def read_wide(self, port: int, size: int) -> int:
        """The data port is a byte wide."""
        if port < DMA:
            return self.read(DATA if port == DATA else port)
        return super().read_wide(port, size)

    def write(self, port: int, value: int) -> None:
        if port == SELECTOR:
            self._select(value)

    def write_wide(self, port: int, size: int, value: int) -> None:
        if port == SELECTOR:
            self._select(value & 0xFFFF)
        elif port == DMA and size == 4:
            self.address = int.from_bytes(value.to_bytes(4, "little"), "big") << 32
        elif port == DMA + 4 and size == 4:
            self.address |= int.from_bytes(value.to_bytes(4, "little"), "big")
            self._transfer()

    # -- DMA ------------------------------------------------------------------------------------------------

    def _transfer(self) -> None:
        place, self.address = self.address, 0
        control, size, target = unpack(">IIQ", self.space.read(place, 16))
        if control & SELECT:
            self._select(control >> 16)
        failed = control & WRITE
        if control & READ and not failed:
            data = self._take(size)
            self.space.write(target, data)
            self._fill(target + len(data), size - len(data))
        elif control & SKIP and not failed:
            self.place += size
        self.space.write(place, pack(">I", ERROR if failed else 0))

    def _fill(self, place: int, size: int) -> None:
        """Zeros, behind the end of an item."""
        for start in range(0, size, CHUNK):
            self.space.write(place + start, bytes(min(CHUNK, size - start)))

    def save(self) -> dict[str, Any]:
        made = {str(key): content.hex() for key, content in self.made.items()}
        return {"key": self.key, "place": self.place, "address": self.address, "made": made}

    def load(self, state: dict[str, Any]) -> None:
        self.key, self.place, self.address = state["key"], state["place"], state["address"]
        self.made = {int(key): bytes.fromhex(content) for key, content in state["made"].items()}
