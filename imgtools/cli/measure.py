"""imgtools measure: how large a file a new image takes."""

from __future__ import annotations

from imgtools.cli import console, keyvalue
from imgtools.cli.arguments import FORCE_SHARE, OPENING, OUTPUT, Complaint, output_format, size_between
from imgtools.cli.create import OPTIONS
from imgtools.cli.getopt import Command, Option
from imgtools.cli.json_text import to_json
from imgtools.cli.opening import find_output_format, named, open_named
from imgtools.cli.program import report
from imgtools.cli.snapshots import SNAPSHOT, load_snapshot
from imgtools.errors import BadOption
from imgtools.operations.create import NewImage
from imgtools.operations.measure import measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.format import Measure

COMMAND = Command(
    "measure",
    "[FILENAME]",
    "Tell how large a file a new image takes: for a disk of a size, or for what an image holds.",
    (
        Option("format", "f", "", "FMT", "the format of FILENAME"),
        Option("output_format", "O", "", "FMT", "the format to measure for (raw if not given)"),
        OPTIONS,
        OUTPUT,
        Option("size", "", "size", "N", "measure for an empty disk of N bytes", parse=size_between("image size")),
        SNAPSHOT,
        FORCE_SHARE,
        *OPENING,
    ),
)
COMMAND.complains_plainly = True


def run(arguments: Any) -> int:
    style = output_format(arguments)
    check_operands(arguments)
    found = find_output_format(arguments.output_format)
    options = keyvalue.parse(",".join(arguments.options))
    if arguments.size is not None:
        tell(measure(size=arguments.size, format=found.name, options=checked(found, options)), style)
        return 0
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    with open_named(target, arguments) as source:
        load_snapshot(source, arguments.snapshot)
        tell(measure(source, format=found.name, options=checked(found, options)), style)
    return 0


def check_operands(arguments: Any) -> None:
    """Refuse what does not go together."""
    if len(arguments.operands) > 1:
        raise Complaint("At most one filename argument is allowed.")
    if not arguments.operands and (arguments.image_opts or arguments.format or arguments.snapshot):
        raise Complaint("--image-opts, -f, and -l require a filename argument.")
    if not arguments.operands and arguments.size is None:
        raise Complaint("Either --size N or one filename must be specified.")
    if arguments.operands and arguments.size is not None:
        raise Complaint("--size N cannot be used together with a filename.")


def checked(format: Any, options: dict[str, str]) -> dict[str, str]:
    """The options, once they are seen to be ones that the format takes."""
    try:
        NewImage("", format, options)
    except BadOption as error:
        report(error)
        raise Complaint(f"Invalid options for file format '{format.name}'") from error
    return options


def tell(result: Measure, style: str) -> None:
    """Print the outcome."""
    sizes = {"required": result.required, "fully-allocated": result.fully_allocated, "bitmaps": result.bitmaps}
    known = {name: size for name, size in sizes.items() if size is not None}
    if style == "json":
        console.say(to_json(known))
        return
    for name, size in known.items():
        console.say(f"{name.replace('-', ' ')} size: {size}")
