"""Random programs: whatever the checker accepts means the same in both modes, with and without optimisation."""

from __future__ import annotations

import ctypes

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from native_programs import compiled, define

from emulator.native import Array, CompileError, i16, i32, i64, struct, table, types, u8, u16, u32

TYPES = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"]


@struct
class State:
    a: u8
    b: i16
    c: u32
    d: i64
    flag: bool
    words: Array[u16, 8]
    wide: Array[i64, 4]


FIELDS = {"a": "u8", "b": "i16", "c": "u32", "d": "i64"}
ARRAYS = {"words": ("u16", 8), "wide": ("i64", 4)}
TABLE = table(i32, [0, 1, -1, 2**31 - 1, -(2**31), 77, 1234567, -99])


def bounds(name):
    kind = getattr(types, name)
    return kind.min, kind.max


@st.composite
def expressions(draw, kind, variables, depth):
    """The text of an expression of type `kind`."""
    same = [name for name, t in variables.items() if t == kind]
    deeper = lambda t=kind: draw(expressions(t, variables, depth - 1))  # noqa: E731
    leaf = draw(st.integers(0, 5))
    if depth == 0 or leaf == 0:
        if same and draw(st.booleans()):
            return draw(st.sampled_from(same))
        return f"{kind}({draw(st.integers(*bounds(kind)))})"
    other = draw(st.sampled_from(TYPES))
    unsigned = draw(st.sampled_from(TYPES[:4]))
    choices = [
        lambda: f"({deeper()} {draw(st.sampled_from(['+', '-', '*', '&', '|', '^', '//', '%']))} {deeper()})",
        lambda: f"({deeper()} {draw(st.sampled_from(['<<', '>>']))} {deeper(unsigned)})",
        lambda: f"({draw(st.sampled_from(['-', '~']))}{deeper()})",
        lambda: f"{kind}({deeper(other)})",
        lambda: f"({deeper()} if {draw(conditions(variables, depth - 1))} else {deeper()})",
        lambda: f"{draw(st.sampled_from(['min', 'max', 'mulhi']))}({deeper()}, {deeper()})",
        lambda: f"{draw(st.sampled_from(['popcount', 'clz', 'ctz']))}({deeper()})",
        lambda: f"{draw(st.sampled_from(['rotl', 'rotr']))}({deeper()}, {deeper(unsigned)})",
        lambda: f"{kind}(state.{draw(st.sampled_from(sorted(FIELDS)))})",
        lambda: f"{kind}(state.words[{deeper(unsigned)} & 7])",
        lambda: f"{kind}(state.wide[{deeper(unsigned)} % 4])",
        lambda: f"{kind}(TABLE[{deeper(unsigned)} % 8])",
        lambda: f"{kind}(helper({deeper('u16')}, {deeper('i64')}))",
    ]
    return draw(st.sampled_from(choices))()


@st.composite
def conditions(draw, variables, depth):
    kind = draw(st.sampled_from(TYPES))
    part = lambda: draw(expressions(kind, variables, max(0, depth - 1)))  # noqa: E731
    sign = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    choices = [
        lambda: f"({part()} {draw(sign)} {part()})",
        lambda: f"({part()} {draw(sign)} {part()} {draw(sign)} {part()})",
        lambda: f"({part()} in (0, 1, {draw(st.integers(2, 127))}))",
        lambda: f"(not {part()})",
        lambda: f"({part()} < {part()} {draw(st.sampled_from(['and', 'or']))} state.flag)",
    ]
    return draw(st.sampled_from(choices))()


@st.composite
def blocks(draw, variables, depth, in_loop):
    """A list of lines; every loop is bounded."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        lines += draw(statements(variables, depth, in_loop))
    return lines


@st.composite
def statements(draw, variables, depth, in_loop):
    indent = lambda body: ["    " + line for line in body]  # noqa: E731
    block = lambda loop=in_loop: indent(draw(blocks(variables, depth - 1, loop)))  # noqa: E731
    name = draw(st.sampled_from([v for v in variables if v not in "ijk"]))
    kind = variables[name]
    field = draw(st.sampled_from(sorted(FIELDS)))
    array, (element, length) = draw(st.sampled_from(sorted(ARRAYS.items())))
    value = lambda t: draw(expressions(t, variables, 2))  # noqa: E731
    simple = [
        lambda: [f"{name} = {value(kind)}"],
        lambda: [f"{name} {draw(st.sampled_from(['+', '-', '*', '^', '|', '%']))}= {value(kind)}"],
        lambda: [f"state.{field} = {value(FIELDS[field])}"],
        lambda: [f"state.{array}[{value('u8')} % {length}] += {value(element)}"],
        lambda: [f"state.flag = {draw(conditions(variables, 2))}"],
    ]
    if in_loop:
        simple.append(
            lambda: [f"if {draw(conditions(variables, 1))}:", "    " + draw(st.sampled_from(["break", "continue"]))]
        )
    if depth == 0:
        return draw(st.sampled_from(simple))()
    counter = "ijk"[depth]
    step = draw(st.sampled_from([1, 2, -1, -3, 5]))
    start, stop = draw(st.integers(-9, 9)), draw(st.integers(-9, 9))
    compound = [
        lambda: [f"if {draw(conditions(variables, 2))}:", *block(), "else:", *block()],
        lambda: [f"for {counter} in range({start}, {stop}, {step}):", *block(True)],
        lambda: [f"{counter} = {start}", f"while {counter} < 12:", f"    {counter} += 3", *block(True)],
        lambda: [
            f"match {value('u8')} & 3:", "    case 0 | 2:", *indent(block()), "    case 1:", *indent(block())
        ],
    ]  # fmt: skip
    return draw(st.sampled_from(simple + compound))()


@st.composite
def programs(draw):
    variables = {f"v{n}": draw(st.sampled_from(TYPES)) for n in range(4)} | {"x": "u64", "y": "i32"}
    variables |= {"i": "i64", "j": "i64", "k": "i64"}
    lines = [f"{name}: {kind} = {draw(st.integers(0, 100))}" for name, kind in variables.items() if name not in "xy"]
    lines += draw(blocks(variables, 2, False))
    total = " ^ ".join(f"u64({name})" for name in variables)
    body = "\n    ".join([*lines, f"return {total}"])
    return f"""
@function
def helper(p: u16, q: i64) -> i32:
    return i32(q * p) ^ i32(q >> 17) if p & 4 else p - 7

@function
def program(state: Ptr[State], x: u64, y: i32) -> u64:
    {body}
"""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.data())
def test_random_program(text, data):
    program = define(text, State=State, TABLE=TABLE)["program"]
    try:
        assert program.body
    except CompileError as error:
        assert "constant 0" in error.message or "no bits left" in error.message
        reject()
    fast, plain = compiled(program, optimize=2).program, compiled(program, optimize=0).program
    for _ in range(3):
        memory = data.draw(st.binary(min_size=State.size, max_size=State.size))
        x, y = data.draw(st.integers(0, 2**64 - 1)), data.draw(st.integers(-(2**31), 2**31 - 1))
        outcomes = []
        for run in (fast, plain, program):
            state = State.ctype.from_buffer_copy(memory)
            outcomes.append((run(ctypes.byref(state), x, y), bytes(state)))
        assert outcomes[0] == outcomes[2], text
        assert outcomes[1] == outcomes[2], text
