"""imgtools dd: copy blocks of a disk into a new image."""

from __future__ import annotations

from imgtools.block.graph import Context
from imgtools.cli.arguments import FORCE_SHARE, OPENING, Complaint, size_between
from imgtools.cli.getopt import Command, Option
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import find_output_format, gate_of, named, open_named
from imgtools.cli.unfinished import Unfinished
from imgtools.errors import BadOption, ImageError
from imgtools.operations.create import NewImage, starts_as_zeroes
from imgtools.operations.dd import copy_range
from imgtools.sizes import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COMMAND = Command(
    "dd",
    "[bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=FILE of=FILE",
    "Copy blocks of a disk into a new image: `count` blocks of `bs` bytes, `skip` blocks from the start.",
    (
        Option("format", "f", "", "FMT", "the format of the image that is read"),
        Option("output_format", "O", "", "FMT", "the format of the image that is made (raw if not given)"),
        FORCE_SHARE,
        *OPENING,
    ),
)

DEFAULT_BLOCK = 512
LARGEST_BLOCK = (1 << 31) - 1

PARSERS: dict[str, Callable[[str], str | int]] = {
    "bs": size_between("bs", 1, LARGEST_BLOCK),
    "count": size_between("count"),
    "skip": size_between("skip"),
    "if": str,
    "of": str,
}


def run(arguments: Any) -> int:
    values: dict[str, Any] = {}
    for operand in arguments.operands:
        name, equals, value = operand.partition("=")
        if not equals or name not in PARSERS:
            raise Complaint(f"unrecognized operand {name}")
        values[name] = PARSERS[name](value)
    if "if" not in values or "of" not in values:
        raise Complaint("Must specify both input and output files")
    target = named(values["if"], arguments.format, arguments.image_opts)
    with open_named(target, arguments) as source:
        try:
            format = find_output_format(arguments.output_format)
        except BadOption:
            raise Complaint("Unknown file format") from None
        block, skipped = values.get("bs", DEFAULT_BLOCK), values.get("skip", 0)
        end = source.size
        if "count" in values:
            end = min(end, (skipped + values["count"]) * block)
        start = min(skipped * block, LARGEST)
        new = NewImage(values["of"], format, {})
        new.values["size"] = max(0, end - start)
        try:
            new.create(Context(writable=True, gate=gate_of(arguments), objects=objects_of(arguments)))
        except ImageError as error:
            error.message = f"{new.filename}: error while creating output image: {error.message}"
            raise
        if start > source.size:
            raise Complaint(f"{values['if']}: cannot skip to specified offset")
        made = named(new.filename, format.name, False)
        with Unfinished(new.path, made=True), open_named(made, arguments, writable=True, share=False) as copy:
            copy_range(source, copy, start, min(copy.size, end - start), target_is_zero=starts_as_zeroes(copy))
    return 0
