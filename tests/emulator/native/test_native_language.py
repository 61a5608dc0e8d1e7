"""Every construct of the language: the value it should have, in both modes."""

from __future__ import annotations

import ctypes
import enum
import math

import pytest
from native_programs import both, compiled, define

from emulator.native import (
    Array,
    FnPtr,
    Ptr,
    Unit,
    addressof,
    atomic_add,
    atomic_cas,
    atomic_load,
    atomic_or,
    atomic_store,
    atomic_swap,
    bswap,
    clz,
    copy_bytes,
    ctz,
    f32,
    f64,
    fill_bytes,
    float_from_bits,
    float_to_bits,
    fshl,
    fshr,
    function,
    i8,
    i16,
    i32,
    i64,
    likely,
    mulhi,
    popcount,
    rotl,
    rotr,
    sign_extend,
    sizeof,
    sqrt,
    struct,
    table,
    u8,
    u16,
    u32,
    u64,
    u128,
    unlikely,
)

LIMIT = 100
SQUARES = table(u16, [n * n for n in range(16)])
SIGNED = table(i8, [-1, 2, -3])


class Reason(enum.IntEnum):
    EXIT = 3
    FAULT = 7


@struct
class Segment:
    base: u64
    limit: u32
    flags: u8


@struct
class Node:
    value: i32
    next: Ptr[Node]


@struct(packed=True)
class Cpu:
    regs: Array[u64, 16]
    flag: bool
    segments: Array[Segment, 6]
    matrix: Array[Array[u8, 4], 3]
    callback: FnPtr[[u64, i8], i32]
    wide: u128
    half: f32


@function
def wraps(a: u8, b: u8) -> u8:
    return a * b + 250


@function
def widens(a: u8, b: i32) -> i64:
    return a + b


@function
def chained(a: i16, b: u8, c: u64) -> bool:
    return a <= b < c != 7


@function
def collatz(n: u64) -> u32:
    steps: u32 = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@function
def sum_with_break(limit: u32) -> u32:
    total: u32 = 0
    for i in range(limit):
        if i % 3 == 0:
            continue
        if i > 20:
            break
        total += i
    return total


@function
def nested_loops(n: u32) -> u64:
    total: u64 = 0
    for i in range(n):
        for j in range(i, n, 2):
            if j == 5:
                break
            total = total * 3 + j
        k = i
        while True:
            k += 1
            if k > n:
                break
            if k & 1:
                continue
            total ^= k
    return total


@function
def last_of_range(start: i16, stop: i16) -> i16:
    last: i16 = -1
    for i in range(start, stop, -7):
        last = i
        i = 0  # the count does not see this
    return last


@function
def every_byte() -> u32:
    count: u32 = 0
    b: u8
    for b in range(3, 255, 84):
        count += b
    return count


@function
def giant_steps() -> i32:
    total: i32 = 0
    b: u8
    for b in range(200, 255, 300):
        total += b
    c: i16
    for c in range(100, -100, -70000):
        total = total * 1000 + c
    return total


@function
def fibonacci(n: u32) -> u64:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@function
def is_even(n: u32) -> bool:
    return True if n == 0 else is_odd(n - 1)


@function
def is_odd(n: u32) -> bool:
    return False if n == 0 else is_even(n - 1)


@function
def constants(x: u32) -> u32:
    if x in (1, 2, Reason.FAULT):
        return LIMIT + Reason.EXIT
    if x not in (3, 4):
        return SQUARES[x & 15] & ~1
    return len(SQUARES) << 2


@function
def matched(x: u8) -> u32:
    match x:
        case 0 | 1:
            result: u32 = 10
        case Reason.EXIT:
            result = 20
        case 4:
            return 99
        case _:
            result = 30
    return result + 1


@function
def match_in_loop(n: u8) -> u32:
    total: u32 = 0
    for i in range(n):
        match i:
            case 2:
                continue
            case 5:
                break
        total += i
    return total


@function
def logic(a: u32, b: u32) -> bool:
    return not a or (b and a < b) or False


@function
def guarded(p: Ptr[u32], n: u32) -> u32:
    """The load behind `and` must not happen when the pointer is null."""
    return 1 if p and p[0] == n else 2


@function
def swap(a: u32, b: u32) -> u64:
    a, b = b, a
    return u64(a) << 32 | b


