"""Opening: from a name, or a tree of options, to a tree of nodes.

`open_image` takes what the user named; `Context` travels down the tree with it and opens, through the gate,
what images name. The depth of a chain is bounded and a chain that comes back to itself is refused.

A name is turned into options first ("disk.qcow2" is file.filename=disk.qcow2, "null-co://" is file.driver=null-co),
so there is one way to open: `open_node` takes a node's own options, opens its children with theirs, asks the driver
for the node, and refuses the options that are left.
"""

from __future__ import annotations

import os

from imgtools.block.driver import Child
from imgtools.block.format import Format
from imgtools.block.gate import SAME_DIRECTORY, Gate, combine, has_protocol
from imgtools.block.node import Node, Storage
from imgtools.block.node_options import apply_node_options
from imgtools.block.options import JSON_PREFIX, Options
from imgtools.block.protocols.file import DIRECT_MODES, create_file, open_file
from imgtools.block.registry import PROBE_LENGTH, driver_of_name, find_driver, probe
from imgtools.errors import BadOption, CorruptImage, ImageError, OutOfBounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from imgtools.block.driver import Driver
    from imgtools.block.node import Layer

    Name = str | os.PathLike[str] | dict[str, Any]
    """What the user calls a disk: a file name, with or without a protocol, a json: name, or a tree of options."""

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
        aio: str = "threads",
        share: bool = False,
        checking: bool = False,
        options: dict[str, Any] | None = None,
        objects: dict[str, Any] | None = None,
        warn: Callable[[str], None] | None = None,
        trail: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.writable = writable
        self.gate = gate
        self.backing = backing
        self.cache = cache
        self.direct = cache in DIRECT_MODES
        """Whether the host's page cache was asked to be left out, which is what `aio` is held against."""
        self.aio = aio
        self.share = share
        self.checking = checking
        self.options = options or {}
        """For a driver: the values of its own options that were given."""
        self.objects = {} if objects is None else objects
        """What the user defined beside the tree, by id: secrets, throttle groups."""
        self.warn = warn or (lambda message: None)
        self.trail = trail
        """(device, inode) of every image above, to notice a chain that loops."""
        self.discard = True
        """Whether discards are passed on to what is below."""
        self.detect_zeroes = ""
        """The node option of that name."""
        self.depth = 0
        """Nodes above, up to the one at whose backing link this image hangs."""
        self.node_names: set[str] = set()
        self.backing_options = Options()
        """What the user said of the backing node, in place of what the image says."""
        self.children: dict[str, Node] = {}
        """For a format: the nodes below it that the user has described."""

    def derive(self, **changes: Any) -> Self:
        """The same with other values for some attributes; the objects and the node names remain shared."""
        derived = object.__new__(type(self))
        derived.__dict__.update(self.__dict__)
        derived.__dict__.update(changes)
        return derived

    def open_storage(self, path: str) -> Storage:
        """The file at `path`, which the user named or the gate let through."""
        return open_file(path, writable=self.writable, cache=self.cache, share=self.share)

    def create_storage(self, path: str) -> Storage:
        """A new, empty file; where the user's name has a protocol in it, what is there, to be written over."""
        driver = driver_of_name(path)
        if driver is None or driver.name == "file":
            return create_file(path, cache=self.cache)
        try:
            options = Options(driver=driver.name, **driver.parse_name(path))
            return as_file(open_node(options, self.derive(writable=True, options={})))
        except ImageError as error:
            error.message = (
                f"Protocol driver '{driver.name}' does not support image creation, and opening the image failed: "
                f"{error.message}"
            )
            raise

    def open_reference(self, referrer: str, name: str, role: str) -> Storage:
        """A further file of the same image (an extent, a data file), through the gate, in the image's own mode."""
        return self.open_storage(self.gate.resolve(referrer, name, role))

    def open_backing(self, referrer: str, name: str, format: str | None, layer: Layer | None = None) -> Node:
        """The backing node, read-only: what the image names, through the gate, or what the user put in its place.

        Where it is missing and `layer`, the image's node, is given, the error says what is lost without it.
        """
        options, self.backing_options = self.backing_options, Options()
        if name and not options.has_below("file"):
            path = self.gate.resolve(referrer, name, "backing file")
            options.update({"file.driver": "file", "file.filename": path})
        if format is not None:
            options.setdefault("driver", format)
        try:
            return open_node(options, self.derive(writable=False, checking=False, options={}, depth=0))
        except ImageError as error:
            error.message = f"Could not open backing file: {error.message}"
            if layer is not None:
                from imgtools.block.missing import tell_lost_ranges

                tell_lost_ranges(error, layer)
            raise


