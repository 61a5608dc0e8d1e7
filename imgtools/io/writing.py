"""write, writev and discard."""

from __future__ import annotations

from functools import lru_cache

from imgtools.block.format import Compressing
from imgtools.errors import BadOption, UnsupportedFeature
from imgtools.io.command import ANY, QUIET, TERSE, Failed, Misused, Refused, ShellCommand, flag, value
from imgtools.io.numbers import number, pattern, request_length, vector_length
from imgtools.io.vmstate import check_sectors, vmstate_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node
    from imgtools.io.image import Image
    from imgtools.io.shell import Shell

DEFAULT_PATTERN = 0xCD
KEPT = 1 << 20
"""Filled buffers up to this size are kept, a few of them."""


def write(shell: Shell, arguments: Any) -> None:
    if len(arguments.operands) != 2:
        raise Misused
    _refuse_combinations(arguments)
    offset = number(arguments.operands[0])
    if arguments.no_fallback:
        length = number(arguments.operands[1])
    else:
        length = request_length(arguments.operands[1], " without -n")
    if arguments.vmstate:
        check_sectors(offset, length)
    else:
        shell.timed("write", lambda: shell.node.check_range(offset, length))  # before memory is taken
    data = None if arguments.zeroes else _content(arguments.pattern, arguments.source, length)
    seconds = shell.timed("write", lambda: _write(shell, arguments, offset, length, data))
    shell.report("wrote", arguments, offset, length, seconds)


def _refuse_combinations(arguments: Any) -> None:
    """Raise Failed where options exclude each other."""
    if arguments.vmstate and arguments.zeroes:
        raise Failed("-b and -z cannot be specified at the same time")
    if arguments.force_unit_access and (arguments.vmstate or arguments.compress):
        raise Failed("-f and -b or -c cannot be specified at the same time")
    if arguments.no_fallback and not arguments.zeroes:
        raise Failed("-n requires -z to be specified")
    if arguments.unmap and not arguments.zeroes:
        raise Failed("-u requires -z to be specified")
    if arguments.zeroes + (arguments.pattern is not None) + (arguments.source is not None) > 1:
        raise Failed("Only one of -z, -P, and -s can be specified at the same time")


def _write(shell: Shell, arguments: Any, offset: int, length: int, data: bytes | None) -> None:
    """The request of a `write`; `data` None are zeroes."""
    if data is None:
        zero(shell.opened, offset, length, unmap=arguments.unmap)
    elif arguments.vmstate:
        vmstate_of(shell.opened.disk).write_vmstate(offset, data)
    elif arguments.compress:
        write_compressed(shell.opened.disk, offset, data)
    else:
        shell.node.write(offset, data)
    settle(shell.opened, arguments.force_unit_access)


def zero(image: Image, offset: int, length: int, *, unmap: bool) -> None:
    """Make a range read as zeroes; space is given back only where the image was opened for that."""
    image.node.zero(offset, length, unmap=unmap and image.settings.discards)


def settle(image: Image, force_unit_access: bool) -> None:
    """Make what was written durable, where that was asked for or the image is written through."""
    if image.write_through or force_unit_access:
        image.node.flush()


def write_compressed(node: Node, offset: int, data: bytes) -> None:
    """Store whole clusters (the last one of the disk may be cut short) as compressed ones."""
    node.check_range(offset, len(data))
    if not isinstance(node, Compressing):
        raise UnsupportedFeature(f"{node.driver} images cannot be written compressed", path=node.filename)
    unit, end = node.compression_unit, offset + len(data)
    if offset % unit or (end % unit and end != node.size):
        raise BadOption(f"compressed writes are of whole clusters of {unit} bytes", path=node.filename, offset=offset)
    compress = node.compressor()
    for start in range(0, len(data), unit):
        piece = data[start : start + unit]
        stream = compress(piece.ljust(unit, b"\0"))
        if stream is None:
            node.write(offset + start, piece)
        else:
            node.write_compressed(offset + start, len(piece), stream)


