"""The name of the backing file, which lies in the header: changed by one header that takes the place of another."""

from __future__ import annotations

import copy
import errno

from imgtools.errors import BadOption, OutOfBounds
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.amend import replace_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.formats.qcow2.node import Qcow2Node


def change_backing(node: Qcow2Node, name: str | None, format: str | None) -> None:
    """See `Rebasable`. A cut leaves the old name or the new one."""
    encoded = name.encode(errors="surrogateescape") if name else None
    if encoded and node.raw_data_file:
        raise BadOption("an image with a raw data file cannot have a backing file", errno=errno.EINVAL)
    if encoded and len(encoded) > head.MAX_BACKING_NAME:
        raise OutOfBounds(f"the name has more than {head.MAX_BACKING_NAME} bytes", errno=errno.EINVAL)
    wanted = copy.deepcopy(node.header)
    wanted.backing_name = encoded
    wanted.set_extension(head.BACKING_FORMAT, format.encode() if encoded and format else None)
    try:
        wanted.build()
    except OutOfBounds as error:
        error.errno = errno.ENOSPC
        raise
    node.writer.settle()
    replace_header(node, wanted)
    node.backing_name, node.backing_format = name or None, wanted.backing_format
