"""`-o help`: what a format lets one choose."""

from __future__ import annotations

from imgtools.cli import console
from imgtools.operations.create import options_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.format import Format, Option

KINDS = {"size": "size", "bool": "bool (on/off)", "int": "num", "text": "str"}
COLUMN = 24


def show_create_options(format: Format, filename: str | None) -> int:
    """List the options of a format, and with a file name those of the file, too."""
    if filename is None:
        console.say(f"Supported {format.name} options:")
        show(format.create_options)
        console.say("\nThe protocol level may support further options.")
        console.say("Specify the target filename to include those options.")
    else:
        console.say("Supported options:")
        show(options_for(format))
    return 0


def show(options: tuple[Option, ...]) -> None:
    """List options by name, with what they take."""
    for option in sorted(options, key=lambda option: option.name):
        default = f" (default: {option.help_default})" if option.help_default else ""
        console.say(f"  {f'{option.name}=<{KINDS[option.kind]}>':<{COLUMN - 2}} - {option.help}{default}")
