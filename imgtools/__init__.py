"""imgtools: create, convert, check, serve and boot disk images.

    import imgtools

    with imgtools.open("disk.qcow2") as disk:
        boot_sector = disk.read(0, 512)
        for extent in disk.extents(0, disk.size):
            print(extent.start, extent.length, extent.kind)

`open` gives a `Node` with seven verbs: readinto, write, zero, discard, flush, extents, prefetch.
"""

from imgtools.block.extent import Extent
from imgtools.block.gate import DENY, PERMISSIVE, SAME_DIRECTORY, Allow, Gate
from imgtools.block.graph import open_image as open
from imgtools.block.node import Node
from imgtools.errors import ImageError

__version__ = "0.1.0"
__all__ = ["DENY", "PERMISSIVE", "SAME_DIRECTORY", "Allow", "Extent", "Gate", "ImageError", "Node", "open"]
