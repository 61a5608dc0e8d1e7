"""Physical memory as Python builds it: regions of RAM, ROM and devices, and the flat view of them.

A region has a place, a size and a priority; where regions overlap, the higher priority is seen, and among equals the
one that was added last.  RAM is anonymous memory, which costs nothing until the guest touches it.

    space = AddressSpace()
    ram = space.add_ram(0, 64 << 20)
    space.add_rom(0xF0000, bios)
    space.add_mmio(0xFEC00000, 0x1000, ioapic.read, ioapic.write)
"""

from __future__ import annotations

import ctypes
import mmap
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from operator import itemgetter
from typing import Any

from .structs import CODE, DIRTY, MMIO, PAGE_SHIFT, PAGE_SIZE, RAM, ROM, Range

ReadMmio = Callable[[int, int], int]
WriteMmio = Callable[[int, int, int], None]
ADDRESS_LIMIT = 1 << 52  # physical addresses of the architecture
RETIRED = 16  # views and regions that are kept after their time
DIRTIED = bytes(flags | DIRTY for flags in range(256))  # for `translate`
NO_CODE = bytes(flags for flags in range(256) if not flags & CODE)


@dataclass(eq=False)
class Region:
    """Memory or a device at a place in physical memory."""

    first: int
    size: int
    kind: int
    priority: int
    name: str
    memory: mmap.mmap | None = None  # RAM and ROM
    start: int = 0  # where in `memory` it begins
    flags: Any = None  # RAM: a byte a page, DIRTY and CODE
    device: int = 0  # MMIO: what the functions get first
    read: Any = None
    write: Any = None

    def __post_init__(self) -> None:
        # While this exists, the memory cannot be closed or moved under the TLBs that point into it.
        self._anchor = None if self.memory is None else ctypes.c_char.from_buffer(self.memory, self.start)
        end = self.start + self.size
        self.view = None if self.memory is None else memoryview(self.memory)[self.start : end]
        self.flag_view = memoryview(b"") if self.flags is None else memoryview(self.flags).cast("B")

    @property
    def last(self) -> int:
        return self.first + self.size - 1

    @property
    def host(self) -> int:
        assert self._anchor is not None
        return ctypes.addressof(self._anchor)


Piece = tuple[int, int, Region]  # first, last, and what is seen there


