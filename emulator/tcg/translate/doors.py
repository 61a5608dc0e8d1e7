"""Between handlers and translated code: the flags change their shape, from the three words of `flags` to AX and back.

`door` is the handler of an op at which translated code is entered; `left` is where it is left.
"""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32, u64

from ..core import Core
from ..flags import TOP, carry_flag, overflow_flag, parity_flag

# What LAHF and SETO AL leave in AX
OVERFLOW, CARRY_BIT, PARITY_BIT, ADJUST_BIT, ZERO_BIT, SIGN_BIT = 0, 8, 10, 12, 14, 15
ADJUST = 3  # the bit of AF in `Core.carry`


@function
def words_to_status(core: Ptr[Core]) -> None:
    status = overflow_flag(core) << OVERFLOW | carry_flag(core) << CARRY_BIT
    status |= (core.carry >> ADJUST & 1) << ADJUST_BIT | core.sign >> 63 << SIGN_BIT
    if core.nonzero == 0:
        status |= 1 << ZERO_BIT
    if parity_flag(core):
        status |= 1 << PARITY_BIT
    core.status = u32(status)


@function
def status_to_words(core: Ptr[Core]) -> None:
    status = u64(core.status)
    carry = status >> CARRY_BIT & 1
    core.nonzero = ~status & 1 << ZERO_BIT
    core.sign = status << (63 - SIGN_BIT) & TOP | ~status >> PARITY_BIT & 1
    core.carry = carry << 63 | (carry ^ status >> OVERFLOW & 1) << 62 | (status >> ADJUST_BIT & 1) << ADJUST


DOORS = f"""
define internal preserve_nonecc void @"t1.door"(ptr %core, ptr %op) nounwind {{
  call void @"{words_to_status.symbol}"(ptr %core)
  %place = getelementptr i8, ptr %core, i64 {Core.offset("code_load")}
  %load = load ptr, ptr %place
  musttail call preserve_nonecc void %load(ptr %core, ptr %op)
  ret void
}}
define internal preserve_nonecc void @"t1.left"(ptr %core, ptr %op) nounwind {{
  call void @"{status_to_words.symbol}"(ptr %core)
  %place = getelementptr i8, ptr %core, i64 {Core.offset("target")}
  %handler = load ptr, ptr %place
  musttail call preserve_nonecc void %handler(ptr %core, ptr %op)
  ret void
}}
define i64 @t1_door() nounwind {{
  ret i64 ptrtoint (ptr @"t1.door" to i64)
}}
define i64 @t1_left() nounwind {{
  ret i64 ptrtoint (ptr @"t1.left" to i64)
}}
"""
