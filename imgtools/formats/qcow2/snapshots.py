"""Making, applying and deleting internal snapshots.

Specification: qcow2, "Snapshots". A snapshot is a copy of the L1 table; what the table refers to is shared from then
on and copied when it is written (see `sharing` for how the counts and flags follow, and in which order).

Each action is over with one write: of the header fields that name the snapshot table, or the active L1 table. A crash
before it leaves the image as it was, a crash after it as it is to be, with leaked clusters at worst.

The active L1 table changes in place only where that write is one sector of the disk; a longer one is laid out anew.
"""

from __future__ import annotations

import time
from array import array
from errno import EFBIG, ENOENT, ENOTSUP

from imgtools.align import div_up
from imgtools.errors import BadOption, CorruptImage, ImageError, NotFound, OutOfBounds, UnsupportedFeature
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.mapping import COPIED, OFFSET_MASK, to_disk, to_native
from imgtools.formats.qcow2.records import HEADER_V2, SNAPSHOT_EXTRA
from imgtools.formats.qcow2.sharing import CopiedFlags, clear_copied, freed_runs, references_of, shift
from imgtools.formats.qcow2.snapshot import MAX_NAME, MAX_TABLE_BYTES, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.formats.qcow2.node import Qcow2Node
    from imgtools.formats.qcow2.references import References
    from imgtools.formats.qcow2.write import Writer

SECTOR = 512
"""Disks write sectors whole."""


def read_l1(node: Qcow2Node, snapshot: Snapshot) -> array[int]:
    """A snapshot's L1 table."""
    data = node.storage.read(snapshot.l1_table_offset, snapshot.l1_size * 8)
    if len(data) < snapshot.l1_size * 8:
        raise CorruptImage(
            f"the L1 table of snapshot '{snapshot.name}' lies past the end of the file",
            path=node.filename,
            offset=snapshot.l1_table_offset,
            structure="snapshot table",
        )
    return to_native(data)


def _disk_size(node: Qcow2Node, snapshot: Snapshot) -> int:
    """The size of the disk in a snapshot, which an L1 table must be able to cover."""
    size = node.size if snapshot.disk_size is None else snapshot.disk_size
    if div_up(size, 1 << node.mapping.span_bits) * 8 > head.MAX_L1_BYTES:
        raise OutOfBounds(
            f"the disk of snapshot '{snapshot.name}' is too large ({size} bytes)",
            path=node.filename,
            structure="snapshot table",
            errno=EFBIG,
        )
    return size


def load(node: Qcow2Node, snapshot: Snapshot) -> None:
    """Let a node that is only read show the disk as `snapshot` has it."""
    if not node.read_only:
        raise BadOption("a snapshot can only be read from an image that is open read-only", path=node.filename)
    size, l1 = _disk_size(node, snapshot), read_l1(node, snapshot)
    _forget_tables(node, l1)
    node.size = size
    node.loaded_snapshot = snapshot


def create(node: Qcow2Node, name: str, *, vm_state_size: int, vm_clock: int, icount: int, date: int | None) -> Snapshot:
    """Add a snapshot of the disk as it is now. See `Snapshots`."""
    writer, snapshots = node.writer, node.snapshots
    with node.lock:
        _refuse_data_file(node)
        snapshot = _new_snapshot(node, name, vm_state_size, vm_clock, icount, date)
        if len(snapshots) >= head.MAX_SNAPSHOTS:
            raise _too_large(node, f"an image cannot have more than {head.MAX_SNAPSHOTS} snapshots")
        table = _build_table(node, [*snapshots, snapshot])
        writer.write_back()
        l1, references = node.mapping.l1, references_of(writer, node.mapping.l1)
        shift(writer.refcounts, references, 1)
        clusters = div_up(len(l1) * 8, writer.size)
        try:
            # An empty disk has an L1 table without entries; its snapshot's has no place.
            snapshot.l1_table_offset = writer.refcounts.allocate(clusters) << writer.bits if clusters else 0
            table_offset = writer.refcounts.allocate(div_up(len(table), writer.size)) << writer.bits
        except ImageError:
            shift(writer.refcounts, references, -1)
            raise
        table = _build_table(node, [*snapshots, snapshot])
        writer.refcounts.write_back()
        writer.storage.flush()
        writer.storage.write(snapshot.l1_table_offset, to_disk(l1))
        clear_copied(writer, l1)
        _forget_tables(node, array("Q", [entry & ~COPIED for entry in l1]))
        node.mapping.write_l1(node.header.l1_table_offset)
        _switch_table(node, [*snapshots, snapshot], table, table_offset)
        _drop_vm_state(node, writer, vm_state_size)
        writer.write_back()
    return snapshot


