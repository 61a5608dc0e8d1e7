"""An export: a disk under a name, as the server offers it.

    Export(node)                              the export with the empty name, which clients ask for by default
    Export(node, "disk", read_only=True)

The node may be shared by any number of connections; its own rules say what several threads may do with it.
"""

from __future__ import annotations

from imgtools.block.filters.readonly import ReadOnlyFilter
from imgtools.block.filters.window import Window
from imgtools.block.node import Filter
from imgtools.errors import BadOption
from imgtools.formats.raw import GuessedRaw
from imgtools.nbd import protocol
from imgtools.nbd.server.status import Allocation, Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgtools.block.node import Node

TRANSPARENT = (Window, ReadOnlyFilter, GuessedRaw)
"""Filters that do nothing to what is read; others delay it, count it, or make it fail."""


class Export:
    """`node` under `name`; `contexts` are the meta contexts beyond base:allocation, which every export has.

    `discards` says whether TRIM gives space back, or is accepted and does nothing. `multi_conn` whether several
    connections may be used as one: true wherever they reach the same node, for then a flush on one covers all.
    """

    def __init__(
        self,
        node: Node,
        name: str = "",
        *,
        description: str = "",
        read_only: bool = False,
        discards: bool = True,
        multi_conn: bool = True,
        contexts: Iterable[Context] = (),
    ) -> None:
        self.node = node
        self.name = _checked(name, "name")
        self.description = _checked(description, "description")
        self.read_only = read_only or node.read_only
        self.discards = discards
        self.multi_conn = multi_conn
        self.shows_files = _shows_files(node)
        """Whether bytes may be taken from the files that extents name: no filter has a say in reading them."""
        self.contexts: dict[str, Context] = {
            context.name: context for context in (Allocation(protocol.BASE_ALLOCATION, node), *contexts)
        }

    def flags(self, *, structured: bool, extended: bool) -> int:
        """The transmission flags for a client that has agreed to these extensions."""
        flags = protocol.HAS_FLAGS | protocol.SEND_FLUSH | protocol.SEND_FUA | protocol.SEND_CACHE
        if self.read_only:
            flags |= protocol.READ_ONLY
        else:
            flags |= protocol.SEND_TRIM | protocol.SEND_WRITE_ZEROES | protocol.SEND_FAST_ZERO
        if self.multi_conn:
            flags |= protocol.CAN_MULTI_CONN
        if structured:
            flags |= protocol.SEND_DF
        if extended:
            flags |= protocol.BLOCK_STATUS_PAYLOAD
        return flags

    def zeroes_fast(self, offset: int, length: int) -> bool:
        """Whether the range can be made zero without writing it, so far as that is sure: because it is zero already."""
        from imgtools.block.extent import READS_ZERO

        return all(extent.kind in READS_ZERO for extent in self.node.extents(offset, length))


def _shows_files(node: Node) -> bool:
    transparent = not isinstance(node, Filter) or isinstance(node, TRANSPARENT)
    return transparent and all(map(_shows_files, node.children.values()))


def _checked(text: str, what: str) -> str:
    """The text, if the protocol can carry it."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise BadOption(f"export {what} {text!r} is not UTF-8") from None
    if length > protocol.MAX_STRING:
        raise BadOption(f"export {what} '{text}' too long")
    return text
