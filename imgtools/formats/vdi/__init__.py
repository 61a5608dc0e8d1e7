"""VDI, the disk image of VirtualBox.

A header of 512 bytes, an array with one number for each block of the disk (1 MiB each), and the blocks. There
are dynamic images, whose blocks are added as they are written, and static ones, which have them all.

    header.py    the header and what it must hold          blockmap.py  which block lies where
    node.py      reading and writing                       check.py     the check and its repair
    format.py    the format's card, and creation

Specification: there is none in public; the layout is that of VirtualBox's VDICore.h, as QEMU reads it.
"""

from imgtools.formats.vdi.format import FORMAT

__all__ = ["FORMAT"]
