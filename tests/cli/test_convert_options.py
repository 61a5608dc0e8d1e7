"""What the options of convert become for the engine that does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imgtools.cli import convert as module
from imgtools.cli.program import main


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Filled with what the engine is asked for; nothing is copied."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        assert main(["imgtools", "create", "-q", "-f", "qcow2", name, "1M"]) == 0
    found: dict[str, Any] = {}

    def record(sources: list[Any], target: Any, **options: Any) -> None:
        found.update(options, sources=[source.filename for source in sources], target=target.filename)
        found["backing"] = target.backing and target.backing.filename

    monkeypatch.setattr(module, "convert", record)
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("one new", {"sources": ["one"], "target": "new", "compress": False, "level": None, "salvage": False}),
        ("one new", {"sparse_size": 4096, "in_order": True, "rate_limit": None, "target_is_zero": True}),
        ("one two new", {"sources": ["one", "two"]}),
        ("-c --level 7 one new", {"compress": True, "level": 7}),
        ("-m 5 -W one new", {"threads": 5, "in_order": False}),
        ("-S 8k -r 3M --salvage one new", {"sparse_size": 8192, "rate_limit": 3 << 20, "salvage": True}),
        ("-n one two", {"target": "two", "target_is_zero": False}),
        ("-n --target-is-zero one two", {"target_is_zero": True}),
        ("-B two -F qcow2 one new", {"backing": "two", "target_is_zero": True}),
        ("-b two -F qcow2 one new", {"backing": "two"}),
    ],
)
def test_options(words: str, expected: dict[str, Any], asked: dict[str, Any]) -> None:
    assert main(["imgtools", "convert", "-O", "qcow2", *words.split()]) == 0
    assert {name: asked[name] for name in expected} == expected
    assert asked["top_layer_only"] is (asked["backing"] is not None)
