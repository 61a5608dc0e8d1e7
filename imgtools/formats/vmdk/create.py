"""Making new VMDKs, byte for byte as QEMU lays them out.

A sparse extent is header, embedded descriptor (monolithic ones), redundant directory and tables, directory and
tables, then grains from the next multiple of a grain on. Disks of several files are cut into 2 GiB.
"""

from __future__ import annotations

import os
from array import array

from imgtools.align import round_up
from imgtools.block.gate import combine, has_protocol
from imgtools.block.graph import Context, open_tree
from imgtools.errors import BadOption
from imgtools.formats.tables import to_disk
from imgtools.formats.vmdk.descriptor import NO_PARENT, build
from imgtools.formats.vmdk.extents import SECTOR
from imgtools.formats.vmdk.grains import MAX_DIRECTORY_ENTRIES
from imgtools.formats.vmdk.header import DESCRIPTOR_SECTORS, Geometry
from imgtools.formats.vmdk.node import new_cid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Storage

SPLIT_SIZE = 2 << 30
SUBFORMATS = ("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized")
ADAPTER_TYPES = ("ide", "buslogic", "lsilogic", "legacyESX")


def create(path: str, size: int, options: dict[str, Any], context: Context) -> None:
    """Make an empty disk of `size` bytes at `path`, and its further files beside it."""
    size = round_up(size, SECTOR)
    subformat = _choice(options, "subformat", SUBFORMATS, path)
    adapter_type = _choice(options, "adapter_type", ADAPTER_TYPES, path)
    flat, split = subformat.endswith("Flat"), subformat.startswith("twoGb")
    parent = options.get("backing_file")
    hardware_version = _hardware_version(options, path)
    _refuse_combinations(path, flat, split, parent, options)
    parent_cid = _parent_cid(path, parent, context) if parent else NO_PARENT

    descriptor_file = context.create_storage(path)
    with descriptor_file:
        extents = []
        if flat or split:
            for number, start in enumerate(range(0, size, SPLIT_SIZE if split else max(size, 1)), 1):
                length = min(size - start, SPLIT_SIZE if split else size)
                name = _extent_path(path, number, flat=flat, split=split)
                with context.create_storage(name) as file:
                    _make_extent(file, length, flat, options, compressed=False)
                extents.append((length // SECTOR, os.path.basename(name)))
        else:
            _make_extent(descriptor_file, size, False, options, compressed=subformat == "streamOptimized")
            extents.append((size // SECTOR, os.path.basename(path)))
        text = build(
            create_type=subformat,
            extents=extents,
            size=size,
            cid=new_cid(),
            parent_cid=parent_cid,
            parent=parent,
            adapter_type=adapter_type,
            hardware_version=hardware_version,
            tools_version=options.get("toolsversion") or "2147483647",
        )
        if flat or split:
            descriptor_file.write(0, text)
            return
        if len(text) > DESCRIPTOR_SECTORS * SECTOR:
            raise BadOption("the descriptor is too long: its options leave no room", path=path)
        descriptor_file.write(SECTOR, text)


def _choice(options: dict[str, Any], name: str, choices: tuple[str, ...], path: str) -> str:
    value = str(options.get(name) or choices[0])
    if value not in choices:
        raise BadOption(f"invalid parameter value: {value}", path=path, hint=f"{name} is one of: {', '.join(choices)}.")
    return value


def _hardware_version(options: dict[str, Any], path: str) -> str:
    version = options.get("hwversion")
    given = None if version in (None, "undefined") else str(version)
    if options.get("compat6"):
        if given is not None:
            raise BadOption("compat6 cannot be enabled with hwversion set", path=path)
        return "6"
    return "4" if given is None else given


def _refuse_combinations(path: str, flat: bool, split: bool, parent: str | None, options: dict[str, Any]) -> None:
    if options.get("backing_fmt") not in (None, "vmdk"):
        raise BadOption("backing_file must be a vmdk image", path=path)
    if flat and parent:
        raise BadOption("Flat image can't have backing file", path=path)
    if flat and options.get("zeroed_grain"):
        raise BadOption("Flat image can't enable zeroed grain", path=path)
    if '"' in (parent or "") or ((flat or split) and '"' in path):
        raise BadOption("a VMDK descriptor cannot name files with quotation marks in their names", path=path)


def _parent_cid(path: str, parent: str, context: Context) -> int:
    """The content ID of the disk that the new one is to be a child of."""
    name = parent if has_protocol(parent) else combine(path, parent)
    alone = Context(gate=context.gate, backing=False, cache=context.cache, share=context.share, warn=context.warn)
    with open_tree(name, None, alone) as below:
        if below.driver != "vmdk":
            raise BadOption(f"Invalid backing file format: {below.driver}. Must be vmdk", path=path)
        cid = getattr(below, "cid", None)
        if cid is None:
            raise BadOption("Failed to read parent CID", path=path)
        return int(cid)


def _extent_path(path: str, number: int, *, flat: bool, split: bool) -> str:
    """The file of an extent: disk-flat.vmdk, disk-f001.vmdk or disk-s001.vmdk beside disk.vmdk."""
    directory, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    part = f"{'f' if flat else 's'}{number:03d}" if split else "flat"
    return f"{directory}{slash}{stem}-{part}{dot}{suffix}"


def _make_extent(storage: Storage, size: int, flat: bool, options: dict[str, Any], *, compressed: bool) -> None:
    if flat:
        storage.truncate(size)
        if options.get("preallocation") == "falloc" and size:
            storage.allocate(0, size)
        elif options.get("preallocation") == "full":
            storage.zero(0, size, unmap=False)
        return
    geometry = Geometry(size // SECTOR)
    if geometry.tables > MAX_DIRECTORY_ENTRIES:
        raise BadOption(
            "the disk is too large for a VMDK",
            path=storage.filename,
            hint="A sparse extent has up to 256 TiB; twoGbMaxExtentSparse makes many of 2 GiB.",
        )
    storage.write(0, geometry.header(compressed=compressed, zeroed_grains=bool(options.get("zeroed_grain"))))
    storage.truncate(geometry.overhead * SECTOR)
    for directory in (geometry.rgd_offset, geometry.gd_offset):
        storage.write(directory * SECTOR, to_disk(array("I", geometry.table_places(directory)), big=False))
