"""Opening a qcow2 image with what it names, and refusing what cannot be read or written."""

from __future__ import annotations

import os

from imgtools.block.gate import combine
from imgtools.block.graph import as_file
from imgtools.errors import AccessDenied, BadOption, CorruptImage
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.node import Qcow2Node
from imgtools.formats.qcow2.open_options import configure
from imgtools.formats.qcow2.records import HEADER_V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.block.graph import Context
    from imgtools.block.node import Storage
    from imgtools.block.references import Reference
    from imgtools.formats.qcow2.header import Header


def open_qcow2(storage: Storage, context: Context) -> Qcow2Node:
    """The image in `storage` with what it names; refuses by name what cannot be read or written."""
    header = head.parse(storage)
    if not context.checking:
        _refuse_unusable(header, storage, context.writable)
    node = Qcow2Node(storage, header, context)
    try:
        configure(node, context)
        _open_data_file(node, context)
        if node.encrypted or "encrypt.format" in context.options:
            from imgtools.formats.qcow2.encryption import unlock

            unlock(node, context)
        if header.backing_name and context.backing and not context.checking:
            below = context.open_backing(storage.filename, node.backing_name or "", node.backing_format, node)
            node.children["backing"] = below
        if context.writable and not context.checking and node.dirty:
            _repair_dirty(node)
    except BaseException:
        for name, child in node.children.items():
            if name != "file":
                child.close()
        raise
    return node


def references(storage: Storage) -> Iterator[Reference]:
    """The backing file and the data file that the image names; where in the header the names are."""
    from imgtools.block.references import Reference

    header = head.parse(storage)
    cluster = storage.read(0, header.cluster_size)
    data_file = header.extension(head.DATA_FILE_NAME)
    for role, name in (("backing file", header.backing_name), ("data file", data_file)):
        if name:
            offset = cluster.find(name, HEADER_V2.size)
            yield Reference(role, os.fsdecode(name), offset if offset >= 0 else None)


def _refuse_unusable(header: Header, storage: Storage, writable: bool) -> None:
    path = storage.filename
    if not writable:
        return
    if header.incompatible & head.CORRUPT:
        raise CorruptImage(
            "qcow2: Image is corrupt; cannot be opened read/write",
            path=path,
            structure="header",
            hint="Read it, or mend it with check -r all.",
        )


def _open_data_file(node: Qcow2Node, context: Context) -> None:
    """Open the data file where the image has one: the user's, or the one that the image names."""
    given = context.children.get("data-file")
    if not node.mapping.external:
        if given is not None:
            raise BadOption("'data-file' can only be set for images with an external data file")
        return
    if given is not None:
        node.data = as_file(given)
    elif not _open_named_data_file(node, context):
        return
    node.children["data-file"] = node.data
    node.fixed_layout = True
    if node.raw_data_file and node.data.size < node.size:
        context.warn(
            f"data file '{node.data.filename}' of '{node.filename}' was cut or replaced: "
            f"it has {node.data.size} bytes, the disk {node.size}"
        )


def _open_named_data_file(node: Qcow2Node, context: Context) -> bool:
    """Open what the image names; False where that is refused but the image is only looked at, not read."""
    content = node.header.extension(head.DATA_FILE_NAME)
    if content is None:
        raise CorruptImage("'data-file' is required for this image", path=node.filename, structure="header")
    name = content.decode(errors="surrogateescape")
    if _is_itself(node.filename, name):
        raise CorruptImage(
            f"the image names itself ('{name}') as its data file", path=node.filename, structure="data file"
        )
    try:
        node.data = context.open_reference(node.filename, name, "data file")
    except AccessDenied:
        if not context.checking and context.backing:
            raise
        return False
    return True


def _is_itself(image: str, name: str) -> bool:
    """Whether an image names its own file: writing there would destroy its tables."""
    try:
        return os.path.samefile(combine(image, name), image)
    except OSError:
        return False  # opening it gives the better message


def _repair_dirty(node: Qcow2Node) -> None:
    """A writer with lazy refcounts did not close the image: its counts are rebuilt before it is written."""
    result = node.check(lambda finding: None, "all")
    if result.check_errors or result.corruptions > result.corruptions_fixed:
        raise CorruptImage(
            "the image was not closed and its reference counts cannot be rebuilt",
            path=node.filename,
            hint="Look at it with imgtools check; read it without writing.",
        )
    node.header.incompatible &= ~head.DIRTY
    node.writer.write_header()
