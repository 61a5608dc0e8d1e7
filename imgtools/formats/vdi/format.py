"""The VDI format's card: its create options, opening and creating. New images have QEMU's layout."""

from __future__ import annotations

from array import array

from imgtools.align import round_up
from imgtools.block.format import Format, Measure, Option
from imgtools.errors import UnsupportedFeature
from imgtools.formats.tables import to_disk
from imgtools.formats.vdi.header import BLOCK_SIZE, MAX_DISK_SIZE, SECTOR, new_header
from imgtools.formats.vdi.node import VdiNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Node, Storage

MAP_PIECE = 1 << 18
"""Entries of a new block map that are written at once: 1 MiB."""


class Vdi(Format):
    name = "vdi"
    structures = "imgtools.formats.vdi.explain"
    create_options = (
        Option("size", "size", "Virtual disk size"),
        Option("static", "bool", "VDI static (pre-allocated) image", default=False),
    )

    def open(self, storage: Storage, context: Context) -> VdiNode:
        return VdiNode(storage, writable=context.writable, checking=context.checking)

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        """Write header and map; a static image gets all its blocks, as a hole (`preallocation` changes nothing)."""
        if size > MAX_DISK_SIZE:
            raise UnsupportedFeature(
                f"Unsupported VDI image size (size is {size:#x}, max supported is {MAX_DISK_SIZE:#x})", path=path
            )
        static = bool(options.get("static"))
        blocks = -(-size // BLOCK_SIZE)
        with context.create_storage(path) as storage:
            storage.write(0, new_header(size, static=static))
            for first in range(0, blocks, MAP_PIECE):
                count = min(MAP_PIECE, blocks - first)
                entries = (
                    to_disk(array("I", range(first, first + count)), big=False) if static else b"\xff" * (4 * count)
                )
                storage.write(SECTOR + 4 * first, entries)
            end_of_map = SECTOR + round_up(4 * blocks, SECTOR)
            storage.truncate(end_of_map + blocks * BLOCK_SIZE if static else end_of_map)

    def measure(self, source: Node | None, size: int, options: dict[str, Any]) -> Measure:
        raise UnsupportedFeature(f"Block driver '{self.name}' does not support size measurement")


FORMAT = Vdi()
