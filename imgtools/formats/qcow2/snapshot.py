"""The snapshot table. What is done with snapshots is in `snapshots`.

Specification: qcow2, "Snapshots". Entries of variable length, each aligned to 8 bytes: a fixed part, extra data
(64-bit sizes of the VM state and the disk, the instruction count), an ID and a name.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.errors import CorruptImage, ImageError, OutOfBounds
from imgtools.formats.qcow2.header import MAX_L1_BYTES
from imgtools.formats.qcow2.records import SNAPSHOT, SNAPSHOT_EXTRA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from imgtools.block.node import Storage
    from imgtools.formats.qcow2.header import Header

MAX_EXTRA = 1024
"""QEMU's limit on extra data; 16 or 24 bytes are in use."""
MAX_TABLE_BYTES = 64 << 20
"""QEMU's limit: room for all 65536 snapshots with the longest names that it makes."""
MAX_NAME = 255
"""Bytes of a name or an ID that QEMU takes in; it cuts off longer ones."""


class Snapshot:
    """One internal snapshot; sizes in bytes, the date in seconds and nanoseconds, the VM clock in nanoseconds."""

    def __init__(self, fields: dict[str, int], id: bytes, name: bytes, extra: bytes) -> None:
        self.raw_id = id
        self.raw_name = name
        self.l1_table_offset = fields["l1_table_offset"]
        self.l1_size = fields["l1_size"]
        self.date_seconds = fields["date_seconds"]
        self.date_nanoseconds = fields["date_nanoseconds"]
        self.vm_clock_nanoseconds = fields["vm_clock_nanoseconds"]
        self.vm_state_size = fields["vm_state_size"]
        self.disk_size: int | None = None
        """The disk's size when the snapshot was made; None where an old writer did not note it."""
        self.icount: int | None = None
        if len(extra) >= 8:
            self.vm_state_size = int.from_bytes(extra[:8], "big")
        if len(extra) >= SNAPSHOT_EXTRA.size:
            self.disk_size = SNAPSHOT_EXTRA.parse(extra).disk_size
        if len(extra) >= SNAPSHOT_EXTRA.size + 8:
            self.icount = int.from_bytes(extra[SNAPSHOT_EXTRA.size : SNAPSHOT_EXTRA.size + 8], "big")
        self.extra = extra
        """All extra data as it stands on disk: what is not known in it is kept."""

    @property
    def id(self) -> str:
        return self.raw_id.decode(errors="surrogateescape")

    @property
    def name(self) -> str:
        return self.raw_name.decode(errors="surrogateescape")

    @property
    def length(self) -> int:
        """Bytes that the entry takes in the table, its padding included."""
        return round_up(SNAPSHOT.size + len(self.extra) + len(self.raw_id) + len(self.raw_name), 8)

    @property
    def padding(self) -> int:
        """How many of these bytes are padding."""
        return self.length - SNAPSHOT.size - len(self.extra) - len(self.raw_id) - len(self.raw_name)

    def build(self) -> bytes:
        """The entry as it stands in the table."""
        fixed = SNAPSHOT.build(
            l1_table_offset=self.l1_table_offset,
            l1_size=self.l1_size,
            id_size=len(self.raw_id),
            name_size=len(self.raw_name),
            date_seconds=self.date_seconds,
            date_nanoseconds=self.date_nanoseconds,
            vm_clock_nanoseconds=self.vm_clock_nanoseconds,
            vm_state_size=self.vm_state_size if self.vm_state_size < 1 << 32 else 0,
            extra_data_size=len(self.extra),
        )
        return (fixed + self.extra + self.raw_id + self.raw_name).ljust(self.length, b"\0")

    def __repr__(self) -> str:
        return f"<Snapshot {self.id!r} {self.name!r}>"


def read_snapshots(storage: Storage, header: Header) -> list[Snapshot]:
    """The snapshot table of an image. Raises CorruptImage or OutOfBounds where it breaks its own rules."""
    found = []
    offset = header.snapshots_offset
    for _ in range(header.nb_snapshots):
        snapshot = _read_snapshot(storage, header, offset)
        found.append(snapshot)
        offset += snapshot.length
        if offset - header.snapshots_offset > MAX_TABLE_BYTES:
            raise OutOfBounds("Snapshot table is too large", path=storage.filename, structure="snapshot table")
    return found


def _read_snapshot(storage: Storage, header: Header, offset: int) -> Snapshot:
    def refuse(kind: type[ImageError], message: str) -> NoReturn:
        raise kind(message, path=storage.filename, offset=offset, structure="snapshot table")

    start = storage.read(offset, SNAPSHOT.size)
    if len(start) < SNAPSHOT.size:
        refuse(CorruptImage, "Failed to read snapshot table entry")
    fields = vars(SNAPSHOT.parse(start))
    extra_size, tail = fields["extra_data_size"], fields["id_size"] + fields["name_size"]
    if extra_size > MAX_EXTRA:
        refuse(OutOfBounds, "Too much extra metadata in snapshot table entry")
    if fields["l1_size"] * 8 > MAX_L1_BYTES or fields["l1_table_offset"] % header.cluster_size:
        refuse(CorruptImage, "Snapshot L1 table offset invalid or table too large")
    content = storage.read(offset + SNAPSHOT.size, extra_size + tail)
    if len(content) < extra_size + tail:
        refuse(CorruptImage, "Failed to read snapshot table entry")
    names = content[extra_size:]
    return Snapshot(fields, names[: fields["id_size"]], names[fields["id_size"] :], content[:extra_size])