@function
def divide(a: i32, b: i32) -> i64:
    return i64(a // b) * 1000003 + a % b


@function
def shifts(a: i16, n: u8) -> u32:
    return u32(u16(a << n)) << 16 | u16(a >> n)


@function
def wide(a: u64, b: u64) -> u64:
    product = u128(a) * b
    return u64(product >> 64) ^ u64(product)


@function
def floats(a: f64, b: f64) -> f64:
    return -(a * b) / (a + 0.5) - b


@function
def single(a: f32, b: f32) -> f32:
    return a * b + 0.1


@function
def truncates(x: f64) -> i8:
    return i8(x)


@function
def from_integer(x: u64) -> f32:
    return f32(x)


@function
def bit_pattern(x: f64) -> u64:
    return float_to_bits(x) ^ float_to_bits(f32(1.5))


@function
def from_bits(x: u32) -> f64:
    return sqrt(f64(float_from_bits(x)))


@function
def float_order(a: f64, b: f64) -> u8:
    return u8(a < b) | u8(a == b) << 1 | u8(a != b) << 2 | u8(a >= b) << 3


@function
def bit_work(x: u32, y: u32, n: u8) -> u64:
    total: u64 = popcount(x)
    total = total * 33 + clz(x)
    total = total * 33 + ctz(x)
    total = total * 33 ^ bswap(x)
    total = total * 33 ^ mulhi(x, y)
    total = total * 33 ^ rotl(x, n)
    total = total * 33 ^ rotr(x, 5)
    total = total * 33 ^ fshl(x, y, n)
    total = total * 33 ^ fshr(x, y, n)
    total = total * 33 ^ sign_extend(x, 12)
    return total * 33 + min(x, y) - max(y, 7)


@function
def hints(x: i64) -> i64:
    return mulhi(x, x) if likely(x > 5) and not unlikely(x == 7) else -x


@function
def fields(cpu: Ptr[Cpu], n: u32) -> u64:
    cpu.regs[n & 15] += 0xFFFF_FFFF_FFFF_FFFE
    cpu.flag = n > 3
    seg = cpu.segments[n % 6]
    seg.base = cpu.regs[n & 15]
    seg.limit -= n
    cpu.segments[5].flags = u8(seg.limit) | 1
    cpu.matrix[2][n & 3] = u8(n)
    cpu.wide = u128(n) << 100
    cpu.half = 0.1
    return seg.base + u64(cpu.flag) + cpu.matrix[n % 3][3] + u64(cpu.wide >> 99)


@function
def list_sum(node: Ptr[Node]) -> i64:
    total: i64 = 0
    while node:
        total += node.value
        node = node.next
    return total


@function
def pointers(p: Ptr[u16], n: u32) -> i64:
    q = p + n
    q[-1] = 7
    q -= 1
    q[0] += 1
    return (q - p) * 1000 + q[0] + i64(q > p) + i64(u64(q) - u64(p))


@function
def local_memory(n: u32) -> u64:
    total: u64 = 0
    for i in range(4):
        scratch = Array[u32, 8]()
        seg = Segment()
        scratch[i] = n + i
        seg.base = scratch[i]
        for j in range(8):
            total = total * 3 + scratch[j]
        total += seg.base + seg.limit + sizeof(Segment) + len(scratch)
        copy_bytes(Ptr[u8](addressof(scratch[4])), Ptr[u8](scratch), 16)
        fill_bytes(Ptr[u8](addressof(scratch[5])), 0xAA, 4)
        total = total * 3 + scratch[4] + scratch[5]
    return total


@function
def byte_string(table_index: u8) -> i32:
    entries = addressof(SIGNED)
    return entries[table_index % 3] * 2 + SIGNED[0]


@function
def atomics(p: Ptr[u32]) -> u64:
    atomic_store(p, 5)
    total: u64 = atomic_add(p, 0xFFFF_FFFF)
    total = total * 100 + atomic_or(p, 0x10)
    total = total * 100 + atomic_cas(p, 0x14, 9)
    total = total * 100 + atomic_cas(p, 0x14, 8)
    total = total * 100 + atomic_swap(p, 3)
    return total * 100 + atomic_load(p)


@function
def calls_back(cpu: Ptr[Cpu], n: u64) -> i64:
    return cpu.callback(n, -3) + i64(1)


@function(inline="always")
def next_value(p: Ptr[u64]) -> u64:
    p[0] += 1
    return p[0]


@function
def evaluation_order(p: Ptr[u64], q: Ptr[u64]) -> u64:
    q[next_value(p) % 4] = next_value(p) * 10
    q[next_value(p) % 4] += next_value(p)
    return next_value(p) * 100 - next_value(p)


@function
def nothing(p: Ptr[u64]) -> None:
    if p[0] > 10:
        return
    p[0] = 11


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (wraps, (20, 20), (400 + 250) & 255),
        (widens, (255, -300), -45),
        (chained, (-1, 0, 1), True),
        (chained, (-1, 200, 7), False),
        (chained, (5, 4, 1), False),
        (collatz, (27,), 111),
        (sum_with_break, (50,), sum(i for i in range(21) if i % 3)),
        (last_of_range, (20, -20), -15),
        (last_of_range, (-32768, 32767), -1),
        (last_of_range, (32767, -32768), range(32767, -32768, -7)[-1]),
        (every_byte, (), 3 + 87 + 171),
        (giant_steps, (), 200100),
        (fibonacci, (15,), 610),
        (is_even, (11,), False),
        (constants, (7,), 103),
        (constants, (4,), 64),
        (constants, (9,), 80),
        (matched, (1,), 11),
        (matched, (3,), 21),
        (matched, (4,), 99),
        (matched, (200,), 31),
        (match_in_loop, (10,), 0 + 1 + 3 + 4),
        (logic, (0, 0), True),
        (logic, (1, 0), False),
        (logic, (1, 2), True),
        (guarded, (0, 1), 2),
        (swap, (1, 2), 2 << 32 | 1),
        (divide, (-7, 2), -4 * 1000003 + 1),
        (divide, (7, -2), -4 * 1000003 - 1),
        (divide, (7, 0), 7),
        (divide, (-(2**31), -1), -(2**31) * 1000003),
        (shifts, (-2, 1), 0xFFFC_FFFF),
        (shifts, (-2, 200), 0x0000_FFFF),
        (wide, (2**64 - 1, 2**64 - 1), (2**64 - 2) ^ 1),
        (floats, (1.5, 2.0), -3.5),
        (floats, (-0.5, 2.0), math.inf),
        (truncates, (-3.9,), -3),
        (truncates, (1e9,), 127),
        (truncates, (-math.inf,), -128),
        (truncates, (math.nan,), 0),
        (from_integer, (2**24 + 1,), 2.0**24),
        (from_integer, (2**63 + 2**39 + 1,), 2.0**63 + 2**40),
        (bit_pattern, (1.0,), 0x3FF0_0000_0000_0000 ^ 0x3FC0_0000),
        (from_bits, (0x4080_0000,), 2.0),
        (float_order, (1.0, 2.0), 1 | 4),
        (float_order, (math.nan, 2.0), 4),
        (float_order, (2.0, 2.0), 2 | 8),
        (hints, (2**40,), 2**16),
        (hints, (7,), -7),
        (local_memory, (1,), None),
        (byte_string, (2,), -7),
        (nested_loops, (9,), None),
        (bit_work, (0x1234_5678, 0xFEDC_BA98, 77), None),
        (bit_work, (0, 1, 0), None),
    ],
)
def test_value(function, arguments, expected):
    found = both(function, *arguments)
    assert expected is None or found == expected


