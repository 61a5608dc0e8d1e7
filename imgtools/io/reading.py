"""read and readv."""

from __future__ import annotations

from imgtools.io.command import ANY, QUIET, TERSE, Failed, Misused, ShellCommand, flag, value
from imgtools.io.dump import dump
from imgtools.io.numbers import number, pattern, request_length, vector_length
from imgtools.io.vmstate import check_sectors, vmstate_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.io.shell import Shell


def read(shell: Shell, arguments: Any) -> bool:
    if len(arguments.operands) != 2:
        raise Misused
    offset, length = number(arguments.operands[0]), request_length(arguments.operands[1])
    if arguments.pattern is None and (arguments.start is not None or arguments.length is not None):
        raise Misused
    start = arguments.start or 0
    count = length - start if arguments.length is None else arguments.length
    if count < 0 or start + count > length:
        raise Failed("pattern verification range exceeds end of read data")
    buffer = memoryview(bytearray(length))
    if arguments.vmstate:
        check_sectors(offset, length)
        seconds = shell.timed("read", lambda: vmstate_of(shell.opened.disk).read_vmstate(offset, buffer))
    else:
        seconds = shell.timed("read", lambda: shell.node.readinto(offset, buffer))
    return _tell(shell, arguments, buffer, offset, (start, count), seconds)


def readv(shell: Shell, arguments: Any) -> bool:
    if len(arguments.operands) < 2:
        raise Misused
    offset, length = number(arguments.operands[0]), vector_length(arguments.operands[1:])
    buffer = memoryview(bytearray(length))
    seconds = shell.timed("readv", lambda: shell.node.readinto(offset, buffer))
    return _tell(shell, arguments, buffer, offset, (0, length), seconds)


def _tell(
    shell: Shell, arguments: Any, buffer: memoryview, offset: int, verified: tuple[int, int], seconds: float
) -> bool:
    """Say what a read brought; False where it is not the pattern that was expected in `verified` (start, length)."""
    start, count = verified
    mismatch = arguments.pattern is not None and differs(buffer[start : start + count], arguments.pattern)
    if mismatch:
        shell.say(mismatch_text(offset + start, count))
    if not arguments.quiet:
        if arguments.dump:
            for line in dump(buffer, offset):
                shell.say(line)
        shell.report("read", arguments, offset, len(buffer), seconds)
    return not mismatch


def differs(data: memoryview, byte: int) -> bool:
    """Whether not every byte of `data` is `byte`."""
    return bytes(data).strip(bytes((byte,))) != b""


def mismatch_text(offset: int, length: int) -> str:
    return f"Pattern verification failed at offset {offset}, {length} bytes\n"


PATTERN = value("P", "pattern", "pattern", "use a pattern to verify read data", pattern)
DUMP = flag("v", "dump", "dump buffer to standard output")

COMMANDS = (
    ShellCommand(
        "read",
        "[-abCqv] [-P pattern [-s off] [-l len]] off len",
        "reads a number of bytes at a specified offset",
        read,
        flag("b", "vmstate", "read from the VM state rather than the virtual disk"),
        TERSE,
        value("l", "length", "len", "length for pattern verification (only with -P)", number),
        flag("p", "ignored", "ignored for backwards compatibility"),
        PATTERN,
        QUIET,
        value("s", "start", "off", "start offset for pattern verification (only with -P)", number),
        DUMP,
        alias="r",
        takes=(2, ANY),
        text="""
 reads a range of bytes from the given offset

 Example:
 'read -v 512 1k' - dumps 1 kilobyte read from 512 bytes into the file

 Reads a segment of the currently open file, optionally dumping it to the
 standard output stream (with -v option) for subsequent inspection.
""",
    ),
    ShellCommand(
        "readv",
        "[-Cqv] [-P pattern] off len [len..]",
        "reads a number of bytes at a specified offset",
        readv,
        TERSE,
        PATTERN,
        DUMP,
        QUIET,
        takes=(2, ANY),
        text="""
 reads a range of bytes from the given offset into multiple buffers

 Example:
 'readv -v 512 1k 1k ' - dumps 2 kilobytes read from 512 bytes into the file

 Reads a segment of the currently open file, optionally dumping it to the
 standard output stream (with -v option) for subsequent inspection.
 Uses multiple iovec buffers if more than one byte range is specified.
""",
    ),
)
