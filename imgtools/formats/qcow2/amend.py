"""Changing what was chosen when an image was made: version, width of counts, data file, size.

All that is asked for is checked before anything is changed. The size changes first, as `resize` does it; then what
takes time is prepared behind what the header refers to (zero clusters written out for version 2, counts of another
width); last, one header takes the place of the other. A cut leaves the image as before, as after, or resized.
"""

from __future__ import annotations

import copy
from array import array

from imgtools.align import is_power_of_two
from imgtools.block.extent import ZERO
from imgtools.errors import BadOption, UnsupportedFeature
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.create import VERSIONS
from imgtools.formats.qcow2.mapping import COMPRESSED, OFFSET_MASK, ZERO_FLAG, read_table
from imgtools.formats.qcow2.refcount_width import Rewidening
from imgtools.formats.qcow2.resize import resize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from imgtools.formats.qcow2.header import Header
    from imgtools.formats.qcow2.node import Qcow2Node
    from imgtools.formats.qcow2.snapshot import Snapshot

SECTOR = 512
CHUNK = 1 << 20
"""Bytes of zeroes that are written at a time."""


def amend(
    node: Qcow2Node, options: dict[str, Any], progress: Callable[[int, int], None], *, force: bool = False
) -> None:
    """Change the options that are given, by name. Raises before anything is changed where they do not go together."""
    writer = node.writer
    wanted = _wanted_header(node, options)
    _amend_key_slots(node, options, force)
    downgrade = wanted.version < node.header.version
    if downgrade:
        _refuse_to_downgrade(node)
    progress(0, 1)
    if options.get("size") is not None:
        resize(node, options["size"], "off")
        wanted.size, wanted.l1_size = node.header.size, node.header.l1_size
        wanted.l1_table_offset = node.header.l1_table_offset
    if downgrade:
        _write_zeroes_out(node)
    writer.settle()
    wanted.incompatible &= ~head.DIRTY
    wanted.refcount_table_offset = node.header.refcount_table_offset
    wanted.refcount_table_clusters = node.header.refcount_table_clusters
    if wanted.refcount_order != node.header.refcount_order:
        rewidening = Rewidening(writer, wanted.refcount_order)
        wanted.refcount_table_offset, wanted.refcount_table_clusters = rewidening.write(progress)
    replace_header(node, wanted)
    progress(1, 1)


def _wanted_header(node: Qcow2Node, options: dict[str, Any]) -> Header:
    """The header that the options ask for."""
    given = {name: value for name, value in options.items() if value is not None}
    header = copy.deepcopy(node.header)
    _set_version(header, given.get("compat"))
    _refuse_other_backing(node, given)
    _set_lazy(header, given.get("lazy_refcounts"))
    _set_width(header, given.get("refcount_bits"))
    _set_data_file(header, given.get("data_file"), given.get("data_file_raw"))
    header.build()  # raises where it does not fit
    return header


def _amend_key_slots(node: Qcow2Node, options: dict[str, Any], force: bool) -> None:
    """Add or erase a passphrase: one change, which stands before all others begin."""
    from imgtools.crypto.luks.options import given_below

    given = given_below(options, "encrypt.")
    if not given:
        return
    if not node.encrypted:
        raise UnsupportedFeature("Can't amend encryption options - encryption not present", path=node.filename)
    if node.volume is None:
        raise UnsupportedFeature("Only LUKS encryption options can be amended", path=node.filename)
    node.volume.amend(given, node.context.objects, force=force)
    node.storage.flush()


def _set_version(header: Header, compat: str | None) -> None:
    if compat is None:
        return
    if compat not in VERSIONS:
        raise BadOption(f"Unknown compatibility level {compat}")
    header.version = VERSIONS[compat]


def _refuse_other_backing(node: Qcow2Node, given: dict[str, Any]) -> None:
    for name, current in (("backing_file", node.backing_name), ("backing_fmt", node.backing_format)):
        if name in given and given[name] != current:
            raise BadOption("Cannot amend the backing file", hint="You can use 'qemu-img rebase' instead.")


def _set_lazy(header: Header, lazy: bool | None) -> None:
    if lazy and header.version < 3:
        raise BadOption(
            "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)"
        )
    if lazy is not None:
        header.compatible = header.compatible & ~head.LAZY_REFCOUNTS | (head.LAZY_REFCOUNTS if lazy else 0)


def _set_width(header: Header, bits: int | None) -> None:
    if bits is not None:
        if not is_power_of_two(bits) or bits > 64:
            raise BadOption("Refcount width must be a power of two and may not exceed 64 bits")
        if header.version < 3 and bits != 16:
            raise BadOption(
                "Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or "
                "greater)"
            )
        header.refcount_order = bits.bit_length() - 1
    elif header.version < 3 and header.refcount_order != 4:
        raise BadOption("compat=0.10 requires refcount_bits=16")


