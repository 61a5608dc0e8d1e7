"""What the tables of several disks share: counting up and down all that one L1 table refers to.

Specification: qcow2, "Snapshots" and "Cluster mapping". A cluster's reference count is the number of ways that lead
to it from an L1 table: an L2 table that two L1 tables refer to gives each of its clusters two references. The COPIED
flags of the active tables say which clusters have just one.

Everything is done for whole tables: what they refer to is gathered in `References` as a check gathers it, and then
added to or taken from whole refcount blocks (see `lanes`).

Order on disk. A flag must never promise a cluster to one table while two refer to it; that counts are too high, and
flags are as the true count asks, is a leak and no more:

    sharing       counts up, flags cleared, the new reference
    letting go    the reference gone, flags set, counts down
"""

from __future__ import annotations

import re
from array import array

from imgtools.block.extent import DATA
from imgtools.errors import CorruptImage, ImageError
from imgtools.formats.qcow2 import lanes
from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, ENTRIES_WITHOUT_NUMPY, OFFSET_MASK, to_native
from imgtools.formats.qcow2.references import References, TableCounter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgtools.formats.qcow2.refcount import Refcounts
    from imgtools.formats.qcow2.write import Writer

ENTRY = 8
SET_COPIED, CLEAR_COPIED = bytes(b | 0x80 for b in range(256)), bytes(b & 0x7F for b in range(256))
FLAG_OF_ONE = bytes([0, 0x80]) + bytes(254)
"""From "the count is 1" to the first byte of a data entry, of which only the flag is in use."""


def references_of(writer: Writer, l1: Iterable[int]) -> References:
    """All references that an L1 table makes: to its L2 tables, and through them to data. Raises CorruptImage."""
    storage, mapping = writer.storage, writer.mapping

    def refuse(message: str, structure: str, offset: int) -> None:
        raise CorruptImage(
            message,
            path=storage.filename,
            offset=offset,
            structure=structure,
            hint="imgtools check tells what else is damaged.",
        )

    references = References(storage.size, mapping.cluster_bits, refuse, storage.filename)
    counter = TableCounter(mapping, references)
    for index, entry in enumerate(l1):
        offset = entry & OFFSET_MASK
        if not offset:
            continue
        if offset & (mapping.cluster_size - 1):
            refuse(f"L2 table offset {offset:#x} unaligned (L1 index: {index:#x})", "L1 table", offset)
        references.add(offset >> mapping.cluster_bits, 1)
        counter.count(index, mapping.read(offset), None)
    return references


