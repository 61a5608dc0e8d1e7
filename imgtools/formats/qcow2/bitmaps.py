"""The persistent bitmaps of an image: read from it, kept in step with it, and written back.

Specification: qcow2, "Bitmaps extension". From its first change on, an image has all its bitmaps marked as in use; when
it is closed, the bits that have changed are laid out anew, and one write of the header switches to the new directory.
After a crash between the two, bitmaps are inconsistent: they say so, and can only be removed.

An autoclear bit tells that whoever wrote the image last knew of the bitmaps; without it they count as lost.
"""

from __future__ import annotations

from array import array
from errno import ENOTSUP

from imgtools.align import div_up, is_power_of_two
from imgtools.block.format import BitmapCollection
from imgtools.errors import BadOption, CorruptImage, NotFound, OutOfBounds, UnsupportedFeature
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.bitmap import (
    ALL_ONES,
    AUTO,
    IN_USE,
    MAX_BITMAPS,
    MAX_BITS_BYTES,
    MAX_DIRECTORY_BYTES,
    MAX_GRANULARITY_BITS,
    MAX_NAME,
    MIN_GRANULARITY_BITS,
    TRACKING,
    Bitmap,
    build_entry,
    directory_entries,
)
from imgtools.formats.qcow2.mapping import OFFSET_MASK, to_disk
from imgtools.formats.qcow2.records import BITMAPS_EXTENSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.formats.qcow2.node import Qcow2Node
    from imgtools.formats.qcow2.write import Writer


