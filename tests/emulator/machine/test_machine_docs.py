"""The examples of docs/bare-machine.md run, and print what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "bare-machine.md").read_text()


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
    session = next(text for kind, text in blocks if not kind)
    commands = [line[2:] for line in session.splitlines() if line.startswith("$ ")]
    shown = [line for line in session.splitlines() if not line.startswith("$ ")]
    script = "\n".join([f'python() {{ PYTHONPATH={ROOT} {sys.executable} "$@"; }}', *commands])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.stdout.splitlines(), done.stderr) == (shown, "")
    monkeypatch.chdir(tmp_path)
    exec(next(text for kind, text in blocks if kind == "python"), {})
