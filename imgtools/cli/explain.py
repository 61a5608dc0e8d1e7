"""imgtools explain: what lies where in an image's file, and what it means."""

from __future__ import annotations

from imgtools.block.gate import DENY
from imgtools.cli import console
from imgtools.cli.arguments import FORCE_SHARE, FORMAT, IMAGE_OPTS, OBJECT, OUTPUT, number, output_format
from imgtools.cli.getopt import Command, UsageError
from imgtools.cli.json_text import to_json
from imgtools.cli.opening import named, open_named
from imgtools.errors import AccessDenied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.structure import Field
    from imgtools.operations.explain import Part

COMMAND = Command(
    "explain",
    "FILENAME [STRUCTURE [NUMBER]]",
    "Show what lies where in an image's file, and what it means.",
    (FORMAT, OUTPUT, FORCE_SHARE, OBJECT, IMAGE_OPTS),
)

parse_number = number("NUMBER must be that of a table's entry, from 0 on", 0, (1 << 63) - 1)


def run(arguments: Any) -> int:
    if not 1 <= len(arguments.operands) <= 3:
        raise UsageError("Expecting an image file name, and perhaps a structure of it and a number")
    style = output_format(arguments)
    filename, structure, index = (*arguments.operands, None, None)[:3]
    index = None if index is None else parse_number(index)
    target = named(filename, arguments.format, arguments.image_opts)
    try:
        node = open_named(target, arguments, backing=False, checking=True, gate=DENY)
    except AccessDenied as error:
        error.hint = "Only the file that is named is opened: explain those that it names one by one."
        raise
    from imgtools.operations.explain import explain  # construct, which is slow to import, comes with it

    with node:
        parts = explain(node, structure, index)
        if style == "json":
            listed = [part_as_dict(part) for part in parts]
            console.say(to_json({"filename": target.shown, "format": node.driver, "structures": listed}))
            return 0
        printed = False
        for part in parts:
            console.say("\n".join(lines(part)))
            printed = True
        if not printed:
            console.say(f"{structure}: nothing is there")
    return 0


def lines(part: Part) -> Iterator[str]:
    """The lines that show a structure: its place, and a line for each field."""
    from imgtools.block.structure import as_text

    yield f"{part.name} at {part.offset:#x}, {part.size} bytes"
    for field in part.fields:
        place = "" if field.offset is None else f"{field.offset:#x}"
        size = "" if field.size is None else str(field.size)
        yield f"  {place:>10} {size:>4}  {field.name:<24}{as_text(field.value):<28}  {field.meaning}".rstrip()


def part_as_dict(part: Part) -> dict[str, Any]:
    known = {"name": part.structure.name, "index": part.index, "offset": part.offset, "size": part.size}
    fields = [field_as_dict(field) for field in part.fields]
    return {**{name: value for name, value in known.items() if value is not None}, "fields": fields}


def field_as_dict(field: Field) -> dict[str, Any]:
    """A field under the names of the JSON output; bytes as hexadecimal digits."""
    value = field.value
    if isinstance(value, bytes):
        value = value.hex()
    elif hasattr(value, "intvalue"):
        value = int(value)
    elif isinstance(value, dict):
        value = [name for name, is_set in value.items() if is_set is True]
    known = {"name": field.name, "offset": field.offset, "size": field.size, "value": value, "meaning": field.meaning}
    return {name: value for name, value in known.items() if value is not None and value != ""}
