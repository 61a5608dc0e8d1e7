"""blkverify: two disks that must hold the same; one is trusted, the other is put to the test.

    blkverify:trusted.raw:tested.qcow2
    driver=blkverify,raw.filename=trusted.raw,test.driver=qcow2,test.file.filename=tested.qcow2

Writes go to both. Reads are compared, and the first byte that differs makes the read fail.
"""

from __future__ import annotations

from imgtools.block.driver import Child, Driver
from imgtools.block.node import Filter, Node
from imgtools.errors import BadOption, CorruptImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer


class BlkVerify(Filter):
    """`test`, each of whose reads must be what `raw` has there."""

    driver = "blkverify"
    extents = Node.extents  # all is data: what one disk calls a hole is compared, too

    def __init__(self, raw: Node, test: Node) -> None:
        super().__init__(test)
        self.raw = raw
        self.children = {"raw": raw, "test": test}

    @property
    def unfiltered(self) -> Node:
        return self  # there are two disks below

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.child.readinto(offset, buffer)
        expected, found = self.raw.read(offset, len(buffer)).ljust(len(buffer), b"\0"), bytes(buffer)
        if found != expected:
            at = next(at for at, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
            raise CorruptImage(
                f"contents mismatch at offset {offset + at}: "
                f"{expected[at]:#04x} in '{self.raw.filename}', {found[at]:#04x} in '{self.child.filename}'",
                path=self.child.filename,
                offset=offset + at,
            )

    def write(self, offset: int, data: Buffer) -> None:
        self.raw.write(offset, data)
        self.child.write(offset, data)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self.raw.zero(offset, length, unmap=unmap)
        self.child.zero(offset, length, unmap=unmap)

    def discard(self, offset: int, length: int) -> None:
        """Nothing: what the two read as afterwards need not be the same."""

    def flush(self) -> None:
        self.raw.flush()
        self.child.flush()


class BlkVerifyDriver(Driver):
    name = "blkverify"
    is_protocol = True
    children = (Child("raw", by_name="x-raw"), Child("test", disk=True, by_name="x-image"))

    def parse_name(self, name: str) -> dict[str, Any]:
        raw, colon, test = name.removeprefix("blkverify:").partition(":")
        if not colon:
            raise BadOption("blkverify requires raw copy and original image path")
        return {"x-raw": raw, "x-image": test}

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        return BlkVerify(children["raw"], children["test"])

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        raw, test = children["raw"].plain_name, children["test"].plain_name
        return None if raw is None or test is None else f"blkverify:{raw}:{test}"


DRIVERS = (BlkVerifyDriver(),)
