"""What concerns the image as a whole: open, close, reopen, flush, truncate, length, info, alloc, map; help and quit."""

from __future__ import annotations

from imgtools.block.extent import ABSENT, HOLE
from imgtools.block.format import Resizable
from imgtools.cli import keyvalue
from imgtools.cli.arguments import Complaint
from imgtools.errors import ImageError
from imgtools.io.command import ANY, Misused, ShellCommand, flag, value
from imgtools.io.image import CACHE_MODES, Settings
from imgtools.io.numbers import number
from imgtools.io.report import human

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.node import Node
    from imgtools.io.shell import Shell

PREALLOCATION = ("off", "metadata", "falloc", "full")


# Opening and closing.


def open_(shell: Shell, arguments: Any) -> None:
    if len(arguments.operands) > 1:
        raise Misused
    settings = Settings(
        read_only=arguments.read_only,
        snapshot=arguments.snapshot,
        copy_on_read=arguments.copy_on_read,
        share=arguments.share,
        cache="none" if arguments.no_cache else arguments.cache or "writethrough",
        discard=arguments.discard or "unmap",
        aio="native" if arguments.native_aio else arguments.aio or "threads",
        options=_merged(arguments.options),
        gate=shell.gate,
        objects=shell.objects,
    )
    if shell.image is not None:
        raise Complaint("file open already, try 'help close'")
    shell.open(arguments.operands[0] if arguments.operands else None, settings)


def _merged(texts: list[str]) -> dict[str, str]:
    """The options of several -o."""
    options: dict[str, str] = {}
    for text in texts:
        options |= keyvalue.parse(text)
    return options


def close(shell: Shell, arguments: Any) -> None:
    shell.close()


def reopen(shell: Shell, arguments: Any) -> None:
    if arguments.operands:
        raise Misused
    options, settings = _merged(arguments.options), shell.opened.settings
    changes: dict[str, Any] = {"options": settings.options | options}
    if arguments.read_only and arguments.writable:
        raise Complaint("Only one -r/-w option may be given")
    if arguments.cache is not None and arguments.cache not in CACHE_MODES:
        raise Complaint(f"Invalid cache option: {arguments.cache}")
    if arguments.read_only or arguments.writable:
        if "read-only" in options:
            raise Complaint("Cannot set both -r/-w and 'read-only'")
        changes["read_only"] = bool(arguments.read_only)
    if arguments.cache is not None:
        if any(name.startswith("cache.") for name in options):
            raise Complaint("Cannot set both -c and the cache options")
        changes["cache"] = arguments.cache
    for name in options:
        if not _can_change(shell.opened.disk, name):
            raise Complaint(f"Cannot change the option '{name.removeprefix('file.')}'")
    shell.reap(wait=True)
    shell.opened.reopen(settings.changed(**changes))


def _can_change(node: Node, name: str) -> bool:
    """Whether an option of an open node may get another value: one of the node itself, not of those below it."""
    from imgtools.block.node_options import NODE_OPTIONS
    from imgtools.block.registry import find_driver

    return name in NODE_OPTIONS or find_driver(node.driver).open_option(name) is not None


def quit_(shell: Shell, arguments: Any) -> None:
    shell.done = True


# Facts.


def flush(shell: Shell, arguments: Any) -> bool:
    try:
        shell.node.flush()
    except ImageError as error:
        shell.explain(error)
        return False
    finally:
        shell.reap()
    return True


def length(shell: Shell, arguments: Any) -> None:
    shell.say(f"{human(shell.node.size)}\n")


def info(shell: Shell, arguments: Any) -> None:
    from imgtools.cli.info import describe

    node = shell.opened.disk
    cluster_size = getattr(node, "cluster_size", None) or 0
    shell.say(f"format name: {node.driver}\n")
    shell.say(f"cluster size: {human(cluster_size)}\n")
    shell.say(f"vm state offset: {human(getattr(node, 'vm_state_offset', 0))}\n")
    facts = node.details()
    if facts:
        shell.say("\n".join(["Format specific information:", *describe(facts, 1)]) + "\n")


def alloc(shell: Shell, arguments: Any) -> None:
    offset = number(arguments.operands[0])
    asked = number(arguments.operands[1]) if len(arguments.operands) == 2 else 512
    count = max(0, min(asked, shell.node.size - offset))
    found = sum(end - start for start, end, allocated in allocation(shell.opened.disk, offset, count) if allocated)
    shell.say(f"{found}/{count} bytes allocated at offset {human(offset)}\n")