class BitmapStore(BitmapCollection):
    """The bitmaps of one image. See `BitmapCollection`."""

    def __init__(self, node: Qcow2Node) -> None:
        self.node = node
        self.header = node.header
        self.in_use = False
        """Whether the image says that its bitmaps are in use: from our first change on."""
        self.extension = self._extension()
        self.bitmaps: list[Bitmap] = self._read()
        self.removed: list[Bitmap] = []

    def _extension(self) -> Any:
        content = self.header.extension(head.BITMAPS)
        if content is None or not self.header.autoclear & head.BITMAPS_CONSISTENT:
            return None
        return BITMAPS_EXTENSION.parse(content)

    def _read(self) -> list[Bitmap]:
        extension, node = self.extension, self.node
        if extension is None:
            return []
        if extension.directory_size > MAX_DIRECTORY_BYTES or extension.nb_bitmaps > MAX_BITMAPS:
            raise self._damaged("the bitmap directory is too large")
        directory = node.storage.read(extension.directory_offset, extension.directory_size)
        found = [self._bitmap(entry, name) for entry, name in directory_entries(directory, extension.nb_bitmaps)]
        if len(found) != extension.nb_bitmaps or extension.directory_offset % self.header.cluster_size:
            raise self._damaged("the bitmap directory is cut short or misplaced")
        return found

    def _bitmap(self, entry: Any, raw_name: bytes) -> Bitmap:
        name = raw_name.decode(errors="surrogateescape")
        size = self.header.cluster_size
        if (
            entry.type != TRACKING
            or entry.extra_data_size
            or entry.flags & ~(IN_USE | AUTO)
            or not MIN_GRANULARITY_BITS <= entry.granularity_bits <= MAX_GRANULARITY_BITS
            or not entry.table_offset
            or entry.table_offset % size
            or entry.table_size * size > MAX_BITS_BYTES + size
        ):
            raise self._damaged(f"the entry of bitmap '{name}' is damaged, or of a kind that is not known")
        bitmap = Bitmap(name, self.header.size, entry.granularity_bits, size)
        bitmap.load_from(self.node.storage, entry)
        bitmap.enabled, bitmap.inconsistent = bool(entry.flags & AUTO), bool(entry.flags & IN_USE)
        if not bitmap.inconsistent and entry.table_size != div_up(bitmap.bits, 8 * size):
            raise self._damaged(f"bitmap '{name}' does not cover the disk")
        return bitmap

    def _damaged(self, message: str) -> CorruptImage:
        return CorruptImage(message, path=self.node.filename, structure="bitmap directory")

    # What is asked for.

    def __iter__(self) -> Iterator[Bitmap]:
        return iter(self.bitmaps)

    def __len__(self) -> int:
        return len(self.bitmaps)

    def __getitem__(self, name: str) -> Bitmap:
        for bitmap in self.bitmaps:
            if bitmap.name == name:
                return bitmap
        raise NotFound(f"Dirty bitmap '{name}' not found", path=self.node.filename)

    def add(self, name: str, granularity: int | None = None, *, enabled: bool = True) -> Bitmap:
        self.node.writer  # noqa: B018 - refuses where nothing may be written
        if self.header.version < 3:
            raise UnsupportedFeature(
                f"Can't make bitmap '{name}' persistent in '{self.node.filename}': Cannot store dirty bitmaps in "
                "qcow2 v2 files",
                errno=ENOTSUP,
            )
        size = self.header.cluster_size
        granularity = granularity or min(max(4096, size), 65536)
        if (
            not is_power_of_two(granularity)
            or not 1 << MIN_GRANULARITY_BITS <= granularity <= 1 << MAX_GRANULARITY_BITS
        ):
            raise BadOption("Granularity must be power of 2 and at least 512")
        if not name:
            raise BadOption("Bitmap name cannot be empty")
        if len(name.encode(errors="surrogateescape")) > MAX_NAME:
            raise BadOption(
                f"Can't make bitmap '{name}' persistent: Name length exceeds maximum ({MAX_NAME} characters)"
            )
        if any(bitmap.name == name for bitmap in self.bitmaps):
            raise BadOption(f"Bitmap already exists: {name}")
        bitmap = Bitmap(name, self.node.size, granularity.bit_length() - 1, size)
        if div_up(bitmap.bits, 8) > MAX_BITS_BYTES or len(self.bitmaps) >= MAX_BITMAPS:
            raise OutOfBounds(f"Can't make bitmap '{name}' persistent: too many bits, or too many bitmaps")
        bitmap.enabled = enabled
        self.use()
        self.bitmaps.append(bitmap)
        self.node.recording = self.recording()
        return bitmap

    def remove(self, name: str) -> None:
        bitmap = self[name]
        self.use()
        self.bitmaps.remove(bitmap)
        if bitmap.table_offset:
            self.removed.append(bitmap)
        self.node.recording = self.recording()

    def enable(self, name: str, enabled: bool = True) -> None:
        self._usable(name).enabled = enabled
        self.node.recording = self.recording()

    def clear(self, name: str) -> None:
        self._usable(name).clear()

    def merge(self, name: str, source: Bitmap) -> None:
        self._usable(name).merge(source)

    def _usable(self, name: str) -> Bitmap:
        bitmap = self[name]
        bitmap.refuse_inconsistent()
        self.use()
        return bitmap

    def recording(self) -> tuple[Bitmap, ...]:
        """Those that writes are told to."""
        return tuple(bitmap for bitmap in self.bitmaps if bitmap.enabled and not bitmap.inconsistent)

    # The image.

    def use(self) -> None:
        """Mark all bitmaps as in use, on disk, before the first change; an unreadable one is found out now."""
        if self.in_use:
            return
        for bitmap in self.recording():
            bitmap.parts  # noqa: B018 - reads them
        if self.bitmaps:
            directory = b"".join(build_entry(bitmap, in_use=True) for bitmap in self.bitmaps)
            self.node.storage.write(self.extension.directory_offset, directory)
            self.node.storage.flush()
        self.in_use = True
        writer = self.node.writer  # marks nothing: that is done
        self.node.recording = self.recording()
        if self.extension is not None:
            writer.metadata.add_bytes(
                self.extension.directory_offset, self.extension.directory_size, "bitmap directory"
            )

    def resize(self, size: int) -> None:
        """The disk will have `size` bytes."""
        for bitmap in self.bitmaps:
            bitmap.refuse_inconsistent()
        for bitmap in self.bitmaps:
            bitmap.resize(size)

    def save(self, writer: Writer) -> None:
        """Write the bits that have changed, a new directory, and the header that names it; free the old ones."""
        if not self.in_use:
            return
        freed = [run for bitmap in self.removed for run in self._clusters_of(bitmap)]
        for bitmap in self.bitmaps:
            if bitmap.changed and not bitmap.inconsistent:
                if bitmap.table_offset:
                    freed += self._clusters_of(bitmap)
                self._write_bits(writer, bitmap)
        if self.extension is not None:
            freed.append((self.extension.directory_offset, self.extension.directory_size))
        self._write_directory(writer)
        for offset, length in freed:
            writer.refcounts.free_later(offset >> writer.bits, div_up(length, writer.size))
        self.removed, self.in_use = [], False

    def _clusters_of(self, bitmap: Bitmap) -> list[tuple[int, int]]:
        """(offset, length) of a bitmap's table and bits on disk."""
        entries = [entry & OFFSET_MASK for entry in bitmap.table() if entry & OFFSET_MASK]
        size = self.header.cluster_size
        return [(bitmap.table_offset, bitmap.table_size * 8), *((offset, size) for offset in entries)]

    def _write_bits(self, writer: Writer, bitmap: Bitmap) -> None:
        table = array("Q", bytes(8 * div_up(bitmap.bits, 8 * writer.size)))
        ones, nothing = b"\xff" * writer.size, bytes(writer.size)
        for index, part in sorted(bitmap.parts.items()):
            if part == ones:
                table[index] = ALL_ONES
            elif part != nothing:
                cluster = writer.refcounts.allocate(1)
                writer.refuse_overlap(cluster, 1)
                table[index] = cluster << writer.bits
                writer.storage.write(cluster << writer.bits, part)
        first = writer.refcounts.allocate(max(1, div_up(len(table) * 8, writer.size)))
        writer.storage.write(first << writer.bits, to_disk(table).ljust(8, b"\0"))
        bitmap.storage = writer.storage
        bitmap.table_offset, bitmap.table_size, bitmap.changed = first << writer.bits, len(table), False

    def _write_directory(self, writer: Writer) -> None:
        content = None
        if self.bitmaps:
            directory = b"".join(build_entry(bitmap, in_use=bitmap.inconsistent) for bitmap in self.bitmaps)
            if len(directory) > MAX_DIRECTORY_BYTES:
                raise OutOfBounds("the bitmap directory would become too large", path=self.node.filename)
            offset = writer.refcounts.allocate(div_up(len(directory), writer.size)) << writer.bits
            writer.storage.write(offset, directory)
            content = BITMAPS_EXTENSION.build(
                nb_bitmaps=len(self.bitmaps), directory_size=len(directory), directory_offset=offset
            )
        writer.write_back()
        writer.storage.flush()
        if content is None:
            self.header.autoclear &= ~head.BITMAPS_CONSISTENT
        else:
            self.header.autoclear |= head.BITMAPS_CONSISTENT
        self.header.set_extension(head.BITMAPS, content)
        writer.write_header()
        writer.storage.flush()
        self.extension = self._extension()
