"""A disk in memory, and the null disk: for tests, for measuring, and for what need not be kept."""

from __future__ import annotations

from imgtools.block.driver import Driver, Option
from imgtools.block.extent import DATA, ZERO, Extent
from imgtools.block.node import Storage, fill_zero
from imgtools.errors import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node


class MemoryNode(Storage):
    """A growing file in memory. Like a file it reads as zeroes past its end."""

    driver = "memory"

    def __init__(self, filename: str = "memory:", content: Buffer = b"", *, read_only: bool = False) -> None:
        super().__init__(filename, len(content), read_only=read_only)
        self.content = bytearray(content)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        piece = self.content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        fill_zero(buffer[len(piece) :])

    def read(self, offset: int, length: int) -> bytes:
        """As Node.read, but past the end the answer is short, as a file's is."""
        return bytes(self.content[offset : offset + length])

    def write(self, offset: int, data: Buffer) -> None:
        if self.read_only:
            self.refuse_write()
        if offset > len(self.content):
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset : offset + len(data)] = data
        self.size = len(self.content)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        if offset + length > self.size:
            self.truncate(offset + length)
        super().zero(offset, length, unmap=unmap)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        end = offset + length
        stored = max(offset, min(end, self.size))
        if offset < stored:
            yield Extent(offset, stored - offset, DATA, 0, self, offset)
        if stored < end:
            yield Extent(stored, end - stored, ZERO, 0, self, stored)

    def writev(self, offset: int, pieces: list[Buffer]) -> None:
        self.write(offset, b"".join(pieces))

    def truncate(self, size: int) -> None:
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))
        self.size = size

    def allocate(self, offset: int, length: int) -> None:
        self.truncate(max(self.size, offset + length))

    @property
    def allocated_size(self) -> int:
        return len(self.content)


class NullNode(Storage):
    """Takes every write and keeps none; reads as zeroes (QEMU's null-co with read-zeroes=on)."""

    driver = "null-co"

    def __init__(self, filename: str = "null-co://", size: int = 1 << 30) -> None:
        super().__init__(filename, size, read_only=False)

    def readinto(self, offset: int, buffer: memoryview) -> None:
        fill_zero(buffer)

    def write(self, offset: int, data: Buffer) -> None:
        self.check_range(offset, len(data))

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.check_range(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        if length:
            yield Extent(offset, length, ZERO, 0, self, offset)

    @property
    def allocated_size(self) -> int:
        return 0


class NullDriver(Driver):
    """A disk that keeps nothing."""

    is_protocol = True
    children = ()
    open_options = (
        Option("size", "size", "bytes of the disk (1 GiB)", default=1 << 30, identity=True),
        Option("read-zeroes", "bool", "accepted: it reads as zeroes in any case", identity=True),
        Option("latency-ns", "int", "accepted: there is no latency"),
    )

    def __init__(self, name: str) -> None:
        self.name = name

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        return NullNode(f"{self.name}://", context.options.get("size", 1 << 30))

    def parse_name(self, name: str) -> dict[str, str]:
        if name != f"{self.name}://":
            raise BadOption(f"The only allowed filename for this driver is '{self.name}://'")
        return {}

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        return None if options else f"{self.name}://"


DRIVERS = (NullDriver("null-co"), NullDriver("null-aio"))
