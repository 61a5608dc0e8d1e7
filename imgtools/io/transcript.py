"""Sessions as tests: a file with the lines that were run and what they said.

    io> read -P 0 0 4k
    read 4096/4096 bytes at offset 0
    4 KiB, 1 ops; TIME

`replay` runs the lines again and compares. Times and rates are masked when recording, since no two runs share them.
"""

from __future__ import annotations

import difflib
import io
import re
import sys
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

PROMPT = "io> "
TIMES = re.compile(r"(?<= ops; )[\d:.]+(?: sec)? \([\d.]+ (?:bytes|[KMGTPE]iB)/sec and [\d.]+ ops/sec\)$", re.M)
TERSE = re.compile(r"^(\d+,\d+),\d+:\d\d:\d\d\.\d\d,[\d.]+,[\d.]+$", re.M)


def masked(text: str) -> str:
    """A text without times and rates."""
    return TERSE.sub(r"\1,TIME", TIMES.sub("TIME", text))


class Tee(io.TextIOBase):
    """Keeps what is written, and passes it on where there is a stream."""

    def __init__(self, kept: list[str], stream: TextIO | None) -> None:
        self.kept = kept
        self.stream = stream

    def write(self, text: str) -> int:
        self.kept.append(text)
        return len(text) if self.stream is None else self.stream.write(text)

    def flush(self) -> None:
        if self.stream is not None:
            self.stream.flush()


def capture(action: Callable[[], object], *, silent: bool) -> str:
    """What an action says on standard output and standard error, in order; `silent` shows nothing of it."""
    kept: list[str] = []
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Tee(kept, None if silent else stream) for stream in before)
    try:
        action()
    finally:
        sys.stdout, sys.stderr = before
    return masked("".join(kept))


class Recording:
    """A session that is being written down; each line is in the file as soon as it has been run."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "w"):
            pass  # told now if it cannot be written

    def run(self, line: str, action: Callable[[], object]) -> None:
        """Run a line and write down what it says."""
        said = capture(action, silent=False)
        with open(self.path, "a", errors="surrogateescape") as file:
            file.write(f"{PROMPT}{line}\n{said}")


def replay(path: str, execute: Callable[[str], object]) -> list[str]:
    """Run a recorded session; the unified diff of what it says now against what it said then."""
    with open(path, errors="surrogateescape") as file:
        recorded = masked(file.read())
    said = ""
    for text in recorded.splitlines():
        if text.startswith(PROMPT):
            line = text.removeprefix(PROMPT)
            said += text + "\n" + capture(partial(execute, line), silent=True)
    return list(
        difflib.unified_diff(
            recorded.splitlines(keepends=True), said.splitlines(keepends=True), path, "this session", n=2
        )
    )
