"""The state of the machine, which a snapshot can keep beside the disk.

Specification: qcow2, "Snapshots", `vm_state_size`. It is mapped like guest data, behind the end of the disk, from where
the next L2 table begins. Nothing of a backing file shows there.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.block.extent import DATA
from imgtools.block.node import fill_zero
from imgtools.errors import BadOption
from imgtools.formats.qcow2.resize import grow_l1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.formats.qcow2.node import Qcow2Node


def read_vmstate(node: Qcow2Node, offset: int, buffer: memoryview) -> None:
    """Fill `buffer` with the state from `offset` on; zeroes where nothing was written."""
    _refuse_negative(node, offset)
    start = node.vm_state_offset + offset
    for run_start, run_end, kind, host in node.mapping.runs(start, start + len(buffer)):
        piece = buffer[run_start - start : run_end - start]
        if kind == DATA:
            node.read_data(host, run_start, piece)
        else:
            fill_zero(piece)


def write_vmstate(node: Qcow2Node, offset: int, data: memoryview) -> None:
    """Store a piece of the state. Clusters are written whole."""
    _refuse_negative(node, offset)
    size = node.header.cluster_size
    first, end = offset - offset % size, round_up(offset + len(data), size)
    with node.lock:
        clusters = bytearray(end - first)
        read_vmstate(node, first, memoryview(clusters))
        clusters[offset - first : offset - first + len(data)] = data
        grow_l1(node, node.writer, node.vm_state_offset + end)
        node.writer.write(node.vm_state_offset + first, memoryview(clusters))


def _refuse_negative(node: Qcow2Node, offset: int) -> None:
    if offset < 0:
        raise BadOption(f"the machine's state has no offset {offset}", path=node.filename)
