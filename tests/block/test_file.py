"""The file node: ends of files, holes, full disks, devices."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imgtools.block.cached import LOANS, TRUSTED
from imgtools.block.extent import DATA, ZERO
from imgtools.block.protocols.file import FileNode, create_file, open_file
from imgtools.errors import AccessDenied, ImageError, InputOutput, NotFound
from tests.conftest import TRIES
from tests.model import compare, pattern

MIB = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> Iterator[FileNode]:
    with create_file(str(tmp_path / "file")) as node:
        yield node


def test_reads_past_the_end(file: FileNode) -> None:
    file.write(0, pattern(1000))
    assert file.size == 1000
    assert file.read(900, 200) == pattern(1000)[900:]
    assert file.read(5000, 10) == b""
    buffer = bytearray(b"?" * 200)
    file.readinto(900, memoryview(buffer))
    compare(buffer, pattern(1000)[900:] + bytes(100))
    file.readinto(5000, memoryview(buffer))
    assert not any(buffer)


def test_writes_grow_the_file_and_leave_holes(file: FileNode) -> None:
    file.write(4 * MIB, pattern(4096))
    assert file.size == 4 * MIB + 4096
    assert [(e.start, e.kind) for e in file.extents(0, file.size)] == [(0, ZERO), (4 * MIB, DATA)]
    assert [(e.start, e.length, e.kind) for e in file.extents(4 * MIB, MIB)] == [
        (4 * MIB, 4096, DATA),
        (4 * MIB + 4096, MIB - 4096, ZERO),
    ]
    assert file.allocated_size is not None and file.allocated_size < MIB


@pytest.mark.parametrize("count", [1, 3, 1023, 1024, 3000])
def test_gathered_writes(file: FileNode, count: int) -> None:
    pieces = [pattern(7, number) for number in range(count)]
    file.writev(5, pieces)  # type: ignore[arg-type]
    compare(file.read(0, 5 + 7 * count), bytes(5) + b"".join(pieces))
    assert file.size == 5 + 7 * count


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_can_be_written(file: FileNode, buffer: type) -> None:
    file.write(0, buffer(pattern(100)))
    assert file.read(0, 100) == pattern(100)


def test_zeroing_with_unmap_gives_the_space_back(file: FileNode) -> None:
    file.write(0, pattern(4 * MIB))
    full = file.allocated_size or 0
    file.zero(MIB, 2 * MIB)
    assert not any(file.read(MIB, 2 * MIB)) and (file.allocated_size or 0) <= full - 2 * MIB
    file.zero(0, 4 * MIB, unmap=False)
    assert not any(file.read(0, 4 * MIB)) and (file.allocated_size or 0) >= full
    file.zero(4 * MIB, MIB)
    assert file.size == 5 * MIB


def test_discarding_gives_the_space_back_and_never_grows(file: FileNode) -> None:
    file.write(0, pattern(MIB))
    file.discard(0, 10 * MIB)
    assert file.size == MIB and (file.allocated_size or 0) < MIB


def test_truncate_and_allocate(file: FileNode) -> None:
    file.write(0, pattern(MIB))
    file.truncate(512)
    file.truncate(MIB)
    compare(file.read(0, MIB), pattern(MIB)[:512] + bytes(MIB - 512))
    file.allocate(0, 2 * MIB)
    assert file.size == 2 * MIB and (file.allocated_size or 0) >= 2 * MIB
    compare(file.read(0, 1024), pattern(MIB)[:512] + bytes(512))


def test_a_full_device_is_one_clear_error() -> None:
    with open_file("/dev/full", writable=True) as full, pytest.raises(InputOutput) as caught:
        full.write(4096, b"x")
    assert (caught.value.message, caught.value.offset) == ("No space left on device", 4096)
    assert "/dev/full" in (caught.value.hint or "")


def test_a_file_that_may_not_grow_is_one_clear_error(file: FileNode) -> None:
    """The limit cuts the write short in its middle, which is where a full file system does so too."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, old[1]))
    try:
        with pytest.raises(InputOutput, match=r"could not write .*: File too large") as caught:
            file.write(MIB - 512, bytes(1024))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.offset is not None and file.size <= MIB


def test_a_read_only_file_refuses_writes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(512))
    with open_file(str(tmp_path / "file")) as file:
        for call in (lambda: file.write(0, b"x"), lambda: file.truncate(0), lambda: file.allocate(0, 1)):
            with pytest.raises(ImageError):
                call()
        file.flush()
    assert (tmp_path / "file").read_bytes() == bytes(512)


