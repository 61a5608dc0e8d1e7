"""VHDX, Hyper-V's disk image.

Specification: Microsoft's [MS-VHDX]. Fixed and dynamic images are read and written, differencing ones refused by name.

    header.py   headers, regions, metadata items      log.py      what has to be done again after a crash
    node.py     reading, writing, the check           create.py   new images
"""

from __future__ import annotations

from imgtools.block.format import Format, Option
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.format import Measure
    from imgtools.block.graph import Context
    from imgtools.block.node import Node, Storage


class Vhdx(Format):
    name = "vhdx"
    structures = "imgtools.formats.vhdx.explain"
    create_options = (
        Option("size", "size", "Virtual disk size; max of 64TB."),
        Option("log_size", "size", "Log size; min 1MB.", default=1 << 20),
        Option(
            "block_size",
            "size",
            "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.",
            default=0,
        ),
        Option(
            "subformat",
            "text",
            "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.",
        ),
        Option(
            "block_state_zero",
            "bool",
            "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using "
            "'qemu-img convert' with subformat=dynamic.",
        ),
    )

    def open(self, storage: Storage, context: Context) -> Node:
        from imgtools.formats.vhdx.node import open_vhdx

        return open_vhdx(storage, writable=context.writable)

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        from imgtools.formats.vhdx.create import create

        create(path, size, options, context)

    def measure(self, source: Node | None, size: int, options: dict[str, Any]) -> Measure:
        raise UnsupportedFeature(f"Block driver '{self.name}' does not support size measurement")


FORMAT = Vhdx()
