"""Check an image's own metadata, and mend it if asked."""

from __future__ import annotations

from imgtools.block.format import Checkable, CheckResult
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.format import Finding
    from imgtools.block.node import Node


class NotCheckable(UnsupportedFeature):
    """The format has nothing that could be checked."""


def check(node: Node, *, repair: str | None = None, report: Callable[[Finding], None] | None = None) -> CheckResult:
    """Check `node`, telling `report` each finding. `repair` is None, "leaks" or "all", and needs a writable node."""
    if not isinstance(node, Checkable):
        raise NotCheckable("This image format does not support checks", path=node.filename)
    return node.check(report or (lambda finding: None), repair)
