"""Opening: from a name to a tree of nodes.

`open_image` takes what the user named; `Context` travels down the tree with it and opens, through the gate,
what images name. The depth of a chain is bounded and a chain that comes back to itself is refused.
"""

from __future__ import annotations

import os

from imgtools.block.gate import SAME_DIRECTORY, Gate, combine, has_protocol
from imgtools.block.protocols.file import create_file, open_file
from imgtools.block.registry import PROBE_LENGTH, find_format, probe
from imgtools.errors import BadOption, CorruptImage, ImageError, OutOfBounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.node import Node, Storage

MAX_CHAIN_DEPTH = 200
"""Images in one backing chain. Real chains stay under a few dozen; each one costs a file and a table cache."""

RAW_GUESSED = """Image format was not specified for '{}' and probing guessed raw.
         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be \
restricted.
         Specify the 'raw' format explicitly to remove the restrictions."""


class Context:
    """How a tree is opened: for writing or not, with or without backing files, through which gate.

    `checking` opens an image for its check or repair: marks that forbid use (dirty, corrupt) are let pass.
    `create` and `open` may be replaced to keep the storage elsewhere than in files (tests do).
    """

    def __init__(
        self,
        *,
        writable: bool = False,
        gate: Gate = SAME_DIRECTORY,
        backing: bool = True,
        cache: str = "writeback",
        share: bool = False,
        checking: bool = False,
        options: dict[str, str] | None = None,
        warn: Callable[[str], None] | None = None,
        trail: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.writable = writable
        self.gate = gate
        self.backing = backing
        self.cache = cache
        self.share = share
        self.checking = checking
        self.options = options or {}
        """The format's own open options, as text."""
        self.warn = warn or (lambda message: None)
        self.trail = trail
        """(device, inode) of every image above, to notice a chain that loops."""

    def open_storage(self, path: str) -> Storage:
        """The file at `path`, which the user named or the gate let through."""
        return open_file(path, writable=self.writable, cache=self.cache, share=self.share)

    def create_storage(self, path: str) -> Storage:
        """A new, empty file."""
        return create_file(path, cache=self.cache)

    def open_reference(self, referrer: str, name: str, role: str) -> Storage:
        """A further file of the same image (an extent, a data file), through the gate, in the image's own mode."""
        return self.open_storage(self.gate.resolve(referrer, name, role))

    def open_backing(self, referrer: str, name: str, format: str | None) -> Node:
        """The backing image that the image at `referrer` names, read-only and through the gate."""
        path = self.gate.resolve(referrer, name, "backing file")
        below = Context(gate=self.gate, cache=self.cache, share=self.share, warn=self.warn, trail=self.trail)
        try:
            return open_tree(path, format, below)
        except ImageError as error:
            error.message = f"Could not open backing file: {error.message}"
            raise


def open_image(
    filename: str,
    *,
    format: str | None = None,
    writable: bool = False,
    gate: Gate = SAME_DIRECTORY,
    backing: bool = True,
    cache: str = "writeback",
    share: bool = False,
    options: dict[str, str] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Node:
    """Open a disk image and everything below it.

    `format` names the format (None looks at the first bytes); `gate` decides which files the image may name;
    `backing=False` leaves its backing file alone; `share` opens it although another process writes to it.
    Use it as a context manager. Raises an ImageError.
    """
    context = Context(
        writable=writable, gate=gate, backing=backing, cache=cache, share=share, options=options, warn=warn
    )
    return open_tree(filename, format, context)


def open_tree(filename: str, format: str | None, context: Context) -> Node:
    """Open `filename` as `context` says; the user, or a gate, stands behind the name."""
    storage = open_protocol(filename, context)
    try:
        context.trail = (*context.trail, _identity(storage, context.trail))
        guessed = format is None
        name = format or probe(storage.read(0, PROBE_LENGTH))
        node = find_format(name).open(storage, context)
        if guessed and name == "raw" and context.writable:
            from imgtools.formats.raw import GuessedRaw

            context.warn(RAW_GUESSED.format(filename))
            return GuessedRaw(node)
        return node
    except BaseException:
        storage.close()
        raise


def open_protocol(filename: str, context: Context) -> Storage:
    """The bytes behind a name that the user gave: a path, or a protocol prefix and what it takes."""
    if has_protocol(filename):
        protocol, rest = filename.split(":", 1)
        if protocol == "file":
            return context.open_storage(rest)
        if protocol in ("null-co", "null-aio"):
            from imgtools.block.protocols.memory import NullNode

            return NullNode(filename)
        if not os.path.exists(filename):
            raise BadOption(f"Unknown protocol '{protocol}'", path=filename)
    return context.open_storage(filename)


def open_backing_of_user(image: str, name: str, format: str | None, context: Context) -> Node:
    """A backing image that the user (not an image) named, relative to the image it is to stand behind."""
    path = name if has_protocol(name) else combine(image, name)
    below = Context(gate=context.gate, cache=context.cache, share=context.share, warn=context.warn)
    return open_tree(path, format, below)


def _identity(storage: Storage, trail: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    fd = getattr(storage, "fd", None)
    if fd is None:
        return (-1, len(trail))
    status = os.fstat(fd)
    identity = (status.st_dev, status.st_ino)
    if identity in trail:
        raise CorruptImage(
            f"'{storage.filename}' is its own backing file: the chain has a loop",
            path=storage.filename,
            structure="backing file",
        )
    if len(trail) >= MAX_CHAIN_DEPTH:
        raise OutOfBounds(f"the backing chain is longer than {MAX_CHAIN_DEPTH} images", path=storage.filename)
    return identity
