"""Options of nbd serve that cannot be carried out are refused, and never left out without a word."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import run


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--tls-any-client"], "--tls-any-client is for --tls"),
        (["--tls-any-client", "--tls-psk", "keys"], "--tls-any-client is for --tls"),
        (["--tls", ".", "--tls-psk", "keys"], "--tls and --tls-psk exclude each other"),
        (
            ["--detect-zeroes=unmap", "--discard=ignore"],
            "--detect-zeroes=unmap and --discard=ignore exclude each other",
        ),
        (["--socket", "a.sock", "--port", "1"], "--socket excludes --bind and --port"),
        (["--filter", "cow"], "--filter and --parameter are for --engine nbdkit"),
        (["--offset", "1G"], "Offset (1073741824) cannot be greater than size of the containing file (1024)"),
        (["--bitmap", "b"], "Bitmap 'b' is not found"),
        (["--pid-file", "/none/pid"], "Could not create '/none/pid': No such file or directory"),
    ],
)
def test_what_cannot_be_done(words: list[str], complaint: str, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(1024))
    done = run(
        sys.executable, "-m", "imgtools", "nbd", "serve", "-f", "raw", "--run", "true", *words, image, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"imgtools: {complaint}\n")
