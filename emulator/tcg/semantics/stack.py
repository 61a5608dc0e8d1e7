"""The stack and near branches (Intel SDM Vol. 1, sections 6.2 to 6.5 and 7.3.8). The stack pointer changes last."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Function, Ptr, function, likely, u16, u64
from emulator.x86.notation import Form

from ..blocks import jump_hit
from ..control import branch, faulted, following, jump, jump_slow, raised, valid_target
from ..core import GP, Core, Op
from ..flags import CONDITIONS
from ..operands import TYPES, access, read_place, set_stack_pointer
from .data import always

RSP, RBP, RCX = 4, 5, 1


@cache
def _push_long() -> Function:
    """PUSH of a register in 64-bit mode."""
    get, push_value = access(u64).get, access(u64).push_long

    @function(symbol="emulator.tcg.push.long")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        return op + 1 if push_value(core, get(core, op.a)) else faulted(core, op)

    return register


@cache
def _pop_long() -> Function:
    """POP to a register in 64-bit mode."""
    peek = access(u64).peek_long

    @function(symbol="emulator.tcg.pop.long")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        pointer = core.cpu.registers[RSP]
        place = peek(core, pointer)
        if not place:
            return faulted(core, op)
        core.cpu.registers[RSP] = pointer + 8
        Ptr[u64](u64(core) + op.a)[0] = Ptr[u64](place)[0]
        return op + 1

    return register


@cache
def _push(bits: int, source: str) -> Function:
    kind, size = TYPES[bits], bits // 8
    get, push = access(kind).get, access(kind).push

    @function(symbol=f"emulator.tcg.push.r{bits}")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        return op + 1 if push(core, get(core, op.a)) else faulted(core, op)

    @function(symbol=f"emulator.tcg.push.i{bits}")
    def immediate(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        return op + 1 if push(core, kind(op.immediate)) else faulted(core, op)

    @function(symbol=f"emulator.tcg.push.m{bits}")
    def from_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read_place(core, op, size)
        if not place:
            return faulted(core, op)
        return op + 1 if push(core, Ptr[kind](place)[0]) else faulted(core, op)

    return {"r": register, "i": immediate, "m": from_memory}[source]


def push(form: Form, size: int, memory: bool) -> Function | None:
    code = form.operands[0]
    if code.method == "fixed":
        return None
    return _push(size, "i" if code.method == "I" else "m" if memory and code.method == "E" else "r")


@cache
def _pop(bits: int, to_memory: bool) -> Function:
    """POP to memory computes the address with the stack pointer already moved (SDM Vol. 2, POP)."""
    kind, size = TYPES[bits], bits // 8
    peek, put, store = access(kind).peek, access(kind).put, access(kind).store

    @function(symbol=f"emulator.tcg.pop.r{bits}")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = peek(core, core.cpu.registers[RSP])
        if not place:
            return faulted(core, op)
        value = Ptr[kind](place)[0]
        set_stack_pointer(core, core.cpu.registers[RSP] + size)
        put(core, op.a, value)
        return op + 1

    @function(symbol=f"emulator.tcg.pop.m{bits}")
    def memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        before = core.cpu.registers[RSP]
        place = peek(core, before)
        if not place:
            return faulted(core, op)
        value = Ptr[kind](place)[0]
        set_stack_pointer(core, before + size)
        if not store(core, op, value):
            core.cpu.registers[RSP] = before
            return faulted(core, op)
        return op + 1

    return memory if to_memory else register


def pop(form: Form, size: int, memory: bool) -> Function | None:
    if form.operands[0].method == "fixed":
        return None
    return _pop(size, memory and form.operands[0].method == "E")


@cache
def _push_all(size: int) -> Function:
    kind = TYPES[size]
    get, push = access(kind).get, access(kind).push

    @function(symbol=f"emulator.tcg.pusha{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        before = core.cpu.registers[RSP]
        for number in range(8):
            value = kind(before) if number == RSP else get(core, u16(number * 8))
            if not push(core, value):
                core.cpu.registers[RSP] = before
                return faulted(core, op)
        return op + 1

    return handler


@cache
def _pop_all(size: int) -> Function:
    """The stored stack pointer is skipped. Everything is read before a register changes."""
    kind, bytes_ = TYPES[size], size // 8
    peek, put = access(kind).peek, access(kind).put

    @function(symbol=f"emulator.tcg.popa{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        before = core.cpu.registers[RSP]
        for turn in range(2):
            for number in range(8):
                place = peek(core, before + number * bytes_)
                if not place:
                    return faulted(core, op)
                if turn == 1 and number != 3:
                    put(core, u16((7 - number) * 8), Ptr[kind](place)[0])
        set_stack_pointer(core, before + 8 * bytes_)
        return op + 1

    return handler


@cache
def _leave(size: int) -> Function:
    kind, bytes_ = TYPES[size], size // 8
    peek, put = access(kind).peek, access(kind).put

    @function(symbol=f"emulator.tcg.leave{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        frame = core.cpu.registers[RBP]
        place = peek(core, frame)
        if not place:
            return faulted(core, op)
        value = Ptr[kind](place)[0]
        set_stack_pointer(core, frame + bytes_)
        put(core, RBP * 8, value)
        return op + 1

    return handler


@cache
def _enter_frame(size: int) -> Function:
    """ENTER (SDM Vol. 2): the frame pointers of the enclosing levels are copied."""
    kind, bytes_ = TYPES[size], size // 8
    get, put, push, peek = access(kind).get, access(kind).put, access(kind).push, access(kind).peek

    @function(symbol=f"emulator.tcg.enter{size}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        before = core.cpu.registers[RSP]
        level = op.immediate2 & 31
        done = push(core, get(core, RBP * 8))
        frame = core.cpu.registers[RSP]
        for number in range(1, level):
            place = peek(core, core.cpu.registers[RBP] - u64(number) * bytes_)
            done = done and bool(place) and push(core, Ptr[kind](place)[0])
        if level:
            done = done and push(core, kind(frame))
        if not done:
            core.cpu.registers[RSP] = before
            return faulted(core, op)
        set_stack_pointer(core, core.cpu.registers[RSP] - (op.immediate & 0xFFFF))
        put(core, RBP * 8, kind(frame))
        return op + 1

    return handler


# -- branches -----------------------------------------------------------------------------------------------


@function
def jump_direct(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return branch(core, op)


def jump_conditional(form: Form, size: int, memory: bool) -> list[Function]:
    return [_jump_conditional(condition) for condition in CONDITIONS]


@cache
def _jump_conditional(condition: Function) -> Function:
    @function(symbol=f"{condition.symbol}.jump")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if condition(core):
            return branch(core, op)
        return op + 1

    return handler


@cache
def _call_direct(size: int, long: bool = False) -> Function:
    kind = TYPES[size]
    push = access(kind).push_long if long else access(kind).push

    @function(symbol=f"emulator.tcg.call{size}{'.long' if long else ''}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        if op.link == 0 and not valid_target(core, op.immediate):
            return raised(core, op, GP, 0)
        if not push(core, kind(following(op))):
            return faulted(core, op)
        return branch(core, op)

    return handler


@cache
def _indirect(size: int, calls: bool) -> tuple[Function, Function]:
    kind, bytes_ = TYPES[size], size // 8
    get, push = access(kind).get, access(kind).push
    symbol = f"emulator.tcg.{'call' if calls else 'jmp'}.indirect{size}"

    @function(symbol=f"{symbol}.to", inline="always")
    def go(core: Ptr[Core], op: Ptr[Op], target: kind) -> Ptr[Op]:
        if not valid_target(core, u64(target)):
            return raised(core, op, GP, 0)
        if calls and not push(core, kind(following(op))):
            return faulted(core, op)
        return jump(core, op, u64(target))

    @function(symbol=f"{symbol}.m")
    def memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read_place(core, op, bytes_)
        if not place:
            return faulted(core, op)
        return go(core, op, Ptr[kind](place)[0])

    @function(symbol=f"{symbol}.r")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        return go(core, op, get(core, op.a))

    return register, memory


@cache
def _return_long() -> Function:
    """RET in 64-bit mode."""
    peek = access(u64).peek_long

    @function(symbol="emulator.tcg.ret.long")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        pointer = core.cpu.registers[RSP]
        place = peek(core, pointer)
        if not place:
            return faulted(core, op)
        target = Ptr[u64](place)[0]
        found = jump_hit(core, target)  # a target that is known is valid
        if not found and not valid_target(core, target):
            return raised(core, op, GP, 0)
        core.cpu.registers[RSP] = pointer + 8
        if likely(bool(found) and core.exit_flag == 0):
            return found
        return jump_slow(core, target)

    return handler


@cache
def _return(size: int, releases: bool) -> Function:
    kind, bytes_ = TYPES[size], size // 8
    peek = access(kind).peek

    @function(symbol=f"emulator.tcg.ret{size}.{int(releases)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = peek(core, core.cpu.registers[RSP])
        if not place:
            return faulted(core, op)
        target = u64(Ptr[kind](place)[0])
        if not valid_target(core, target):
            return raised(core, op, GP, 0)
        set_stack_pointer(core, core.cpu.registers[RSP] + bytes_ + (op.immediate & 0xFFFF if releases else 0))
        return jump(core, op, target)

    return handler


@function
def count_down(core: Ptr[Core], op: Ptr[Op]) -> bool:
    """rCX - 1, in the address size; whether it is not 0 then."""
    count = core.cpu.registers[RCX] - 1 & op.mask
    if op.mask == 0xFFFF:
        Ptr[u16](core)[4] = u16(count)
    else:
        core.cpu.registers[RCX] = count
    return count != 0


@function
def loop(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return branch(core, op) if count_down(core, op) else op + 1


@function
def loop_equal(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return branch(core, op) if count_down(core, op) and core.nonzero == 0 else op + 1


@function
def loop_not_equal(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return branch(core, op) if count_down(core, op) and core.nonzero != 0 else op + 1


@function
def jump_counter_zero(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    return op + 1 if core.cpu.registers[RCX] & op.mask else branch(core, op)


def call(form: Form, size: int, memory: bool) -> Function | None:
    method = form.operands[0].method
    if method == "J":
        return _call_direct(size)
    return _indirect(size, True)[memory] if method == "E" else None


def jmp(form: Form, size: int, memory: bool) -> Function | None:
    method = form.operands[0].method
    if method == "J":
        return jump_direct
    return _indirect(size, False)[memory] if method == "E" else None


HANDLERS = {
    "PUSH": push,
    "POP": pop,
    "PUSHA": lambda form, size, memory: _push_all(size),
    "POPA": lambda form, size, memory: _pop_all(size),
    "LEAVE": lambda form, size, memory: _leave(size),
    "ENTER": lambda form, size, memory: _enter_frame(size),
    "JMP": jmp,
    "Jcc": jump_conditional,
    "CALL": call,
    "RET": lambda form, size, memory: _return(size, bool(form.operands)),
    "LOOP": always(loop),
    "LOOPE": always(loop_equal),
    "LOOPNE": always(loop_not_equal),
    "JCXZ": always(jump_counter_zero),
}

LONG = {
    _push(64, "r"): _push_long(),
    _pop(64, False): _pop_long(),
    _call_direct(64): _call_direct(64, True),
    _return(64, False): _return_long(),
}
"""What is shorter in 64-bit mode, where stacks have neither base nor limit."""
