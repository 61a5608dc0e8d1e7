"""The VMDK node: a disk made of extents, laid end to end, over a parent.

The node finds the extent for a range and keeps what belongs to the whole disk: the descriptor and its content
ID. The content ID changes at the first write after opening, before any byte of the disk does; by it a child
notices that its parent is not the disk any more that it was made from, and then reads nothing through it.
"""

from __future__ import annotations

import os
from _thread import RLock
from bisect import bisect_right

from imgtools.block.format import Checkable, Compressing
from imgtools.block.node import Layer
from imgtools.errors import CorruptImage, ReadOnly
from imgtools.formats.vmdk.extents import DiskExtent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from imgtools.block.extent import Extent
    from imgtools.block.format import CheckResult, Finding
    from imgtools.block.node import Buffer, Node, Storage
    from imgtools.formats.vmdk.descriptor import Descriptor


class VmdkNode(Layer, Checkable):
    """A VMDK of any subformat."""

    driver = "vmdk"
    encrypted = False
    requires_compression = False
    """Whether data can only be written compressed."""

    def __init__(
        self, storage: Storage, descriptor: Descriptor | None, create_type: str, extents: list[DiskExtent]
    ) -> None:
        super().__init__(storage.filename, sum(extent.length for extent in extents), read_only=storage.read_only)
        self.storage = storage
        self.descriptor = descriptor
        self.create_type = create_type
        self.disk_extents = extents
        self.starts: list[int] = []
        start = 0
        for extent in extents:
            extent.join(self, start)
            self.starts.append(start)
            start += extent.length
        self.children["file"] = storage
        others = dict.fromkeys(extent.storage for extent in extents if extent.storage not in (storage, None))
        self.children |= {f"extents.{number}": other for number, other in enumerate(others) if other}
        self.cid = descriptor.cid if descriptor else None
        self.parent_cid = descriptor.parent_cid if descriptor else None
        self.backing_name = descriptor.parent if descriptor else None
        self.backing_format = "vmdk" if self.backing_name else None
        self.lock = RLock()
        self._changed = False
        self._trusted: Node | None = None

    @property
    def cluster_size(self) -> int | None:
        """Bytes of a grain, where all extents agree on that."""
        sizes = {(extent.grain, extent.compressed) for extent in self.disk_extents}
        return sizes.pop()[0] if len(sizes) == 1 else None

    # The seven verbs.

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        if len(self.disk_extents) == 1 and len(buffer):
            self.disk_extents[0].readinto(offset, buffer)
            return
        for extent, start, stop in self._parts(offset, len(buffer)):
            extent.readinto(start - extent.start, buffer[start - offset : stop - offset])

    def write(self, offset: int, data: Buffer) -> None:
        self._before_change(offset, len(data))
        if len(self.disk_extents) == 1 and len(data):
            self.disk_extents[0].write(offset, data)
            return
        view = memoryview(data)
        for extent, start, stop in self._parts(offset, len(data)):
            extent.write(start - extent.start, view[start - offset : stop - offset])

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._before_change(offset, length)
        for extent, start, stop in self._parts(offset, length):
            extent.zero(start - extent.start, stop - start, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        self._before_change(offset, length)
        for extent, start, stop in self._parts(offset, length):
            extent.discard(start - extent.start, stop - start)

    def flush(self) -> None:
        if not self.read_only:
            for extent in self.disk_extents:
                extent.flush()
            self.storage.flush()

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        self.check_parent()
        return super().extents(offset, length)

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        for extent, start, stop in self._parts(offset, length):
            yield from extent.layer_extents(start - extent.start, stop - start)

    def prefetch(self, offset: int, length: int) -> None:
        for extent in self.layer_extents(offset, length):
            if extent.storage is not None and extent.offset is not None:
                extent.storage.prefetch(extent.offset, extent.length)

    def _parts(self, offset: int, length: int) -> Iterator[tuple[DiskExtent, int, int]]:
        """(extent, start, stop) for each extent that a range touches, in bytes of the disk."""
        index = bisect_right(self.starts, offset) - 1
        end = offset + length
        while offset < end:
            extent = self.disk_extents[index]
            stop = min(end, extent.start + extent.length)
            yield extent, offset, stop
            offset = stop
            index += 1

    # The parent.

    def read_below(self, offset: int, buffer: memoryview) -> None:
        self.check_parent()
        super().read_below(offset, buffer)

    def check_parent(self) -> None:
        """Raise if the backing file is not, or not any more, the disk that this one was made from."""
        below = self.children.get("backing")
        if below is None or below is self._trusted:
            return
        cid = getattr(below, "cid", None)
        noted = self.descriptor.noted_cid if self.descriptor else None
        if cid is None or cid not in (self.parent_cid, noted):
            found = "has no CID" if cid is None else f"has CID {cid:08x}"
            raise CorruptImage(
                f"the backing file '{below.filename}' {found}, but parentCID is {self.parent_cid or 0:08x}",
                path=self.filename,
                structure="descriptor",
                hint="It was changed after this image was made from it, or it is another disk.",
            )
        self._trusted = below

    def follow_backing(self) -> None:
        """The parent gets another content ID, of which there is a note here until this image has it, too: whatever is
        the last write before a crash, the one or the other is the parent's."""
        below = self.backing and self.backing.unfiltered
        if self.descriptor is None or not isinstance(below, VmdkNode) or below.read_only:
            return
        self.check_parent()
        self._settle()
        cid = new_cid()
        note = self.descriptor.with_note(cid)
        if note is not None:
            self.storage.write(*note)
            self.storage.flush()
        below.begin_changes(cid)
        self._settle()

    def _settle(self) -> None:
        """Take over the content ID that the parent has, where it has the one in the note; then the note goes."""
        descriptor, cid = self.descriptor, getattr(self.backing and self.backing.unfiltered, "cid", None)
        if descriptor is None or cid is None:
            return
        if cid != self.parent_cid:
            self.storage.write(*descriptor.with_cid(cid, "parentCID"))
            self.storage.flush()
            self.parent_cid = cid
        if descriptor.noted_cid is not None:
            self.storage.write(*descriptor.without_note())
            self.storage.flush()

    # Changes.

    def _before_change(self, offset: int, length: int) -> None:
        if self.read_only:
            self.refuse_write()
        self.check_range(offset, length)
        if length and not self._changed:
            self.begin_changes()

    def begin_changes(self, cid: int | None = None) -> None:
        """Before the first change: nothing may forbid it, and the content gets another ID."""
        self.check_parent()
        if not all(extent.writable for extent in self.disk_extents):
            raise ReadOnly("the image has extents that cannot be written", path=self.filename, structure="descriptor")
        with self.lock:
            if self._changed or self.descriptor is None:
                return
            self._settle()
            self.cid = new_cid() if cid is None else cid
            self.storage.write(*self.descriptor.with_cid(self.cid))
            self.storage.flush()
            self._changed = True

    def write_back(self) -> None:
        """Have the tables in the files as they are in memory."""
        if not self.read_only:
            for extent in self.disk_extents:
                extent.write_back()

    def close(self) -> None:
        try:
            self.write_back()
        finally:
            super().close()

    # What else there is to ask.

    def details(self) -> dict[str, Any]:
        listed = []
        for extent in self.disk_extents:
            facts: dict[str, Any] = {"compressed": True} if extent.compressed else {}
            facts |= {"virtual-size": extent.length, "filename": extent.path}
            if extent.grain is not None:
                facts["cluster-size"] = extent.grain
            listed.append(facts | {"format": extent.kind})
        return {
            "cid": self.cid or 0,
            "parent-cid": self.parent_cid or 0,
            "create-type": self.create_type,
            "extents": listed,
        }

    def limits(self) -> dict[str, int]:
        grains = [extent.grain for extent in self.disk_extents if extent.grain is not None]
        return {**super().limits(), **({"write-zeroes-alignment": min(grains)} if grains else {})}

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        from imgtools.formats.vmdk.check import check

        self.write_back()
        return check(self, report, repair)


class StreamNode(VmdkNode, Compressing):
    """A streamOptimized VMDK: whole grains are written compressed, each of them once."""

    requires_compression = True

    @property
    def compression_unit(self) -> int:  # type: ignore[override]
        return self.cluster_size or super().compression_unit

    def compressor(self, level: int | None = None) -> Callable[[Buffer], bytes]:
        from imgtools.formats.vmdk.stream import compressor

        return compressor(level)

    def write_compressed(self, offset: int, length: int, stream: bytes) -> None:
        from imgtools.formats.vmdk.stream import StreamExtent

        self._before_change(offset, length)
        extent = self.disk_extents[bisect_right(self.starts, offset) - 1]
        assert isinstance(extent, StreamExtent)
        extent.write_compressed(offset - extent.start, length, stream)


def new_cid() -> int:
    """A random content ID: eight digits, so that it can replace another in place, and not the "no parent" one."""
    return 0x10000000 + int.from_bytes(os.urandom(8), "little") % 0xEFFFFFFE
