"""The events of guest data: told to a storage that listens to them (see `block/filters/blkdebug`).

Metadata tells of its own where it is read and written. Guest data comes by on paths that are to cost nothing, so
what stands in its way is put there only where somebody listens.
"""

from __future__ import annotations

from imgtools.block.node import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Buffer, Storage


class EventfulData(Filter):
    """`storage` as the place of guest data."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.driver = storage.driver
        self.described, self.plain_name = storage.described, storage.plain_name

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.event("read_aio")
        self.child.readinto(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        self.event("write_aio")
        self.child.write(offset, data)