def _new_snapshot(
    node: Qcow2Node, name: str, vm_state_size: int, vm_clock: int, icount: int, date: int | None
) -> Snapshot:
    raw_name = name.encode(errors="surrogateescape")
    if len(raw_name) > MAX_NAME:
        raise BadOption(f"the name of a snapshot cannot be longer than {MAX_NAME} bytes", path=node.filename)
    now = time.time_ns() // 1000 * 1000 if date is None else date
    fields = {
        "l1_table_offset": 0,
        "l1_size": len(node.mapping.l1),
        "date_seconds": now // 10**9,
        "date_nanoseconds": now % 10**9,
        "vm_clock_nanoseconds": vm_clock,
        "vm_state_size": vm_state_size,
    }
    extra = SNAPSHOT_EXTRA.build(vm_state_size=vm_state_size, disk_size=node.size) + icount.to_bytes(8, "big")
    highest = max((int(s.id) for s in node.snapshots if s.id.isascii() and s.id.isdecimal()), default=0)
    return Snapshot(fields, str(highest + 1).encode(), raw_name, extra)


def apply(node: Qcow2Node, wanted: str | Snapshot) -> None:
    """Make the disk what it was when the snapshot was taken. See `Snapshots`."""
    writer, header = node.writer, node.header
    with node.lock:
        _refuse_data_file(node)
        snapshot = find(node, wanted)
        if node.has_bitmaps and len(node.bitmaps):
            raise UnsupportedFeature("Device has active dirty bitmaps", path=node.filename)
        size = _disk_size(node, snapshot)
        writer.write_back()
        old = node.mapping.l1
        new = read_l1(node, snapshot)
        new.extend([0] * (max(len(old), div_up(size, 1 << node.mapping.span_bits)) - len(new)))
        added, dropped = _differences(old, new)
        gained = references_of(writer, added)
        lost = references_of(writer, dropped)
        in_place = len(new) == len(old) and len(new) * 8 <= SECTOR and size == node.size
        clusters = 0 if in_place else div_up(len(new) * 8, writer.size)
        shift(writer.refcounts, gained, 1)
        try:
            offset = header.l1_table_offset if in_place else writer.refcounts.allocate(clusters) << writer.bits
        except ImageError:
            shift(writer.refcounts, gained, -1)
            raise
        writer.refcounts.write_back()
        writer.storage.flush()
        clear_copied(writer, added)
        writer.storage.flush()
        _forget_tables(node, array("Q", [entry & ~COPIED for entry in new]))
        node.mapping.write_l1(offset)
        if not in_place:
            _switch_l1(node, offset, size)
        _let_go(node, lost)


def _differences(old: array[int], new: array[int]) -> tuple[array[int], array[int]]:
    """The entries that `new` has at places where `old` has others, and the other way round; 0 elsewhere.

    A table that both have at the same place keeps its references, and needs no counting.
    """
    added, dropped = array("Q", new), array("Q", old)
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        if not (before ^ after) & OFFSET_MASK:
            added[index] = dropped[index] = 0
    return added, dropped


def delete(node: Qcow2Node, wanted: str | Snapshot) -> None:
    """Take a snapshot off the table and give back what only it refers to. See `Snapshots`."""
    writer = node.writer
    with node.lock:
        _refuse_data_file(node)
        snapshot = find(node, wanted)
        rest = [other for other in node.snapshots if other is not snapshot]
        writer.write_back()
        l1 = read_l1(node, snapshot)
        lost = references_of(writer, l1)
        lost.add_bytes(snapshot.l1_table_offset, snapshot.l1_size * 8)
        table = _build_table(node, rest)
        offset = writer.refcounts.allocate(div_up(len(table), writer.size)) << writer.bits if table else 0
        writer.refcounts.write_back()
        _switch_table(node, rest, table, offset)
        _let_go(node, lost)


