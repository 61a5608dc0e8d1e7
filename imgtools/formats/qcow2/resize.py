"""Growing and shrinking the disk of an image, and giving it its clusters ahead of time.

The new L1 table is complete on disk before the header names it, and the header's fields change in one write.
"""

from __future__ import annotations

from array import array

from imgtools.align import div_up, round_up
from imgtools.errors import BadOption, OutOfBounds, UnsupportedFeature
from imgtools.formats.qcow2.header import MAX_L1_BYTES
from imgtools.formats.qcow2.mapping import OFFSET_MASK, to_disk
from imgtools.formats.qcow2.records import HEADER_V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.formats.qcow2.node import Qcow2Node
    from imgtools.formats.qcow2.write import Writer

SECTOR = 512


def resize(node: Qcow2Node, size: int, preallocation: str) -> None:
    """Bring the disk to `size` bytes, a multiple of 512. See `Resizable`."""
    writer, old = node.writer, node.size
    if size % SECTOR:
        raise BadOption("The new size must be a multiple of 512", path=node.filename)
    if node.snapshots and node.header.version < 3:
        raise UnsupportedFeature("Can't resize a v2 image which has snapshots", path=node.filename)
    with node.lock:
        if node.has_bitmaps:
            node.bitmaps.resize(size)
        if size < old:
            if preallocation != "off":
                raise BadOption("Preallocation can't be used for shrinking files", path=node.filename)
            _shrink(node, writer, size)
        elif size > old:
            if node.raw_data_file and preallocation == "off":
                preallocation = "metadata"  # so that its holes are data of the disk
            _drop_vm_state(node, writer)
            grow_l1(node, writer, size)
            node.size = size
            if node.mapping.external and node.data.size < size:
                writer.data.truncate(size)
            _hide_old_bytes(node, writer, old, size)
        if preallocation != "off":
            _preallocate(node, writer, old, size, preallocation)
        _write_size(node, writer, size)
        if node.mapping.external and size < old:
            writer.data.truncate(size)


def _write_size(node: Qcow2Node, writer: Writer, size: int) -> None:
    writer.write_back()
    node.size = node.header.size = size
    writer.storage.write(HEADER_V2.offset_of("size"), size.to_bytes(8, "big"))


def _drop_vm_state(node: Qcow2Node, writer: Writer) -> None:
    """Give back what an applied snapshot has brought behind the disk, before it becomes a part of it."""
    end = len(node.mapping.l1) << node.mapping.span_bits
    if node.vm_state_offset < end:
        writer.mark(node.vm_state_offset, end, keep_space=False, zero=False)


def grow_l1(node: Qcow2Node, writer: Writer, size: int) -> None:
    """Make the L1 table long enough for `size` bytes."""
    mapping, header = node.mapping, node.header
    entries = div_up(size, 1 << mapping.span_bits)
    if entries * 8 > MAX_L1_BYTES:
        raise OutOfBounds("Could not resize image: Image size too big for the L1 table", path=node.filename)
    if entries <= len(mapping.l1):
        return
    old_offset, old_size = header.l1_table_offset, len(mapping.l1) * 8
    clusters = div_up(entries * 8, header.cluster_size)
    first = writer.refcounts.allocate(clusters)
    table = mapping.l1[:]
    table.extend(array("Q", bytes(8 * (entries - len(table)))))
    writer.write_back()
    offset = first << header.cluster_bits
    writer.storage.event("l1_grow_write_table")
    writer.storage.write(offset, to_disk(table))
    writer.storage.flush()
    mapping.l1 = table
    header.l1_table_offset, header.l1_size = offset, entries
    # l1_size and l1_table_offset stand side by side: one write switches both.
    writer.storage.event("l1_grow_activate_table")
    writer.storage.write(HEADER_V2.offset_of("l1_size"), entries.to_bytes(4, "big") + offset.to_bytes(8, "big"))
    writer.metadata.add(first, clusters, "active L1 table")
    if old_size:
        old_clusters = div_up(old_size, header.cluster_size)
        writer.metadata.remove(old_offset >> header.cluster_bits, old_clusters)
        writer.refcounts.free_later(old_offset >> header.cluster_bits, old_clusters)


