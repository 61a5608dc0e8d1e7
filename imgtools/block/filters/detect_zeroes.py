"""detect-zeroes: writes of nothing but zeroes become requests to zero, which formats only mark.

The node option of that name puts it above a node: `detect-zeroes=on`, or `unmap` to give the space back as well.
"""

from __future__ import annotations

from imgtools.block.format import Resizable
from imgtools.block.node import ZEROES, Filter
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Buffer, Node


class DetectZeroes(Filter, Resizable):
    """`child`; with `unmap` the space of zeroes is given back."""

    def __init__(self, child: Node, *, unmap: bool) -> None:
        super().__init__(child)
        self.driver = child.driver
        self.described, self.plain_name = child.described, child.plain_name
        self.unmap = unmap

    def write(self, offset: int, data: Buffer) -> None:
        if is_zero(data):
            self.child.zero(offset, len(data), unmap=self.unmap)
        else:
            self.child.write(offset, data)

    def resize(self, size: int, preallocation: str = "off") -> None:
        if not isinstance(self.child, Resizable):
            raise UnsupportedFeature(f"{self.child.driver} cannot be resized", path=self.filename)
        self.child.resize(size, preallocation)


def is_zero(data: Buffer) -> bool:
    """Whether there is nothing but zeroes in `data`; it is compared in pieces, most often one."""
    view = memoryview(data).cast("B")
    return all(ZEROES.startswith(view[start : start + len(ZEROES)]) for start in range(0, len(view), len(ZEROES)))
