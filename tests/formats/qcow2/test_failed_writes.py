"""A write that the file refuses takes no space: its clusters are given back."""

from __future__ import annotations

import pytest

from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import InputOutput
from tests.model import check_is_clean, pattern, subject_of

CLUSTER = 65536
SUBJECT = subject_of("qcow2", size=64 * CLUSTER, unit=CLUSTER)
REFUSED = pattern(512)


class Full(MemoryNode):
    """Has no room for what begins as REFUSED does."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if bytes(data[: len(REFUSED)]) == REFUSED:
            raise InputOutput("No space left on device", path=self.filename, offset=offset)
        super().write(offset, data)


@pytest.mark.parametrize("length", [512, CLUSTER, 5 * CLUSTER])
def test_a_write_that_fails_leaks_nothing(length: int) -> None:
    storage = Full("image")
    SUBJECT.create(storage)
    with SUBJECT.open(storage) as disk:
        disk.write(0, b"first")
        for _ in range(3):
            with pytest.raises(InputOutput):
                disk.write(8 * CLUSTER, REFUSED.ljust(length, b"r"))
        disk.write(9 * CLUSTER, b"next")
    with SUBJECT.open(storage) as disk:
        check_is_clean(disk)
        assert (disk.read(0, 5), disk.read(9 * CLUSTER, 4)) == (b"first", b"next")
        assert not any(disk.read(8 * CLUSTER, 512))
