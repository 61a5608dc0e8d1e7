"""VHD, the disk image of Virtual PC and Hyper-V; QEMU calls it vpc.

Specification: Microsoft's "Virtual Hard Disk Image Format Specification". Fixed and dynamic images are read and
written; differencing ones are refused by name.

    header.py   footer and dynamic header, and how large the disk is        node.py     reading and writing
"""

from __future__ import annotations

from imgtools.block.format import Format, Option
from imgtools.errors import BadOption, OutOfBounds, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.format import Measure
    from imgtools.block.graph import Context
    from imgtools.block.node import Node, Storage

SUBFORMATS = ("dynamic", "fixed")
SIZE_FROM = ("current_size", "chs")


class Vpc(Format):
    name = "vpc"
    structures = "imgtools.formats.vpc.explain"
    open_options = (
        Option("force_size_calc", "text", "how large the disk is: current_size or chs; by its creator if not given"),
    )
    create_options = (
        Option("size", "size", "Virtual disk size"),
        Option(
            "subformat",
            "text",
            "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ",
        ),
        Option(
            "force_size",
            "bool",
            "Force disk size calculation to use the actual size specified, rather than using the nearest "
            "CHS-based calculation",
        ),
    )

    def open(self, storage: Storage, context: Context) -> Node:
        from imgtools.formats.vpc.header import parse
        from imgtools.formats.vpc.node import DynamicNode, FixedNode

        size_from = context.options.get("force_size_calc")
        if size_from is not None and size_from not in SIZE_FROM:
            raise BadOption(f"Invalid size calculation mode: '{size_from}'", path=storage.filename)
        header = parse(storage, size_from)
        kind = FixedNode if header.dynamic is None else DynamicNode
        return kind(storage, header, writable=context.writable)

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        from imgtools.formats.vpc import header as head

        subformat = options.get("subformat") or "dynamic"
        if subformat not in SUBFORMATS:
            raise BadOption(f"Parameter 'subformat' does not accept value '{subformat}'", path=path)
        exact, fixed = bool(options.get("force_size")), subformat == "fixed"
        sectors, geometry = head.choose_geometry(size, exact=exact)
        if sectors > head.MAX_SECTORS:
            raise OutOfBounds("The image size is too large for file format 'vpc'", path=path)
        footer = head.new_footer(sectors, geometry, fixed=fixed, exact=exact)
        with context.create_storage(path) as storage:
            if fixed:
                storage.truncate(sectors * head.SECTOR)
                storage.write(sectors * head.SECTOR, footer)
                return
            header = head.new_dynamic_header(sectors)
            table = b"\xff" * head.table_bytes(-(-sectors * head.SECTOR // head.BLOCK_SIZE))
            storage.writev(0, [footer, header, table])
            storage.write(len(footer) + len(header) + len(table), footer)

    def measure(self, source: Node | None, size: int, options: dict[str, Any]) -> Measure:
        raise UnsupportedFeature(f"Block driver '{self.name}' does not support size measurement")


FORMAT = Vpc()
