"""VMDK: VMware's disk images, and what QEMU, VirtualBox and ESX make of them.

Specification: VMware's "Virtual Disk Format 5.0". Start reading at `open` and `node`.
"""

from __future__ import annotations

from imgtools.block.format import Format, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Node, Storage
    from imgtools.block.references import Reference


class Vmdk(Format):
    name = "vmdk"
    supports_backing = True
    supports_compression = True
    structures = "imgtools.formats.vmdk.explain"
    shares_file_extents = False
    create_options = (
        Option("size", "size", "Virtual disk size"),
        Option(
            "adapter_type",
            "text",
            "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX",
        ),
        Option("backing_file", "text", "File name of a base image"),
        Option("backing_fmt", "text", "Must be 'vmdk' if present"),
        Option("compat6", "bool", "VMDK version 6 image", default=False),
        Option("hwversion", "text", "VMDK hardware version", default="undefined"),
        Option("toolsversion", "text", "VMware guest tools version"),
        Option(
            "subformat",
            "text",
            "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | "
            "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ",
        ),
        Option("zeroed_grain", "bool", "Enable efficient zero writes using the zeroed-grain GTE feature"),
    )

    def open(self, storage: Storage, context: Context) -> Node:
        from imgtools.formats.vmdk.open import open_vmdk

        return open_vmdk(storage, context)

    def references(self, storage: Storage) -> Iterable[Reference]:
        from imgtools.formats.vmdk.open import references

        return references(storage)

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        from imgtools.formats.vmdk.create import create

        create(path, size, options, context)


FORMAT = Vmdk()
