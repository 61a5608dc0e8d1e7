"""Where guest clusters go: into the image itself, or into an external data file.

Specification: qcow2, "Header extensions" (external data file name) and incompatible feature bit 2. In an external
data file every guest cluster lies at the guest's own offset; reference counts are kept of the image's clusters only,
and there are neither shared nor compressed ones.
"""

from __future__ import annotations

from imgtools.formats.qcow2.mapping import COMPRESSED, COPIED, OFFSET_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.formats.qcow2.write import Writer


class InImage:
    """Clusters of the image's own file, which reference counts give out and take back."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def allocate(self, guest: int, count: int) -> int:
        """The host offset of `count` new clusters in a row, for the guest's from offset `guest`."""
        first = self.writer.refcounts.allocate(count)
        self.writer.refuse_overlap(first, count)
        return first << self.writer.bits

    def refuse_overlap(self, host: int, count: int) -> None:
        """Fail where a write to `count` clusters at `host` would hit metadata."""
        self.writer.refuse_overlap(host >> self.writer.bits, count)

    def give_back(self, entry: int, count: int = 1) -> None:
        """The clusters of an L2 entry, and of those behind it in a row, are of no use any more: count them down once
        nothing on disk refers to them."""
        writer = self.writer
        if entry & COMPRESSED:
            offset, length = writer.streams.locate(entry & ~COPIED)
            first = offset >> writer.bits
            writer.refcounts.free_later(first, ((offset + length - 1) >> writer.bits) - first + 1)
            writer.node.forget_decompressed()
        elif entry & OFFSET_MASK:
            writer.refcounts.free_later((entry & OFFSET_MASK) >> writer.bits, count)


class InDataFile:
    """Clusters of the external data file, each in its one place."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def allocate(self, guest: int, count: int) -> int:
        return guest

    def refuse_overlap(self, host: int, count: int) -> None:
        """The data file holds no metadata."""

    def give_back(self, entry: int, count: int = 1) -> None:
        """The guest has zeroed or discarded clusters: their space can go at once, whatever the entries say."""
        if entry & COPIED and self.writer.node.pass_discard:
            self.writer.data.discard(entry & OFFSET_MASK, count * self.writer.size)
