"""JSON as the field's tools print it: four spaces a level, keys in the peers' order (see `block.json_names`)."""

from __future__ import annotations

from imgtools.block.json_names import ordered as ordered
from imgtools.block.json_names import quoted, scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def to_json(value: Any, indent: int = 0) -> str:
    """`value` as JSON text, its first line without indentation."""
    inner, outer = "\n" + " " * (indent + 4), "\n" + " " * indent
    if isinstance(value, dict):
        members = [f"{quoted(key)}: {to_json(member, indent + 4)}" for key, member in ordered(value)]
        return "{" + inner + f",{inner}".join(members) + outer + "}" if members else "{" + outer + "}"
    if isinstance(value, list):
        items = [to_json(item, indent + 4) for item in value]
        return "[" + inner + f",{inner}".join(items) + outer + "]" if items else "[" + outer + "]"
    return scalar(value)