def test_single_precision_rounds_each_operation():
    expected = ctypes.c_float(ctypes.c_float(3.3).value * ctypes.c_float(1.1).value).value
    expected = ctypes.c_float(expected + ctypes.c_float(0.1).value).value
    assert both(single, ctypes.c_float(3.3).value, ctypes.c_float(1.1).value) == expected


@pytest.mark.parametrize("n", [0, 3, 4, 17, 0xFFFF_FFFF])
def test_struct_memory_is_the_same_in_both_modes(n):
    native, python = Cpu(), Cpu()
    results = compiled(fields).fields(ctypes.byref(native), n), fields(ctypes.byref(python), n)
    assert results[0] == results[1]
    assert bytes(native) == bytes(python)
    assert python.segments[5].flags == -n & 0xFF | 1
    assert python.wide[1] == (n << 100 >> 64) & (1 << 64) - 1
    assert python.half == ctypes.c_float(0.1).value


def test_struct_layout():
    assert (Segment.offset("limit"), Segment.size, Cpu.offset("flag"), Cpu.offset("segments")) == (8, 16, 128, 129)
    with pytest.raises(KeyError, match="no field 'nothing'"):
        Cpu.offset("nothing")


def test_structs_are_numpy_records():
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(3, dtype=numpy.dtype(Segment.ctype))
    array["limit"] = [1, 2, 3]
    segment = Segment.ctype.from_address(array.ctypes.data + Segment.size)
    assert segment.limit == 2


