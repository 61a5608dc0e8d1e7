"""Options that several verbs share, and what their values may be."""

from __future__ import annotations

from imgtools.block.protocols.file import CACHE_MODES
from imgtools.cli import console
from imgtools.cli.getopt import Option
from imgtools.errors import BadOption
from imgtools.sizes import LARGEST, TooLarge, parse_number, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Complaint(Exception):
    """A verb cannot go on: the lines to print, and the exit status."""

    def __init__(self, *lines: str, status: int = 1) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.status = status


def size_between(what: str, low: int = 0, high: int = LARGEST) -> Callable[[str], int]:
    """A parser for a size, `what` being its name in complaints."""

    def parse(text: str) -> int:
        try:
            size = parse_size(text)
        except TooLarge:
            size = high + 1
        except BadOption:
            raise Complaint(
                f"Invalid {what} specified. You may use k, M, G, T, P or E suffixes for",
                "kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.",
            ) from None
        if not low <= size <= high:
            raise Complaint(f"Invalid {what} specified. Must be between {low} and {high}.")
        return size

    return parse


def number(complaint: str, low: int, high: int) -> Callable[[str], int]:
    """A parser for whole numbers, which may be hexadecimal (0x10) or octal (010)."""

    def parse(text: str) -> int:
        try:
            value = parse_number(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise Complaint(complaint)
        return value

    return parse


class Choice(Option):
    """An option whose value is one of `values`: any other is refused as soon as it is met.

    `complaint` is what is said then, "{}" in it standing for the value; `error` is raised with it.
    """

    def __init__(
        self,
        name: str,
        short: str,
        long: str,
        argument: str,
        help: str,
        values: tuple[str, ...],
        *,
        complaint: str | None = None,
        error: type[Exception] = Complaint,
        many: bool = False,
        own: bool = False,
    ) -> None:
        super().__init__(name, short, long, argument, help, parse=self.checked, many=many, own=own, values=values)
        self.complaint = complaint or f"--{long} must be used with {', '.join(values)} as argument."
        self.error = error

    def checked(self, text: str) -> str:
        if text not in self.values:
            raise self.error(self.complaint.format(text))
        return text


def cache_mode(text: str | None, default: str, what: str = "cache option", status: int = 1) -> str:
    """The cache mode that was asked for."""
    if text is not None and text not in CACHE_MODES:
        raise Complaint(f"Invalid {what}: {text}", status=status)
    return text or default


def output_format(arguments: Any) -> str:
    """ "human" or "json"."""
    if arguments.output not in (None, "human", "json"):
        raise Complaint("--output must be used with human or json as argument.")
    console.errors_as_json = console.own and arguments.output == "json"
    return arguments.output or "human"


def checked_object(text: str) -> str:
    """An `--object`, once it is seen to be one; what it stands for is looked up when an image is opened."""
    from imgtools.cli.objects import definition

    definition(text)
    return text


FORMAT = Option("format", "f", "format", "FMT", "the image's format; guessed from its first bytes if not given")
SHORT_FORMAT = Option("format", "f", "", "FMT", FORMAT.help)
IMAGE_OPTS = Option(
    "image_opts", "", "image-opts", "", "the image's name is a list of options: driver=...,file.filename=..."
)
OBJECT = Option(
    "object",
    "",
    "object",
    "OBJECT",
    "define a secret (secret,id=ID,data=...) or TLS credentials",
    parse=checked_object,
    many=True,
)
FORCE_SHARE = Option("force_share", "U", "force-share", "", "open the image although another process writes to it")
OUTPUT = Option("output", "", "output", "OFMT", "human (the default) or json", values=("human", "json"))
QUIET = Option("quiet", "q", "", "", "print nothing but errors")
PROGRESS = Option("show_progress", "p", "", "", "show how far the work is")
PROGRESS_STYLE = Choice(
    "progress",
    "",
    "progress",
    "STYLE",
    "how to show it: bar, json (one object a line, on standard error) or none",
    ("bar", "json", "none"),
    own=True,
)
CACHE = Option("cache", "t", "", "CACHE", f"how the image is written: {', '.join(CACHE_MODES)}", values=CACHE_MODES)
SOURCE_CACHE = Option("source_cache", "T", "", "CACHE", "the same for images that are read", values=CACHE_MODES)
ALLOW = Option(
    "allow", "", "allow", "DIR", "let images name files in this directory, too (may be repeated)", many=True, own=True
)
OPENING = (OBJECT, IMAGE_OPTS, ALLOW)
"""What every verb takes that opens an image."""
