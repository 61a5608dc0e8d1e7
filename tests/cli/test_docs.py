"""The documentation is true: its examples run and print what they say, its tables are those of the program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imgtools.cli.getopt import Command
from imgtools.cli.pages import documented, page_of, with_table
from tests.conftest import PATIENCE

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if CONSOLE.search(path.read_text())]


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell in which `imgtools` is this source tree's."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "imgtools"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m imgtools "$@"\n')
    program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_examples(page: Path, tmp_path: Path, shell: dict[str, str]) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    for command, expected in examples(page.read_text()):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=directory,
            env=shell,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        assert matches(expected, done.stdout), f"$ {command}\n{done.stdout}\nis not\n{expected}"


def examples(text: str) -> list[tuple[str, str]]:
    """The commands in a page's console blocks, and what each prints."""
    found: list[tuple[str, str]] = []
    for block in CONSOLE.findall(text):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].rstrip("\n"), ""))
            else:
                command, output = found[-1]
                found[-1] = (command, output + line)
    return found


def matches(expected: str, printed: str) -> bool:
    """Whether a text is as expected, "..." standing for anything."""
    pattern = ".*?".join(map(re.escape, expected.split("...")))
    return re.fullmatch(pattern, printed, re.S) is not None


def test_wildcards() -> None:
    assert matches("a ... c\n", "a b c\n")
    assert not matches("a ... c\n", "a b d\n")
    assert not matches("a\n", "a\nb\n")


@pytest.mark.parametrize("command", documented(), ids=lambda command: command.name)
def test_every_command_has_a_page_with_its_options(command: Command) -> None:
    page = (DOCS / "commands" / page_of(command)).read_text()
    assert page == with_table(page, command), "run: python -m imgtools.cli.pages docs/commands"
    assert page.startswith(f"# imgtools {command.name}\n")
