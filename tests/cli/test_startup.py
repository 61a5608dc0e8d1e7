"""Starting is instant: what `info` and `create` import is listed here, and nothing else may join."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PATIENCE

ROOT = Path(__file__).parent.parent.parent

REPORT = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv.pop(1))
from imgtools.cli.program import main
status = main()
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(status)
"""

STANDARD_LIBRARY = {
    "__future__", "_collections", "_collections_abc", "_operator", "_stat", "_struct", "_thread", "array",
    "collections", "collections.abc", "errno", "fcntl", "genericpath", "importlib", "importlib._bootstrap",
    "importlib._bootstrap_external", "itertools", "keyword", "operator", "os", "os.path", "posixpath", "reprlib",
    "stat", "struct", "time", "types", "warnings",
}  # fmt: skip
"""All of the standard library that a command may need that only looks at an image or makes one."""

FORBIDDEN = {
    "typer", "argparse", "getopt", "re", "typing", "dataclasses", "enum", "inspect", "json", "threading", "contextlib",
    "pathlib", "shutil", "subprocess", "numpy", "rich", "construct", "logging", "ctypes", "asyncio",
}  # fmt: skip

COMMANDS = [
    ["create", "-q", "disk.raw", "1M"],
    ["create", "-q", "-f", "qcow2", "disk.qcow2", "1M"],
    ["create", "-q", "-f", "vdi", "disk.vdi", "1M"],
    ["info", "image.raw"],
    ["info", "image.qcow2"],
    ["info", "--output=json", "image.qcow2"],
    ["info", "--backing-chain", "image.qcow2"],
    ["info", "nothing"],
    ["info", "--bogus"],
    ["--version"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_imports(words: list[str], tmp_path: Path) -> None:
    imported = modules_of(words, tmp_path)
    assert not imported & FORBIDDEN
    others = {name for name in imported if name.partition(".")[0] != "imgtools"}
    assert others <= STANDARD_LIBRARY, others - STANDARD_LIBRARY


@pytest.mark.parametrize(
    "words", [["convert", "-q", "image.raw", "new"], ["compare", "-q", "image.raw", "image.raw"]], ids=" ".join
)
def test_commands_with_threads_import_no_enumerations(words: list[str], tmp_path: Path) -> None:
    imported = modules_of(words, tmp_path)
    assert "threading" in imported
    assert not imported & {"enum", "signal", "re"}


def test_only_the_format_that_is_needed(tmp_path: Path) -> None:
    for words in (["create", "-q", "disk.raw", "1M"], ["info", "image.raw"]):
        formats = {name for name in modules_of(words, tmp_path) if name.startswith("imgtools.formats.")}
        assert formats == {"imgtools.formats.raw"}


def modules_of(words: list[str], directory: Path) -> set[str]:
    """What a command imports beyond the bare interpreter, in a process without site-packages."""
    (directory / "image.raw").write_bytes(bytes(4096))
    if "image.qcow2" in words:
        run(directory, ["create", "-q", "-f", "qcow2", "image.qcow2", "1M"])
    return set(run(directory, words).splitlines()[-1].split())


def run(directory: Path, words: list[str]) -> str:
    command = [sys.executable, "-I", "-S", "-c", REPORT, str(ROOT), *words]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE).stderr
