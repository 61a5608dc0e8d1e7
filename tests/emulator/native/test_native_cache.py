"""The object cache: a damaged, foreign or unsafe entry is never used, and starts at the same time do not disturb."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from native_programs import define

from emulator.native import Unit
from emulator.native.build import build
from emulator.native.cache import MAGIC, ObjectCache, default_directory
from emulator.native.worker import compile_ir
from tests.conftest import PATIENCE

KEY = "ab" * 32
PAYLOAD = b"machine code" * 100
HEADER = len(MAGIC) + 64


@pytest.fixture
def cache(tmp_path):
    return ObjectCache(tmp_path / "native")


@pytest.fixture
def entry(cache):
    cache.write(KEY, PAYLOAD)
    return cache.path(KEY)


def test_round_trip(cache, entry):
    assert cache.read(KEY) == PAYLOAD
    assert cache.read("cd" * 32) is None
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    assert not list(cache.directory.glob("*.new"))


@pytest.mark.parametrize("kept", [0, 1, HEADER - 1, HEADER, HEADER + 5, HEADER + len(PAYLOAD) - 1])
def test_truncated(cache, entry, kept):
    entry.write_bytes(entry.read_bytes()[:kept])
    assert cache.read(KEY) is None


def test_every_header_byte_and_any_payload_byte_counts(cache, entry):
    good = entry.read_bytes()
    places = [*range(HEADER), *random.Random(1).sample(range(HEADER, len(good)), 50)]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        entry.write_bytes(bad)
        assert cache.read(KEY) is None, place
    entry.write_bytes(good + b"\0")
    assert cache.read(KEY) is None
    entry.write_bytes(good)
    assert cache.read(KEY) == PAYLOAD


def test_an_entry_under_another_name_is_foreign(cache, entry):
    entry.rename(cache.path("cd" * 32))
    assert cache.read("cd" * 32) is None


def test_links_and_writable_files_are_not_read(cache, entry, tmp_path):
    elsewhere = entry.rename(tmp_path / "elsewhere.o")
    entry.symlink_to(elsewhere)
    assert cache.read(KEY) is None
    entry.unlink()
    elsewhere.rename(entry)
    assert cache.read(KEY) == PAYLOAD
    entry.chmod(0o666)
    assert cache.read(KEY) is None
    entry.unlink()
    entry.mkdir()
    assert cache.read(KEY) is None
    entry.rmdir()
    os.mkfifo(entry)
    assert cache.read(KEY) is None


def test_other_owner(cache, entry, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.read(KEY) is None
    assert "belongs to another user" in ObjectCache(cache.directory).problem


def test_unsafe_directories_are_not_used(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    for name, problem in [
        ("shared", "can be written by other users"),
        ("link", "is not a directory"),
        ("file", "is not a directory"),
        ("file/below", "File exists"),
    ]:
        cache = ObjectCache(tmp_path / name)
        assert problem in cache.problem, name
        cache.write(KEY, PAYLOAD)
        assert cache.read(KEY) is None
        with cache.building():
            cache.prune()
    assert not list(shared.iterdir())


def test_a_readable_directory_is_made_private(tmp_path):
    (tmp_path / "native").mkdir(mode=0o755)
    assert ObjectCache(tmp_path / "native").problem == ""
    assert (tmp_path / "native").stat().st_mode & 0o777 == 0o700


def test_directory_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "imgtools" / "native"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert default_directory() == Path.home() / ".cache" / "imgtools" / "native"


def test_without_a_home_directory(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    cache = ObjectCache()
    assert cache.problem == "there is no home directory"
    cache.write(KEY, PAYLOAD)
    assert cache.read(KEY) is None
    with cache.building():
        cache.prune()


def test_prune_removes_what_nobody_loads(cache, entry):
    cache.write("cd" * 32, PAYLOAD)
    os.utime(entry, (0, time.time() - 61 * 86400))
    cache.prune()
    assert not entry.exists()
    assert cache.read("cd" * 32) == PAYLOAD
    cache.write(KEY, PAYLOAD)
    os.utime(entry, (0, time.time() - 61 * 86400))
    assert cache.read(KEY) == PAYLOAD  # a use counts
    cache.prune()
    assert entry.exists()


def test_a_full_disk_is_no_error(cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.write(KEY, PAYLOAD)
    assert [path.name for path in cache.directory.iterdir()] == []


def unit_of(text, **names):
    return Unit("example", [define(text, **names)["f"]])


def test_a_corrupt_object_is_rebuilt(cache, monkeypatch):
    built = []

    def compile_here(unit):
        built.append(unit.name)
        return compile_ir(unit.ir())

    monkeypatch.setattr("emulator.native.build.compile_unit", compile_here)
    unit = unit_of("@function\ndef f(a: u32) -> u32:\n    return a + 1\n")
    first = build([unit], cache=cache)
    assert build([unit], cache=cache) == first
    assert built == ["example"]
    path = cache.path(unit.key)
    path.write_bytes(path.read_bytes()[:-1])
    assert build([unit], cache=cache) == first
    assert built == ["example"] * 2
    assert cache.read(unit.key) == first[unit.key]


BASE = """
@struct
class Pair:
    left: {field}

@function
def helper(x: u32) -> u32:
    return x + {number}

@function
def f(p: Ptr[Pair]) -> u32:
    {comment}
    y: {local} = p.left
    if y > 5:
        y = 1
    {nested}y = 2
    z: Word = 1
    return helper(y) + u32(z) + LIMIT + TABLE[y & 1]
"""


def key(field="u32", number=1, comment="pass", local="u32", limit=3, values=(1, 2), word="u32", nested=""):
    import emulator.native
    from emulator.native import table, u8

    text = BASE.format(field=field, number=number, comment=comment, local=local, nested=nested)
    names = define(text, LIMIT=limit, TABLE=table(u8, values), Word=getattr(emulator.native, word))
    for function in (names["f"], names["helper"]):
        function.symbol = function.name  # the name of the test's module is another each time
    return Unit("example", [names["f"]]).key


def test_the_key_covers_what_decides_the_code():
    keys = [
        key(),
        key(number=2),  # a callee
        key(field="u16"),  # a layout
        key(local="u64"),  # an annotation inside
        key(limit=4),  # a constant
        key(values=(1, 3)),  # a table
        key(word="u16"),  # a type's other name
        key(nested="    "),  # indentation
    ]
    assert len(set(keys)) == len(keys)
    assert key() == key(comment="# only a comment\n    pass\n")


def test_the_key_covers_the_machine_and_the_compiler(monkeypatch):
    before = key()
    monkeypatch.setattr("emulator.native.unit.machine", lambda: ("1.0", "x", "y", "z"))
    assert key() != before
    monkeypatch.undo()
    monkeypatch.setattr("emulator.native.unit.compiler_key", lambda: "another compiler")
    assert key() != before


START = """
import sys
from pathlib import Path
from emulator.native import Unit, function, u64
from emulator.native.cache import ObjectCache
from emulator.native.load import load

@function
def triple(x: u64) -> u64:
    return x * 3

def listen(event):
    print("built", event.unit, event.done, event.total)

library = load(Unit("start", [triple]), ObjectCache(Path(sys.argv[1])), listen)
print(library.triple(14))
"""


def test_starts_at_the_same_time_build_once(tmp_path):
    script = tmp_path / "start.py"
    script.write_text(textwrap.dedent(START))
    command = [sys.executable, str(script), str(tmp_path / "native")]
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root)}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in running]
    assert [output.splitlines()[-1] for output in outputs] == ["42"] * 4
    assert sum("built start 1 1" in output for output in outputs) == 1
