"""What the program says: results on standard output, complaints on standard error under its own name.

Standard output is flushed before anything goes to standard error, so that the two stay in order where both
end in the same place.
"""

from __future__ import annotations

import sys

name = "imgtools"
"""The name that messages begin with: the one that the program was started under."""

own = True
"""Whether that is the program's own name; False under a peer's, whose command line is then taken to the letter."""

errors_as_json = False
"""Whether an error is told as an object with its fields, and not as a line: under the own name, with --output=json."""


def say(text: str) -> None:
    """Write a line of results."""
    sys.stdout.write(text + "\n")


def complain(message: str) -> None:
    """Write one line, the program's name in front, to standard error."""
    note(f"{name}: {message}")


def note(text: str) -> None:
    """Write a line to standard error as it is."""
    try:
        sys.stdout.flush()
    except OSError:
        pass  # a full disk or a closed pipe: whoever wrote to it is told, but not in the middle of a complaint
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
