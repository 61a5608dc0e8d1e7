"""The binary file adapter, through what Python itself does with files."""

from __future__ import annotations

import errno
import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest

import imgtools
from imgtools.block.fileobj import BinaryFile
from imgtools.block.filters.window import Window
from imgtools.block.node import Node
from imgtools.block.protocols.memory import MemoryNode
from imgtools.errors import InputOutput
from imgtools.formats.raw import RawNode
from tests.model import pattern, subject_of


def disk_of(content: bytes, **options: bool) -> RawNode:
    return RawNode(MemoryNode(content=content, **options))


def test_reads_seeks_and_tells_as_a_file_does() -> None:
    content = pattern(10_240)
    file, real = BinaryFile(disk_of(content)), io.BytesIO(content)
    for step in (
        lambda f: f.read(100),
        lambda f: f.seek(-5, os.SEEK_CUR),
        lambda f: f.read(7),
        lambda f: f.seek(-3, os.SEEK_END),
        lambda f: f.read(100),
        lambda f: f.read(1),
        lambda f: f.seek(20_000),
        lambda f: f.read(1),
        lambda f: f.seek(0),
        lambda f: f.readinto(bytearray(11)),
        lambda f: f.tell(),
        lambda f: f.readall() if hasattr(f, "readall") else f.read(),
    ):
        assert step(file) == step(real)


def test_bad_seeks_are_refused() -> None:
    file = BinaryFile(disk_of(bytes(512)))
    with pytest.raises(OSError, match="Invalid argument"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 9)


def test_buffered_reading_by_lines() -> None:
    text = b"".join(b"line %d\n" % number for number in range(1000)).ljust(16_384, b"\n")
    assert list(io.BufferedReader(BinaryFile(disk_of(text)), 100)) == text.splitlines(keepends=True)


def test_writes_stop_at_the_end_of_the_disk() -> None:
    disk = disk_of(bytes(1024))
    file = BinaryFile(disk)
    file.seek(1000)
    assert file.write(pattern(100)) == 24
    assert file.tell() == 1024
    with pytest.raises(OSError) as caught:
        file.write(b"x")
    assert caught.value.errno == errno.ENOSPC
    assert file.write(b"") == 0
    assert disk.read(1000, 24) == pattern(100)[:24] and disk.size == 1024


def test_copyfileobj_to_and_from_an_image(tmp_path: Path) -> None:
    subject = subject_of("vdi", size=3 << 20, unit=1 << 20)
    storage = MemoryNode("image")
    subject.create(storage)
    content = pattern(2_500_000)
    with subject.open(storage) as disk, io.BufferedRandom(BinaryFile(disk)) as file:
        shutil.copyfileobj(io.BytesIO(content), file)
    with subject.open(storage) as disk, BinaryFile(disk) as file, (tmp_path / "copy").open("wb") as copy:
        shutil.copyfileobj(file, copy)
    assert (tmp_path / "copy").read_bytes() == content.ljust(3 << 20, b"\0")


def test_a_zip_archive_on_a_disk() -> None:
    disk = disk_of(bytes(1 << 20))
    with io.BufferedRandom(BinaryFile(disk)) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("name", pattern(5000))
    # The archive's end must be the file's end for zipfile to find it: a window as long as the archive.
    end = disk.read(0, disk.size).rindex(b"PK\5\6") + 22
    with zipfile.ZipFile(BinaryFile(Window(disk, 0, end))) as archive:
        assert archive.read("name") == pattern(5000) and archive.testzip() is None


def test_truncate_resizes_what_can_be_resized() -> None:
    disk = disk_of(pattern(1024))
    file = BinaryFile(disk)
    assert file.truncate(2048) == 2048 and disk.size == 2048
    file.seek(512)
    assert file.truncate() == 512 and disk.size == 512 and file.tell() == 512
    fixed = BinaryFile(MemoryNode(content=bytes(512)))
    with pytest.raises(io.UnsupportedOperation, match="memory cannot be resized"):
        fixed.truncate(1)


def test_a_read_only_disk_is_a_read_only_file() -> None:
    file = BinaryFile(disk_of(bytes(512), read_only=True))
    assert (file.readable(), file.writable(), file.seekable(), file.mode) == (True, False, True, "rb")
    for call in (lambda: file.write(b"x"), lambda: file.truncate(0)):
        with pytest.raises(io.UnsupportedOperation):
            call()
    with pytest.raises(io.UnsupportedOperation):
        io.BufferedWriter(file)
    file.flush()


def test_closing_leaves_the_node_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(pattern(512))
    disk = imgtools.open(str(path), format="raw")
    BinaryFile(disk).close()
    assert disk.read(0, 1) == pattern(512)[:1]
    file = BinaryFile(disk, close_node=True)
    file.close()
    file.close()
    assert disk.children["file"].fd == -1  # type: ignore[attr-defined]
    for call in (file.tell, lambda: file.read(1), lambda: file.write(b"x"), lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            call()


class Failing(Node):
    def readinto(self, offset: int, buffer: memoryview) -> None:
        raise InputOutput("the disk is on fire", errno=errno.EIO)

    def write(self, offset: int, data: object) -> None:
        raise InputOutput("the disk is full", errno=errno.ENOSPC)

    def flush(self) -> None:
        raise InputOutput("the disk is gone")


def test_failures_are_os_errors_with_their_cause() -> None:
    node = Failing("name", 512, read_only=False)
    file = BinaryFile(node)
    for call, number in ((lambda: file.read(1), errno.EIO), (lambda: file.write(b"x"), errno.ENOSPC)):
        with pytest.raises(OSError, match="the disk is") as caught:
            call()
        assert caught.value.errno == number and isinstance(caught.value.__cause__, InputOutput)
    with pytest.raises(OSError, match="gone"):
        file.flush()
    node.flush = lambda: None  # type: ignore[method-assign]
