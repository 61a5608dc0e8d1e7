"""The audit: each rule is provoked by an image that deserves it, and by nothing else; nothing named is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imgtools.cli.program import main
from imgtools.errors import NotFound
from imgtools.operations.audit import RULES, TOLD, audit
from imgtools.operations.create import create_image
from tests.conftest import Runner

SIZE = 1 << 20


def rules(path: Path, format: str | None = None) -> set[str]:
    return {finding.rule for finding in audit(str(path), format=format).findings}


def image(path: Path, format: str = "qcow2") -> Path:
    create_image(str(path), SIZE, format=format)
    return path


def poke(path: Path, offset: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi", "vmdk", "vhdx", "vpc"])
def test_new_images_are_clean(format: str, tmp_path: Path) -> None:
    assert rules(image(tmp_path / "disk", format)) == set()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "polyglot": lambda path: poke(path, 0x40, b"\x7f\x10\xda\xbe"),
    "second-signature": lambda path: poke(path, 510, b"\x55\xaa"),
    "limit": lambda path: poke(path, 24, b"\xff" * 8),
    "invalid": lambda path: poke(path, 20, b"\xff" * 4),
    "unknown-feature": lambda path: poke(path, 79 - 7, b"\x80"),
    "corrupt-mark": lambda path: poke(path, 79, b"\2"),
    "dirty": lambda path: poke(path, 79, b"\1"),
    "corruption": lambda path: poke(path, 0x30000, (0x8000000000000000 | 0x10000).to_bytes(8, "big")),
    "leak": lambda path: (poke(path, 0x20008, b"\0\1"), os.truncate(path, 0x50000)),
    "trailing-data": lambda path: poke(path, 0x60000, b"hidden"),
}


@pytest.mark.parametrize("rule", DAMAGE)
def test_each_kind_of_damage_is_found(rule: str, tmp_path: Path) -> None:
    path = image(tmp_path / "disk.qcow2")
    DAMAGE[rule](path)
    assert rule in rules(path)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("base.raw", "reference"),
        ("sub/../base.raw", "reference"),
        ("../base.raw", "outside-reference"),
        ("/etc/passwd", "outside-reference"),
        ("link", "outside-reference"),
        ("nbd://localhost", "protocol-reference"),
        ('json:{"driver":"null-co"}', "protocol-reference"),
    ],
)
def test_names_are_judged(name: str, rule: str, tmp_path: Path, qemu_img: Runner) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-u", "-f", "qcow2", "-F", "raw", "-b", name, path, "1M")
    finding = next(finding for finding in audit(str(path)).findings if finding.rule == rule)
    assert finding.offset is not None and path.read_bytes()[finding.offset :].startswith(name.encode())


def test_rules_all_have_a_test() -> None:
    assert {*DAMAGE, "reference", "outside-reference", "protocol-reference"} == set(RULES)


def test_a_header_in_a_raw_disk(tmp_path: Path) -> None:
    assert rules(image(tmp_path / "disk.qcow2"), "raw") == {"polyglot"}


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse"])
def test_nothing_that_is_named_is_opened(subformat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.vmdk"
    create_image(str(path), SIZE, format="vmdk", options={"subformat": subformat})
    opened: list[str] = []
    original = os.open
    monkeypatch.setattr(os, "open", lambda name, *args, **more: (opened.append(name), original(name, *args, **more))[1])
    assert rules(path) == {"reference"}
    assert {Path(name) for name in opened} == {path}


def test_of_a_million_findings_only_some_are_told(tmp_path: Path) -> None:
    path = image(tmp_path / "disk.qcow2")
    poke(path, 0x20008, b"\0\1" * 1000)
    os.truncate(path, 1100 << 16)
    findings = audit(str(path)).findings
    assert len(findings) == TOLD + 1 and findings[-1].message == f"and {1000 - TOLD} more of this kind"


def test_exit_status_and_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, fair = image(tmp_path / "good"), image(tmp_path / "bad"), image(tmp_path / "fair")
    DAMAGE["corrupt-mark"](bad)
    DAMAGE["trailing-data"](fair)
    status = [main(["imgtools", "audit", *map(str, paths)]) for paths in ([good], [good, fair], [fair, bad])]
    assert status == [0, 3, 2]
    capsys.readouterr()
    assert main(["imgtools", "audit", "--output=sarif", str(bad), str(tmp_path / "none")]) == 1
    log = json.loads(capsys.readouterr().out)
    [run] = log["runs"]
    assert log["version"] == "2.1.0" and not run["invocations"][0]["executionSuccessful"]
    [result] = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "corrupt-mark"
    with pytest.raises(NotFound):
        audit(str(tmp_path / "none"))
