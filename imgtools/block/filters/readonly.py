"""A disk that takes no writes, whatever lies below."""

from __future__ import annotations

from imgtools.block.node import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Buffer, Node


class ReadOnlyFilter(Filter):
    """`child`, for reading."""

    driver = "read-only"

    def __init__(self, child: Node) -> None:
        super().__init__(child)
        self.read_only = True

    def write(self, offset: int, data: Buffer) -> None:
        self.refuse_write()

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.refuse_write()

    def discard(self, offset: int, length: int) -> None:
        self.refuse_write()
