"""aio_read, aio_write and aio_flush: requests that are complete some time later."""

from __future__ import annotations

from time import perf_counter

from imgtools.errors import ImageError
from imgtools.io.command import ANY, QUIET, TERSE, Failed, Misused, ShellCommand, flag
from imgtools.io.dump import dump
from imgtools.io.failure import system_error
from imgtools.io.numbers import number, vector_length
from imgtools.io.reading import DUMP, PATTERN, differs, mismatch_text
from imgtools.io.report import statistics
from imgtools.io.writing import FILL, FORCE_UNIT_ACCESS, filled, settle, zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.io.shell import Shell


def aio_read(shell: Shell, arguments: Any) -> None:
    if len(arguments.operands) < 2:
        raise Misused
    offset, length = number(arguments.operands[0]), vector_length(arguments.operands[1:])
    if arguments.invalid:
        shell.say("injecting invalid read request\n")
        return
    node, started = shell.node, perf_counter()

    def request() -> str:
        buffer = memoryview(bytearray(length))
        failure = _failure("readv", lambda: node.readinto(offset, buffer))
        if failure:
            return failure
        seconds = perf_counter() - started
        text = ""
        if arguments.pattern is not None and differs(buffer, arguments.pattern):
            text = mismatch_text(offset, length)
        if arguments.quiet:
            return text
        if arguments.dump:
            text += "".join(dump(buffer, offset))
        return text + statistics("read", offset, length, seconds, arguments.terse)

    shell.background.start(request)


def aio_write(shell: Shell, arguments: Any) -> None:
    operands = arguments.operands
    if len(operands) < 2:
        raise Misused
    if arguments.zeroes and len(operands) != 2:
        raise Failed("-z supports only a single length parameter")
    if arguments.unmap and not arguments.zeroes:
        raise Failed("-u requires -z to be specified")
    offset = number(operands[0])
    length = number(operands[1]) if arguments.zeroes else vector_length(operands[1:])
    if arguments.invalid:
        shell.say("injecting invalid write request\n")
        return
    image, started = shell.opened, perf_counter()
    data = b"" if arguments.zeroes else filled(arguments.pattern, length)

    def write() -> None:
        if arguments.zeroes:
            zero(image, offset, length, unmap=arguments.unmap)
        else:
            image.node.write(offset, data)
        settle(image, arguments.force_unit_access)

    def request() -> str:
        failure = _failure("aio_write", write)
        if failure or arguments.quiet:
            return failure
        return statistics("wrote", offset, length, perf_counter() - started, arguments.terse)

    shell.background.start(request)


def _failure(name: str, request: Callable[[], None]) -> str:
    """Make a request; the line that tells of its failure, or nothing."""
    try:
        request()
    except ImageError as error:
        return f"{name} failed: {system_error(error)}\n"
    except MemoryError:
        return f"{name} failed: Cannot allocate memory\n"
    return ""


def aio_flush(shell: Shell, arguments: Any) -> None:
    shell.reap(wait=True)


INVALID = flag("i", "invalid", "treat request as invalid, for exercising stats")

COMMANDS = (
    ShellCommand(
        "aio_read",
        "[-Ciqv] [-P pattern] off len [len..]",
        "asynchronously reads a number of bytes",
        aio_read,
        TERSE,
        PATTERN,
        INVALID,
        DUMP,
        QUIET,
        takes=(2, ANY),
        text="""
 asynchronously reads a range of bytes from the given offset

 Example:
 'aio_read -v 512 1k 1k ' - dumps 2 kilobytes read from 512 bytes into the file

 Reads a segment of the currently open file, optionally dumping it to the
 standard output stream (with -v option) for subsequent inspection.
 The read is performed asynchronously and the aio_flush command must be
 used to ensure all outstanding aio requests have been completed.
 Note that due to its asynchronous nature, this command will be
 considered successful once the request is submitted, independently
 of potential I/O errors or pattern mismatches.
""",
    ),
    ShellCommand(
        "aio_write",
        "[-Cfiquz] [-P pattern] off len [len..]",
        "asynchronously writes a number of bytes",
        aio_write,
        FILL,
        TERSE,
        FORCE_UNIT_ACCESS,
        INVALID,
        QUIET,
        flag("u", "unmap", "with -z, allow unmapping"),
        flag("z", "zeroes", "write zeroes using blk_aio_pwrite_zeroes"),
        takes=(2, ANY),
        writes=True,
        text="""
 asynchronously writes a range of bytes from the given offset source
 from multiple buffers

 Example:
 'aio_write 512 1k 1k' - writes 2 kilobytes at 512 bytes into the open file

 Writes into a segment of the currently open file, using a buffer
 filled with a set pattern (0xcdcdcdcd).
 The write is performed asynchronously and the aio_flush command must be
 used to ensure all outstanding aio requests have been completed.
 Note that due to its asynchronous nature, this command will be
 considered successful once the request is submitted, independently
 of potential I/O errors or pattern mismatches.
""",
    ),
    ShellCommand("aio_flush", None, "completes all outstanding aio requests", aio_flush),
)