def _content(byte: int | None, source: str | None, length: int) -> bytes:
    """What is to be written: a pattern, or a file over and over."""
    if source is not None:
        return _repeated(source, length)
    return filled(byte, length)


def filled(byte: int | None, length: int) -> bytes:
    """A buffer of one byte's value (None: the usual one)."""
    byte = DEFAULT_PATTERN if byte is None else byte
    return _kept(byte, length) if length <= KEPT else bytes((byte,)) * length


@lru_cache(maxsize=16)
def _kept(byte: int, length: int) -> bytes:
    return bytes((byte,)) * length


def _repeated(path: str, length: int) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(max(1, length))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    if not content:
        raise Refused(f"{path}: file is empty")
    return (content * -(-length // len(content)))[:length]


def writev(shell: Shell, arguments: Any) -> None:
    if len(arguments.operands) < 2:
        raise Misused
    offset, length = number(arguments.operands[0]), vector_length(arguments.operands[1:])
    shell.timed("writev", lambda: shell.node.check_range(offset, length))  # before memory is taken
    data = filled(arguments.pattern, length)

    def request() -> None:
        shell.node.write(offset, data)
        settle(shell.opened, arguments.force_unit_access)

    shell.report("wrote", arguments, offset, length, shell.timed("writev", request))


def discard(shell: Shell, arguments: Any) -> None:
    if len(arguments.operands) != 2:
        raise Misused
    offset, length = number(arguments.operands[0]), request_length(arguments.operands[1])
    seconds = shell.timed("discard", lambda: _discard(shell, offset, length))
    shell.report("discard", arguments, offset, length, seconds)


def _discard(shell: Shell, offset: int, length: int) -> None:
    shell.node.check_range(offset, length)
    if shell.opened.settings.discards:
        shell.node.discard(offset, length)


FORCE_UNIT_ACCESS = flag("f", "force_unit_access", "use Force Unit Access semantics")
FILL = value("P", "pattern", "pattern", "use different pattern to fill file", pattern)

COMMANDS = (
    ShellCommand(
        "write",
        "[-bcCfnquz] [-P pattern | -s source_file] off len",
        "writes a number of bytes at a specified offset",
        write,
        flag("b", "vmstate", "write to the VM state rather than the virtual disk"),
        flag("c", "compress", "write compressed data with blk_write_compressed"),
        FORCE_UNIT_ACCESS,
        flag("n", "no_fallback", "with -z, don't allow slow fallback"),
        flag("p", "ignored", "ignored for backwards compatibility"),
        FILL,
        value("s", "source", "source_file", "use a pattern file to fill the write buffer"),
        TERSE,
        QUIET,
        flag("u", "unmap", "with -z, allow unmapping"),
        flag("z", "zeroes", "write zeroes using blk_co_pwrite_zeroes"),
        alias="w",
        takes=(2, ANY),
        writes=True,
        text="""
 writes a range of bytes from the given offset

 Example:
 'write 512 1k' - writes 1 kilobyte at 512 bytes into the open file

 Writes into a segment of the currently open file, using a buffer
 filled with a set pattern (0xcdcdcdcd).
""",
    ),
    ShellCommand(
        "writev",
        "[-Cfq] [-P pattern] off len [len..]",
        "writes a number of bytes at a specified offset",
        writev,
        FILL,
        TERSE,
        FORCE_UNIT_ACCESS,
        QUIET,
        takes=(2, ANY),
        writes=True,
        text="""
 writes a range of bytes from the given offset source from multiple buffers

 Example:
 'writev 512 1k 1k' - writes 2 kilobytes at 512 bytes into the open file

 Writes into a segment of the currently open file, using a buffer
 filled with a set pattern (0xcdcdcdcd).
""",
    ),
    ShellCommand(
        "discard",
        "[-Cq] off len",
        "discards a number of bytes at a specified offset",
        discard,
        TERSE,
        QUIET,
        alias="d",
        takes=(2, ANY),
        writes=True,
        text="""
 discards a range of bytes from the given offset

 Example:
 'discard 512 1k' - discards 1 kilobyte from 512 bytes into the file

 Discards a segment of the currently open file.
""",
    ),
)
