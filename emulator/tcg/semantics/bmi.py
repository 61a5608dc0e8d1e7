"""BMI1, BMI2 and ADX: operands of 32 or 64 bits, mostly three (Intel SDM Vol. 1, sections 5.1.16 and 7.3.16)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import Array, Function, Ptr, addressof, function, rotr, u32, u64, u128
from emulator.x86.notation import Form

from ..core import Core, Op
from ..flags import SIGNED, carry_flag, overflow_flag, set_carry, setters
from ..operands import TYPES, access
from .data import change_carry
from .rare import attempt, get_sized, put_sized, read_operand


def _andn(kind, symbol):
    logic = setters(kind).logic

    @function(symbol=symbol)
    def andn(core: Ptr[Core], a: kind, b: kind) -> kind:
        value = kind(~a & b)
        logic(core, value)
        return value

    return andn


def _blsr(kind, symbol):
    logic = setters(kind).logic

    @function(symbol=symbol)
    def blsr(core: Ptr[Core], a: kind, b: kind) -> kind:
        value = kind(b & b - 1)
        logic(core, value)
        change_carry(core, u64(b == 0))
        return value

    return blsr


def _blsmsk(kind, symbol):
    logic = setters(kind).logic

    @function(symbol=symbol)
    def blsmsk(core: Ptr[Core], a: kind, b: kind) -> kind:
        value = kind(b ^ b - 1)
        logic(core, value)
        change_carry(core, u64(b == 0))
        return value

    return blsmsk


def _blsi(kind, symbol):
    logic = setters(kind).logic

    @function(symbol=symbol)
    def blsi(core: Ptr[Core], a: kind, b: kind) -> kind:
        value = kind(b & kind(0) - b)
        logic(core, value)
        change_carry(core, u64(b != 0))
        return value

    return blsi


def _bzhi(kind, symbol):
    logic, bits = setters(kind).logic, kind.bits

    @function(symbol=symbol)
    def bzhi(core: Ptr[Core], a: kind, b: kind) -> kind:
        """The bits of a from number b on become 0; CF if there is no such bit."""
        count = kind(b & 0xFF)
        value = kind(a) if count >= bits else a & (kind(1) << count) - 1
        logic(core, value)
        change_carry(core, u64(count >= bits))
        return value

    return bzhi


def _bextr(kind, symbol):
    logic, bits = setters(kind).logic, kind.bits

    @function(symbol=symbol)
    def bextr(core: Ptr[Core], a: kind, b: kind) -> kind:
        """The bits of a from number b & 255 on, b >> 8 & 255 of them."""
        length = kind(b >> 8 & 0xFF)
        value = kind(a >> (b & 0xFF))
        if length < bits:
            value &= (kind(1) << length) - 1
        logic(core, value)
        return value

    return bextr


def _pext(kind, symbol):
    bits = kind.bits

    @function(symbol=symbol)
    def pext(core: Ptr[Core], a: kind, b: kind) -> kind:
        """The bits of a where b has ones, moved together."""
        value = kind(0)
        count: u32 = 0
        for number in range(bits):
            if b >> u32(number) & 1:
                value |= (a >> u32(number) & 1) << count
                count += 1
        return value

    return pext


def _pdep(kind, symbol):
    bits = kind.bits

    @function(symbol=symbol)
    def pdep(core: Ptr[Core], a: kind, b: kind) -> kind:
        """The low bits of a, moved to where b has ones."""
        value = kind(0)
        count: u32 = 0
        for number in range(bits):
            if b >> u32(number) & 1:
                value |= (a >> count & 1) << u32(number)
                count += 1
        return value

    return pdep


def _shlx(kind, symbol):
    bits = kind.bits

    @function(symbol=symbol)
    def shlx(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a << (b & (bits - 1)))

    return shlx


def _shrx(kind, symbol):
    bits = kind.bits

    @function(symbol=symbol)
    def shrx(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(a >> (b & (bits - 1)))

    return shrx


def _sarx(kind, symbol):
    signed, bits = SIGNED[kind], kind.bits

    @function(symbol=symbol)
    def sarx(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(signed(a) >> (b & (bits - 1)))

    return sarx


def _rorx(kind, symbol):
    @function(symbol=symbol)
    def rorx(core: Ptr[Core], a: kind, b: kind) -> kind:
        return kind(rotr(a, u32(b)))

    return rorx


def _adcx(kind, symbol):
    @function(symbol=symbol)
    def adcx(core: Ptr[Core], a: kind, b: kind) -> kind:
        total = u128(a) + u128(b) + u128(carry_flag(core))
        change_carry(core, u64(total != u128(kind(total))))
        return kind(total)

    return adcx


def _adox(kind, symbol):
    @function(symbol=symbol)
    def adox(core: Ptr[Core], a: kind, b: kind) -> kind:
        total = u128(a) + u128(b) + u128(overflow_flag(core))
        set_carry(core, carry_flag(core), u64(total != u128(kind(total))))
        return kind(total)

    return adox


# The operation, and which operands it takes: those numbered from 0, of which m is the one of ModRM
OPERATIONS = {
    "ANDN": (_andn, "1m"), "BLSR": (_blsr, "0m"), "BLSMSK": (_blsmsk, "0m"), "BLSI": (_blsi, "0m"),
    "BZHI": (_bzhi, "m2"), "BEXTR": (_bextr, "m2"), "PEXT": (_pext, "1m"), "PDEP": (_pdep, "1m"),
    "SHLX": (_shlx, "m2"), "SHRX": (_shrx, "m2"), "SARX": (_sarx, "m2"), "RORX": (_rorx, "mi"),
    "ADCX": (_adcx, "0m"), "ADOX": (_adox, "0m"),
}  # fmt: skip
TARGET_AND_MODRM, SECOND_AND_MODRM, MODRM_AND_THIRD, MODRM_AND_IMMEDIATE = range(4)
SHAPES = {"0m": TARGET_AND_MODRM, "1m": SECOND_AND_MODRM, "m2": MODRM_AND_THIRD, "mi": MODRM_AND_IMMEDIATE}


@cache
def _three(name: str, bits: int) -> Function:
    make, shape_name = OPERATIONS[name]
    kind, shape, operate = TYPES[bits], SHAPES[shape_name], make(TYPES[bits], f"emulator.tcg.{name}{bits}")
    get = access(kind).get

    @function(symbol=f"emulator.tcg.{name}{bits}.operands")
    def execute(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
        word = Array[u64, 1]()
        if not read_operand(core, op, op.c if shape == SECOND_AND_MODRM else op.b, size, addressof(word[0])):
            return False
        from_modrm = kind(word[0])
        result = from_modrm
        if shape == TARGET_AND_MODRM:
            result = operate(core, get(core, op.a), from_modrm)
        elif shape == SECOND_AND_MODRM:
            result = operate(core, get(core, op.b), from_modrm)
        elif shape == MODRM_AND_THIRD:
            result = operate(core, from_modrm, get(core, op.c))
        else:
            result = operate(core, from_modrm, kind(op.immediate))
        put_sized(core, op.a, size, u64(result))
        return True

    return attempt(execute, bits // 8)


def _vex(name: str, form: Form, size: int, memory: bool) -> Function:
    return _three(name, max(size, 32))


@function
def multiply_without_flags(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """MULX: rDX times the operand; the low half goes to the second register, then the high half to the first."""
    word = Array[u64, 1]()
    if not read_operand(core, op, op.c, size, addressof(word[0])):
        return False
    product = u128(word[0]) * u128(get_sized(core, 16, size))
    put_sized(core, op.b, size, u64(product))
    put_sized(core, op.a, size, u64(product >> (size * 8)))
    return True


HANDLERS = {name: partial(_vex, name) for name in OPERATIONS}
HANDLERS["MULX"] = lambda form, size, memory: attempt(multiply_without_flags, max(size, 32) // 8)
