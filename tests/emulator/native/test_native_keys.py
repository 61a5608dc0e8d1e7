"""Keys that are recalled: the same as those found, and others as soon as a source changes."""

from __future__ import annotations

from pathlib import Path

from emulator.native import Unit, function, u64
from emulator.native.cache import ObjectCache
from emulator.native.keys import recall_keys, source_digest


@function
def double(x: u64) -> u64:
    return x + x


def test_recalled(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "a.py").write_text("1")
    first, second, third = (Unit("double", [double]) for _ in range(3))
    recall_keys([first], sources, cache)
    recall_keys([second], sources, cache)
    assert vars(second)["key"] == first.key  # it was set, not found
    stored = cache.path(source_digest(sources))
    stored.write_bytes(stored.read_bytes().replace(b"double", b"single"))
    recall_keys([third], sources, cache)  # a damaged file is not trusted
    assert third.key == first.key


def test_changed_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = source_digest(tmp_path)
    (tmp_path / "a.py").write_text("2")
    assert source_digest(tmp_path) != before
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").touch()
    assert source_digest(tmp_path) != before
