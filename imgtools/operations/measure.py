"""How large a file a new image takes, without making it."""

from __future__ import annotations

from imgtools.block.registry import find_format
from imgtools.errors import BadOption, UnsupportedFeature
from imgtools.operations.create import NewImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.format import Measure
    from imgtools.block.node import Node


def measure(
    source: Node | None = None, *, size: int = 0, format: str = "raw", options: dict[str, str] | None = None
) -> Measure:
    """The file size of a new image for what `source` holds, or else for an empty disk of `size` bytes.

    `options` are the new image's create options.
    """
    found = find_format(format)
    if not found.create_options:
        raise BadOption(f"Format driver '{format}' does not support image creation")
    try:
        values = NewImage("", found, options or {}).checked_values()
        return found.measure(source, source.size if source else size, values)
    except UnsupportedFeature as error:
        raise UnsupportedFeature(f"Block driver '{format}' does not support size measurement") from error
