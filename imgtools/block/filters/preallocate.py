"""preallocate: when a file grows, its space is reserved in advance and in large pieces.

    driver=qcow2,file.driver=preallocate,file.file.filename=disk.qcow2

It stands between a format and its file. What lies past the last byte that was written is given back on closing.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.block.driver import Driver, Option
from imgtools.block.node import Filter, Storage
from imgtools.errors import BadOption, ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node

ALIGNMENT = 1 << 20
AMOUNT = 128 << 20


class Preallocate(Filter):
    """`child`, a file that grows by `amount` bytes, up to a multiple of `alignment`, more than it is asked to."""

    driver = "preallocate"
    size = 0  # up to the last byte that was written, and not what is reserved behind it

    def __init__(self, child: Storage, *, alignment: int = ALIGNMENT, amount: int = AMOUNT) -> None:
        super().__init__(child)
        self.file = child
        self.alignment = alignment
        self.amount = amount

    def write(self, offset: int, data: Buffer) -> None:
        self._reserve(offset + len(data))
        self.file.write(offset, data)
        self.size = max(self.size, offset + len(data))

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._reserve(offset + length)
        self.file.zero(offset, length, unmap=unmap)
        self.size = max(self.size, offset + length)

    def truncate(self, size: int) -> None:
        self.file.truncate(size)
        self.size = size

    def allocate(self, offset: int, length: int) -> None:
        self.file.allocate(offset, length)
        self.size = max(self.size, offset + length)

    def close(self) -> None:
        try:
            if not self.read_only and self.file.size > self.size:
                self.file.truncate(self.size)
        finally:
            super().close()

    def _reserve(self, end: int) -> None:
        """See to it that the file reaches beyond `end`."""
        if end <= self.file.size:
            return
        try:
            self.file.allocate(self.file.size, round_up(end + self.amount, self.alignment) - self.file.size)
        except ImageError:
            pass  # no room for more than is needed: whether there is for that, the write itself will tell


class PreallocateDriver(Driver):
    name = "preallocate"
    open_options = (
        Option("prealloc-align", "size", "what the file's end is aligned to (1M)"),
        Option("prealloc-size", "size", "how much to reserve (128M)"),
    )

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        child, options = children["file"], context.options
        alignment = options.get("prealloc-align", ALIGNMENT)
        if not alignment or alignment % 512:
            raise BadOption("prealloc-align parameter of preallocate filter is not aligned to 512")
        if not isinstance(child, Storage):
            raise BadOption(f"preallocate stands above a file, and not above {child.driver}")
        return Preallocate(child, alignment=alignment, amount=options.get("prealloc-size", AMOUNT))


DRIVERS = (PreallocateDriver(),)
