"""What people can do to the program that makes no sense: each ends with one clear line, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.launch import ROOT, install, run
from tests.conftest import PATIENCE

DIGITS = "1" * 5000


@pytest.fixture
def imgtools(tmp_path: Path) -> Path:
    program = install(tmp_path) / "imgtools"
    assert run(program, "create", "-q", "-f", "qcow2", "disk", "1M", cwd=tmp_path).returncode == 0
    return program


def shell(command: str, program: Path) -> tuple[int, str, str]:
    """How a shell command ends in which "@" is the program."""
    done = subprocess.run(
        ["bash", "-c", command.replace("@", str(program))],
        cwd=program.parent.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "@ info disk >&-",
        "@ info disk <&-",
        "@ info disk >&- 2>&-",
        "@ --help >&-",
        "@ create -f qcow2 new 1M <&- >&- && @ check -q new",
        "@ convert -p -O raw disk new <&- >&- 2>&- && @ compare -q disk new",
        "@ io -c 'write 0 512' disk >&-",
        "@ io disk <&- >/dev/null",
    ],
)
def test_closed_streams_lead_nowhere(command: str, imgtools: Path) -> None:
    status, _, err = shell(command, imgtools)
    assert (status, err) == (0, "")
    assert shell("@ check disk", imgtools)[0] == 0


def test_what_cannot_be_encoded_is_spelled_out(imgtools: Path) -> None:
    status, _, err = shell("PYTHONIOENCODING=ascii @ info $'caf\\xc3\\xa9'", imgtools)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("imgtools: Could not open 'caf\\xe9'")


def test_nobody_waits_for_a_pipe(imgtools: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    complaint = "'file' driver requires 'pipe' to be a regular file\n"
    assert shell("@ info pipe", imgtools) == (1, "", f"imgtools: Could not open 'pipe': {complaint}")
    status, _, err = shell("@ convert disk pipe", imgtools)
    assert (status, err) == (1, f"imgtools: pipe: error while converting raw: {complaint}")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["create", "new", DIGITS], "Invalid image size specified. Must be between 0 and 9223372036854775807."),
        (["create", "new", str((1 << 63) - 1)], "could not resize 'new': Invalid argument"),
        (["create", "-f", "vmdk", "-o", "subformat=monolithicFlat", "new", str((1 << 63) - 1)], "Invalid argument"),
        (["create", "-f", "vmdk", "new", "300T"], "the disk is too large for a VMDK"),
        (["create", "new", f"1.{DIGITS}M"], ""),
        (["create", "new", f"{'0' * 5000}1M"], ""),
        (["create", "-f", "qcow2", "-o", f"refcount_bits={DIGITS}", "new", "1M"], "is too large for parameter"),
        (["bench", "-c", DIGITS, "disk"], "Invalid request count specified"),
        (["info", 'json:{"file": {"driver": "file", "filename": "a\\u0000"}}'], "has a character that no name has"),
        (["info", 'json:{"file": {"driver": "file", "filename": "a\\ud800"}}'], "has a character that no name has"),
        (["info", "--image-opts", "driver=http"], "The 'http' block driver requires a url"),
        (["nbd", "serve", "-k", "", "disk"], "a unix socket needs a name"),
        (["boot", "--send", "\\x", "disk"], "--send has a backslash that begins no escape"),
        (["boot", "--expect", "\\", "disk"], "--expect has a backslash that begins no escape"),
        (["boot", "--serial", "file:", "disk"], "--serial must be used with stdio, file:PATH, pty or none"),
        (["boot", "--boot", "xyz", "disk"], "--boot must be used with letters as argument"),
    ],
)
def test_nonsense_is_refused_in_one_line(words: list[str], complaint: str, imgtools: Path, tmp_path: Path) -> None:
    done = run(imgtools, *words, cwd=tmp_path)
    said = done.stderr.decode(errors="replace")
    assert (done.returncode == 0) is (not complaint), said
    assert complaint in said
    assert "internal error" not in said
    assert "Traceback" not in said


def test_a_name_with_a_zero_byte_is_no_file(tmp_path: Path) -> None:
    import imgtools as library
    from imgtools.errors import NotFound

    for act in (library.open, lambda name: library.create_image(name, 512)):
        with pytest.raises(NotFound, match="no file can have this name"):
            act(str(tmp_path / "a\0b"))


def test_ctrl_c_while_the_program_is_loaded_ends_it_silently(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'imgtools.cli.program':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "import imgtools.__main__\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
