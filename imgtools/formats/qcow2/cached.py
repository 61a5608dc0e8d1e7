"""Many small reads of a qcow2 image: what lies in one cluster of plain data is found without looking any further."""

from __future__ import annotations

from imgtools.formats.qcow2.mapping import COPIED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.cached import CachedReader
    from imgtools.formats.qcow2.node import Qcow2Node


def cached_reader(node: Qcow2Node) -> CachedReader:
    """The two functions of `block/cached.py`: those of the file with the data, at other places."""
    read_data, lend_data = node.data.cached_reader()
    tables, span_bits = node.mapping.tables, node.mapping.span_bits
    cluster_bits, index_mask = node.header.cluster_bits, node.mapping.entries - 1
    low, not_offset = node.header.cluster_size - 1, node.not_offset

    def place(offset: int, length: int) -> int | None:
        within = offset & low
        if within + length <= low + 1 and (table := tables.get(offset >> span_bits)) is not None:
            host = table[(offset >> cluster_bits) & index_mask] ^ COPIED
            if host and not host & not_offset:
                return host + within
        return None

    def read(offset: int, buffer: memoryview) -> bool:
        host = place(offset, len(buffer))
        if host is not None:
            return read_data(host, buffer)
        node.readinto(offset, buffer)
        return True

    def lend(offset: int, length: int) -> memoryview | None:
        return None if (host := place(offset, length)) is None else lend_data(host, length)

    return read, lend
