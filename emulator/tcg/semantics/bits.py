"""Single bits, scans and counts, CRC32, random numbers (Intel SDM Vol. 1, sections 7.3.6, 7.3.7 and 7.3.17)."""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache, partial

from emulator.native import (
    Array,
    Function,
    Ptr,
    addressof,
    clz,
    ctz,
    function,
    i64,
    popcount,
    table,
    u32,
    u64,
)
from emulator.x86.notation import Form

from ..control import faulted
from ..core import IN_MEMORY, Core, Op
from ..flags import SIGNED, ZF, get_status, set_status, setters
from ..operands import TYPES, access, deposit, effective_address, fetch, read_place
from .data import change_carry
from .rare import attempt, get_sized, put_sized, read_operand
from .templates import binary, compare, shape_of

POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed (SDM Vol. 2, CRC32)
TEST, SET, RESET, COMPLEMENT = range(4)
BIT_ACTIONS = {"BT": TEST, "BTS": SET, "BTR": RESET, "BTC": COMPLEMENT}
LOGS = {16: 4, 32: 5, 64: 6}


# -- BT, BTS, BTR, BTC --------------------------------------------------------------------------------------


@cache
def bit_operation(action: int, bits: int) -> Function:
    """CF = bit b of a; and a with that bit changed."""
    kind = TYPES[bits]

    @function(symbol=f"emulator.tcg.bit{action}.{bits}", inline="always")
    def operate(core: Ptr[Core], a: kind, b: kind) -> kind:
        number = b & (bits - 1)
        change_carry(core, u64(a >> number & 1))
        bit = kind(1) << number
        if action == SET:
            return kind(a | bit)
        if action == RESET:
            return kind(a & ~bit)
        return kind(a ^ bit) if action == COMPLEMENT else a

    return operate


@cache
def _bit_string(action: int, bits: int) -> Function:
    """The offset in a register is signed and reaches beyond the operand at the memory address."""
    kind, signed, log, operate = TYPES[bits], SIGNED[TYPES[bits]], LOGS[bits], bit_operation(action, bits)

    @function(symbol=f"emulator.tcg.bitstring{action}.{bits}")
    def change(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
        word = Array[u64, 1]()
        offset = i64(signed(kind(get_sized(core, op.b, size))))
        place = effective_address(core, op) + u64(offset >> log) * size & op.mask
        if not fetch(core, op.segment, place, size, addressof(word[0])):
            return False
        carry = core.carry
        result = operate(core, kind(word[0]), kind(u64(offset)))
        if action != TEST and not deposit(core, op.segment, place, size, u64(result)):
            core.carry = carry
            return False
        return True

    return attempt(change, bits // 8)


def bit_test(action: int, form: Form, size: int, memory: bool) -> Function:
    if memory and form.operands[1].method == "G":
        return _bit_string(action, size)
    operation, shape = bit_operation(action, size), shape_of(form, memory)
    return compare(operation, shape, size) if action == TEST else binary(operation, shape, size)


# -- scans and counts ---------------------------------------------------------------------------------------


@cache
def _scan(forward: bool, bits: int) -> tuple[Function, Function]:
    """BSF and BSR; of 0 they leave the whole target as it was."""
    kind, size = TYPES[bits], bits // 8
    get, put = access(kind).get, access(kind).put
    name = f"emulator.tcg.{'bsf' if forward else 'bsr'}{bits}"

    @function(symbol=f"{name}.of", inline="always")
    def scan(core: Ptr[Core], op: Ptr[Op], source: kind) -> None:
        set_status(core, get_status(core) & ~u64(ZF) | (ZF if source == 0 else 0))
        if source != 0:
            put(core, op.a, kind(ctz(source)) if forward else kind(bits - 1) - kind(clz(source)))

    @function(symbol=f"{name}.r")
    def register(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        scan(core, op, get(core, op.b))
        return op + 1

    @function(symbol=f"{name}.m")
    def in_memory(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        place = read_place(core, op, size)
        if not place:
            return faulted(core, op)
        scan(core, op, Ptr[kind](place)[0])
        return op + 1

    return register, in_memory


@cache
def count_zeros(leading: bool, bits: int) -> Function:
    """LZCNT and TZCNT: CF says that the source is 0, ZF that the count is."""
    kind, result = TYPES[bits], setters(TYPES[bits]).result

    @function(symbol=f"emulator.tcg.{'lzcnt' if leading else 'tzcnt'}{bits}", inline="always")
    def count(core: Ptr[Core], a: kind, b: kind) -> kind:
        zeros = kind(clz(kind(b)) if leading else ctz(kind(b)))
        result(core, zeros)
        change_carry(core, u64(b == 0))
        return zeros

    return count


@cache
def count_ones(bits: int) -> Function:
    kind, logic = TYPES[bits], setters(TYPES[bits]).logic

    @function(symbol=f"emulator.tcg.popcnt{bits}", inline="always")
    def count(core: Ptr[Core], a: kind, b: kind) -> kind:
        """ZF by the source; the other flags are 0, also PF."""
        logic(core, kind(b))
        core.sign = 1
        return kind(popcount(kind(b)))

    return count


def _counts(make, form: Form, size: int, memory: bool) -> Function:
    return binary(make(size), shape_of(form, memory), size)


# -- CRC32, random numbers ----------------------------------------------------------------------------------


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


CRC = table(u32, [_crc_of(byte) for byte in range(256)])


@cache
def _checksum(size: int) -> Function:
    @function(symbol=f"emulator.tcg.crc32.{size}")
    def checksum(core: Ptr[Core], op: Ptr[Op], bytes_: u32) -> bool:
        word = Array[u64, 1]()
        if size == 1 and not op.flags & IN_MEMORY:
            word[0] = Ptr[u32](u64(core) + op.b)[0] & 0xFF
        elif size == 1:
            if not fetch(core, op.segment, effective_address(core, op), 1, addressof(word[0])):
                return False
        elif not read_operand(core, op, op.b, size, addressof(word[0])):
            return False
        value = Ptr[u32](u64(core) + op.a)[0]
        for number in range(size):
            value = CRC[(value ^ u32(word[0] >> (u32(number) * 8))) & 0xFF] ^ value >> 8
        put_sized(core, op.a, 8, value)
        return True

    return checksum


def checksum(form: Form, size: int, memory: bool) -> Function:
    return attempt(_checksum(1 if form.operands[1].type == "b" else size // 8), size // 8)


@function
def random_number(core: Ptr[Core], op: Ptr[Op], size: u32) -> bool:
    """RDRAND and RDSEED: CF says that there is one, which is always so."""
    put_sized(core, op.a, size, core.noise(u64(core)))
    set_status(core, 1)
    return True


HANDLERS = {name: partial(bit_test, action) for name, action in BIT_ACTIONS.items()}
HANDLERS |= {
    "BSF": lambda form, size, memory: _scan(True, size)[memory],
    "BSR": lambda form, size, memory: _scan(False, size)[memory],
    "TZCNT": partial(_counts, partial(count_zeros, False)),
    "LZCNT": partial(_counts, partial(count_zeros, True)),
    "POPCNT": partial(_counts, count_ones),
    "CRC32": checksum,
    "RDRAND": lambda form, size, memory: attempt(random_number, size // 8),
    "RDSEED": lambda form, size, memory: attempt(random_number, size // 8),
}
