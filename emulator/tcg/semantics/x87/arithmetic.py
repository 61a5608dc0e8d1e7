"""Addition to division, square root, remainder and their kin (Intel SDM Vol. 1, section 8.3.5)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, clz, function, i16, i32, i64, u8, u16, u32, u64, u128, unlikely
from emulator.x86.notation import Form
from emulator.x86.state import Extended

from ...control import faulted, raised
from ...core import MF, Core, Op
from ...softfloat.arithmetic import add, divide, multiply, square_root
from ...softfloat.integers import from_integer
from ...softfloat.number import (
    FINITE,
    INEXACT,
    INFINITE,
    INVALID,
    ZERO,
    ZERO_DIVIDE,
    Context,
    Exact,
    Number,
    set_exact,
    set_extended,
    set_invalid,
    set_special,
    unpack32,
    unpack64,
)
from ...softfloat.rounding import round_to_integer
from ..simd.operands import memory_source
from .stack import (
    C1,
    C2,
    CONDITIONS,
    begin,
    clear_up,
    error_pending,
    finish,
    is_empty,
    is_nan,
    move_top,
    note,
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


@function
def to_integral(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    """FRNDINT."""
    context = Context()
    result = Exact()
    begin(core, context)
    context.precision = 64
    if is_nan(a):
        propagate(context, a, a, result)
        finish(core, op, context, 0, result, 0)
        return
    set_exact(a, result)
    up = u32(0)
    if a.kind == FINITE and round_to_integer(context, result):
        context.flags |= INEXACT
        up = context.up
    if finish(core, op, context, a.denormal, result, 0) and up:
        core.cpu.x87_status |= C1


@function
def extract(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number]) -> None:
    """FXTRACT: the exponent replaces ST(0), the significand is pushed."""
    context = Context()
    exponent = Exact()
    significand = Exact()
    begin(core, context)
    context.precision = 64
    if not is_empty(core, 7):
        core.cpu.x87_status |= C1
        if note(core, op, INVALID | 64):
            set_indefinite(stack(core, 0))
            move_top(core, 7)
            set_tag(core, 0, 0)
            set_indefinite(stack(core, 0))
        return
    set_exact(a, significand)
    if is_nan(a):
        propagate(context, a, a, significand)
        propagate(context, a, a, exponent)
    elif a.kind == INFINITE:
        set_special(INFINITE, 0, exponent)
    elif a.kind == ZERO:
        context.flags |= ZERO_DIVIDE
        set_special(INFINITE, 1, exponent)
    else:
        from_integer(i64(a.exponent), exponent)
        significand.exponent = 0
    if finish(core, op, context, a.denormal, exponent, 0):
        move_top(core, 7)
        context.flags = 0
        finish(core, op, context, 0, significand, 0)


# -- ST(0) by ST(1) -----------------------------------------------------------------------------------------


@cache
def on_two(compute: Function) -> Function:
    """`compute(core, op, a, b)` with ST(0) and ST(1)."""

    @function(symbol=f"{compute.symbol}.two")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if unlikely(error_pending(core)):
            return raised(core, op, MF, 0)
        if unlikely(is_empty(core, 0) or is_empty(core, 1)):
            empty_result(core, op, 0)
            return op + 1
        a = Number()
        b = Number()
        operand(core, 0, a)
        operand(core, 1, b)
        clear_up(core)
        compute(core, op, a, b)
        return op + 1

    return handler


LARGEST_SCALE = 1 << 16


@function
def scale(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number], b: Ptr[Number]) -> None:
    """FSCALE: ST(0) * 2**trunc(ST(1))."""
    context = Context()
    result = Exact()
    begin(core, context)
    context.precision = 64
    set_exact(a, result)
    denormal = a.denormal | b.denormal
    if is_nan(a) or is_nan(b):
        propagate(context, a, b, result)
        denormal = 0
    elif b.kind == INFINITE:
        if (a.kind == ZERO and b.sign == 0) or (a.kind == INFINITE and b.sign == 1):
            set_invalid(context, result)
        else:
            set_special(ZERO if b.sign else INFINITE, a.sign, result)
    elif a.kind == FINITE and b.kind == FINITE and b.exponent >= 0:
        distance = i32(LARGEST_SCALE)
        if b.exponent < 16:
            distance = i32(b.significand >> u32(63 - b.exponent))
        result.exponent += 0 - distance if b.sign else distance
    finish(core, op, context, denormal, result, 0)


@cache
def remainder(nearest: bool) -> Function:
    """FPREM: the quotient truncated; FPREM1: to nearest. Above 2**63 only a part of the quotient is taken off (C2)."""

    @function(symbol=f"emulator.tcg.x87.remainder{int(nearest)}", inline="never")
    def compute(core: Ptr[Core], op: Ptr[Op], a: Ptr[Number], b: Ptr[Number]) -> None:
        context = Context()
        result = Exact()
        begin(core, context)
        context.precision = 64
        core.cpu.x87_status &= ~u16(C2)
        if is_nan(a) or is_nan(b):
            propagate(context, a, b, result)
            finish(core, op, context, 0, result, 0)
            return
        if a.kind == INFINITE or b.kind == ZERO:
            set_invalid(context, result)
            finish(core, op, context, 0, result, 0)
            return
        set_exact(a, result)
        quotient = u64(0)
        partial = False
        if a.kind == FINITE and b.kind == FINITE:
            distance = a.exponent - b.exponent
            partial = distance > 63
            if partial:
                reduce(a, b, u32(distance & 31 | 32), False, result)
            elif distance >= 0:
                quotient = reduce(a, b, u32(distance), nearest, result)
            elif nearest and distance == -1 and a.significand > b.significand:  # more than a half of b
                quotient = 1
                set_rest((b.significand << 1) - a.significand, a.exponent, a.sign ^ 1, result)
        if not finish(core, op, context, a.denormal | b.denormal, result, 0):
            return
        status = u16(quotient >> 2 & 1) << 8 | u16(quotient >> 1 & 1) << 14 | u16(quotient & 1) << 9
        if partial:
            status = C2
        core.cpu.x87_status = core.cpu.x87_status & ~u16(CONDITIONS) | status

    return compute


@function
def reduce(a: Ptr[Number], b: Ptr[Number], steps: u32, nearest: bool, result: Ptr[Exact]) -> u64:
    """Take a quotient of steps + 1 bits off a; the low bits of the quotient."""
    rest = u128(a.significand)
    divisor = b.significand
    quotient: u64 = 0
    sign = a.sign
    for i in range(steps + 1):
        if i:
            rest <<= 1
        quotient <<= 1
        if rest >= divisor:
            rest -= divisor
            quotient |= 1
    if nearest and (rest << 1 > divisor or (rest << 1 == divisor and quotient & 1 != 0)):
        rest = divisor - rest
        quotient += 1
        sign ^= 1
    set_rest(u64(rest), a.exponent - i32(steps), sign, result)
    if rest == 0:
        result.sign = a.sign
    return quotient


@function
def set_rest(rest: u64, exponent: i32, sign: u32, result: Ptr[Exact]) -> None:
    result.sign = sign
    result.kind = ZERO
    result.significand = 0
    if rest:
        shift = clz(rest)
        result.kind = FINITE
        result.significand = u128(rest) << (64 + shift)
        result.exponent = exponent - i32(shift)


HANDLERS = dict.fromkeys(
    ("FADD", "FSUB", "FMUL", "FDIV", "FSUBR", "FDIVR", "FADDP", "FSUBP", "FMULP", "FDIVP", "FSUBRP", "FDIVRP",
     "FIADD", "FISUB", "FIMUL", "FIDIV", "FISUBR", "FIDIVR"), arithmetic,
)  # fmt: skip
TOP_OPERATIONS = {"FSQRT": root, "FCHS": change_sign, "FABS": absolute, "FRNDINT": to_integral, "FXTRACT": extract}
HANDLERS |= {
    name: lambda form, size, memory, compute=compute: on_top(compute) for name, compute in TOP_OPERATIONS.items()
}
HANDLERS |= {
    "FSCALE": lambda form, size, memory: on_two(scale),
    "FPREM": lambda form, size, memory: on_two(remainder(False)),
    "FPREM1": lambda form, size, memory: on_two(remainder(True)),
}
