"""What is known about an image without reading its data.

    from imgtools.operations.info import info

    facts = info("disk.qcow2")
    print(facts.format, facts.virtual_size)

An image is only looked at: neither its backing file nor its data file is opened, marks that forbid its use
(dirty, corrupt) are reported and not obeyed, and another process may be writing to it if `share` is given.
"""

from __future__ import annotations

import os

from imgtools.block.gate import SAME_DIRECTORY, Gate, combine, has_protocol
from imgtools.block.graph import MAX_CHAIN_DEPTH, Context, open_tree
from imgtools.errors import CorruptImage, OutOfBounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.graph import Name
    from imgtools.block.node import Node

NANOSECONDS = 1_000_000_000


class SnapshotInfo:
    """One internal snapshot: when it was made, and the machine state kept with it."""

    def __init__(self, record: Any) -> None:
        self.id: str = record.id
        self.name: str = record.name
        self.vm_state_size: int = record.vm_state_size
        self.date_seconds: int = record.date_seconds
        self.date_nanoseconds: int = record.date_nanoseconds
        self.vm_clock_nanoseconds: int = record.vm_clock_nanoseconds
        icount = record.icount
        self.icount: int | None = None if icount == (1 << 64) - 1 else icount

    def as_dict(self) -> dict[str, Any]:
        """The fields under the names that JSON output gives them."""
        fields: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "vm-state-size": self.vm_state_size,
            "date-sec": self.date_seconds,
            "date-nsec": self.date_nanoseconds,
            "vm-clock-sec": self.vm_clock_nanoseconds // NANOSECONDS,
            "vm-clock-nsec": self.vm_clock_nanoseconds % NANOSECONDS,
        }
        return fields if self.icount is None else {**fields, "icount": self.icount}


class ImageInfo:
    """The facts about one image, as taken from an open node. Sizes are in bytes; None is "not known" or "none"."""

    def __init__(self, node: Node) -> None:
        self.filename = node.shown_name
        self.path = node.filename
        """The file's path, from which its backing file's name is seen."""
        self.format = node.driver
        self.virtual_size = node.size
        self.actual_size = node.allocated_size
        self.cluster_size: int | None = getattr(node, "cluster_size", None)
        self.encrypted: bool = getattr(node, "encrypted", False)
        self.dirty: bool = getattr(node, "dirty", False)
        self.backing_filename: str | None = getattr(node, "backing_name", None)
        self.backing_format: str | None = getattr(node, "backing_format", None)
        self.snapshots = [SnapshotInfo(record) for record in getattr(node, "snapshots", ())]
        self.format_specific = node.details()
        self.limits = node.limits()
        """What requests had better keep to, in bytes (see `Node.limits`)."""

    @property
    def full_backing_filename(self) -> str | None:
        """Where the backing file lies, seen from here."""
        name = self.backing_filename
        if not name or has_protocol(name):
            return name
        return combine(self.path, name)

    def as_dict(self) -> dict[str, Any]:
        """The fields that are known, under the names that JSON output gives them."""
        fields = {
            "filename": self.filename,
            "format": self.format,
            "virtual-size": self.virtual_size,
            "actual-size": self.actual_size,
            "cluster-size": self.cluster_size,
            "encrypted": self.encrypted or None,
            "dirty-flag": self.dirty,
            "backing-filename": self.backing_filename or None,
            "full-backing-filename": self.full_backing_filename or None,
            "backing-filename-format": self.backing_format or None,
            "snapshots": [snapshot.as_dict() for snapshot in self.snapshots] or None,
            "format-specific": {"type": self.format, "data": self.format_specific} if self.format_specific else None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def info(
    filename: Name,
    *,
    format: str | None = None,
    gate: Gate = SAME_DIRECTORY,
    share: bool = False,
    options: dict[str, Any] | None = None,
    objects: dict[str, Any] | None = None,
) -> ImageInfo:
    """The facts about the image at `filename`; `format` names its format (None looks at its first bytes)."""
    context = Context(gate=gate, share=share, backing=False, checking=True, options=options, objects=objects)
    with open_tree(filename, format, context) as node:
        return ImageInfo(node)


def info_chain(
    filename: Name,
    *,
    format: str | None = None,
    gate: Gate = SAME_DIRECTORY,
    share: bool = False,
    options: dict[str, Any] | None = None,
    objects: dict[str, Any] | None = None,
) -> Iterator[ImageInfo]:
    """The facts about an image and then each of its backing files in turn, as far down as the gate is open."""
    seen: set[str] = set()
    name: Name | None = filename
    while name:
        if not isinstance(name, dict):
            path = os.fspath(name)
            real = os.path.realpath(path)
            if real in seen:
                raise CorruptImage(f"Backing file '{path}' creates an infinite loop.", path=path)
            if len(seen) >= MAX_CHAIN_DEPTH:
                raise OutOfBounds(f"the backing chain is longer than {MAX_CHAIN_DEPTH} images", path=path)
            seen.add(real)
        facts = info(name, format=format, gate=gate, share=share, options=options, objects=objects)
        yield facts
        name, format, options = None, facts.backing_format, None
        if facts.backing_filename:
            name = gate.resolve(facts.path, facts.backing_filename, "backing file")
