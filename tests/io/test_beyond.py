"""The commands that qemu-io does not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import imgtools
from imgtools.block.format import Snapshots
from imgtools.block.structure import structure_of, structures_of
from imgtools.io.image import Settings
from imgtools.io.shell import Shell
from imgtools.io.table import MODULES, OWN_MODULES
from imgtools.operations.create import create_image
from imgtools.operations.explain import explain

DANGEROUS = {"abort", "sigraise", "sleep", "wait_break", "python", "record"}
"""Commands that end the process, take their time, or do what they are told."""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A session on a qcow2 image of 1 MiB over another, both with something in them."""
    monkeypatch.chdir(tmp_path)
    create_image("base.qcow2", format="qcow2", size=1 << 20)
    with imgtools.open("base.qcow2", writable=True) as disk:
        disk.write(0x20000, b"\x11" * 0x10000)
    create_image("top.qcow2", format="qcow2", size=1 << 20, backing_file="base.qcow2", backing_format="qcow2")
    shell = Shell()
    shell.open("top.qcow2", Settings())
    assert shell.execute("write -q -P 7 64k 64k")
    return shell


def output(shell: Shell, line: str, capsys: pytest.CaptureFixture[str], *, fails: bool = False) -> str:
    """What a line says, on both streams."""
    capsys.readouterr()
    assert shell.execute(line) is not fails
    said = capsys.readouterr()
    return said.out + said.err


def test_hexdump(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(shell, "hexdump 65530 76", capsys)
    assert text.splitlines() == [
        "0000fffa  00 00 00 00 00 00 07 07  07 07 07 07 07 07 07 07  |................|",
        "0001000a  07 07 07 07 07 07 07 07  07 07 07 07 07 07 07 07  |................|",
        "*",
        "0001003a  07 07 07 07 07 07 07 07  07 07 07 07              |............|",
    ]
    assert "Input/output error" in output(shell, "hexdump 2M", capsys, fails=True)


def test_header_is_what_lies_in_the_file(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(shell, "struct header", capsys)
    assert "0x0  magic                         51 46 49 fb  'QFI\\xfb'" in text
    assert "0x18  size                          1048576 (0x100000)" in text


def test_entries_of_tables(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    place = next(iter(shell.node.extents(0x10000, 1))).offset
    assert f"offset                        {place} " in output(shell, "struct l2 1", capsys)
    assert f"1: copied offset={place} " in output(shell, "struct l2", capsys)
    assert place is not None
    assert "refcount                      1" in output(shell, f"struct refcount {place >> 16}", capsys)
    assert "snapshot: 0 entries" in output(shell, "struct snapshot", capsys)
    assert "there is no cluster of the disk 16: 16 in all" in output(shell, "struct l2 16", capsys, fails=True)
    assert "There are: header, l1, l2" in output(shell, "struct foo", capsys, fails=True)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 64])
def test_counts_that_share_a_byte(bits: int, tmp_path: Path) -> None:
    path = str(tmp_path / "disk")
    create_image(path, 1 << 20, format="qcow2", options={"refcount_bits": str(bits)})
    with imgtools.open(path, writable=True) as node:
        node.write(0, b"x" * (3 << 16))
        if bits > 1:
            assert isinstance(node, Snapshots)
            node.create_snapshot("one")
    # Header, refcount table, refcount block, L1 table, L2 table, and the clusters of the disk, which a snapshot shares.
    expected = [1] * 8 if bits == 1 else [1, 1, 1, 1, 2, 2, 2, 2]
    with imgtools.open(path) as node:
        for cluster, count in enumerate(expected):
            [part] = explain(node, "refcount", cluster)
            assert [(field.name, field.value) for field in part.fields] == [("refcount", count)]


@pytest.mark.parametrize("format", ["qcow2", "vdi", "vmdk"])
def test_every_structure_can_be_shown(format: str, tmp_path: Path) -> None:
    path = str(tmp_path / "disk")
    create_image(path, format=format, size=3 << 20)
    with imgtools.open(path, format=format, writable=True) as disk:
        disk.write(1 << 20, b"x" * 512)
        disk.flush()
        assert structures_of(disk)
        for structure in structures_of(disk):
            assert list(structure.describe(disk))
            if structure.count(disk):
                assert list(structure.describe(disk, 0))


def test_structures_of_what_was_cut_short(tmp_path: Path) -> None:
    path = str(tmp_path / "disk.qcow2")
    create_image(path, format="qcow2", size=1 << 20)
    with imgtools.open(path) as disk:
        os.truncate(path, 0x30004)
        with pytest.raises(imgtools.ImageError, match="not in the file"):
            structure_of(disk, "l1").read(disk, 0)


def test_raw_has_no_structures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "disk.raw").write_bytes(bytes(4096))
    shell = Shell()
    shell.open(str(tmp_path / "disk.raw"), Settings(format="raw"))
    assert output(shell, "struct", capsys) == ""
    assert "raw images have none" in output(shell, "struct header", capsys, fails=True)
    assert "a hole of the file" in output(shell, "why 0", capsys) or "data" in output(shell, "why 0", capsys)


