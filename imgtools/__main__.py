"""`python -m imgtools`, and the installed `imgtools`."""

from __future__ import annotations

import os

from imgtools.cli import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and end it."""
    # Everything is closed and flushed by now; the interpreter's own tidying up would take a tenth of the time
    # that a short command takes in all.
    os._exit(program.main())


if __name__ == "__main__":
    main()