def test_linked_list():
    last = Node(30, 0)
    first = Node(-5, ctypes.addressof(last))
    assert both(list_sum, ctypes.byref(first)) == 25


def test_pointers():
    for run in (compiled(pointers).pointers, pointers):
        memory = (ctypes.c_uint16 * 8)()
        assert run(memory, 4) == 3008 + 1 + 6
        assert list(memory) == [0, 0, 0, 8, 0, 0, 0, 0]


def test_atomics():
    expected = ((((5 * 100 + 4) * 100 + 0x14) * 100 + 9) * 100 + 9) * 100 + 3
    for run in (compiled(atomics).atomics, atomics):
        assert run(ctypes.byref(ctypes.c_uint32(9))) == expected


def test_callback():
    seen = []

    @Cpu.fields["callback"]
    def callback(number, small):
        seen.append((number, small))
        return -5

    cpu = Cpu(callback=ctypes.cast(callback, ctypes.c_void_p).value)
    assert both(calls_back, ctypes.byref(cpu), 2**64 - 1) == -4
    assert seen == [(2**64 - 1, -3)] * 2


def test_evaluation_order():
    for run in (compiled(evaluation_order).evaluation_order, evaluation_order):
        counter, memory = ctypes.c_uint64(0), (ctypes.c_uint64 * 4)()
        assert run(ctypes.byref(counter), memory) == 500 - 6
        assert list(memory) == [0, 0, 10, 4]


def test_no_result():
    for run in (compiled(nothing).nothing, nothing):
        memory = ctypes.c_uint64(3)
        assert run(ctypes.byref(memory)) is None
        assert memory.value == 11


def test_python_mode_checks_bounds_and_asserts():
    names = define(
        "@function\ndef read(p: Ptr[Array[u8, 4]], i: u8) -> u8:\n    assert i != 2, 'two'\n    return p[i]\n"
    )
    memory = (ctypes.c_uint8 * 4)(1, 2, 3, 4)
    assert names["read"](memory, 3) == 4
    with pytest.raises(IndexError, match="index 4 is outside the array's 4 elements"):
        names["read"](memory, 4)
    with pytest.raises(AssertionError, match="two"):
        names["read"](memory, 2)
    assert compiled(names["read"]).read(memory, 2) == 3


def test_python_mode_keeps_line_numbers_and_names():
    text = "@function\ndef fails(n: u8) -> u8:\n    doubled = n * 2\n    assert doubled == 0\n    return doubled\n"
    with pytest.raises(AssertionError) as caught:
        define(text)["fails"](200)
    frame = caught.traceback[-1]
    assert frame.lineno + 1 == 4
    assert frame.frame.f_locals["doubled"] == 144


def test_conversions_are_the_same_in_ordinary_python():
    assert (u8(300), i8(200), i16(-40000), u64(-1), Ptr[u8](-1)) == (44, -56, 25536, 2**64 - 1, 2**64 - 1)


def test_functions_made_by_a_factory():
    def adder(amount):
        @function(symbol=f"add{amount}")
        def add(x: u32) -> u32:
            return x + amount

        return add

    three, five = adder(3), adder(5)
    assert (both(three, 10), both(five, 10)) == (13, 15)


def test_a_unit_uses_another():
    base = Unit("base", [fibonacci])

    @function
    def twice(n: u32) -> u64:
        return fibonacci(n) * 2

    compiled(fibonacci)
    user = Unit("user", [twice], uses=[base])
    assert f'declare i64 @"{fibonacci.symbol}"(i32)' in user.ir()
    assert f'define internal i64 @"{fibonacci.symbol}"' in Unit("alone", [twice]).ir()
    assert compiled(twice, uses=(base,)).twice(10) == 110
