"""Write the option tables of the documentation from the verbs' declarations.

    python -m imgtools.cli.pages DIRECTORY

Each page DIRECTORY/VERB.md (or VERB-SUBCOMMAND.md) has a line `<!-- options -->`, a table, and a line
`<!-- end of options -->`; the table is replaced.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from imgtools.cli.help import subcommands
from imgtools.cli.program import OWN_VERBS, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.cli.getopt import Command

BEGIN, END = "<!-- options -->\n", "<!-- end of options -->\n"


def options_table(command: Command) -> str:
    """The options of a verb as a Markdown table."""
    rows = ["| option | |", "|---|---|"]
    rows += [f"| `{option.usage()}` | {option.help.replace('|', '&#124;')} |" for option in command.offered(True)]
    return "\n".join(rows) + "\n"


def with_table(page: str, command: Command) -> str:
    """The text of a page with its table brought up to date."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + options_table(command) + END + after


def documented() -> Iterator[Command]:
    """Every command that has a page: the verbs, and the commands that some of them stand before."""
    for module in (VERBS | OWN_VERBS).values():
        command = import_module(module).COMMAND
        yield command
        yield from subcommands(command)


def page_of(command: Command) -> str:
    """The name of a command's page."""
    return f"{command.name.replace(' ', '-')}.md"


def main() -> None:
    for command in documented():
        page = Path(sys.argv[1], page_of(command))
        page.write_text(with_table(page.read_text(), command))


if __name__ == "__main__":
    main()