def _hide_old_bytes(node: Qcow2Node, writer: Writer, old: int, size: int) -> None:
    """New bytes read as zeroes: neither what a shrunk disk left in its last cluster, nor a longer backing file."""
    shown = min(size, round_up(old, node.header.cluster_size))
    if node.backing is not None:
        shown = max(shown, min(size, node.backing.size))
    if shown > old:
        writer.zero(old, shown - old, unmap=True)


def _preallocate(node: Qcow2Node, writer: Writer, old: int, size: int, mode: str) -> None:
    """Give every cluster of [old, size) its place; then reserve ("falloc") or write ("full") the file's space."""
    if mode == "metadata" or node.mapping.external:
        end = 0
        for table, index, first, count in _unallocated(node, writer, old, size):
            guest = (index << node.mapping.span_bits) + (first << writer.bits)
            host = writer.place.allocate(guest, count)
            writer.reserve(table, index, first, count, host)
            end = host + min(count << writer.bits, round_up(size - guest, writer.unit))
        if mode == "falloc" and size > old:
            writer.data.allocate(old, size - old)
        elif mode == "full":
            writer.data.zero(old, size - old, unmap=False)
        elif writer.data.size < end and not node.mapping.external:
            writer.data.truncate(end)
        return
    # One run for all data behind a new refcount table, as QEMU lays such images out.
    count = sum(run[3] for run in _unallocated(node, writer, old, size, make_tables=False))
    tables = div_up(count, node.mapping.entries) + 1
    start = end_of_file(writer)
    writer.refcounts.free_index = 0
    host = writer.refcounts.move_table(start, count + tables) << writer.bits
    writer.refcounts.add(host >> writer.bits, count, 1)
    writer.write_back()
    end = host + (count << writer.bits)
    if mode == "falloc" and end > writer.storage.size:
        writer.storage.allocate(writer.storage.size, end - writer.storage.size)
    elif mode == "full":
        writer.storage.zero(host, end - host, unmap=False)
    for table, index, first, number in _unallocated(node, writer, old, size):
        writer.reserve(table, index, first, number, host)
        host += number << writer.bits


def _unallocated(
    node: Qcow2Node, writer: Writer, old: int, size: int, *, make_tables: bool = True
) -> Iterator[tuple[array[int], int, int, int]]:
    """(table, L1 index, first entry, count) of the runs of clusters in [old, size) that have no place yet."""
    mapping, bits = node.mapping, node.header.cluster_bits
    position = old - old % node.header.cluster_size
    while position < size:
        index = position >> mapping.span_bits
        stop = min(size, (index + 1) << mapping.span_bits)
        table = writer.writable_table(index) if make_tables else mapping.table(index)
        if table is None:
            table = mapping.copy(None)
        first = (position >> bits) & (mapping.entries - 1)
        last = first + div_up(stop - position, node.header.cluster_size)
        while first < last:
            count = 1
            if not table[first] & mapping.place_mask:
                while first + count < last and not table[first + count] & mapping.place_mask:
                    count += 1
                yield table, index, first, count
            first += count
        position = stop


def end_of_file(writer: Writer) -> int:
    """The first cluster behind all that are in use."""
    last = (writer.storage.size - 1) >> writer.bits
    while last > 0 and not writer.refcounts.get(last):
        last -= 1
    return last + 1


def make_empty(node: Qcow2Node) -> None:
    """Give back all that the disk holds: the L1 table goes first, and the counts only when it is gone."""
    with node.lock:
        _shrink(node, node.writer, 0)
        node.flush()


def _shrink(node: Qcow2Node, writer: Writer, size: int) -> None:
    """Cut the disk, giving back its clusters and L2 tables, and the file's end where that has become free."""
    mapping, bits = node.mapping, node.header.cluster_bits
    first_cut = round_up(size, node.header.cluster_size)
    _drop_vm_state(node, writer)
    if first_cut < node.size:
        writer.mark(first_cut, node.size, keep_space=False, zero=False)
    for index in range(div_up(size, 1 << mapping.span_bits), len(mapping.l1)):
        entry = mapping.l1[index]
        if entry & OFFSET_MASK:
            mapping.l1[index] = 0
            mapping.l1_dirty = True
            mapping.tables.pop(index, None)
            mapping.dirty.discard(index)
            cluster = (entry & OFFSET_MASK) >> bits
            writer.metadata.remove(cluster, 1)
            writer.refcounts.free_later(cluster, 1)
    writer.write_back()
    writer.storage.truncate(min(writer.storage.size, end_of_file(writer) << bits))
