"""`-o help`: what a format lets one choose."""

from __future__ import annotations

from imgtools.block.registry import find_format
from imgtools.cli import console
from imgtools.cli.arguments import Complaint
from imgtools.errors import BadOption
from imgtools.operations.create import options_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.format import Option

KINDS = {"size": "size", "bool": "bool (on/off)", "int": "num", "text": "str"}
COLUMN = 24


def show_create_options(format: str, filename: str | None) -> int:
    """List the options of a format, and with a file name those of the file, too."""
    try:
        found = find_format(format)
    except BadOption:
        raise Complaint(f"Unknown file format '{format}'") from None
    if not found.create_options:
        raise Complaint(f"Format driver '{format}' does not support image creation")
    if filename is None:
        console.say(f"Supported {format} options:")
        show(found.create_options)
        console.say("\nThe protocol level may support further options.")
        console.say("Specify the target filename to include those options.")
    else:
        console.say("Supported options:")
        show(options_for(found))
    return 0


def show(options: tuple[Option, ...]) -> None:
    """List options by name, with what they take."""
    for option in sorted(options, key=lambda option: option.name):
        default = f" (default: {option.help_default})" if option.help_default else ""
        console.say(f"  {f'{option.name}=<{KINDS[option.kind]}>':<{COLUMN - 2}} - {option.help}{default}")
