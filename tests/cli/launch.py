"""Running the program as people do: as a process, under its own name or a peer's. Or, quicker, in this process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from imgtools.cli.program import main
from tests.conftest import PATIENCE

Outcome = tuple[int, str, str]
"""Exit status, what was printed, and the complaints."""

ROOT = Path(__file__).parent.parent.parent

PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from imgtools.__main__ import main
main()
"""


def install(directory: Path) -> Path:
    """A directory with `imgtools`, and links to it under the peers' names; returns the directory."""
    programs = directory / "programs"
    programs.mkdir()
    program = programs / "imgtools"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (programs / "qemu-img").symlink_to("imgtools")
    return programs


def run(program: Path, *words: str, cwd: Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command line to its end."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(more.pop("env", {}) or {})}  # type: ignore[dict-item]
    return subprocess.run(
        [str(program), *words],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},  # type: ignore[call-overload]
    )


def run_in_process(words: list[str]) -> Outcome:
    """What the program says to a command line under the peer's name."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        status = main(["qemu-img", *words])
    finally:
        sys.stdout, sys.stderr = before
    texts = []
    for stream in (out, err):
        stream.flush()
        assert isinstance(stream.buffer, io.BytesIO)
        texts.append(decoded(stream.buffer.getvalue()))
    return status, texts[0], texts[1]


def decoded(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
