"""imgtools: create, convert, check, serve and boot disk images.

    import imgtools

    with imgtools.open("disk.qcow2") as disk:
        boot_sector = disk.read(0, 512)
        for extent in disk.extents(0, disk.size):
            print(extent.start, extent.length, extent.kind)

`open` gives a `Node` with seven verbs: readinto, write, zero, discard, flush, extents, prefetch. What one does
with whole disks are functions: `create_image`, `info`, `info_chain`, `check`, `convert`, `map_`, `compare`,
`measure`, `resize`.

Nothing is imported before it is used: scripts start the command thousands of times.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.extent import Extent
    from imgtools.block.fileobj import BinaryFile
    from imgtools.block.gate import DENY, PERMISSIVE, SAME_DIRECTORY, Allow, Gate
    from imgtools.block.graph import open_image as open
    from imgtools.block.node import Node
    from imgtools.errors import ImageError
    from imgtools.operations.amend import amend
    from imgtools.operations.check import check
    from imgtools.operations.compare import compare
    from imgtools.operations.convert import convert
    from imgtools.operations.create import create_image
    from imgtools.operations.info import info, info_chain
    from imgtools.operations.map import map_
    from imgtools.operations.measure import measure
    from imgtools.operations.resize import resize

__version__ = "0.1.0"

_PLACES = {
    "Allow": "block.gate",
    "BinaryFile": "block.fileobj",
    "DENY": "block.gate",
    "Extent": "block.extent",
    "Gate": "block.gate",
    "ImageError": "errors",
    "Node": "block.node",
    "PERMISSIVE": "block.gate",
    "SAME_DIRECTORY": "block.gate",
    "amend": "operations.amend",
    "check": "operations.check",
    "compare": "operations.compare",
    "convert": "operations.convert",
    "create_image": "operations.create",
    "info": "operations.info",
    "info_chain": "operations.info",
    "map_": "operations.map",
    "measure": "operations.measure",
    "open": "block.graph",
    "resize": "operations.resize",
}
"""Public name to the module that has it."""

__all__ = [
    "DENY",
    "PERMISSIVE",
    "SAME_DIRECTORY",
    "Allow",
    "BinaryFile",
    "Extent",
    "Gate",
    "ImageError",
    "Node",
    "amend",
    "check",
    "compare",
    "convert",
    "create_image",
    "info",
    "info_chain",
    "map_",
    "measure",
    "open",
    "resize",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'imgtools' has no attribute {name!r}")
    module = __import__(f"imgtools.{_PLACES[name]}", fromlist=[name])
    value = globals()[name] = getattr(module, "open_image" if name == "open" else name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]
