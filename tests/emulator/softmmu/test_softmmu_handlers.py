"""Handlers written as LLVM IR, as an interpreter's are: memory access is inlined into them."""

from __future__ import annotations

from emulator.native import Export, Ptr, RawIR, Unit, source_key, u64
from emulator.softmmu import access
from emulator.softmmu.mmu import UNIT, SoftMmu
from emulator.softmmu.space import AddressSpace
from emulator.softmmu.structs import Mmu

TEXT = f"""
define preserve_nonecc void @load(ptr %mmu, i64 %left, i64 %address, i64 %total) nounwind {{
  %value = call i32 @"{access.read_u32.symbol}"(ptr %mmu, i32 1, i64 %address)
  %wide = zext i32 %value to i64
  %sum = add i64 %total, %wide
  musttail call preserve_nonecc void @store(ptr %mmu, i64 %left, i64 %address, i64 %sum)
  ret void
}}
define preserve_nonecc void @store(ptr %mmu, i64 %left, i64 %address, i64 %total) noinline nounwind {{
  %value = trunc i64 %total to i32
  call void @"{access.write_u32.symbol}"(ptr %mmu, i32 1, i64 %address, i32 %value)
  %rest = sub i64 %left, 1
  %done = icmp eq i64 %rest, 0
  br i1 %done, label %end, label %more
more:
  musttail call preserve_nonecc void @load(ptr %mmu, i64 %rest, i64 %address, i64 %total)
  ret void
end:
  ret void
}}
define void @run(ptr %mmu, i64 %rounds, i64 %address) nounwind {{
  call preserve_nonecc void @load(ptr %mmu, i64 %rounds, i64 %address, i64 1)
  ret void
}}
"""
HANDLERS = Unit(
    "softmmu-handlers",
    uses=[UNIT],
    raw=RawIR(
        source_key(TEXT, Mmu),
        lambda: TEXT,
        calls=(access.read_u32, access.write_u32),
        exports=(Export("run", (Ptr[Mmu], u64, u64)),),
    ),
)


def test_handlers():
    space = AddressSpace()
    space.add_ram(0, 0x3000)
    mmu = SoftMmu(space)
    for place in (0x1000, 0x1FFE):  # in a page, and across a border
        space.write(place, bytes(4))
        HANDLERS.load().run(mmu.address, 10, place)
        total = 1
        memory = 0
        for _ in range(10):
            total += memory
            memory = total
        assert int.from_bytes(space.read(place, 4), "little") == memory == 512


def test_only_the_slow_way_is_called():
    text = HANDLERS.ir()
    assert f'define internal zeroext i32 @"{access.read_u32.symbol}"' in text
    assert f'declare i64 @"{access.read_slow.symbol}"' in text
