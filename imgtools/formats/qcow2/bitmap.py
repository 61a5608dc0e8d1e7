"""A persistent dirty bitmap: which parts of a disk were written since it was cleared. On disk and in memory.

Specification: qcow2, "Bitmaps extension", "Bitmap directory", "Bitmap table". The directory has entries of variable
length, aligned to 8 bytes. Bits are kept in clusters, least significant bit first; a table entry says where a cluster
lies, or that all its bits are 0, or 1. In memory a bitmap has the same parts, and no place for those that are all 0.
"""

from __future__ import annotations

from imgtools.align import div_up, round_up
from imgtools.errors import BadOption, CorruptImage
from imgtools.formats.qcow2.mapping import OFFSET_MASK, to_native
from imgtools.formats.qcow2.records import BITMAP_ENTRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.node import Storage

MAX_DIRECTORY_BYTES = 64 << 20
MAX_BITMAPS = 65535
MAX_NAME = 1023
MAX_BITS_BYTES = 512 << 20
"""QEMU's limits on the directory, the number of bitmaps, the bytes of a name and those of all bits of a bitmap."""
MIN_GRANULARITY_BITS, MAX_GRANULARITY_BITS = 9, 31

IN_USE, AUTO = 1, 2
ALL_ONES = 1
"""The table entry of a cluster whose bits are all set."""
TRACKING = 1
"""The one type of bitmap."""


def directory_entries(directory: bytes, count: int) -> Iterator[tuple[Any, bytes]]:
    """(entry, name) of up to `count` bitmaps; ends early where the directory is cut short."""
    offset = 0
    for _ in range(count):
        if offset + BITMAP_ENTRY.size > len(directory):
            return
        entry = BITMAP_ENTRY.parse(directory, offset)
        start = offset + BITMAP_ENTRY.size + entry.extra_data_size
        yield entry, directory[start : start + entry.name_size]
        offset = round_up(start + entry.name_size, 8)


def build_entry(bitmap: Bitmap, *, in_use: bool) -> bytes:
    """A bitmap's entry in the directory."""
    name = bitmap.name.encode(errors="surrogateescape")
    entry = BITMAP_ENTRY.build(
        table_offset=bitmap.table_offset,
        table_size=bitmap.table_size,
        flags=(IN_USE if in_use else 0) | (AUTO if bitmap.enabled else 0),
        type=TRACKING,
        granularity_bits=bitmap.granularity_bits,
        name_size=len(name),
    )
    return (entry + name).ljust(round_up(len(entry + name), 8), b"\0")


