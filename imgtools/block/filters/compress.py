"""compress: what is written becomes compressed clusters, where the format below has such.

    driver=compress,file.driver=qcow2,file.file.filename=disk.qcow2

A cluster is compressed when it is written for the first time, together with what the disk has around the
written bytes. One that is there already, or would not shrink, is written as it is.
"""

from __future__ import annotations

from _thread import RLock

from imgtools.align import round_down
from imgtools.block.driver import Driver
from imgtools.block.extent import HOLE
from imgtools.block.format import Compressing
from imgtools.block.node import Filter
from imgtools.errors import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node


class Compress(Filter):
    """`child`, a node that is `Compressing`."""

    driver = "compress"

    def __init__(self, child: Node) -> None:
        assert isinstance(child, Compressing)
        super().__init__(child)
        self.target: Compressing = child
        self.lock = RLock()
        """Held from the look whether a cluster is there until it is; the compressor takes one caller at a time, too."""
        self._compress = child.compressor()

    def write(self, offset: int, data: Buffer) -> None:
        self.check_range(offset, len(data))
        unit, view = self.target.compression_unit, memoryview(data).cast("B")
        position, end = offset, offset + len(view)
        while position < end:
            start = round_down(position, unit)
            stop = min(end, start + unit)
            self._write_unit(start, position, view[position - offset : stop - offset])
            position = stop

    def _write_unit(self, start: int, position: int, piece: memoryview) -> None:
        length = min(self.target.compression_unit, self.size - start)
        with self.lock:
            is_new = all(extent.kind == HOLE or extent.depth for extent in self.child.extents(start, length))
            if is_new:
                whole = bytearray(self.child.read(start, length))
                whole[position - start : position - start + len(piece)] = piece
                stream = self._compress(whole)
                if stream is not None:
                    self.target.write_compressed(start, length, stream)
                    return
            self.child.write(position, piece)


class CompressDriver(Driver):
    name = "compress"

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        child = children["file"]
        if not isinstance(child, Compressing):
            raise BadOption(f"Compression is not supported for underlying format: {child.driver}")
        return Compress(child)


DRIVERS = (CompressDriver(),)
