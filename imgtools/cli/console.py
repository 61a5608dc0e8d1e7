"""What the program says: results on standard output, complaints on standard error under its own name.

Standard output is flushed before anything goes to standard error, so that the two stay in order where both
end in the same place.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

name = "imgtools"
"""The name that messages begin with: the one that the program was started under."""

own = True
"""Whether that is the program's own name; False under a peer's, whose command line is then taken to the letter."""

errors_as_json = False
"""Whether an error is told as an object with its fields, and not as a line: under the own name, with --output=json."""


def prepare() -> None:
    """Make the standard streams fit to be written to: one that is closed leads nowhere, and any text goes."""
    for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, stream) is None:  # the lowest descriptor that is free is this one's
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, stream, os.fdopen(descriptor, mode))
    codecs.register_error("imgtools", _escaped)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="imgtools")


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """File names need not be valid text, and go out as the bytes they are; what cannot be encoded is spelled out."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def say(text: str) -> None:
    """Write a line of results."""
    with _Output():
        sys.stdout.write(text + "\n")


def flush() -> None:
    """Write out all results."""
    with _Output():
        sys.stdout.flush()


class _Output:
    """Says of an error that it came from standard output."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = "standard output"


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
