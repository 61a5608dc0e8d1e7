"""The snapshot table.

Specification: qcow2, "Snapshots". Entries of variable length, each aligned to 8 bytes: a fixed part, extra data
(64-bit sizes of the VM state and the disk), an ID and a name.
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.errors import CorruptImage, OutOfBounds
from imgtools.formats.qcow2.header import MAX_L1_BYTES
from imgtools.formats.qcow2.records import SNAPSHOT, SNAPSHOT_EXTRA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Storage
    from imgtools.formats.qcow2.header import Header

MAX_EXTRA = 1024
"""QEMU's limit on extra data; 16 or 24 bytes are in use."""
MAX_TABLE_BYTES = 64 << 20


class Snapshot:
    """One internal snapshot; sizes in bytes, the date in seconds and nanoseconds, the VM clock in nanoseconds."""

    def __init__(self, fields: dict[str, int], id: str, name: str, extra: bytes, length: int) -> None:
        self.id = id
        self.name = name
        self.l1_table_offset = fields["l1_table_offset"]
        self.l1_size = fields["l1_size"]
        self.date_seconds = fields["date_seconds"]
        self.date_nanoseconds = fields["date_nanoseconds"]
        self.vm_clock_nanoseconds = fields["vm_clock_nanoseconds"]
        self.vm_state_size = fields["vm_state_size"]
        self.disk_size: int | None = None
        self.icount: int | None = None
        if len(extra) >= 8:
            self.vm_state_size = int.from_bytes(extra[:8], "big")
        if len(extra) >= SNAPSHOT_EXTRA.size:
            self.disk_size = SNAPSHOT_EXTRA.parse(extra).disk_size
        if len(extra) >= SNAPSHOT_EXTRA.size + 8:
            self.icount = int.from_bytes(extra[SNAPSHOT_EXTRA.size : SNAPSHOT_EXTRA.size + 8], "big")
        self.extra = extra
        self.length = length
        """Bytes that the entry takes in the table, its padding included."""


def read_snapshots(storage: Storage, header: Header) -> list[Snapshot]:
    """The snapshot table of an image. Raises CorruptImage or OutOfBounds where it breaks its own rules."""
    found = []
    offset = header.snapshots_offset
    for _ in range(header.nb_snapshots):
        head = storage.read(offset, SNAPSHOT.size)
        if len(head) < SNAPSHOT.size:
            raise CorruptImage(
                "Failed to read snapshot table entry", path=storage.filename, offset=offset, structure="snapshot table"
            )
        fields = vars(SNAPSHOT.parse(head))
        extra_size, tail = fields["extra_data_size"], fields["id_size"] + fields["name_size"]
        if extra_size > MAX_EXTRA:
            raise OutOfBounds(
                "Too much extra metadata in snapshot table entry",
                path=storage.filename,
                offset=offset,
                structure="snapshot table",
            )
        if fields["l1_size"] * 8 > MAX_L1_BYTES or fields["l1_table_offset"] % header.cluster_size:
            raise CorruptImage(
                "Snapshot L1 table offset invalid or table too large",
                path=storage.filename,
                offset=offset,
                structure="snapshot table",
            )
        content = storage.read(offset + SNAPSHOT.size, extra_size + tail)
        extra, names = content[:extra_size], content[extra_size:]
        id_ = names[: fields["id_size"]].decode(errors="replace")
        name = names[fields["id_size"] :].decode(errors="replace")
        length = round_up(SNAPSHOT.size + extra_size + tail, 8)
        found.append(Snapshot(fields, id_, name, extra, length))
        offset += length
        if offset - header.snapshots_offset > MAX_TABLE_BYTES:
            raise OutOfBounds("Snapshot table is too large", path=storage.filename, structure="snapshot table")
    return found