def shift(refcounts: Refcounts, references: References, sign: int) -> None:
    """Add all of `references` to the counts, or take them away where `sign` is -1.

    Where one count would leave its range, none is changed and CorruptImage raised.
    """
    per_block = refcounts.per_block
    nothing = bytes(per_block)
    done = []
    try:
        for index in range(-(-references.clusters // per_block)):
            if references.small(index * per_block, per_block) != nothing:
                _shift_block(refcounts, index, references, sign)
                done.append(index)
    except ImageError:
        for index in done:
            _shift_block(refcounts, index, references, -sign)
        raise


def _shift_block(refcounts: Refcounts, index: int, references: References, sign: int) -> None:
    counts, first, maximum = refcounts.block_for_change(index), index * refcounts.per_block, refcounts.codec.maximum
    small = references.small(first, refcounts.per_block)
    changed = None if 255 in small else lanes.add(counts, small, sign, maximum)
    if changed is None:
        exact = references.exact(first, refcounts.per_block)
        values = [count + sign * change for count, change in zip(counts, exact, strict=True)]
        wrong = next((position for position, value in enumerate(values) if not 0 <= value <= maximum), None)
        if wrong is not None:
            refcounts.refuse_range(first + wrong)
        changed = array(counts.typecode, values)
    refcounts.blocks[index] = changed
    refcounts.dirty.add(index)
    if sign < 0:
        refcounts.free_index = min(refcounts.free_index, first)


def freed_runs(writer: Writer, references: References) -> Iterable[tuple[int, int]]:
    """(first, count) of the runs of clusters in `references` whose count is 0 now."""
    per_block = writer.refcounts.per_block
    nothing = bytes(per_block)
    for start in range(0, references.clusters, per_block):
        small = references.small(start, per_block)
        if small == nothing:
            continue
        free = writer.refcounts.mask(start // per_block, 0)
        if 1 in free:
            was_used = small.translate(b"\0" + b"\1" * 255)
            both = int.from_bytes(free, "big") & int.from_bytes(was_used, "big")
            for run in re.finditer(b"\1+", both.to_bytes(per_block, "big")):
                yield start + run.start(), run.end() - run.start()


def clear_copied(writer: Writer, l1: array[int]) -> None:
    """Write the L2 tables of an L1 table with no COPIED flag in them."""
    stride = writer.size // writer.mapping.entries
    for entry in l1:
        offset = entry & OFFSET_MASK
        if not offset:
            continue
        raw = writer.storage.read(offset, writer.size)
        top = raw[::stride]
        if not top.isascii():
            changed = bytearray(raw)
            changed[::stride] = top.translate(CLEAR_COPIED)
            writer.storage.write(offset, changed)


class CopiedFlags:
    """Brings the COPIED flags of the active tables in line with the counts as they are in memory."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.mapping = writer.mapping
        self.stride = writer.size // writer.mapping.entries
        """Bytes of an L2 entry; its first eight are what is looked at here."""
        refcounts = writer.refcounts
        blocks = range(-(-writer.storage.size // (refcounts.per_block << writer.bits)))
        self.ones = b"".join(refcounts.mask(index, 1) for index in blocks)
        """A byte for each cluster: 1 where its count is 1."""
        self._budget = ENTRIES_WITHOUT_NUMPY

    def write(self) -> None:
        """Write the tables whose flags change, and the L1 table where its own do."""
        mapping, writer = self.mapping, self.writer
        for index, entry in enumerate(mapping.l1):
            offset = entry & OFFSET_MASK
            if not offset:
                continue
            raw = writer.storage.read(offset, writer.size)
            flagged = bytearray(raw.ljust(writer.size, b"\0"))
            flagged[:: self.stride] = self._first_bytes(flagged)
            if flagged != raw:
                writer.storage.write(offset, flagged)
            wanted = offset | (COPIED if self._is_one(offset >> writer.bits) else 0)
            if wanted != entry:
                mapping.l1[index] = wanted
                mapping.l1_dirty = True
        mapping.tables.clear()
        if mapping.l1_dirty:
            mapping.write_l1(writer.header.l1_table_offset)

    def _is_one(self, cluster: int) -> bool:
        return cluster < len(self.ones) and self.ones[cluster] == 1

    def _first_bytes(self, raw: bytearray) -> bytes | bytearray:
        """The first byte, which has the flag in it, of each entry of an L2 table as it should be."""
        mapping, top = self.mapping, raw[:: self.stride]
        if raw.count(0) == len(raw):
            return top
        if self.stride == ENTRY:
            as_copied = raw[:]
            as_copied[::ENTRY] = top.translate(SET_COPIED)
            whole = mapping.whole_table(to_native(bytes(as_copied)))
            if whole is not None and whole[0] == DATA:
                first = whole[1] >> mapping.cluster_bits
                return self.ones[first : first + mapping.entries].ljust(mapping.entries, b"\0").translate(FLAG_OF_ONE)
        entries = to_native(bytes(raw))[:: self.stride // ENTRY]
        self._budget -= len(entries)
        return self._flag_with_numpy(entries) if self._budget < 0 else self._flag_each(entries, top)

    def _flag_each(self, entries: array[int], top: bytearray) -> bytearray:
        for position, entry in enumerate(entries):
            if not entry & COMPRESSED and entry & OFFSET_MASK:
                one = self._is_one((entry & OFFSET_MASK) >> self.writer.bits)
                top[position] = top[position] | 0x80 if one else top[position] & 0x7F
        return top

    def _flag_with_numpy(self, entries: array[int]) -> bytes:
        import numpy as np

        table = np.frombuffer(entries, dtype=np.uint64)
        ones = np.frombuffer(self.ones, dtype=np.uint8)
        hosts = table & np.uint64(OFFSET_MASK)
        clusters = hosts >> np.uint64(self.writer.bits)
        inside = clusters < np.uint64(len(ones))
        one = inside & (ones[np.where(inside, clusters, np.uint64(0)).astype(np.int64)] == 1)
        data = ((table & np.uint64(COMPRESSED)) == 0) & (hosts != 0)
        top = (table >> np.uint64(56)).astype(np.uint8)
        flagged = (top & np.uint8(0x7F)) | np.where(one, np.uint8(0x80), np.uint8(0))
        return bytes(np.where(data, flagged, top).tobytes())
