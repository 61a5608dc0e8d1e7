"""`imgtools boot` as a person runs it: a process, its output and its exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.conftest import PATIENCE, run

LONGEST = 3 * PATIENCE  # a whole Debian boots, and on a machine that others use


class Run(NamedTuple):
    status: int
    output: str
    errors: str


def boot(*words: str | Path, stdin: int | None = subprocess.DEVNULL) -> Run:
    """Run `imgtools boot` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "imgtools", "boot", "--accel", "tcg", "--timeout", str(LONGEST), *map(str, words)],
        stdin=stdin,
        capture_output=True,
        timeout=LONGEST + PATIENCE,
    )
    return Run(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def convert(source: Path, source_format: str, target: Path, format: str) -> Path:
    """`imgtools convert`: the target."""
    words = ["-m", "imgtools", "convert", "-f", source_format, "-O", format, str(source), str(target)]
    run(sys.executable, *words)
    return target