def find(node: Qcow2Node, wanted: str | Snapshot) -> Snapshot:
    """The snapshot of that ID or else of that name. Raises NotFound."""
    snapshots = node.snapshots
    if isinstance(wanted, Snapshot):
        found = wanted if wanted in snapshots else None
    else:
        found = next((s for s in snapshots if s.id == wanted), None)
        found = found or next((s for s in snapshots if s.name == wanted), None)
    if found is None:
        raise NotFound("snapshot not found", path=node.filename, structure="snapshot table", errno=ENOENT)
    return found


# The steps that the actions share.


def _build_table(node: Qcow2Node, snapshots: list[Snapshot]) -> bytes:
    """The table; as in QEMU's, the last entry is not padded."""
    table = b"".join(snapshot.build() for snapshot in snapshots)
    if snapshots:
        table = table[: len(table) - snapshots[-1].padding]
    if len(table) > MAX_TABLE_BYTES:
        raise _too_large(node, "the snapshot table would become larger than 64 MiB")
    return table


def _switch_table(node: Qcow2Node, snapshots: list[Snapshot], table: bytes, offset: int) -> None:
    """Write a new snapshot table at `offset` and let the header name it; the old one's place is given back later."""
    writer, header = node.writer, node.header
    old_offset, old_length = header.snapshots_offset, sum(snapshot.length for snapshot in node.snapshots)
    writer.storage.write(offset, table) if table else None
    writer.storage.flush()
    header.nb_snapshots, header.snapshots_offset = len(snapshots), offset
    start = HEADER_V2.offset_of("nb_snapshots")
    # The two fields stand side by side: one write switches both.
    writer.storage.write(start, len(snapshots).to_bytes(4, "big") + offset.to_bytes(8, "big"))
    writer.storage.flush()
    node.snapshots = snapshots
    if old_length:
        writer.refcounts.free_later(old_offset >> writer.bits, div_up(old_length, writer.size))
    writer.reload_overlaps()


def _switch_l1(node: Qcow2Node, offset: int, size: int) -> None:
    """Let the header name the active L1 table at `offset`, already written, and the disk's size with it."""
    writer, header = node.writer, node.header
    old_first, old_clusters = header.l1_table_offset >> writer.bits, div_up(header.l1_size * 8, writer.size)
    header.l1_table_offset, header.l1_size = offset, len(node.mapping.l1)
    node.size = header.size = size
    start, end = HEADER_V2.offset_of("size"), HEADER_V2.offset_of("refcount_table_offset")
    writer.storage.flush()
    # From the size to the L1 table's place: one write of a few bytes switches all.
    writer.storage.write(start, header.build()[start:end])
    if old_clusters:
        writer.refcounts.free_later(old_first, old_clusters)


def _let_go(node: Qcow2Node, lost: References) -> None:
    """Lower the counts of what nothing on disk refers to any more: first the flags, then the counts."""
    writer = node.writer
    writer.storage.flush()
    if lost.highest:
        shift(writer.refcounts, lost, -1)
        CopiedFlags(writer).write()
    writer.storage.flush()
    writer.refcounts.write_back()
    if node.pass_discard:
        for first, count in freed_runs(writer, lost):
            writer.storage.discard(first << writer.bits, count << writer.bits)
    writer.refcounts.free_byte = 0
    writer.write_back()
    writer.reload_overlaps()


def _forget_tables(node: Qcow2Node, l1: array[int]) -> None:
    """Take `l1` for the active table; what was read through the old one does not hold any more."""
    node.mapping.l1 = l1
    node.mapping.tables.clear()
    node.forget_decompressed()


def _drop_vm_state(node: Qcow2Node, writer: Writer, size: int) -> None:
    """The snapshot has the machine's state now. In the active table it would only be copied at the next write."""
    if size:
        start = node.vm_state_offset
        writer.mark(start, start + div_up(size, writer.size) * writer.size, keep_space=False, zero=False)


def _refuse_data_file(node: Qcow2Node) -> None:
    if node.header.incompatible & head.DATA_FILE:
        raise UnsupportedFeature(
            "an image with an external data file cannot have internal snapshots", path=node.filename, errno=ENOTSUP
        )


def _too_large(node: Qcow2Node, message: str) -> OutOfBounds:
    return OutOfBounds(message, path=node.filename, structure="snapshot table", errno=EFBIG)
