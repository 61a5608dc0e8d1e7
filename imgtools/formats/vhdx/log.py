"""VHDX's log: changes to metadata that were written down before they were made, and may have to be made again.

[MS-VHDX] 2.3. The log is a ring of entries. The last complete series of them, told by sequence numbers, checksums and
the GUID in the header, is replayed from the entry that its newest one calls the tail.
"""

from __future__ import annotations

from imgtools.errors import CorruptImage, ImageError
from imgtools.formats.vhdx.checksum import is_sealed
from imgtools.formats.vhdx.records import DATA_DESCRIPTOR, LOG_ENTRY, ZERO_DESCRIPTOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

SECTOR = 4096
MAX_LOG = 64 << 20
"""Bytes of a log that are read; QEMU and Hyper-V write 1 MiB."""
MAX_ZEROES = 1 << 32
"""Bytes that one descriptor may ask to be zeroed: more than any table of metadata has."""


class Entry:
    """One entry of the log: its header, and where in the ring it begins."""

    def __init__(self, header: Any, position: int, content: bytes) -> None:
        self.header = header
        self.position = position
        self.content = content


def active_entries(storage: Storage, header: Any) -> list[Entry]:
    """The entries to replay, in order. Raises CorruptImage where a log that is not empty has none."""
    length, path = header.log_length, storage.filename
    if not length or length > MAX_LOG or header.log_offset + length > storage.size:
        raise CorruptImage(
            f"the log of {length} bytes is not in the file, or larger than {MAX_LOG}", path=path, structure="log"
        )
    ring = storage.read(header.log_offset, length)
    entries = {}
    for position in range(0, length, SECTOR):
        entry = _entry_at(ring, position, header.log_guid)
        if entry is not None:
            entries[position] = entry
    best: list[Entry] = []
    for start in entries.values():
        series = _series(entries, start, length)
        newest = series[-1].header
        if best and newest.sequence_number <= best[-1].header.sequence_number:
            continue
        first = next((index for index, entry in enumerate(series) if entry.position == newest.tail), None)
        if first is not None:
            best = series[first:]
    if not best:
        raise CorruptImage("the log is not empty, but holds no complete series of entries", path=path, structure="log")
    return best


def _entry_at(ring: bytes, position: int, guid: bytes) -> Entry | None:
    if ring[position : position + 4] != b"loge":
        return None
    header = LOG_ENTRY.parse(ring, position)
    length = header.entry_length
    if header.log_guid != guid or not length or length % SECTOR or length > len(ring) or not header.sequence_number:
        return None
    content = (ring[position:] + ring[:position])[:length]
    if LOG_ENTRY.size + header.descriptor_count * DATA_DESCRIPTOR.size > length or not is_sealed(content):
        return None
    return Entry(header, position, content)


def _series(entries: dict[int, Entry], start: Entry, length: int) -> list[Entry]:
    """The entries from `start` on that follow each other in place and number."""
    series = [start]
    while len(series) < len(entries):
        last = series[-1]
        following = entries.get((last.position + last.header.entry_length) % length)
        if following is None or following.header.sequence_number != last.header.sequence_number + 1:
            break
        series.append(following)
    return series


def replay(storage: Storage, entries: list[Entry]) -> None:
    """Make the changes of `entries` to `storage`, and flush them."""
    for entry in entries:
        header, content = entry.header, entry.content
        if storage.size < header.flushed_file_offset:
            raise CorruptImage("the file is shorter than its log says", path=storage.filename, structure="log")
        data = -(-(LOG_ENTRY.size + header.descriptor_count * DATA_DESCRIPTOR.size) // SECTOR) * SECTOR
        try:
            for index in range(header.descriptor_count):
                data = _apply(storage, header, content, LOG_ENTRY.size + index * DATA_DESCRIPTOR.size, data)
        except ImageError as error:
            error.message = f"the log cannot be replayed: {error.message}"
            raise
        if storage.size < header.last_file_offset <= storage.size + MAX_ZEROES:
            storage.truncate(header.last_file_offset)
    storage.flush()


def _apply(storage: Storage, header: Any, content: bytes, place: int, data: int) -> int:
    """Make the change of one descriptor; where the data of the next one begins."""
    kind = content[place : place + 4]
    if kind == b"zero":
        zeroes = ZERO_DESCRIPTOR.parse(content, place)
        if zeroes.zero_length > MAX_ZEROES or zeroes.file_offset + zeroes.zero_length > storage.size:
            raise CorruptImage("zeroes outside of the file", path=storage.filename, structure="log")
        storage.zero(zeroes.file_offset, zeroes.zero_length)
        return data
    descriptor = DATA_DESCRIPTOR.parse(content, place)
    sector = content[data : data + SECTOR]
    if (
        kind != b"desc"
        or descriptor.sequence_number != header.sequence_number
        or len(sector) < SECTOR
        or not sector.startswith(b"data")
        or sector[-4:] + sector[4:8] != header.sequence_number.to_bytes(8, "little")
    ):
        raise CorruptImage("a descriptor and its data do not belong together", path=storage.filename, structure="log")
    if descriptor.file_offset % SECTOR or descriptor.file_offset + SECTOR > storage.size + MAX_ZEROES:
        raise CorruptImage("a sector that lies outside of the file", path=storage.filename, structure="log")
    storage.write(descriptor.file_offset, descriptor.leading_bytes + sector[8:-4] + descriptor.trailing_bytes)
    return data + SECTOR
