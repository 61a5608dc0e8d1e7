"""The options that every node takes, whatever its driver; they change the context in which it is opened."""

from __future__ import annotations

from imgtools.block.options import Option, Options
from imgtools.errors import BadOption, OutOfBounds, ReadOnly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.graph import Context

MAX_TREE_DEPTH = 32
"""Nodes on top of each other, the backing chain apart. Real trees have three or four."""
MAX_NODE_NAME = 31

NODE_OPTIONS = {
    option.name: option
    for option in (
        Option("read-only", "bool", "take no writes", default=False),
        Option("auto-read-only", "bool", "accepted: a node is opened for writing only if it is to be written"),
        Option("force-share", "bool", "open the file although another process writes to it", default=False),
        Option("discard", "text", "what becomes of discards: unmap (on) or ignore (off)"),
        Option(
            "detect-zeroes",
            "text",
            "look for zeroes in what is written: off, on (mark them) or unmap (and give their space back)",
            choices=("off", "on", "unmap"),
        ),
        Option("cache.direct", "bool", "accepted: the host's page cache is used all the same"),
        Option("cache.no-flush", "bool", "flush nothing to the disk (unsafe)"),
        Option("node-name", "text", "a name for the node"),
    )
}
DISCARDS = {"unmap": True, "on": True, "ignore": False, "off": False}


def apply_node_options(options: Options, context: Context) -> Context:
    """The context for one node and its children, as its options ask for; they are taken out of `options`."""
    own = context.derive(options={}, backing_options=Options(), depth=context.depth + 1, discard=True, detect_zeroes="")
    if own.depth > MAX_TREE_DEPTH:
        raise OutOfBounds(f"more than {MAX_TREE_DEPTH} nodes are to stand on top of each other")
    values = {name: options.take(option) for name, option in NODE_OPTIONS.items() if name in options}
    if not values:
        return own
    if "node-name" in values:
        _check_name(values["node-name"], own.node_names)
    if "discard" in values:
        if values["discard"] not in DISCARDS:
            raise BadOption("Invalid discard option")
        own.discard = DISCARDS[values["discard"]]
    own.detect_zeroes = values.get("detect-zeroes", "")
    if own.detect_zeroes == "unmap" and not (own.discard and "discard" in values):
        raise BadOption("setting detect-zeroes to unmap is not allowed without setting discard operation to unmap")
    own.share = values.get("force-share", own.share)
    if values.get("read-only") and own.writable:
        raise ReadOnly("Block node is read-only")
    if values.get("force-share") and own.writable:
        raise BadOption("force-share=on can only be used with read-only images")
    own.direct = values.get("cache.direct", own.direct)
    if "cache.no-flush" in values:
        own.cache = "unsafe" if values["cache.no-flush"] else "writeback" if own.cache == "unsafe" else own.cache
    return own


def _check_name(name: str, taken: set[str]) -> None:
    valid = name[:1].isalpha() and len(name) <= MAX_NODE_NAME and all(c.isalnum() or c in "-._" for c in name)
    if not (valid and name.isascii()):
        raise BadOption(f"Invalid node-name: '{name}'")
    if name in taken:
        raise BadOption(f"Duplicate nodes with node-name='{name}'")
    taken.add(name)