class AddressSpace:
    """Regions, and the sorted view of them that compiled code searches."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.listeners: list[Callable[[], None]] = []  # called when the flat view changes
        self.code_listeners: list[Callable[[int, int], None]] = []  # when `write` hits translated code
        self.failure: BaseException | None = None  # raised by a device's function; see `check`
        self.ranges: Any = (Range.ctype * 1)()
        self.count = 0
        self.layout = 0  # counts the changes of the flat view
        self._pieces: list[Piece] = []  # `flatten` as of the last change
        self._firsts: list[int] = []  # where they begin
        # A device may remove itself while its function runs, called from compiled code that looked in the old view.
        self._retired: deque[Any] = deque(maxlen=RETIRED)

    def add_ram(self, first: int, size: int, *, priority: int = 0, name: str = "ram") -> Region:
        """Zeroed memory; place and size in whole pages."""
        return self._add(new_ram(size, name, first=first, priority=priority))

    def add_rom(self, first: int, data: bytes, *, priority: int = 1, name: str = "rom") -> Region:
        """Constant memory, filled up to whole pages with zeros."""
        size = -(-len(data) // PAGE_SIZE) * PAGE_SIZE
        _check_pages(first, size)
        memory = mmap.mmap(-1, size)
        memory[: len(data)] = data
        return self._add(Region(first, size, ROM, priority, name, memory=memory))

    def add_alias(self, of: Region, start: int, size: int, *, writable: bool = True, priority: int = 1) -> Region:
        """The same RAM once more, above what hides it at its place; `start` is an offset in it."""
        return self._add(part_of(of, start, size, first=of.first + start, writable=writable, priority=priority))

    def add_mmio(
        self, first: int, size: int, read: ReadMmio, write: WriteMmio, *, priority: int = 1, name: str = "mmio"
    ) -> Region:
        """A device in Python: `read(offset, size)` and `write(offset, size, value)`."""

        def guarded_read(_: int, offset: int, width: int) -> int:
            try:
                return read(offset, width) & (1 << 64) - 1
            except BaseException as error:
                self.failure = self.failure or error
                return (1 << 64) - 1

        def guarded_write(_: int, offset: int, width: int, value: int) -> None:
            try:
                write(offset, width, value)
            except BaseException as error:
                self.failure = self.failure or error

        functions = Range.fields["read"](guarded_read), Range.fields["write"](guarded_write)
        return self._add(Region(first, size, MMIO, priority, name, read=functions[0], write=functions[1]))

    def add_native_mmio(
        self, first: int, size: int, device: int, read: int, write: int, *, priority: int = 1, name: str = "mmio"
    ) -> Region:
        """A device in compiled code: the addresses of its functions, and what they get as their first argument."""
        region = Region(first, size, MMIO, priority, name, device=device, read=read, write=write)
        return self._add(region)

    def remove(self, region: Region) -> None:
        self.regions.remove(region)
        self._retired.append(region)
        self._changed()

    def move(self, region: Region, first: int) -> Region:
        """Show a region at another place; one that was removed is shown again."""
        if region in self.regions:
            self.regions.remove(region)
        region.first = first
        return self._add(region)

    def check(self) -> None:
        """Raise what a device's function raised; compiled code cannot pass exceptions on."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def _add(self, region: Region) -> Region:
        if region.size < 1 or region.first < 0 or region.first + region.size > ADDRESS_LIMIT:
            raise ValueError(f"{region.name}: {region.size:#x} bytes at {region.first:#x} is not in physical memory")
        self.regions.append(region)
        self._changed()
        return region

    # -- the flat view --------------------------------------------------------------------------------------

    def flatten(self) -> Iterator[Piece]:
        """The pieces that are seen, as (first, last, region), sorted."""
        borders = sorted({edge for r in self.regions for edge in (r.first, r.first + r.size)})
        pieces: list[Piece] = []
        for first, after in pairwise(borders):
            over = [(r.priority, n, r) for n, r in enumerate(self.regions) if r.first <= first <= r.last]
            if not over:
                continue
            seen = max(over, key=lambda item: item[:2])[2]
            if pieces and pieces[-1][2] is seen and pieces[-1][1] + 1 == first:
                pieces[-1] = (pieces[-1][0], after - 1, seen)
            else:
                pieces.append((first, after - 1, seen))
        yield from pieces

    @property
    def pieces(self) -> list[Piece]:
        """The same, as of the last change."""
        return self._pieces

    def at(self, address: int) -> tuple[Region, int] | None:
        """What is seen at an address, and where in it that is."""
        number = bisect_right(self._firsts, address) - 1
        if number < 0 or address > self._pieces[number][1]:
            return None
        region = self._pieces[number][2]
        return region, address - region.first

    def _changed(self) -> None:
        before, pieces = self._pieces, list(self.flatten())
        self._pieces = pieces
        self.layout += 1
        self._firsts = [first for first, _, _ in pieces]
        self._retired.append(self.ranges)
        self.ranges = (Range.ctype * max(1, len(pieces)))(*(_range(*piece) for piece in pieces))
        self.count = len(pieces)
        for listener in self.listeners:
            listener()
        for first, size in _exchanged(before, pieces):
            for written in self.code_listeners:
                written(first, size)

    # -- access from Python ---------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """Bytes of RAM and ROM, as a device reads them; anything else is ones."""
        window = self.window(address, size)
        if window is not None:
            return bytes(window)
        data = bytearray(b"\xff" * size)
        for low, high, region in self._touched(address, size):
            if region.view is not None:
                data[low - address : high - address] = region.view[low - region.first : high - region.first]
        return bytes(data)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write to RAM as a device does: the pages become dirty, and who translated code in them is told."""
        for low, high, region in self._touched(address, len(data)):
            if region.kind == RAM and region.view is not None:
                region.view[low - region.first : high - region.first] = data[low - address : high - address]
        self.written(address, len(data))

    def window(self, address: int, size: int, *, writable: bool = False) -> memoryview | None:
        """Guest memory itself, for devices that transfer much; None if it is not all in one piece of RAM (or ROM).

        Whoever writes to it calls `written` afterwards.
        """
        number = bisect_right(self._firsts, address) - 1
        if number < 0:
            return None
        _, last, region = self._pieces[number]
        if address > last or region.view is None or (writable and region.kind != RAM):
            return None
        if address + size - 1 > last:
            return self._wide_window(number, address, size, writable)
        return region.view[address - region.first : address - region.first + size]

    def windows(self, pieces: list[tuple[int, int]], *, writable: bool = False) -> list[memoryview] | None:
        """`window` of each of many pieces (address, length); None if one has none."""
        region, end = self._lowest(pieces)
        if region is not None and region.view is not None and (region.kind == RAM or not writable):
            base, memory = region.first, region.view[:end]
            views = [memory[address - base : address - base + length] for address, length in pieces]
            if sum(map(len, views)) == sum([length for _, length in pieces]):
                return views
        views = []
        for address, length in pieces:  # not all in one piece of RAM
            view = self.window(address, length, writable=writable) if length else memoryview(bytearray())
            if view is None:
                return None
            views.append(view)
        return views

    def all_written(self, pieces: list[tuple[int, int]]) -> None:
        """RAM has been changed through `windows`."""
        region, end = self._lowest(pieces)
        if region is not None and region.kind == RAM:
            base, flags = region.first, region.flag_view
            if max(pieces)[0] + PAGE_SIZE <= base + end:
                pieces = [  # those that lie in one or two pages mostly need nothing
                    (address, length) for address, length in pieces
                    if length > PAGE_SIZE
                    or flags[address - base >> PAGE_SHIFT] != DIRTY
                    or flags[address + length - 1 - base >> PAGE_SHIFT] != DIRTY
                ]  # fmt: skip
        for address, length in pieces:
            if length:
                self.written(address, length)

    def dirty_check(self, pieces: list[tuple[int, int]]) -> Callable[[], bool]:
        """What tells whether `all_written` of these pieces has nothing to do, as long as the layout is as it is."""
        region, end = self._lowest(pieces)
        if region is None or region.kind != RAM or max(map(sum, pieces)) > region.first + end:
            return lambda: False
        flags = region.flag_view
        ends = [(address - region.first, address - region.first + length - 1) for address, length in pieces if length]
        pages = {page for first, last in ends for page in range(first >> PAGE_SHIFT, (last >> PAGE_SHIFT) + 1)}
        if len(pages) < 2:
            return lambda: all(flags[page] == DIRTY for page in pages)
        pick, dirty = itemgetter(*pages), (DIRTY,) * len(pages)
        return lambda: pick(flags) == dirty

    def _lowest(self, pieces: list[tuple[int, int]]) -> tuple[Region | None, int]:
        """What is at the first address of a list, and where in it its visible piece ends."""
        number = bisect_right(self._firsts, min(pieces)[0]) - 1 if pieces else -1
        if number < 0:
            return None, 0
        _, last, region = self._pieces[number]
        return region, last + 1 - region.first

    def _wide_window(self, number: int, address: int, size: int, writable: bool) -> memoryview | None:
        """The same over several pieces that are one in memory, as shadow RAM is."""
        _, end, region = self._pieces[number]
        place = region.start - region.first
        for first, last, other in self._pieces[number + 1 :]:
            together = first == end + 1 and other.memory is region.memory and other.start - other.first == place
            if not together or (writable and other.kind != RAM):
                return None
            end = last
            if address + size - 1 <= last:
                assert region.memory is not None
                return memoryview(region.memory)[place + address : place + address + size]
        return None

    def written(self, address: int, size: int) -> None:
        """RAM has been changed through `window`."""
        if not self._is_dirty(address, size):
            self._mark_written(address, size)

    def _is_dirty(self, address: int, size: int) -> bool:
        """Whether there is nothing to do: what is in one page mostly is dirty and has no code."""
        number = bisect_right(self._firsts, address) - 1
        if number < 0:
            return False
        _, last, region = self._pieces[number]
        place = address - region.first
        if region.kind != RAM or address + size - 1 > last or place % PAGE_SIZE + size > PAGE_SIZE:
            return False
        return bool(region.flag_view[place // PAGE_SIZE] == DIRTY)

    def _mark_written(self, address: int, size: int) -> None:
        for low, high, region in self._touched(address, size):
            if region.kind != RAM:
                continue
            pages = region.flag_view[(low - region.first) // PAGE_SIZE : (high - 1 - region.first) // PAGE_SIZE + 1]
            flags = bytes(pages)
            if flags.count(DIRTY) == len(flags):
                continue  # all are dirty already, and none has code
            pages[:] = flags.translate(DIRTIED)
            if flags.translate(None, NO_CODE):
                for listener in self.code_listeners:
                    listener(low, high - low)

    def _touched(self, address: int, size: int) -> Iterator[tuple[int, int, Region]]:
        """The pieces of a range, as (first, behind the last, region)."""
        number = max(bisect_right(self._firsts, address) - 1, 0)
        for first, last, region in islice(self._pieces, number, None):
            if first >= address + size:
                break
            low, high = max(first, address), min(last + 1, address + size)
            if low < high:
                yield low, high, region


def _exchanged(before: list[Piece], after: list[Piece]) -> Iterator[tuple[int, int]]:
    """Where memory has gone that may have been translated: place and size."""
    for first, last, region in before:
        if region.memory is None:
            continue
        same = [(max(first, low), min(last, high)) for low, high, other in after if other is region]
        place = first
        for low, high in (piece for piece in same if piece[0] <= piece[1]):
            if place < low:
                yield place, low - place
            place = high + 1
        if place <= last:
            yield place, last + 1 - place


def new_ram(size: int, name: str = "ram", *, first: int = 0, priority: int = 0) -> Region:
    """Zeroed memory that is in no space yet: `AddressSpace.move` shows it."""
    _check_pages(first, size)
    flags = (ctypes.c_uint8 * (size // PAGE_SIZE))()
    try:
        memory = mmap.mmap(-1, size)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {size >> 20} MiB for the guest") from error
    return Region(first, size, RAM, priority, name, memory=memory, flags=flags)


def part_of(of: Region, start: int, size: int, *, first: int = 0, writable: bool = True, priority: int = 1) -> Region:
    """A piece of RAM once more, in no space yet."""
    _check_pages(start, size)
    pages = ctypes.c_uint8 * (size // PAGE_SIZE)
    flags = pages.from_buffer(of.flags, start // PAGE_SIZE) if writable else None
    kind = RAM if writable else ROM
    return Region(first, size, kind, priority, of.name, memory=of.memory, start=of.start + start, flags=flags)


def _check_pages(first: int, size: int) -> None:
    if first % PAGE_SIZE or size % PAGE_SIZE or size < 1:
        raise ValueError(f"RAM and ROM come in whole pages, not {size:#x} bytes at {first:#x}")


def _range(first: int, last: int, region: Region) -> Any:
    entry = Range(first=first, last=last, kind=region.kind, device=region.device, offset=first - region.first)
    if region.memory is not None:
        entry.host = region.host + (first - region.first)
    if region.flags is not None:
        entry.flags = ctypes.addressof(region.flags) + (first - region.first) // PAGE_SIZE
    for name in ("read", "write"):
        function = getattr(region, name)
        if function is not None:
            address = function if isinstance(function, int) else ctypes.cast(function, ctypes.c_void_p).value
            setattr(entry, name, address)
    return entry
