"""Opening a VMDK: from its first file to a node with all its extents.

The first file is a descriptor, or a sparse extent with the descriptor inside. Every further file goes through
the gate, and each is opened once however often the descriptor names it. What cannot be opened is refused by name.
"""

from __future__ import annotations

import os

from imgtools.errors import CorruptImage, InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.vmdk.descriptor import MAX_DESCRIPTOR, Descriptor
from imgtools.formats.vmdk.extents import SECTOR, DiskExtent, FlatExtent, ZeroExtent
from imgtools.formats.vmdk.header import DEFLATE, MAGIC, read_header
from imgtools.formats.vmdk.node import StreamNode, VmdkNode
from imgtools.formats.vmdk.sparse import SparseExtent
from imgtools.sizes import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.graph import Context
    from imgtools.block.node import Storage
    from imgtools.block.references import Reference
    from imgtools.formats.vmdk.descriptor import ExtentLine

COWD_MAGIC = b"COWD"
SPLIT_TYPES = (
    "monolithicFlat",
    "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat",
    "vmfs",
    "vmfsSparse",
    "vmfsThin",
    "seSparse",
    "custom",
)
"""Subformats whose descriptor names further files. What names devices (fullDevice, partitionedDevice, vmfsRaw,
vmfsRDM ...) is not among them: a device of the host is no disk image."""
EMPTY_TYPES = ("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat")
"""Subformats that name no file at all when the disk is empty."""
ENCRYPTED = "encryption."
"""How the descriptor fields of an encrypted disk begin."""


def open_vmdk(storage: Storage, context: Context) -> VmdkNode:
    """The disk whose first file is `storage`."""
    extents: list[DiskExtent] = []
    try:
        node = _open(storage, context, extents)
        if node.backing_name and context.backing:
            node.children["backing"] = context.open_backing(storage.filename, node.backing_name, "vmdk", node)
        return node
    except BaseException:
        for extent in extents:
            if extent.storage is not None and extent.storage is not storage:
                extent.storage.close()
        raise


def _open(storage: Storage, context: Context, extents: list[DiskExtent]) -> VmdkNode:
    head = storage.read(0, SECTOR)
    if head.startswith(COWD_MAGIC):
        from imgtools.formats.vmdk.esx import CowdExtent

        extents.append(_read_only(CowdExtent(storage), context, "vmfsSparse"))
        return VmdkNode(storage, None, "vmfsSparse", extents)
    if head.startswith(MAGIC):
        header = read_header(storage, writable=context.writable)
        descriptor = read_descriptor(storage, header.descriptor_offset, header.descriptor_size)
        if header.capacity or descriptor.create_type not in SPLIT_TYPES:
            extents.append(_sparse_extent(storage, header))
            compressed = extents[0].compressed
            kind = StreamNode if compressed else VmdkNode
            return kind(storage, descriptor, "streamOptimized" if compressed else "monolithicSparse", extents)
    else:
        if storage.size > MAX_DESCRIPTOR:
            raise OutOfBounds(
                f"a VMDK descriptor of {storage.size} bytes is not read: at most {MAX_DESCRIPTOR}",
                path=storage.filename,
            )
        descriptor = Descriptor(storage.read(0, storage.size), storage.filename)
    _open_extents(storage, descriptor, context, extents)
    compressed = any(extent.compressed for extent in extents)
    if compressed and all(extent.compressed for extent in extents):
        return StreamNode(storage, descriptor, "streamOptimized", extents)
    return VmdkNode(storage, descriptor, "streamOptimized" if compressed else descriptor.create_type, extents)


def references(storage: Storage) -> Iterator[Reference]:
    """The parent and the extents that the image names; where in its file the names are."""
    from imgtools.block.references import Reference

    head = storage.read(0, SECTOR)
    if head.startswith(COWD_MAGIC):
        return
    if head.startswith(MAGIC):
        header = read_header(storage, writable=False)
        descriptor = read_descriptor(storage, header.descriptor_offset, header.descriptor_size)
        embedded = bool(header.capacity)
    else:
        descriptor, embedded = Descriptor(storage.read(0, MAX_DESCRIPTOR), storage.filename), False
    names = [("backing file", descriptor.parent)]
    if not embedded:
        names += [("extent", line.name) for line in descriptor.extents()]
    for role, name in names:
        if name:
            offset = descriptor.raw.find(os.fsencode(name))
            yield Reference(role, name, descriptor.base + offset if offset >= 0 else None)


