"""The guest's memory as KVM sees it: a slot for each piece of RAM and ROM of an address space (api.rst, 4.35).

Whatever has no slot, and each write to a read-only one, comes back as an exit; the processor then asks here, and the
device in the address space answers. Pieces change while chips run, the slots before the processor runs again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from emulator.softmmu.space import AddressSpace, Piece, Region
from emulator.softmmu.structs import MMIO, PAGE_SIZE, ROM

from .host import VirtualMachine

MEGABYTE = 1 << 20
A20_LIMIT = 16 * MEGABYTE  # what code that knows the A20 gate can reach
WIDTHS = (1, 2, 4, 8)


class Slot(NamedTuple):
    """`size` bytes of `region`, whose memory is at `host` in this process, at `first` in the guest's."""

    first: int
    size: int
    host: int
    read_only: bool
    region: Region  # which lives as long as KVM has its memory


def slots_of(pieces: Sequence[Piece]) -> Iterator[Slot]:
    """The whole pages of all pieces that are memory."""
    for first, last, region in pieces:
        start, end = -(-first // PAGE_SIZE) * PAGE_SIZE, (last + 1) // PAGE_SIZE * PAGE_SIZE
        if region.memory is not None and start < end:
            yield Slot(start, end - start, region.host + start - region.first, region.kind == ROM, region)


def without_a20(slots: Sequence[Slot]) -> Iterator[Slot]:
    """With bit 20 of addresses zero, below 16 MiB: each odd megabyte shows what is in the even one before it."""
    for slot in slots:
        if slot.first + slot.size > A20_LIMIT:  # the part above
            cut = max(0, A20_LIMIT - slot.first)
            yield slot._replace(first=slot.first + cut, size=slot.size - cut, host=slot.host + cut)
    for even in range(0, A20_LIMIT, 2 * MEGABYTE):
        for slot in slots:
            low, high = max(slot.first, even), min(slot.first + slot.size, even + MEGABYTE)
            if low < high:
                below = slot._replace(first=low, size=high - low, host=slot.host + low - slot.first)
                yield below
                yield below._replace(first=low + MEGABYTE)


class GuestMemory:
    """The slots of one virtual machine, and what is done where there is none."""

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self._machine: VirtualMachine | None = None
        self._slots: dict[Slot, int] = {}
        self._a20 = True
        self._changed = True
        space.listeners.append(self.change)

    def connect(self, machine: VirtualMachine) -> None:
        """A new virtual machine, without memory so far."""
        self._machine, self._slots = machine, {}
        self.change()

    def change(self) -> None:
        """The address space is another one than KVM has."""
        self._changed = True

    def set_a20(self, enabled: bool) -> None:
        self._a20 = enabled
        self.change()

    def update(self) -> None:
        """Before the processor runs: let KVM have what is there."""
        if not self._changed:
            return
        assert self._machine is not None
        self._changed = False
        wanted = list(slots_of(self.space.pieces))
        if not self._a20:
            wanted = list(without_a20(wanted))
        for slot in [slot for slot in self._slots if slot not in wanted]:
            self._machine.set_memory(self._slots.pop(slot), slot.first, 0, slot.host)
        used = set(self._slots.values())
        free = (number for number in range(len(wanted)) if number not in used)
        for slot in wanted:
            if slot not in self._slots:
                self._slots[slot] = number = next(free)
                self._machine.set_memory(number, slot.first, slot.size, slot.host, read_only=slot.read_only)

    # -- where there is no slot -----------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """As the processor reads 1 to 8 bytes: devices, too."""
        address = self._gated(address)
        found = self.space.at(address)
        if found is None or found[0].kind != MMIO:
            return self.space.read(address, size)
        region, offset = found
        if size not in WIDTHS or offset + size > region.size:
            return b"".join(self.read(address + number, 1) for number in range(size))
        return int(region.read(region.device, offset, size)).to_bytes(8, "little")[:size]

    def write(self, address: int, data: bytes) -> None:
        """The same to write; ROM does not change."""
        address = self._gated(address)
        found = self.space.at(address)
        if found is None or found[0].kind != MMIO:
            self.space.write(address, data)
            return
        region, offset = found
        if len(data) in WIDTHS and offset + len(data) <= region.size:
            region.write(region.device, offset, len(data), int.from_bytes(data, "little"))
            return
        for number, value in enumerate(data):
            self.write(address + number, bytes((value,)))

    def _gated(self, address: int) -> int:
        return address if self._a20 or address >= A20_LIMIT else address & ~MEGABYTE