class Bitmap:
    """One bitmap of a disk of `size` bytes. Changed through the node, which keeps the image in step."""

    def __init__(self, name: str, size: int, granularity_bits: int, part_size: int) -> None:
        self.name = name
        self.size = size
        self.granularity_bits = granularity_bits
        self.enabled = True
        """Whether writes are recorded."""
        self.inconsistent = False
        """A writer died with the bitmap in use: what it says is of no worth, and it can only be removed."""
        self.changed = True
        """Whether the bits differ from those on disk."""
        self.table_offset = 0
        self.table_size = 0
        """Where the bits on disk lie; the table's size is in entries."""
        self.storage: Storage | None = None
        self.part_size = part_size
        self._ones = b"\xff" * part_size
        self._held: dict[int, bytes | bytearray] | None = {}

    @property
    def granularity(self) -> int:
        """Bytes of the disk that one bit stands for."""
        return 1 << self.granularity_bits

    @property
    def bits(self) -> int:
        return div_up(self.size, self.granularity)

    @property
    def count(self) -> int:
        """Bytes of the disk that are marked."""
        return sum(length for _, length in self.dirty_ranges())

    # The bits.

    @property
    def parts(self) -> dict[int, bytes | bytearray]:
        """Index to the bits of each cluster that has any set; read when first asked for."""
        if self._held is None:
            self._held = self._load()
        return self._held

    def load_from(self, storage: Storage, entry: Any) -> None:
        """Take the bits from where a directory entry says that they are, once they are needed."""
        self.storage, self.table_offset, self.table_size = storage, entry.table_offset, entry.table_size
        self.changed = False
        self._held = None

    def _load(self) -> dict[int, bytes | bytearray]:
        assert self.storage is not None
        self.refuse_inconsistent()
        parts: dict[int, bytes | bytearray] = {}
        for index, entry in enumerate(self.table()):
            offset = entry & OFFSET_MASK
            if entry & ~(OFFSET_MASK | ALL_ONES) or offset % self.part_size or (offset and entry & ALL_ONES):
                raise CorruptImage(
                    f"Bitmap '{self.name}' has a damaged table", path=self.storage.filename, structure="bitmap table"
                )
            if entry == ALL_ONES:
                parts[index] = self._ones
            elif offset:
                parts[index] = self.storage.read_whole(offset, self.part_size)
        return parts

    def table(self) -> Any:
        """The table as it stands on disk."""
        assert self.storage is not None
        data = self.storage.read(self.table_offset, self.table_size * 8)
        return to_native(data[: len(data) & -8])

    def refuse_inconsistent(self) -> None:
        if self.inconsistent:
            raise CorruptImage(
                f"Bitmap '{self.name}' is inconsistent and cannot be used",
                structure="bitmap directory",
                hint="Try block-dirty-bitmap-remove to delete this bitmap from disk",
            )

    def is_dirty(self, offset: int) -> bool:
        """Whether the byte at `offset` is marked."""
        index, bit = divmod(offset >> self.granularity_bits, 8 * self.part_size)
        part = self.parts.get(index)
        return part is not None and bool(part[bit >> 3] >> (bit & 7) & 1)

    def dirty_ranges(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[int, int]]:
        """(start, length) in bytes of the runs that are marked, cut to the range."""
        end = self.size if length is None else offset + length
        start, stop = 0, 0
        for first, last in self._runs(offset >> self.granularity_bits, div_up(end, self.granularity)):
            run_start, run_stop = max(offset, first << self.granularity_bits), min(end, last << self.granularity_bits)
            if run_start != stop:
                if stop > start:
                    yield start, stop - start
                start = run_start
            stop = run_stop
        if stop > start:
            yield start, stop - start

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """(first bit, bit after the last) of the runs of set bits, part by part."""
        import re

        per_part = 8 * self.part_size
        for index in sorted(self.parts):
            base, part = index * per_part, self.parts[index]
            if base + per_part <= first or base >= last:
                continue
            if part == self._ones:
                yield max(first, base), min(last, base + per_part)
                continue
            low, high = max(first - base, 0) >> 3, (min(last - base, per_part) + 7) >> 3
            text = format(int.from_bytes(part[low:high], "little"), f"0{8 * (high - low)}b")[::-1]
            base += 8 * low
            for run in re.finditer("1+", text):
                start, stop = max(first, base + run.start()), min(last, base + run.end())
                if start < stop:
                    yield start, stop

    def mark(self, offset: int, length: int) -> None:
        """The bytes of the range have changed."""
        if length:
            self._fill(offset >> self.granularity_bits, ((offset + length - 1) >> self.granularity_bits) + 1)

    def _fill(self, first: int, end: int) -> None:
        self.changed = True
        per_part = 8 * self.part_size
        while first < end:
            index, start = divmod(first, per_part)
            stop = min(per_part, start + end - first)
            self._fill_part(index, start, stop)
            first += stop - start

    def _fill_part(self, index: int, start: int, stop: int) -> None:
        part = self.parts.get(index)
        if part is self._ones:
            return
        if stop - start == 8 * self.part_size:
            self.parts[index] = self._ones
            return
        if not isinstance(part, bytearray):
            part = self.parts[index] = bytearray(part or self.part_size)
        low, high = start >> 3, (stop - 1) >> 3
        head, tail = 0xFF << (start & 7) & 0xFF, 0xFF >> (7 - ((stop - 1) & 7))
        if low == high:
            part[low] |= head & tail
            return
        part[low] |= head
        part[high] |= tail
        part[low + 1 : high] = b"\xff" * (high - low - 1)

    def clear(self) -> None:
        """Nothing has changed from now on."""
        self.refuse_inconsistent()
        self._held = {}
        self.changed = True

    def merge(self, other: Bitmap) -> None:
        """Mark all that is marked in `other`, which may have another granularity."""
        self.refuse_inconsistent()
        other.refuse_inconsistent()
        if other.size != self.size:
            raise BadOption(
                f"Bitmaps are of different sizes (destination size is {self.size}, source size is {other.size}) "
                "and can't be merged"
            )
        for start, length in list(other.dirty_ranges()):
            self.mark(start, length)

    def resize(self, size: int) -> None:
        """The disk has another size: bits past its end are lost, new ones are 0."""
        ranges = list(self.dirty_ranges(0, min(size, self.size)))
        self.size = size
        self.clear()
        for start, length in ranges:
            self.mark(start, length)

    def __repr__(self) -> str:
        return f"<Bitmap {self.name!r} granularity {self.granularity}>"
