"""copy-on-read: what is read from the backing chain is kept in the image, so that the next read need not go there.

    driver=copy-on-read,file.driver=qcow2,file.file.filename=overlay.qcow2

The image must be open for writing.
"""

from __future__ import annotations

from _thread import RLock

from imgtools.align import round_down, round_up
from imgtools.block.driver import Driver
from imgtools.block.extent import READS_ZERO
from imgtools.block.node import Filter
from imgtools.errors import ReadOnly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node

CLUSTER = 1 << 16
"""What is copied at a time where the node has no clusters of its own."""


class CopyOnRead(Filter):
    """`child`, which is written to when it is read."""

    driver = "copy-on-read"

    def __init__(self, child: Node) -> None:
        super().__init__(child)
        self.lock = RLock()
        """Held by writes and by copies: a copy must not put old bytes over new ones."""
        self.unit = self.cluster_size or CLUSTER

    def readinto(self, offset: int, buffer: memoryview) -> None:
        if buffer:
            self.check_range(offset, len(buffer))
            end = min(self.size, round_up(offset + len(buffer), self.unit))
            self._copy_up(round_down(offset, self.unit), end)
        self.child.readinto(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        with self.lock:
            self.child.write(offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        with self.lock:
            self.child.zero(offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        with self.lock:
            self.child.discard(offset, length)

    def _copy_up(self, start: int, end: int) -> None:
        """Store in the node itself what of the range lies below it."""
        with self.lock:
            deeper = [extent for extent in self.child.extents(start, end - start) if extent.depth]
            for extent in deeper:
                self.event("cor_write")
                if extent.kind in READS_ZERO:
                    self.child.zero(extent.start, extent.length)
                else:
                    self._copy(extent.start, extent.length)

    def _copy(self, start: int, length: int) -> None:
        for position in range(start, start + length, 1 << 20):
            count = min(1 << 20, start + length - position)
            self.child.write(position, self.child.read(position, count))


class CopyOnReadDriver(Driver):
    name = "copy-on-read"

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        if not context.writable:
            raise ReadOnly("Block node is read-only", hint="What is read is to be written to the image.")
        return CopyOnRead(children["file"])


DRIVERS = (CopyOnReadDriver(),)