def open_image(
    filename: Name,
    *,
    format: str | None = None,
    writable: bool = False,
    gate: Gate = SAME_DIRECTORY,
    backing: bool = True,
    cache: str = "writeback",
    share: bool = False,
    options: dict[str, Any] | None = None,
    objects: dict[str, Any] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Node:
    """Open a disk image and everything below it.

    `filename` is a path, a name with or without a protocol, or a tree of options as a dict or a json: name. `format`
    names the format (None looks at the first bytes); `gate` decides which files the image may name; `backing=False`
    leaves its backing file alone; `share` opens it although another process writes to it; `options` are added to the
    tree; `objects` are what they refer to by id, secrets as bytes. Use it as a context manager. Raises an ImageError.
    """
    context = Context(
        writable=writable,
        gate=gate,
        backing=backing,
        cache=cache,
        share=share,
        options=options,
        objects=objects,
        warn=warn,
    )
    return open_tree(filename, format, context)


def open_tree(name: Name, format: str | None, context: Context) -> Node:
    """Open `name` as `context` says; the user stands behind the name, and behind `context.options`."""
    options = options_of(name, format)
    options.update(Options.of(context.options))
    return open_node(options, context)


def options_of(name: Name, format: str | None = None) -> Options:
    """The options that a name stands for, which the user (never an image) gave."""
    if isinstance(name, os.PathLike):
        options = Options({"file.driver": "file", "file.filename": os.fspath(name)})
    elif isinstance(name, dict) or name.startswith(JSON_PREFIX):
        options = Options.of(name)
    elif format is not None and find_driver(format).is_protocol:
        options = Options(find_driver(format).parse_name(name))
    else:
        options = Options((f"file.{key}", value) for key, value in file_options(name).items())
    if format is not None:
        options["driver"] = format
    return options


def file_options(name: str) -> Options:
    """The options of the file, or of what stands in its place, that the user means by `name`."""
    if name.startswith(JSON_PREFIX):
        return Options.of(name)
    driver = driver_of_name(name)
    if driver is not None:
        return Options(driver=driver.name, **driver.parse_name(name))
    if has_protocol(name) and not os.path.exists(name):
        raise BadOption(f"Unknown protocol '{name.split(':', 1)[0]}'", path=name)
    return Options(driver="file", filename=name)


def open_node(options: Options, context: Context) -> Node:
    """The node that `options` describe, with all below it. Where they name no driver, its format is guessed."""
    name = options.pop("driver", None)
    driver = None if name is None else find_driver(str(name))
    if driver is None and not options.has_below("file") and "file" not in options:
        raise BadOption("Must specify either driver or file")
    own = apply_node_options(options, context)
    children: dict[str, Node] = {}
    node: Node | None = None
    try:
        for child in driver.children if driver else FILE:
            children |= _open_children(child, options, own)
        guessed = driver is None
        if driver is None:
            driver = find_driver(probe(children["file"].read(0, PROBE_LENGTH)))
            for child in driver.children[len(FILE) :]:
                children |= _open_children(child, options, own)
        given = {key: value for key, value in options.items() if (known := driver.open_option(key)) and known.identity}
        overridden = driver.supports_backing and _take_backing(options, own)
        own.options = driver.take_options(options)
        _refuse(options, driver, own)
        if isinstance(driver, Format):
            storage = as_file(children["file"])
            own.trail = (*own.trail, _identity(storage, own.trail))
            own.children = children
            node = driver.open(storage, own)
        else:
            node = driver.open_node(children, own)
        if own.backing_options:
            node.children["backing"] = own.open_backing(node.filename, "", None)
        _describe(node, driver, given, children, overridden)
        return _with_policies(node, own, guessed=guessed)
    except BaseException:
        for half_open in children.values() if node is None else (node,):
            half_open.close()
        raise


FILE = (Child("file"),)
"""What is opened where no driver is named yet: bytes that tell the format."""


def _open_children(child: Child, options: Options, context: Context) -> dict[str, Node]:
    """The nodes that a driver's child stands for, by name."""
    if child.optional and not options.has_below(child.name) and child.name not in options:
        return {}
    if not child.many:
        return {child.name: _open_child(child, child.name, options, context)}
    nodes: dict[str, Node] = {}
    try:
        while options.has_below(name := f"{child.name}.{len(nodes)}") or name in options:
            nodes[name] = _open_child(child, name, options, context)
        if options.has_below(child.name):
            raise BadOption(f"Option {child.name} is not a valid array")
    except BaseException:
        for node in nodes.values():
            node.close()
        raise
    return nodes


def _open_child(child: Child, name: str, options: Options, context: Context) -> Node:
    below = options.take_below(name)
    if not below and name in options:
        given = options.pop(name)
        if isinstance(given, Node):
            return given
        if isinstance(given, str):
            raise _no_such_node(given)
    if not below and child.by_name is not None and child.by_name in options:
        text = str(options.pop(child.by_name))
        below = options_of(text) if child.disk else file_options(text)
    if not below:
        raise BadOption(f'A block device must be specified for "{name}"')
    if not child.disk and "driver" not in below:
        if "filename" not in below:
            raise BadOption("Must specify either driver or file")
        below["driver"] = "file"
    return open_node(below, context)


def _take_backing(options: Options, context: Context) -> bool:
    """Keep what the user says of the backing node for when the image's own word is read; whether that is anything."""
    given = options.get("backing", "nothing is said")
    if given is None or given == "":
        if given == "":
            context.warn('Use of "backing": "" is deprecated; use "backing": null instead')
        del options["backing"]
        was_to_be_opened, context.backing = context.backing, False
        return was_to_be_opened
    if not context.backing:
        return False
    if "backing" in options:
        error = _no_such_node(given)
        error.message = f"Could not open backing file: {error.message}"
        raise error
    context.backing_options = options.take_below("backing")
    return bool(context.backing_options)


def _no_such_node(name: object) -> BadOption:
    return BadOption(f"Cannot find device='{name}' nor node-name='{name}'")


def _refuse(options: Options, driver: Driver, context: Context) -> None:
    """Raise BadOption where an option is left that nobody has taken."""
    if not options:
        return
    from imgtools.block.json_names import place

    name = min(options, key=place)
    if driver.is_protocol:
        raise BadOption(f"Block protocol '{driver.name}' doesn't support the option '{name}'")
    if name.startswith("backing.") and context.backing:
        raise BadOption("Driver doesn't support backing files")
    raise BadOption(f"Block format '{driver.name}' does not support the option '{name}'")


def _describe(node: Node, driver: Driver, given: dict[str, Any], children: dict[str, Node], overridden: bool) -> None:
    """Let the node know the options that lead to it, and the plain name where there is one."""
    node.described = {"driver": driver.name, **given}
    for name, child in children.items():
        parent, _, index = name.partition(".")
        if index:
            node.described.setdefault(parent, []).append(child.described)
        else:
            node.described[name] = child.described
    if overridden:
        node.described["backing"] = None if node.backing is None else node.backing.described
    else:
        node.plain_name = driver.plain_name(given, children)


def _with_policies(node: Node, context: Context, *, guessed: bool) -> Node:
    """The node behind what has to watch over its writes."""
    if not context.writable:
        return node
    watched = node
    if guessed and node.driver == "raw":
        from imgtools.formats.raw import GuessedRaw

        context.warn(RAW_GUESSED.format(node.children["file"].shown_name))
        watched = GuessedRaw(node)
    if context.detect_zeroes in ("on", "unmap"):
        from imgtools.block.filters.detect_zeroes import DetectZeroes

        watched = DetectZeroes(watched, unmap=context.detect_zeroes == "unmap")
    watched.described, watched.plain_name = node.described, node.plain_name
    return watched


def as_file(node: Node) -> Storage:
    """A node in a place where a file is expected."""
    if isinstance(node, Storage):
        return node
    from imgtools.block.filters.asfile import AsFile

    return AsFile(node)


def open_backing_of_user(image: str, name: str, format: str | None, context: Context) -> Node:
    """A backing image that the user (not an image) named, relative to the image it is to stand behind."""
    path = name if has_protocol(name) else combine(image, name)
    return open_tree(path, format, context.derive(writable=False, options={}))


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