def _set_data_file(header: Header, name: str | None, raw: bool | None) -> None:
    external = header.incompatible & head.DATA_FILE
    if name is not None:
        if not external:
            raise BadOption("data-file can only be set for images that use an external data file")
        header.set_extension(head.DATA_FILE_NAME, name.encode(errors="surrogateescape") or None)
    if raw and not (external and header.autoclear & head.RAW_DATA_FILE):
        raise BadOption("data-file-raw cannot be set on existing images")
    if raw is False:
        header.autoclear &= ~head.RAW_DATA_FILE


def _refuse_to_downgrade(node: Qcow2Node) -> None:
    """What version 2 cannot say must not be in the image."""
    header = node.header
    features = header.incompatible & ~head.DIRTY
    if features & head.DATA_FILE:
        raise UnsupportedFeature("Cannot downgrade an image with a data file", path=node.filename)
    if features:
        raise UnsupportedFeature(
            f"Cannot downgrade an image with incompatible features {features:#x} set", path=node.filename
        )
    if header.extension(head.BITMAPS) is not None:
        raise UnsupportedFeature(
            "Cannot downgrade an image with persistent bitmaps",
            path=node.filename,
            hint="They would be lost: imgtools bitmap --remove takes away those that are not wanted.",
        )
    for snapshot in node.snapshots:
        if snapshot.vm_state_size >> 32 or snapshot.disk_size not in (None, node.size):
            raise UnsupportedFeature("Internal snapshots prevent downgrade of image", path=node.filename)
        for _, table in _tables_of(node, snapshot):
            if any(_is_zero(entry) and (header.backing_name or entry & OFFSET_MASK) for entry in table):
                raise UnsupportedFeature(
                    "Internal snapshots prevent downgrade of image",
                    path=node.filename,
                    hint=f"Snapshot '{snapshot.name}' has zero clusters that would have to be written out.",
                )


def _tables_of(node: Qcow2Node, snapshot: Snapshot) -> Iterator[tuple[int, array[int]]]:
    """(offset, table) of the L2 tables of a snapshot."""
    for entry in read_table(node.storage, snapshot.l1_table_offset, snapshot.l1_size * 8):
        if entry & OFFSET_MASK:
            yield entry & OFFSET_MASK, node.mapping.read(entry & OFFSET_MASK)


def _is_zero(entry: int) -> bool:
    return entry & (COMPRESSED | ZERO_FLAG) == ZERO_FLAG


def _write_zeroes_out(node: Qcow2Node) -> None:
    """Leave no zero clusters: nothing instead where nothing reads as zeroes, or else data."""
    writer = node.writer
    zero_runs = [(start, stop) for start, stop, kind, _ in node.mapping.runs(0, node.size) if kind == ZERO]
    for start, stop in zero_runs:
        if node.header.backing_name is None:
            writer.mark(start, stop, keep_space=False, zero=False)
        else:
            for position in range(start, stop, CHUNK):
                writer.write(position, memoryview(bytes(min(CHUNK, stop - position))))
    writer.settle()
    for snapshot in node.snapshots:
        for offset, table in _tables_of(node, snapshot):
            if ZERO_FLAG in table:  # all that was let pass: zeroes without a place, and no backing file to hide
                emptied = array("Q", [0 if _is_zero(entry) else entry for entry in table])
                node.storage.write(offset, node.mapping.encode(emptied))
    node.storage.flush()


def replace_header(node: Qcow2Node, wanted: Header) -> None:
    """Let `wanted` take the place of the header, so that a cut leaves the one or the other.

    The first sector switches; what lies behind it changes while no header refers to it. Where the old one does, it
    first becomes one without the names of features, which are there for information only. (That leaves names of
    backing files of more than 370 bytes, whose header takes two sectors before and after.)
    """
    storage, size = node.storage, wanted.cluster_size
    if wanted.version < 3:
        wanted.incompatible = wanted.compatible = wanted.autoclear = 0
        wanted.unknown_fields = b""
    built = wanted.build()
    first, rest = (SECTOR, 0), (size - SECTOR, SECTOR)
    order = [first, rest] if len(built) <= SECTOR else [rest, first]
    shorter = node.header.build(names=False)
    if order[0] is rest and len(shorter) <= SECTOR < len(node.header.build()):
        storage.write(0, shorter.ljust(SECTOR, b"\0"))
        storage.flush()
    for length, start in order:
        storage.write(start, built.ljust(size, b"\0")[start : start + length])
        storage.flush()
    node.renew(wanted)
