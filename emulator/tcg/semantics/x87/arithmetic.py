"""Addition to division, square root, and changes of the sign (Intel SDM Vol. 1, section 8.3.5)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, function, i16, i32, i64, u8, u32, u64, unlikely
from emulator.x86.notation import Form
from emulator.x86.state import Extended

from ...control import faulted, raised
from ...core import MF, Core, Op
from ...softfloat.arithmetic import add, divide, multiply, square_root
from ...softfloat.integers import from_integer
from ...softfloat.number import (
    Context,
    Exact,
    Number,
    set_extended,
    unpack32,
    unpack64,
)
from ..simd.operands import memory_source
from .stack import (
    begin,
    clear_up,
    error_pending,
    finish,
    is_empty,
    is_nan,
    operand,
    pop,
    propagate,
    set_indefinite,
    set_tag,
    stack,
    underflow,
)

UNIT = "x87"
ADD, SUB, MUL, DIV, SUBR, DIVR = range(6)
OPERATIONS = {"ADD": ADD, "SUB": SUB, "MUL": MUL, "DIV": DIV, "SUBR": SUBR, "DIVR": DIVR}


# -- operands -----------------------------------------------------------------------------------------------


@cache
def integer_reader(kind: type) -> Function:
    @function(symbol=f"emulator.tcg.x87.read.{kind}")
    def read(place: Ptr[u8], out: Ptr[Number]) -> None:
        exact = Exact()
        from_integer(i64(Ptr[kind](place)[0]), exact)
        out.kind = exact.kind
        out.sign = exact.sign
        out.exponent = exact.exponent
        out.significand = u64(exact.significand >> 64)
        out.denormal = 0

    return read


@function
def read_single(place: Ptr[u8], out: Ptr[Number]) -> None:
    unpack32(Ptr[u32](place)[0], out)


@function
def read_double(place: Ptr[u8], out: Ptr[Number]) -> None:
    unpack64(Ptr[u64](place)[0], out)


@function
def read_extended(place: Ptr[u8], out: Ptr[Number]) -> None:
    value = Ptr[Extended](place)
    set_extended(value.significand, value.exponent, out)


READERS = {
    "m32fp": (read_single, 4),
    "m64fp": (read_double, 8),
    "m80fp": (read_extended, 10),
    "m16int": (integer_reader(i16), 2),
    "m32int": (integer_reader(i32), 4),
    "m64int": (integer_reader(i64), 8),
}


# -- two operands -------------------------------------------------------------------------------------------


@function(inline="never")
def combine(core: Ptr[Core], op: Ptr[Op], operation: u32, target: u32, b: Ptr[Number]) -> bool:
    """ST(target) = ST(target) operation b; false if an exception forbids it."""
    a = Number()
    context = Context()
    result = Exact()
    operand(core, target, a)
    begin(core, context)
    if is_nan(a) or is_nan(b):
        propagate(context, a, b, result)
        return finish(core, op, context, 0, result, target)
    match operation:
        case 0:
            add(context, a, b, 0, result)
        case 1:
            add(context, a, b, 1, result)
        case 2:
            multiply(context, a, b, result)
        case 3:
            divide(context, a, b, result)
        case 4:
            add(context, b, a, 1, result)
        case _:
            divide(context, b, a, result)
    return finish(core, op, context, a.denormal | b.denormal, result, target)


@function
def empty_result(core: Ptr[Core], op: Ptr[Op], target: u32) -> bool:
    """The response to an empty operand."""
    if not underflow(core, op):
        return False
    set_tag(core, target, 0)
    set_indefinite(stack(core, target))
    return True


@cache
def with_memory(operation: int, kind: str) -> Function:
    read, size = READERS[kind]

    @function(symbol=f"emulator.tcg.x87.arithmetic{operation}.{kind}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        place = memory_source(core, op, size, 0)
        if unlikely(not place):
            return faulted(core, op)
        if unlikely(is_empty(core, 0)):
            empty_result(core, op, 0)
            return op + 1
        b = Number()
        read(place, b)
        clear_up(core)
        combine(core, op, operation, 0, b)
        return op + 1

    return handler


@cache
def with_register(operation: int, to_top: bool, pops: bool) -> Function:
    @function(symbol=f"emulator.tcg.x87.arithmetic{operation}.{int(to_top)}{int(pops)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        target = u32(0) if to_top else u32(op.a)
        source = u32(op.b) if to_top else u32(0)
        if unlikely(is_empty(core, target) or is_empty(core, source)):
            done = empty_result(core, op, target)
        else:
            b = Number()
            operand(core, source, b)
            clear_up(core)
            done = combine(core, op, operation, target, b)
        if pops and done:
            pop(core)
        return op + 1

    return handler


def arithmetic(form: Form, size: int, memory: bool) -> Function:
    name = form.mnemonic.removeprefix("FI" if form.mnemonic.startswith("FI") else "F")
    operation = OPERATIONS[name.removesuffix("P")]
    first = form.operands[0].text
    if first in READERS:
        return with_memory(operation, first)
    return with_register(operation, first == "ST0", name.endswith("P"))


# -- one operand --------------------------------------------------------------------------------------------


@cache
def on_top(compute: Function) -> Function:
    """ST(0) = compute(ST(0)); `compute(core, op, a)` stores the result itself."""

    @function(symbol=f"{compute.symbol}.top")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        if unlikely(is_empty(core, 0)):
            empty_result(core, op, 0)
            return op + 1
        a = Number()
        operand(core, 0, a)
        clear_up(core)
        compute(core, op, a)
        return op + 1

    return handler


@function
def root(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    context = Context()
    result = Exact()
    begin(core, context)
    if is_nan(a):
        propagate(context, a, a, result)
    else:
        square_root(context, a, result)
    finish(core, op, context, a.denormal, result, 0)


@function
def change_sign(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    stack(core, 0).exponent ^= 0x8000


@function
def absolute(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    stack(core, 0).exponent &= 0x7FFF


HANDLERS = dict.fromkeys(
    ("FADD", "FSUB", "FMUL", "FDIV", "FSUBR", "FDIVR", "FADDP", "FSUBP", "FMULP", "FDIVP", "FSUBRP", "FDIVRP",
     "FIADD", "FISUB", "FIMUL", "FIDIV", "FISUBR", "FIDIVR"), arithmetic,
)  # fmt: skip
HANDLERS |= {
    "FSQRT": lambda form, size, memory: on_top(root),
    "FCHS": lambda form, size, memory: on_top(change_sign),
    "FABS": lambda form, size, memory: on_top(absolute),
}
