"""Lines from standard input when nobody sits there: with qemu-io's prompt, which scripts wait for."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgtools.io.shell import Shell

PROMPT = "qemu-io> "
PIECE = 1 << 16


def run_lines(shell: Shell) -> None:
    """Run every line of standard input, or all up to `quit`."""
    lines = read_lines()
    while not shell.done:
        shell.say(PROMPT)
        line = next(lines, None)
        if line is None:
            break
        shell.execute(line)
        shell.reap()


def read_lines() -> Iterator[str]:
    """The lines of standard input. What was written is flushed only before waiting for more."""
    pending = b""
    while True:
        sys.stdout.flush()
        piece = os.read(sys.stdin.fileno(), PIECE)
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            yield line.decode(errors="surrogateescape")
        if not piece:
            if pending:
                yield pending.decode(errors="surrogateescape")
            return
