"""bench sends the requests it says it sends; dd copies the part it is asked for."""

from __future__ import annotations

import pytest

from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import InputOutput
from imgtools.operations.bench import bench
from imgtools.operations.dd import copy_range


class Recorder(MemoryNode):
    """Keeps a list of what was asked of it, and is as large as it was at first."""

    def __init__(self, size: int) -> None:
        super().__init__("memory:", bytes(size))
        self.asked: list[tuple[str, int, int]] = []

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        self.asked.append(("read", offset, len(buffer)))

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.check_range(offset, len(data))
        super().write(offset, data)
        self.asked.append(("write", offset, bytes(data)[0]))

    def flush(self) -> None:
        self.asked.append(("flush", 0, 0))


def test_reads_wrap_at_the_end() -> None:
    disk = Recorder(4096)
    assert bench(disk, count=5, size=512, step=1024, offset=1024) > 0
    assert [offset for _, offset, _ in disk.asked] == [1024, 2048, 3072, 0, 1024]
    assert {(kind, length) for kind, _, length in disk.asked} == {("read", 512)}


def test_a_step_beyond_the_end_wraps_too() -> None:
    disk = Recorder(4096)
    bench(disk, count=3, size=512, step=4096 + 512)
    assert [offset for _, offset, _ in disk.asked] == [0, 512, 1024]


def test_writes_store_the_pattern_and_are_flushed() -> None:
    disk = Recorder(4096)
    bench(disk, count=5, size=512, step=512, write=True, pattern=7, flush_interval=2)
    write, flush = ("write", 7), ("flush", 0)
    assert [(kind, byte) for kind, _, byte in disk.asked] == [write, write, flush, write, write, flush, write, flush]
    assert disk.content[: 5 * 512] == b"\7" * 5 * 512


def test_a_request_past_the_end_fails() -> None:
    with pytest.raises(InputOutput, match="Failed request: Input/output error"):
        bench(Recorder(4096), count=1, size=8192)


def test_copy_of_a_part() -> None:
    source = MemoryNode("source", bytes(range(256)) * 64)
    target = MemoryNode("target", bytes(1000))
    copy_range(source, target, 700, 1000)
    assert target.content == source.content[700:1700]
