"""imgtools mount: the bytes of a disk as files of the host."""

from __future__ import annotations

from contextlib import ExitStack

from imgtools.cli.arguments import CACHE, FORCE_SHARE, FORMAT, OPENING, cache_mode
from imgtools.cli.background import in_background
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.opening import named, open_named
from imgtools.errors import UnsupportedFeature
from imgtools.mount.contents import contents_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.node import Node

COMMAND = Command(
    "mount",
    "FILENAME DIRECTORY",
    "Show a disk, its partitions and its snapshots as raw files in a directory, by FUSE.",
    (
        FORMAT,
        Option("write", "w", "write", "", "let the files be written to; without it the image is only read"),
        CACHE,
        Option("foreground", "", "foreground", "", "stay until the directory is unmounted or Ctrl-C is pressed"),
        Option("allow_other", "", "allow-other", "", "let other users see the files, too"),
        FORCE_SHARE,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 2:
        raise UsageError("Expecting an image file name and a directory")
    if arguments.foreground:
        return mount(arguments, lambda: None)
    return in_background(lambda ready: mount(arguments, ready))


def mount(arguments: Any, ready: Callable[[], None]) -> int:
    """Serve the directory until it is unmounted."""
    try:
        from imgtools.mount.filesystem import check_directory, serve
    except (ImportError, OSError) as error:
        raise UnsupportedFeature(
            f"mounting needs libfuse and its Python binding: {error}",
            hint="Debian, Ubuntu: apt install fuse3; pip install 'imgtools[mount]'",
        ) from error
    filename, directory = arguments.operands
    check_directory(directory)
    cache = cache_mode(arguments.cache, "writeback")
    target = named(filename, arguments.format, arguments.image_opts)
    with ExitStack() as opened:

        def open_again() -> Node:
            return opened.enter_context(open_named(target, arguments, share=True))

        disk = opened.enter_context(open_named(target, arguments, writable=arguments.write, cache=cache))
        files = contents_of(disk, open_again)
        serve(files, directory, name=filename, allow_other=arguments.allow_other, ready=ready)
        disk.flush()
    return 0
