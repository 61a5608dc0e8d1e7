"""The open image, and how it was opened: what the session's options and those of `open` and `reopen` say."""

from __future__ import annotations

import sys

from imgtools.block.gate import SAME_DIRECTORY
from imgtools.block.graph import Context, open_tree, options_of
from imgtools.block.protocols.file import AIO_MODES
from imgtools.cli import console
from imgtools.cli.arguments import Complaint
from imgtools.errors import BadOption, ImageError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from imgtools.block.filters.blkdebug import BlkDebug
    from imgtools.block.gate import Gate
    from imgtools.block.graph import Name
    from imgtools.block.node import Node

CACHE_MODES = {
    "none": ("none", False),
    "off": ("none", False),
    "directsync": ("none", True),
    "writeback": ("writeback", False),
    "unsafe": ("unsafe", False),
    "writethrough": ("writeback", True),
}
"""What -t takes, to the way files are opened and whether each write is made durable at once."""
DISCARD_MODES = {"unmap": True, "on": True, "ignore": False, "off": False}


class Settings:
    """How to open an image. Raises Complaint for modes that there are not."""

    def __init__(
        self,
        *,
        format: str | None = None,
        read_only: bool = False,
        snapshot: bool = False,
        copy_on_read: bool = False,
        share: bool = False,
        cache: str = "writethrough",
        discard: str = "unmap",
        aio: str = "threads",
        options: dict[str, Any] | None = None,
        gate: Gate = SAME_DIRECTORY,
        objects: dict[str, Any] | None = None,
    ) -> None:
        for what, value, known in (
            ("cache", cache, CACHE_MODES),
            ("discard", discard, DISCARD_MODES),
            ("aio", aio, AIO_MODES),
        ):
            if value not in known:
                raise Complaint(f"Invalid {what} option: {value}")
        self.format = format
        self.read_only = read_only
        self.snapshot = snapshot
        """Whether writes go to a temporary image that is forgotten."""
        self.copy_on_read = copy_on_read
        self.share = share
        self.cache = cache
        self.discards = DISCARD_MODES[discard]
        self.aio = aio
        self.options = options or {}
        """Options of the tree of nodes."""
        self.gate = gate
        self.objects = objects
        """Secrets, by id."""

    def changed(self, **changes: Any) -> Self:
        """The same with other values for some attributes."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__ | changes)
        return other


class Image:
    """A disk that is open: `node` takes the requests, `disk` is the node of its format."""

    def __init__(self, name: Name | None, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.tags: set[str] = set()
        """Breakpoints that were set."""
        self.disk = _open_disk(name, settings)
        self.node = _policed(self.disk, settings)

    @property
    def shown(self) -> str:
        """Its name for people."""
        return self.name if isinstance(self.name, str) else self.disk.filename

    @property
    def write_through(self) -> bool:
        """Whether each write is to be durable before the next command."""
        return CACHE_MODES[self.settings.cache][1]

    def reopen(self, settings: Settings) -> None:
        """Open it anew with other settings; where that fails, as before, and raise what went wrong."""
        if settings.snapshot:
            self.disk.read_only = self.node.read_only = settings.read_only  # what was written is only in there
        else:
            self.node.close()
            try:
                self.disk = _open_disk(self.name, settings)
            except BaseException:
                self.disk = _open_disk(self.name, self.settings)
                raise
            finally:
                self.node = _policed(self.disk, self.settings)
        self.settings = settings

    @property
    def breakpoints(self) -> BlkDebug | None:
        """The node in the tree that stops requests, if there is one."""
        if "imgtools.block.filters.blkdebug" not in sys.modules:
            return None  # nobody opened one
        from imgtools.block.filters.blkdebug import find_blkdebug

        return find_blkdebug(self.node)

    def release_breakpoints(self) -> None:
        """Let go what is stopped, or would be: nobody is left to resume it."""
        for tag in self.tags:
            try:
                if self.breakpoints is not None:
                    self.breakpoints.remove_break(tag)
            except NotFound:
                pass  # was met and resumed
        self.tags.clear()


def open_image(name: Name | None, settings: Settings) -> Image:
    """Open an image; `name` None leaves it to the options. Raises Complaint where that fails."""
    try:
        return Image(name, settings)
    except ImageError as error:
        device = f" device {name}" if isinstance(name, str) else ""
        hint = [error.hint] if error.hint and console.own else []
        raise Complaint(f"can't open{device}: {error.message}", *hint) from error


def _open_disk(name: Name | None, settings: Settings) -> Node:
    cache = CACHE_MODES[settings.cache][0]
    if settings.share and not settings.read_only:
        raise BadOption("force-share=on can only be used with read-only images")
    if settings.copy_on_read and settings.read_only:
        raise BadOption("Can't use copy-on-read on read-only device")
    if name == "":
        raise BadOption("The 'file' block driver requires a file name")
    context = Context(
        writable=not settings.read_only and not settings.snapshot,
        gate=settings.gate,
        cache=cache,
        aio=settings.aio,
        share=settings.share,
        objects=settings.objects,
        warn=lambda message: console.note(f"WARNING: {message}"),
    )
    options = {**options_of({} if name is None else name, settings.format), **settings.options}
    disk = open_tree(options, None, context)
    return _temporary(disk, settings) if settings.snapshot else disk


def _policed(disk: Node, settings: Settings) -> Node:
    """The node that requests go to: in front of the disk where what is read is to be kept in it."""
    if not settings.copy_on_read:
        return disk
    from imgtools.block.filters.copy_on_read import CopyOnRead

    return CopyOnRead(disk)


def _temporary(node: Node, settings: Settings) -> Node:
    """A new image over `node` that takes its writes, in a file that has no name."""
    import os
    import tempfile

    from imgtools.operations.create import create_image

    with tempfile.TemporaryDirectory(prefix="imgtools-") as directory:
        path = os.path.join(directory, "snapshot.qcow2")
        create_image(path, format="qcow2", size=node.size)
        overlay = open_tree(path, "qcow2", Context(writable=True, cache="unsafe"))
    overlay.children["backing"] = node
    overlay.read_only = settings.read_only
    return overlay