def map_(shell: Shell, arguments: Any) -> None:
    for start, end, allocated in allocation(shell.opened.disk, 0, shell.node.size):
        size = end - start
        words = "    allocated" if allocated else "not allocated"
        shell.say(f"{human(size)} ({size:#x}) bytes {words} at offset {human(start)} ({start:#x})\n")


def allocation(node: Node, offset: int, count: int) -> Iterator[tuple[int, int, bool]]:
    """Runs of (start, end, whether this layer holds them), backing files left out."""
    start, held = offset, None
    for extent in node.extents(offset, count) if count else ():
        allocated = extent.kind != ABSENT and (node.fixed_layout or (extent.depth == 0 and extent.kind != HOLE))
        if held is not None and allocated is not held:
            yield start, extent.start, held
            start = extent.start
        held = allocated
    if held is not None:
        yield start, offset + count, held


def truncate(shell: Shell, arguments: Any) -> None:
    mode = arguments.preallocation or "off"
    if mode not in PREALLOCATION:
        raise Complaint(f"Invalid preallocation mode '{mode}'")
    if not arguments.operands:
        raise Misused
    size, node = number(arguments.operands[0]), shell.opened.disk
    if not isinstance(node, Resizable):
        raise Complaint("Image format driver does not support resize")
    if mode != "off" and size < node.size:
        raise Complaint("Preallocation can't be used for shrinking an image")
    node.resize(size, mode)


def help_(shell: Shell, arguments: Any) -> None:
    from imgtools.io.table import all_commands

    if not arguments.operands:
        for command in all_commands(shell.own):
            shell.say(command.line() + "\n")
        shell.say("\nUse 'help commandname' for extended help.\n")
        return
    name = arguments.operands[0]
    found = shell.command(name)
    if found is None:
        shell.say(f"command {name} not found\n")
        return
    shell.say("".join(f"{line}\n" for line in (found.line(name), *found.explanation())))


COMMANDS = (
    ShellCommand(
        "open",
        "[-rsCnkU] [-t cache] [-d discard] [-o options] [path]",
        "open the file specified by path",
        open_,
        flag("r", "read_only", "open file read-only"),
        flag("s", "snapshot", "use snapshot file"),
        flag("C", "copy_on_read", "use copy-on-read"),
        flag("n", "no_cache", "disable host cache, short for -t none"),
        flag("U", "share", "force shared permissions"),
        flag("k", "native_aio", "use kernel AIO implementation (Linux only, prefer use of -i)"),
        value("i", "aio", "mode", "use AIO mode (threads, native or io_uring)"),
        value("t", "cache", "mode", "use the given cache mode for the image"),
        value("d", "discard", "mode", "use the given discard mode for the image"),
        value("o", "options", "options", "options to be given to the block driver", many=True),
        alias="o",
        takes=(1, ANY),
        needs_image=False,
        ends_blank=False,
        text="""
 opens a new file in the requested mode

 Example:
 'open -n -o driver=raw /tmp/data' - opens raw data file read-write, uncached

 Opens a file for subsequent use by all of the other qemu-io commands.
""",
    ),
    ShellCommand("close", None, "close the current open file", close, alias="c"),
    ShellCommand(
        "reopen",
        "[(-r|-w)] [-c cache] [-o options]",
        "reopens an image with new options",
        reopen,
        flag("r", "read_only", "Reopen the image read-only"),
        flag("w", "writable", "Reopen the image read-write"),
        value("c", "cache", "cache", "Change the cache mode to the given value"),
        value("o", "options", "options", "Changes block driver options (cf. 'open' command)", many=True),
        takes=(0, ANY),
        text="""
 Changes the open options of an already opened image

 Example:
 'reopen -o lazy-refcounts=on' - activates lazy refcount writeback on a qcow2 image

""",
    ),
    ShellCommand("flush", None, "flush all in-core file state to disk", flush, alias="f"),
    ShellCommand(
        "truncate",
        "[-m prealloc_mode] off",
        "truncates the current file at the given offset",
        truncate,
        value("m", "preallocation", "prealloc_mode"),
        alias="t",
        takes=(1, 3),
        writes=True,
    ),
    ShellCommand("length", None, "gets the length of the current file", length, alias="l"),
    ShellCommand("info", None, "prints information about the current file", info, alias="i"),
    ShellCommand(
        "alloc", "offset [count]", "checks if offset is allocated in the file", alloc, alias="a", takes=(1, 2)
    ),
    ShellCommand("map", "", "prints the allocated areas of a file", map_),
    ShellCommand("help", "[command]", "help for one or all commands", help_, takes=(0, 1), needs_image=False),
    ShellCommand("quit", None, "exit the program", quit_, alias="q", takes=(0, ANY), needs_image=False),
)