def test_why_names_every_layer(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    written = output(shell, "why 64k", capsys)
    place = next(iter(shell.node.extents(0x10000, 1))).offset
    assert f"top.qcow2 (file): byte {place} ({place:#x}) of the file\n  data\n" in written
    below = output(shell, "why 0x20010", capsys)
    assert "top.qcow2 (qcow2): byte 131088 (0x20010) of the disk" in below
    assert "it is read from the backing image\nbase.qcow2 (qcow2)" in below
    assert below.endswith("of the file\n  data\n")
    assert output(shell, "why 512k", capsys).endswith("  nothing is here: reads as zeroes\n")
    assert "outside the disk" in output(shell, "why 1M", capsys, fails=True)


def test_diff(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(shell, "diff base.qcow2", capsys, fails=True) == (
        "64 KiB (0x10000) bytes differ at offset 64 KiB (0x10000)\n"
    )
    assert shell.execute("write -q -P 0 64k 64k")
    assert output(shell, "diff base.qcow2", capsys) == "no differences\n"
    assert "No such file" in output(shell, "diff nothing", capsys, fails=True)
    Path("short").write_bytes(bytes(512))
    assert "sizes differ: 1048576 and 512 bytes" in output(shell, "diff -f raw short", capsys, fails=True)


SESSION = ["read -P 7 64k 4k", "read -v 65530 12", "nonsense", "aio_read 0 4k", "aio_flush", "read 0 2M"]


def test_a_recorded_session_is_a_test(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.execute("record session.io")
    for line in SESSION:
        shell.execute(line)
    shell.execute("record")
    recorded = Path("session.io").read_text()
    assert [line[4:] for line in recorded.splitlines() if line.startswith("io> ")] == SESSION
    assert "4 KiB, 1 ops; TIME\n" in recorded and 'command "nonsense" not found\n' in recorded
    shell.went_well = True
    assert output(shell, "replay session.io", capsys) == ""
    assert shell.went_well
    assert shell.execute("write -q -P 8 64k 512")
    difference = output(shell, "replay session.io", capsys, fails=True)
    assert "+Pattern verification failed at offset 65536, 4096 bytes\n" in difference
    assert difference.startswith("--- session.io\n+++ this session\n")
    assert not shell.went_well


def test_records_that_make_no_sense(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing: No such file or directory" in output(shell, "replay nothing", capsys, fails=True)
    assert "." in output(shell, "record .", capsys, fails=True)
    Path("loop.io").write_text("io> replay loop.io\n")
    assert "cannot replay another" in output(shell, "replay loop.io", capsys, fails=True)


def test_python(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(shell, "python node.read(65536, 2)", capsys) == "b'\\x07\\x07'\n"
    assert shell.execute("python size = node.size")
    assert output(shell, "python size // 2", capsys) == "524288\n"
    assert "ZeroDivisionError" in output(shell, "python 1/0", capsys, fails=True)
    assert "SyntaxError" in output(shell, "python )", capsys, fails=True)
    assert "needs a terminal" in output(shell, "python", capsys, fails=True)


def test_qemu_io_has_none_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(own=False)
    assert 'command "hexdump" not found' in output(shell, "hexdump 0", capsys, fails=True)
    assert "hexdump" not in output(shell, "help", capsys)
    assert "hexdump off [len] -- " in output(Shell(), "help", capsys)


OPTIONS = [f"-{letter}" for letter in "qvPzcbsunfCmordwt"]
OPERANDS = ["0", "64k", "512", "1M", "header", "l2", "snapshot", "top.qcow2", "base.qcow2", "raw", "none", "a=b"]
ANYTHING = st.one_of(
    st.text(alphabet="0123456789xkMGTE.+-eb", max_size=6),
    st.sampled_from(OPTIONS),
    st.sampled_from(OPERANDS),
    st.text(max_size=8),
)
HARMLESS = sorted({name for names in {**MODULES, **OWN_MODULES}.values() for name in names} - DANGEROUS)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(HARMLESS), st.lists(ANYTHING, max_size=4)), max_size=4))
def test_no_line_ends_the_session(shell: Shell, lines: list[tuple[str, list[str]]]) -> None:
    """Whatever is typed is done or complained of; an exception would be a bug."""
    for name, words in lines:
        shell.execute(" ".join([name, *words]))
    shell.execute("close")
    assert shell.execute("open top.qcow2")
    shell.done = False
