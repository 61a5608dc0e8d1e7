"""What instructions do, by family, in the compiled subset of Python.

Each module has `HANDLERS`: for a mnemonic, a function that makes the handler of a form at an operand size, with its
ModRM operand in memory or in a register. Operations that compute are functions of values (`emulator.tcg.semantics.
arithmetic.OPERATIONS`); `templates` turns them into handlers by fetching operands from an `Op`.
"""

from . import arithmetic, bits, bmi, calls, data, interrupts, multiply, segments, shifts, stack, strings, system
from .simd import conversions, crypto, float_sums, floats, images, lanes, moves, shuffles, widths
from .simd import strings as string_comparisons
from .x87 import arithmetic as x87_arithmetic
from .x87 import comparisons, functions, remainder, stores
from .x87 import control as x87_control
from .x87 import transfer as x87_transfer

MODULES = (
    arithmetic,
    data,
    multiply,
    shifts,
    bits,
    bmi,
    stack,
    strings,
    interrupts,
    segments,
    system,
    calls,
    lanes,
    moves,
    shuffles,
    widths,
    floats,
    float_sums,
    conversions,
    images,
    crypto,
    string_comparisons,
    x87_arithmetic,
    x87_transfer,
    stores,
    comparisons,
    functions,
    remainder,
    x87_control,
)
