"""ACPI tables: as Intel's compiler reads them, and as a firmware and a system find them."""

from __future__ import annotations

import doctest
import subprocess
from pathlib import Path
from struct import unpack_from

import pytest

from emulator.machine import acpi
from emulator.machine.acpi import aml
from emulator.machine.acpi.linker import ENTRY, ROOT, TABLES
from emulator.machine.config import PcConfig
from emulator.machine.pc import Pc
from tests.conftest import require_tool

ADDRESS, PORTS = 0x1FFF0000, 0x600


@pytest.fixture(scope="module")
def made() -> acpi.Tables:
    return acpi.build(512 << 20, PORTS, floppy=True, virtio=2)


def split(data: bytes, found: list[tuple[int, int]]) -> dict[str, bytes]:
    return {data[place : place + 4].decode(): data[place : place + size] for place, size in found}


def test_examples() -> None:
    assert doctest.testmod(aml).failed == 0


def test_compiler_agrees(made: acpi.Tables, tmp_path: Path) -> None:
    """iasl takes each table apart without a complaint, and what it made of ours compiles without one."""
    iasl = require_tool("iasl")
    data = made.tables.at(ADDRESS)
    for signature, table in split(data, acpi.tables_of(made.tables)).items():
        (tmp_path / f"{signature}.aml").write_bytes(table)
        done = subprocess.run([iasl, "-d", f"{signature}.aml"], cwd=tmp_path, capture_output=True, text=True)
        said = (done.stdout + done.stderr).lower()
        assert done.returncode == 0 and "warning" not in said and "error" not in said, said
    done = subprocess.run([iasl, "-oa", "-tc", "DSDT.dsl"], cwd=tmp_path, capture_output=True, text=True)
    assert "0 Errors, 0 Warnings, 0 Remarks" in done.stdout, done.stdout + done.stderr
    code = (tmp_path / "DSDT.dsl").read_text()
    for text in ("\\_S5", "LNKD", 'Name (_HID, EisaId ("PNP0501")', "FDC0", "PRQ3"):
        assert text in code


def test_pointers_and_checksums(made: acpi.Tables) -> None:
    """From the root pointer to every table, both ways."""
    root, data = made.root.at(ADDRESS), made.tables.at(ADDRESS)
    assert root[:8] == b"RSD PTR " and sum(root[:20]) & 0xFF == 0 and sum(root) & 0xFF == 0
    rsdt, xsdt = unpack_from("<I", root, 16)[0] - ADDRESS, unpack_from("<Q", root, 24)[0] - ADDRESS
    narrow = unpack_from("<4I", data, rsdt + 36)
    assert data[rsdt : rsdt + 4] == b"RSDT" and narrow == unpack_from("<4Q", data, xsdt + 36)
    signatures = [data[place - ADDRESS : place - ADDRESS + 4] for place in narrow]
    assert signatures == [b"FACP", b"APIC", b"HPET", b"WAET"]
    facs, dsdt = (place - ADDRESS for place in unpack_from("<2I", data, narrow[0] - ADDRESS + 36))
    assert data[facs : facs + 4] == b"FACS" and facs % 64 == 0 and data[dsdt : dsdt + 4] == b"DSDT"
    for place, size in acpi.tables_of(made.tables):
        assert sum(data[place : place + size]) & 0xFF == 0


def test_loader(made: acpi.Tables) -> None:
    """A firmware that obeys the script has the same tables."""
    addresses = {TABLES: 0x7FE0000, ROOT: 0xF5000}
    files = {blob.name: bytearray(blob.data) for blob in made}
    script = made.script()
    for place in range(0, len(script), ENTRY):
        (command,) = unpack_from("<I", script, place)
        name = script[place + 4 : place + 60].rstrip(b"\0").decode()
        if command == 2:
            source = script[place + 60 : place + 116].rstrip(b"\0").decode()
            offset, size = unpack_from("<IB", script, place + 116)
            value = int.from_bytes(files[name][offset : offset + size], "little") + addresses[source]
            files[name][offset : offset + size] = value.to_bytes(size, "little")
        elif command == 3:
            offset, start, size = unpack_from("<III", script, place + 60)
            files[name][offset] = -sum(files[name][start : start + size]) & 0xFF
    for blob in made:
        assert files[blob.name] == blob.at(addresses[TABLES])


def test_in_memory() -> None:
    """Where the memory map keeps a place for them."""
    with Pc(PcConfig(memory=64 << 20)) as machine:
        root = machine.acpi_root
        machine.power_on()
        pointer = machine.space.read(root, 36)
        assert pointer.startswith(b"RSD PTR ") and machine.space.read(0xFFF00, 36) == pointer
        assert any(first <= root < first + size and kind == 2 for first, size, kind in machine.memory_map())


@pytest.mark.parametrize("size", [1, 0x3E, 0x3F, 0x40, 0xFFD, 0xFFE, 0x1000, 0xFFFFC, 0x100000])
def test_package_lengths(size: int) -> None:
    """They count themselves, in one to four bytes (section 20.2.4)."""
    made = aml.length(size)
    more = made[0] >> 6
    assert len(made) == more + 1
    value = made[0] & (15 if more else 63)
    value |= int.from_bytes(made[1:], "little") << 4
    assert value == size + len(made)
