"""What qemu-io does not have: looking into an image, sessions as tests, and Python."""

from __future__ import annotations

import sys

from imgtools.block.extent import READS_ZERO
from imgtools.io.command import ANY, Failed, Misused, Refused, ShellCommand, value
from imgtools.io.dump import hexdump
from imgtools.io.numbers import number, request_length
from imgtools.io.report import human

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from imgtools.block.node import Node
    from imgtools.io.shell import Shell

SHOWN = 256
"""Bytes that `hexdump` shows unless told."""
SECTOR = 512
PIECE = 1 << 20
"""Bytes of each disk that `diff` holds at once."""
MOST_RUNS = 64
"""Runs that `diff` tells of one by one."""


# Looking into an image.


def hexdump_(shell: Shell, arguments: Any) -> None:
    offset = number(arguments.operands[0])
    length = request_length(arguments.operands[1]) if len(arguments.operands) == 2 else SHOWN
    buffer = memoryview(bytearray(min(length, max(0, shell.node.size - offset)) or length))
    shell.timed("hexdump", lambda: shell.node.readinto(offset, buffer))
    for line in hexdump(buffer, offset):
        shell.say(line)


def struct_(shell: Shell, arguments: Any) -> None:
    from imgtools.block.structure import structure_of, structures_of

    node = shell.opened.disk
    _write_back(node)
    if not arguments.operands:
        for structure in structures_of(node):
            count = structure.count(node)
            entries = "" if count is None else f" ({count})"
            shell.say(f"{structure.name}{entries} -- {structure.summary}\n")
        return
    structure = structure_of(node, arguments.operands[0])
    index = number(arguments.operands[1]) if len(arguments.operands) == 2 else None
    for line in structure.describe(node, index):
        shell.say(line + "\n")


def why_(shell: Shell, arguments: Any) -> None:
    from imgtools.io.why import why

    _write_back(shell.node)
    for line in why(shell.node, number(arguments.operands[0])):
        shell.say(line + "\n")


def _write_back(node: Node) -> None:
    """Bring what is only in memory to the file that is looked at."""
    if not node.read_only:
        node.flush()


def diff(shell: Shell, arguments: Any) -> bool:
    from imgtools.io.image import Image, Settings

    if len(arguments.operands) != 1:
        raise Misused
    other = Image(
        arguments.operands[0], Settings(format=arguments.format, read_only=True, gate=shell.gate, objects=shell.objects)
    )
    with other.node as theirs:
        ours = shell.node
        if ours.size != theirs.size:
            shell.say(f"sizes differ: {ours.size} and {theirs.size} bytes\n")
        equal = ours.size == theirs.size
        runs = 0
        for start, end in differences(ours, theirs):
            equal = False
            runs += 1
            if runs <= MOST_RUNS:
                length = end - start
                shell.say(f"{human(length)} ({length:#x}) bytes differ at offset {human(start)} ({start:#x})\n")
        if runs > MOST_RUNS:
            shell.say(f"... and {runs - MOST_RUNS} more\n")
    if equal:
        shell.say("no differences\n")
    return equal


def differences(first: Node, second: Node) -> Iterator[tuple[int, int]]:
    """Runs (start, end) of whole sectors, as far as both disks go, in which the disks differ."""
    held: tuple[int, int] | None = None
    for start, end in _differing_sectors(first, second):
        if held is not None and held[1] == start:
            held = held[0], end
            continue
        if held is not None:
            yield held
        held = start, end
    if held is not None:
        yield held


def _differing_sectors(first: Node, second: Node) -> Iterator[tuple[int, int]]:
    from imgtools.operations.compare import pairs

    size = min(first.size, second.size)
    for run_start, run_end, mine, theirs in pairs(first, second, size):
        if mine.kind in READS_ZERO and theirs.kind in READS_ZERO:
            continue
        for start in range(run_start, run_end, PIECE):
            stop = min(start + PIECE, run_end)
            one, other = first.read(start, stop - start), second.read(start, stop - start)
            if one == other:
                continue
            for at in range(0, stop - start, SECTOR):
                if one[at : at + SECTOR] != other[at : at + SECTOR]:
                    yield start + at, min(start + at + SECTOR, stop)


# Sessions as tests.


def record(shell: Shell, arguments: Any) -> None:
    from imgtools.io.transcript import Recording

    if shell.replaying:
        raise Refused("a session that is replayed cannot be recorded")
    shell.recording = Recording(arguments.operands[0]) if arguments.operands else None


def replay_(shell: Shell, arguments: Any) -> bool:
    from imgtools.io.transcript import replay

    if shell.replaying:
        raise Refused("a session that is replayed cannot replay another")
    shell.replaying = True
    well = shell.went_well
    try:
        difference = replay(arguments.operands[0], shell.execute)
    finally:
        shell.replaying, shell.done = False, False
        shell.went_well = well  # commands that were to fail do not make the session one that failed
    shell.say("".join(difference))
    return not difference


# Python.


def python(shell: Shell, arguments: Any) -> None:
    names = shell.names | {"shell": shell, "node": shell.image and shell.node}
    shell.names = names
    if arguments.operands:
        _evaluate(" ".join(arguments.operands), names)
        return
    if not sys.stdin.isatty():
        raise Refused("python without an expression needs a terminal")
    import code

    try:
        code.interact("node is the open disk, shell this session; Ctrl-D goes back.", local=names, exitmsg="")
    except SystemExit:
        pass  # of the prompt, not of the session


def _evaluate(source: str, names: dict[str, Any]) -> None:
    """Run one statement; the value of an expression is shown."""
    try:
        exec(compile(source, "<python>", "single"), names)
    except (Exception, SystemExit) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error


COMMANDS = (
    ShellCommand(
        "hexdump",
        "off [len]",
        "shows bytes in hexadecimal and as text",
        hexdump_,
        takes=(1, 2),
        text="""
 Example:
 'hexdump 0 512' - the boot sector

 Lines like the one before are left out; a star stands for them.
""",
    ),
    ShellCommand(
        "struct",
        "[name [index]]",
        "shows an on-disk structure of the image",
        struct_,
        takes=(0, 2),
        text="""
 Example:
 'struct'        - which structures there are
 'struct header' - the fields of the header
 'struct l2 7'   - the table entry of the disk's cluster 7 (qcow2)

 Of a table without an index the entries that say something are listed.
""",
    ),
    ShellCommand(
        "why",
        "off",
        "tells the way of a byte through every layer to a file",
        why_,
        takes=(1, 1),
        text="""
 Example:
 'why 1M' - which table entries lead from there to where
""",
    ),
    ShellCommand(
        "diff",
        "[-f format] file",
        "tells where another disk differs",
        diff,
        value("f", "format", "format", "the other image's format"),
        takes=(1, ANY),
        text="""
 Example:
 'diff -f raw before.img' - where the open disk is not what it was
""",
    ),
    ShellCommand(
        "record",
        "[file]",
        "writes the lines that follow and what they say to a file",
        record,
        takes=(0, 1),
        needs_image=False,
        text="""
 Example:
 'record test.io' - from here on
 'record'         - no more
""",
    ),
    ShellCommand(
        "replay",
        "file",
        "runs a recorded session and shows where it says something else",
        replay_,
        takes=(1, 1),
        needs_image=False,
    ),
    ShellCommand(
        "python",
        "[statement]",
        "runs Python with the open disk at hand",
        python,
        takes=(0, ANY),
        needs_image=False,
        text="""
 Example:
 'python node.read(510, 2)' - the end of the boot sector
 'python'                   - a prompt, where somebody types
""",
    ),
)
