"""Make a new image.

    from imgtools.operations.create import create_image

    create_image("disk.qcow2", 10 << 30, format="qcow2", options={"cluster_size": "2M"})
    create_image("overlay.qcow2", format="qcow2", backing_file="disk.qcow2", backing_format="qcow2")

It goes in two steps, so that what is about to be made can be shown in between: `plan_image` checks the
request and gives a `NewImage`, whose `create` does the work.
"""

from __future__ import annotations

import errno
import os

from imgtools.block.format import Option
from imgtools.block.gate import SAME_DIRECTORY, Gate, has_protocol
from imgtools.block.graph import Context, open_backing_of_user
from imgtools.block.registry import driver_of_name, find_format
from imgtools.errors import BadOption, ImageError, OutOfBounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.format import Format
    from imgtools.block.node import Node


class FilePreallocation(Option):
    """How the space of a plain file is reserved."""

    def __init__(self) -> None:
        modes = ("off", "falloc", "full")
        super().__init__(
            "preallocation", "text", f"Preallocation mode (allowed values: {', '.join(modes)})", choices=modes
        )

    def parse(self, text: str) -> Any:
        if text == "metadata":
            raise BadOption("Unsupported preallocation mode: metadata")
        return super().parse(text)


FILE_OPTIONS = (
    Option("nocow", "bool", "Turn off copy-on-write (valid only on btrfs)"),
    FilePreallocation(),
    Option("extent_size_hint", "size", "Extent size hint for the image file, 0 to disable"),
)
"""What may be asked of the file that an image lies in, whatever its format."""


def options_for(format: Format) -> tuple[Option, ...]:
    """All create options: the format's own, then those of its file."""
    own = format.create_options
    taken = {option.name for option in own}
    return (*own, *(option for option in FILE_OPTIONS if option.name not in taken))


class NewImage:
    """An image that is about to be made: `values` has what was asked for, or its default, by option name."""

    def __init__(self, filename: str, format: Format, given: dict[str, str]) -> None:
        self.filename = filename
        self.path = path_of(filename)
        self.format = format
        self.options = options_for(format)
        self.given = given
        """The texts of the options that were named."""
        self.values: dict[str, Any] = {option.name: option.default for option in self.options}
        known = {option.name: option for option in self.options}
        for name, text in given.items():
            if name not in known:
                raise BadOption(f"Invalid parameter '{name}'")
            # What a text may be is the format's business, and is looked at last.
            self.values[name] = text if known[name].kind == "text" else known[name].parse(text)

    @property
    def size(self) -> int | None:
        """Bytes of the new disk."""
        size: int | None = self.values["size"]
        return size

    def summary(self) -> str:
        """The options that are in force, as `name=value`."""
        parts = []
        for option in self.options:
            value = self.values[option.name]
            if value is None:
                continue
            if option.kind == "bool":
                value = self.given.get(option.name, "on" if value else "off")
            parts.append(f"{option.name}={str(value).replace(',', ',,')}")
        return " ".join(parts)

    def create(self, context: Context | None = None) -> None:
        """Make the image."""
        if self.size is None:
            raise BadOption("Image creation needs a size parameter")
        values = self.checked_values()
        if values.get("backing_fmt") and not values.get("backing_file"):
            raise BadOption("Backing format cannot be used without backing file")
        try:
            self.format.create(self.path, self.size, values, context or Context(writable=True))
        except ImageError as error:
            if not isinstance(error, OutOfBounds) and error.errno != errno.EFBIG:
                raise
            hint = " (try using a larger cluster size)" if "cluster_size" in values else ""
            error.message = f"The image size is too large for file format '{self.format.name}'{hint}"
            raise

    def checked_values(self) -> dict[str, Any]:
        """The values, once each text has been seen to be one that its option takes."""
        texts = (option for option in self.options if option.kind == "text" and option.name in self.given)
        return {**self.values, **{option.name: option.parse(self.given[option.name]) for option in texts}}


def plan_image(
    filename: str | os.PathLike[str],
    size: int | None = None,
    *,
    format: str = "raw",
    options: dict[str, str] | None = None,
    backing_file: str | None = None,
    backing_format: str | None = None,
    open_backing: bool = True,
    gate: Gate = SAME_DIRECTORY,
) -> NewImage:
    """Check a request for a new image; `size` may be left out where a backing file has one.

    `open_backing=False` takes the backing file's word for granted, even if it is not there.
    """
    try:
        found = find_format(format)
    except BadOption as error:
        error.message = f"Unknown file format '{format}'"
        raise
    if not found.create_options:
        raise BadOption(f"Format driver '{format}' does not support image creation")
    given = dict(options or {})
    new = NewImage(os.fspath(filename), found, given)
    if size is not None:
        if new.size is not None:
            raise BadOption("The image size must be specified only once")
        new.values["size"] = size
    for name, value, what in (
        ("backing_file", backing_file, "Backing file"),
        ("backing_fmt", backing_format, "Backing file format"),
    ):
        if value is not None:
            if found.option(name) is None:
                raise BadOption(f"{what} not supported for file format '{format}'")
            new.values[name] = new.given[name] = value
    _check_backing(new, open_backing, gate)
    if new.size is None:
        raise BadOption("Image creation needs a size parameter")
    return new


def create_image(
    filename: str | os.PathLike[str],
    size: int | None = None,
    *,
    format: str = "raw",
    options: dict[str, str] | None = None,
    backing_file: str | None = None,
    backing_format: str | None = None,
    open_backing: bool = True,
    gate: Gate = SAME_DIRECTORY,
    objects: dict[str, Any] | None = None,
) -> None:
    """Make a new image; see `plan_image` for the arguments.

    `objects` are what options refer to by id, secrets as bytes:

        create_image("safe.luks", 1 << 30, format="luks", options={"key-secret": "pw"}, objects={"pw": b"swordfish"})
    """
    plan_image(
        filename,
        size,
        format=format,
        options=options,
        backing_file=backing_file,
        backing_format=backing_format,
        open_backing=open_backing,
        gate=gate,
    ).create(Context(writable=True, gate=gate, objects=objects))


def starts_as_zeroes(image: Node) -> bool:
    """Whether a new image reads as zeroes: neither its format nor what it lies in may have held something before."""
    return image.starts_as_zeroes and all(child.starts_as_zeroes for child in image.children.values())


def _check_backing(new: NewImage, open_backing: bool, gate: Gate) -> None:
    name, format = new.values.get("backing_file"), new.values.get("backing_fmt")
    if name == new.filename:
        raise BadOption("Error: Trying to create an image with the same filename as the backing file")
    if name == "":
        raise BadOption("Expected backing file name, got empty string")
    if name is None:
        return
    if not open_backing:
        if format is None:
            raise BadOption("Backing file specified without backing format")
        return
    try:
        backing = open_backing_of_user(new.filename, name, format, Context(gate=gate, share=True))
    except ImageError as error:
        error.hint = "Could not open backing image." + (f"\n{error.hint}" if error.hint else "")
        raise
    with backing:
        if format is None:
            raise BadOption(
                "Backing file specified without backing format", hint=f"Detected format of {backing.driver}."
            )
        if new.size is None:
            new.values["size"] = backing.size


def path_of(filename: str) -> str:
    """What a new image is to be written to: a path, or the name of what another protocol than "file:" leads to."""
    if has_protocol(filename) and driver_of_name(filename) is None:
        raise BadOption(f"Unknown protocol '{filename.split(':', 1)[0]}'", path=filename)
    return filename.removeprefix("file:")