def read_descriptor(storage: Storage, sector: int, sectors: int) -> Descriptor:
    """The descriptor that is embedded in a sparse extent."""
    start, length = sector * SECTOR, sectors * SECTOR
    if not sector or not sectors or start + length > storage.size or length > MAX_DESCRIPTOR:
        raise CorruptImage(
            f"the embedded descriptor ({sectors} sectors at sector {sector}) is missing or outside of the file",
            path=storage.filename,
            offset=start,
            structure="header",
        )
    descriptor = Descriptor(storage.read(start, length), storage.filename, start)
    _refuse_encryption(descriptor)
    return descriptor


def _refuse_encryption(descriptor: Descriptor) -> None:
    if any(key.startswith(ENCRYPTED) for key in descriptor.fields):
        raise UnsupportedFeature("encrypted VMDKs are not supported", path=descriptor.path, structure="descriptor")


def _open_extents(storage: Storage, descriptor: Descriptor, context: Context, extents: list[DiskExtent]) -> None:
    """Open the files that a descriptor names, appending to `extents`, which the caller closes on failure."""
    path = storage.filename
    _refuse_encryption(descriptor)
    if descriptor.create_type not in SPLIT_TYPES:
        raise UnsupportedFeature(
            f"Unsupported image type '{descriptor.create_type[:80]}'",
            path=path,
            structure="descriptor",
            hint=f"Disks of several files can be: {', '.join(SPLIT_TYPES)}.",
        )
    opened: dict[str, Storage] = {}
    total = 0
    for line in descriptor.extents():
        if not line.sectors:
            continue
        total += line.sectors
        if total * SECTOR > LARGEST:
            raise OutOfBounds("the extents add up to more than 8 EiB", path=path, structure="descriptor")
        extents.append(_open_extent(storage, line, context, opened))
    if not extents and descriptor.create_type not in EMPTY_TYPES:
        raise InvalidFormat("the descriptor names no extents", path=path, structure="descriptor")


def _open_extent(storage: Storage, line: ExtentLine, context: Context, opened: dict[str, Storage]) -> DiskExtent:
    if line.access == "NOACCESS":
        raise UnsupportedFeature("extents with NOACCESS are not supported", path=storage.filename)
    extent: DiskExtent
    if line.name is None:
        return ZeroExtent(line.sectors * SECTOR)
    file = opened.get(line.name)
    if file is None:
        file = context.open_reference(storage.filename, line.name, "extent")
        opened[line.name] = file
    try:
        if os.path.realpath(file.filename) == os.path.realpath(storage.filename):
            raise CorruptImage("the descriptor names itself as an extent", path=storage.filename)
        extent = _extent_in(file, line, context)
    except BaseException:
        file.close()
        raise
    extent.kind = line.kind
    extent.writable = extent.writable and line.access == "RW"
    return extent


def _extent_in(file: Storage, line: ExtentLine, context: Context) -> DiskExtent:
    if line.kind in ("FLAT", "VMFS"):
        return FlatExtent(file, (line.offset or 0) * SECTOR, line.sectors * SECTOR)
    if line.kind == "SESPARSE":
        from imgtools.formats.vmdk.esx import SeSparseExtent

        return _read_only(SeSparseExtent(file), context, "seSparse")
    magic = file.read(0, 4)
    if magic == COWD_MAGIC:
        from imgtools.formats.vmdk.esx import CowdExtent

        return _read_only(CowdExtent(file), context, "vmfsSparse")
    if magic != MAGIC:
        raise InvalidFormat("Image not in VMDK format", path=file.filename, structure="header")
    return _sparse_extent(file, read_header(file, writable=context.writable))


def _read_only(extent: DiskExtent, context: Context, name: str) -> DiskExtent:
    if context.writable:
        raise UnsupportedFeature(f"No write support for {name} images available", path=extent.path)
    return extent


def _sparse_extent(storage: Storage, header: object) -> SparseExtent:
    if getattr(header, "compress_algorithm", 0) == DEFLATE:
        from imgtools.formats.vmdk.stream import StreamExtent

        return StreamExtent(storage, header)
    return SparseExtent(storage, header)