def test_opening_failures(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"Could not open .*No such file or directory"):
        open_file(str(tmp_path / "nothing"))
    with pytest.raises(ImageError, match="to be a regular file"):
        open_file(str(tmp_path))
    with pytest.raises(ImageError, match="Could not create"):
        create_file(str(tmp_path / "no" / "file"))
    if os.geteuid():
        (tmp_path / "closed").touch(mode=0)
        with pytest.raises(AccessDenied):
            open_file(str(tmp_path / "closed"))


def test_creating_empties_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(512))
    create_file(str(tmp_path / "file")).close()
    assert (tmp_path / "file").stat().st_size == 0


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    file = create_file(str(tmp_path / "file"))
    file.close()
    file.close()
    with pytest.raises(ImageError):
        file.write(0, b"x")


@pytest.mark.parametrize("cache", ["none", "writeback", "writethrough", "directsync", "unsafe"])
def test_cache_modes_read_back_what_was_written(tmp_path: Path, cache: str) -> None:
    create_file(str(tmp_path / "file"), cache=cache).close()
    with open_file(str(tmp_path / "file"), writable=True, cache=cache) as file:
        file.write(0, pattern(8192))
        file.flush()
        assert file.read(0, 8192) == pattern(8192)


def find_cached(
    file: FileNode, read: Callable[[int, memoryview], bool], offset: int, buffer: memoryview, times: int = 1
) -> None:
    """So many reads in a row that find their bytes cached; where the system has dropped them, from the start."""
    for _ in range(TRIES):
        if all(read(offset, buffer) for _ in range(times)):
            return
        file.read(offset, len(buffer))
    raise AssertionError("what was read is not cached")


@pytest.mark.parametrize("folder", [None, "/dev/shm"])
def test_a_reader_of_what_is_cached_gives_the_bytes_or_none(folder: str | None, tmp_path: Path) -> None:
    """Also on a file system that cannot tell, as tmpfs; past the end the answer is that one has to read."""
    with TemporaryDirectory(dir=folder or tmp_path) as directory:
        (Path(directory) / "file").write_bytes(pattern(8192))
        with open_file(f"{directory}/file") as file:
            read, buffer = file.cached_reader()[0], bytearray(512)
            for offset in range(0, 8192, 512):
                find_cached(file, read, offset, memoryview(buffer))
                assert buffer == pattern(8192)[offset : offset + 512]
            assert not read(8000, memoryview(buffer))
            file.close()
            with pytest.raises(ImageError):
                read(0, memoryview(buffer))


def test_what_is_cached_is_lent_once_many_reads_have_found_it(telling: Path) -> None:
    (telling / "file").write_bytes(pattern(8192))
    with open_file(str(telling / "file")) as file:
        (read, lend), buffer = file.cached_reader(), memoryview(bytearray(512))
        assert lend(0, 512) is None
        find_cached(file, read, 512, buffer, TRUSTED)
        assert lend(1024, 512) == pattern(8192)[1024:1536]
        assert lend(8000, 512) is None  # it ends before that
        assert sum(lend(0, 1) is not None for _ in range(2 * LOANS)) < LOANS  # a read has to look again
        if not read(0, buffer):
            find_cached(file, read, 0, buffer, TRUSTED)
        assert lend(8191, 1) == pattern(8192)[-1:]


def test_a_file_system_that_cannot_tell_what_is_cached_lends_nothing() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory:
        (Path(directory) / "file").write_bytes(pattern(4096))
        with open_file(f"{directory}/file") as file:
            (read, lend), buffer = file.cached_reader(), memoryview(bytearray(512))
            assert all(read(0, buffer) for _ in range(2 * TRUSTED))
            assert lend(0, 512) is None


def test_a_file_is_lent_as_far_as_it_has_grown(telling: Path) -> None:
    with create_file(str(telling / "file")) as file:
        (read, lend), buffer = file.cached_reader(), memoryview(bytearray(512))
        file.write(0, pattern(4096))
        find_cached(file, read, 0, buffer, TRUSTED)
        assert lend(0, 4096) == pattern(4096)
        file.write(4096, pattern(4096))
        assert lend(4096, 4096) is None
        if not read(0, buffer):
            find_cached(file, read, 0, buffer, TRUSTED)
        assert lend(4096, 4096) == pattern(4096)


def test_a_closed_file_is_free_for_others_though_its_memory_is_still_lent(telling: Path) -> None:
    file = create_file(str(telling / "file"))
    file.write(0, pattern(4096))
    (read, lend), buffer = file.cached_reader(), memoryview(bytearray(512))
    find_cached(file, read, 0, buffer, TRUSTED)
    lent = lend(0, 4096)
    file.close()
    with open_file(str(telling / "file"), writable=True):
        assert lent == pattern(4096)
