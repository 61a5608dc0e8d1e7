"""Building and loading: processes, failures of LLVM, raw IR, units that use units, and what a start imports."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from native_programs import define

from emulator.native import BuildError, Export, Ptr, RawIR, Unit, function, source_key, struct, u32, u64
from emulator.native.build import build, progress_bar
from emulator.native.cache import ObjectCache
from emulator.native.load import load


@struct
class Counter:
    rounds: u32
    total: u64


@function
def add_square(counter: Ptr[Counter], x: u64) -> None:
    counter.total += x * x


@function
def sum_squares(counter: Ptr[Counter]) -> u64:
    for i in range(counter.rounds):
        add_square(counter, i)
    return counter.total


@function
def unused(x: u64) -> u64:
    return x


@pytest.fixture
def cache(tmp_path):
    return ObjectCache(tmp_path / "native")


LOOP = f"""
define preserve_nonecc void @again(ptr %counter, i64 %left) nounwind {{
  call void @"{add_square.symbol}"(ptr %counter, i64 %left)
  %rest = sub i64 %left, 1
  %done = icmp eq i64 %rest, 0
  br i1 %done, label %end, label %more
more:
  musttail call preserve_nonecc void @again(ptr %counter, i64 %rest)
  ret void
end:
  ret void
}}
define i64 @squares_down(ptr %counter, i64 %n) nounwind {{
  call preserve_nonecc void @again(ptr %counter, i64 %n)
  %at = getelementptr i8, ptr %counter, i64 {Counter.offset("total")}
  %total = load i64, ptr %at
  ret i64 %total
}}
"""


def raw(text, **more):
    return RawIR(key=source_key(text, Counter), text=lambda: text, **more)


def test_raw_ir_calls_compiled_functions(cache):
    export = Export("squares_down", (Ptr[Counter], u64), u64)
    unit = Unit("mixed", [sum_squares], raw=raw(LOOP, calls=(add_square,), exports=(export,)))
    library = load(unit, cache)
    assert library.squares_down(ctypes.byref(Counter()), 1000) == sum(n * n for n in range(1001))
    assert library.sum_squares(ctypes.byref(Counter(rounds=4))) == 14
    assert library.address("squares_down") != library.address("sum_squares")
    with pytest.raises(AttributeError, match="unit mixed exports no function nothing"):
        _ = library.nothing


def test_only_what_is_called_is_compiled():
    text = Unit("one", [sum_squares]).ir()
    assert f'define internal void @"{add_square.symbol}"' in text
    assert unused.symbol not in text


def test_raw_text_is_part_of_the_key():
    keys = {Unit("mixed", [sum_squares], raw=raw(text)).key for text in ("", "; a", "; b")}
    assert len(keys) == 3
    assert Unit("mixed", [sum_squares]).key not in keys
    assert source_key(Counter) != source_key(Counter, 1) != source_key(ctypes)


def test_units_that_use_units(cache):
    @function(symbol="test.double_sum")
    def double_sum(counter: Ptr[Counter]) -> u64:
        return sum_squares(counter) * 2

    base = Unit("base", [sum_squares])
    user = Unit("user", [double_sum], uses=[base])
    events = []
    built = build([user], cache=cache, progress=events.append, jobs=2)
    assert sorted(built) == sorted([base.key, user.key])
    assert [(e.done, e.total) for e in events] == [(0, 2), (1, 2), (2, 2)]
    assert {e.unit for e in events} == {"", "base", "user"}
    assert load(user, cache).double_sum(ctypes.byref(Counter(rounds=4))) == 28
    assert build([user], cache=cache, progress=events.append) == built
    assert len(events) == 3


def test_invalid_ir_is_a_build_error(cache):
    unit = Unit("broken", [], raw=raw("define i64 @f() { ret i32 0 }"))
    with pytest.raises(BuildError, match=r"(?s)unit broken: LLVM failed.*value doesn't match function result type"):
        load(unit, cache)


def test_ir_that_does_not_verify_is_a_build_error(cache):
    text = "define i64 @f(i64 %x) { %a = add i64 %b, 1\n %b = add i64 %a, %x\n ret i64 %b }"
    with pytest.raises(BuildError, match="does not dominate all uses"):
        load(Unit("unverified", [], raw=raw(text)), cache)


def test_an_abort_of_llvm_is_a_build_error(cache):
    text = 'define i64 @f() { %x = call i64 asm "no such instruction", "=r"()\n ret i64 %x }'
    with pytest.raises(BuildError, match="unit aborted: LLVM ended with signal 6\nLLVM ERROR: "):
        load(Unit("aborted", [], raw=raw(text)), cache)


def test_a_missing_symbol_is_a_build_error(cache):
    text = "declare i64 @nobody_defines_this()\ndefine i64 @f() { %x = call i64 @nobody_defines_this()\n ret i64 %x }"
    unit = Unit("dangling", [], raw=raw(text, exports=(Export("f", (), u64),)))
    with pytest.raises(BuildError, match="unit dangling cannot be linked"):
        load(unit, cache)


def test_without_llvmlite_one_line_says_so(monkeypatch, cache):
    from emulator.native import llvm

    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    for cached in (llvm.binding, llvm.machine):
        cached.cache_clear()
    try:
        with pytest.raises(BuildError, match=r"^compiled functions need the package llvmlite .*pip install llvmlite$"):
            load(Unit("without", [sum_squares]), cache)
    finally:
        monkeypatch.undo()
        for cached in (llvm.binding, llvm.machine):
            cached.cache_clear()


def test_without_a_usable_cache_everything_works(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    cache = ObjectCache(tmp_path / "file")
    one = define("@function\ndef f(x: u8) -> u8:\n    return x * 3 + 1\n")["f"]
    assert cache.problem
    assert load(Unit("uncached", [one]), cache).f(100) == 45
    assert caplog.messages == [f"compiled code is not kept: {tmp_path}/file is not a directory"]


def test_a_unit_is_loaded_once(cache):
    unit = Unit("again", [sum_squares])
    assert load(unit, cache) is load(Unit("again", [sum_squares]), cache)


def test_what_importing_costs():
    check = "import sys, emulator.native; print([m for m in ('numpy', 'llvmlite', 'rich') if m in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_progress_bar(capsys):
    from emulator.native.build import Progress

    with progress_bar("Building") as listen:
        listen(Progress(1, 2, "first"))
        listen(Progress(2, 2, "second"))
    shown = capsys.readouterr().err
    assert "Building" in shown
    assert "2/2" in shown
