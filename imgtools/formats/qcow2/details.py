"""What `info` says about a qcow2 image beyond what every format has; keys and order are QEMU's."""

from __future__ import annotations

from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.bitmap import MAX_DIRECTORY_BYTES, directory_entries
from imgtools.formats.qcow2.records import BITMAPS_EXTENSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.formats.qcow2.node import Qcow2Node

IN_USE, AUTO = 1, 2
SUBCLUSTERS = 32
"""Of a cluster with an extended L2 entry."""
SECTOR = 512
"""What is encrypted at once."""


def details(node: Qcow2Node) -> dict[str, Any]:
    """The format-specific facts of an image."""
    header = node.header
    facts: dict[str, Any] = {"compat": "1.1" if header.version >= 3 else "0.10"}
    facts["compression-type"] = node.compression
    if header.version >= 3:
        facts["lazy-refcounts"] = bool(header.compatible & head.LAZY_REFCOUNTS)
    bitmaps = _bitmaps(node)
    if bitmaps:
        facts["bitmaps"] = bitmaps
    facts["refcount-bits"] = 1 << header.refcount_order
    if node.encrypted:
        from imgtools.formats.qcow2.encryption import details as encryption_details

        facts["encrypt"] = encryption_details(node)
    if header.version >= 3:
        facts["corrupt"] = node.corrupt
    data_file = header.extension(head.DATA_FILE_NAME)
    if data_file is not None and header.incompatible & head.DATA_FILE:
        facts["data-file"] = data_file.decode(errors="replace")
        facts["data-file-raw"] = bool(header.autoclear & head.RAW_DATA_FILE)
    if header.version >= 3:
        facts["extended-l2"] = bool(header.incompatible & head.EXTENDED_L2)
    return facts


def limits(node: Qcow2Node) -> dict[str, int]:
    """What requests had better keep to: the clusters, which are given back and made zero as a whole."""
    cluster = node.header.cluster_size
    unit = cluster // SUBCLUSTERS if node.header.incompatible & head.EXTENDED_L2 else cluster
    sector = {"request-alignment": SECTOR} if node.encrypted else {}
    return {"discard-alignment": cluster, "write-zeroes-alignment": unit, **sector}


def _bitmaps(node: Qcow2Node) -> list[dict[str, Any]]:
    """The persistent bitmaps, where the image says that they are consistent."""
    content = node.header.extension(head.BITMAPS)
    if content is None or not node.header.autoclear & head.BITMAPS_CONSISTENT:
        return []
    extension = BITMAPS_EXTENSION.parse(content)
    if extension.directory_size > MAX_DIRECTORY_BYTES:
        return []
    directory = node.storage.read(extension.directory_offset, extension.directory_size)
    found = []
    for entry, name in directory_entries(directory, extension.nb_bitmaps):
        flags = [word for bit, word in ((IN_USE, "in-use"), (AUTO, "auto")) if entry.flags & bit]
        granularity = 1 << min(entry.granularity_bits, 63)
        found.append({"flags": flags, "name": name.decode(errors="replace"), "granularity": granularity})
    return found
