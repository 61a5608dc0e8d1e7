"""The examples of docs/native-compiler.md run, and print what the page says."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "native-compiler.md"
NAME = "docs/native-compiler.md"


def test_examples(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    page = PAGE.read_text()
    linecache.cache[NAME] = (len(page), None, _only_code(page), NAME)
    namespace = {"__name__": "native_compiler_page"}
    exec(compile("".join(_only_code(page)), NAME, "exec"), namespace)
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert shown
    assert namespace["message"] == shown.group(1).rstrip()


def _only_code(page):
    """The page's lines, with everything but its Python blanked, so that line numbers are the page's."""
    lines, inside = [], False
    for line in page.splitlines(keepends=True):
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "\n")
        inside = not inside and line.startswith("```python") if fence else inside
    return lines
