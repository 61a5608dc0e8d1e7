"""What may be asked of a qcow2 image when it is opened, and what becomes of it."""

from __future__ import annotations

from imgtools.align import is_power_of_two
from imgtools.block.options import Option
from imgtools.errors import BadOption
from imgtools.formats.qcow2.header import LAZY_REFCOUNTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.formats.qcow2.node import Qcow2Node

STRUCTURES = {
    "main-header": "qcow2_header",
    "active-l1": "active L1 table",
    "active-l2": "active L2 table",
    "refcount-table": "refcount table",
    "refcount-block": "refcount block",
    "snapshot-table": "snapshot table",
    "inactive-l1": "inactive L1 table",
    "inactive-l2": "inactive L2 table",
    "bitmap-directory": "bitmap directory",
}
"""A flag of overlap-check to the name of the structure that it guards (see `overlap`)."""

CONSTANT = {"main-header", "active-l1", "refcount-table", "snapshot-table", "bitmap-directory"}
CACHED = CONSTANT | {"active-l2", "refcount-block", "inactive-l1"}
TEMPLATES = {"none": set[str](), "constant": CONSTANT, "cached": CACHED, "all": set(STRUCTURES)}

LONGEST_INTERVAL = (1 << 32) - 1
SMALLEST_L2_PIECE = 512
TABLES_AT_LEAST = 8

OPEN_OPTIONS = (
    Option("encrypt.format", "text", "how the image is encrypted: aes or luks", identity=True),
    Option("encrypt.key-secret", "text", "id of the secret that has the passphrase", identity=True),
    Option("lazy-refcounts", "bool", "postpone updates of reference counts"),
    Option("pass-discard-request", "bool", "give the space of clusters back that the guest discards"),
    Option("pass-discard-snapshot", "bool", "the same when a snapshot is deleted"),
    Option("pass-discard-other", "bool", "the same for other clusters that become free"),
    Option("overlap-check", "text", "which metadata is guarded against stray writes: none, constant, cached or all"),
    Option("overlap-check.template", "text", "the same"),
    *(Option(f"overlap-check.{flag}", "bool", f"guard the {name}") for flag, name in STRUCTURES.items()),
    Option("cache-size", "size", "memory for tables"),
    Option("l2-cache-size", "size", "memory for L2 tables"),
    Option("refcount-cache-size", "size", "memory for refcount blocks"),
    Option("l2-cache-entry-size", "size", "accepted: L2 tables are held whole"),
    Option("cache-clean-interval", "int", "accepted: seconds after which unused tables are let go"),
)


def configure(node: Qcow2Node, context: Context) -> None:
    """Set an image up as its open options ask, before it is used."""
    options = context.options
    lazy = bool(node.header.compatible & LAZY_REFCOUNTS)
    node.lazy_refcounts = options.get("lazy-refcounts", lazy) and not context.checking
    node.pass_discard = options.get("pass-discard-request", context.discard)
    if not options:
        return
    if options.get("lazy-refcounts") and node.header.version < 3:
        raise BadOption("Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level")
    node.unguarded = frozenset(STRUCTURES[flag] for flag in STRUCTURES.keys() - _guarded(options))
    _size_caches(node, options)
    if options.get("cache-clean-interval", 0) > LONGEST_INTERVAL:
        raise BadOption("Cache clean interval too big")


def _guarded(options: dict[str, Any]) -> set[str]:
    """The flags of overlap-check that are set; all where nothing is said."""
    said = {name: value for name, value in options.items() if name.startswith("overlap-check")}
    if not said:
        return set(STRUCTURES)
    short, long = said.pop("overlap-check", None), said.pop("overlap-check.template", None)
    if short is not None and long is not None and short != long:
        raise BadOption(
            f"Conflicting values for qcow2 options 'overlap-check' ('{short}') and 'overlap-check.template' ('{long}')"
        )
    template = short or long or "cached"
    if template not in TEMPLATES:
        raise BadOption(
            f"Unsupported value '{template}' for qcow2 option 'overlap-check'. "
            f"Allowed are any of the following: {', '.join(TEMPLATES)}"
        )
    on = {name.removeprefix("overlap-check.") for name, value in said.items() if value}
    off = {name.removeprefix("overlap-check.") for name, value in said.items() if not value}
    return (TEMPLATES[template] | on) - off


def _size_caches(node: Qcow2Node, options: dict[str, Any]) -> None:
    total, l2, refcounts = (options.get(name) for name in ("cache-size", "l2-cache-size", "refcount-cache-size"))
    if total is not None:
        if l2 is not None and refcounts is not None:
            raise BadOption("cache-size, l2-cache-size and refcount-cache-size may not be set at the same time")
        for name, size in (("l2-cache-size", l2), ("refcount-cache-size", refcounts)):
            if size is not None and size > total:
                raise BadOption(f"{name} may not exceed cache-size")
        l2 = total - (refcounts or 0) if l2 is None else l2
    piece, cluster = options.get("l2-cache-entry-size"), node.header.cluster_size
    if piece is not None and not (is_power_of_two(piece) and SMALLEST_L2_PIECE <= piece <= cluster):
        raise BadOption(
            f"L2 cache entry size must be a power of two between {SMALLEST_L2_PIECE} and the cluster size ({cluster})"
        )
    if l2 is not None:
        node.mapping.max_tables = max(TABLES_AT_LEAST, l2 // cluster)
    if refcounts is not None:
        node.max_refcount_blocks = max(TABLES_AT_LEAST, refcounts // cluster)
