"""Change what was chosen when an image was made.

with imgtools.open("disk.qcow2", writable=True) as node:
    amend(node, {"compat": "0.10", "lazy_refcounts": "off"})
"""

from __future__ import annotations

from imgtools.block.format import Amendable
from imgtools.block.registry import find_format
from imgtools.errors import BadOption, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.format import Format
    from imgtools.block.node import Node


def amend(
    node: Node,
    options: dict[str, str],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    force: bool = False,
) -> None:
    """Bring a writable image to `options`, texts by name; `progress` is called with (work done, work in all).

    `force` permits what makes a disk unreadable for ever: to erase its last key slot.
    """
    format = amendable_format(node.driver)
    known = {option.name: option for option in format.amend_options}
    values = {}
    for name, text in options.items():
        if name not in known:
            created = format.option(name) is not None
            raise BadOption(
                f"Invalid parameter '{name}'",
                hint="This option is only supported for image creation" if created else None,
            )
        values[name] = text if known[name].kind == "text" else known[name].parse(text)
    if not isinstance(node, Amendable):
        raise UnsupportedFeature(f"Format driver '{node.driver}' does not support option amendment", path=node.filename)
    node.amend(values, progress, force=force)


def amendable_format(name: str) -> Format:
    """The format of that name, if its images can be amended."""
    try:
        format = find_format(name)
    except BadOption as error:
        raise BadOption(f"Unknown file format '{name}'") from error
    if not format.amend_options:
        raise UnsupportedFeature(f"Format driver '{name}' does not support option amendment")
    return format
