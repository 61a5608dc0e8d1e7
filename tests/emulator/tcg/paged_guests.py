"""A processor with a MiB of memory, for tests that set up its mode and page tables themselves."""

from __future__ import annotations

from typing import Any

from emulator.softmmu.space import AddressSpace
from emulator.tcg.core import EXCEPTION
from emulator.tcg.platform import Platform
from emulator.tcg.processor import Processor


class Guest(Platform):
    """`translate` has its code translated at once, or never; `options` are the processor's."""

    def __init__(self, *, translate: bool | None = None, **options: Any) -> None:
        self.space = AddressSpace()
        self.space.add_ram(0, 1 << 20)
        self.processor = Processor(self.space, self, stop_on_exceptions=True, **options)
        self.core = self.processor.core
        self.cpu = self.core.cpu
        if translate is not None:
            self.core.hot_after, self.core.worth = int(translate), 1

    def write(self, address: int, code: str) -> None:
        self.space.write(address, bytes.fromhex(code))

    def run(self, rip: int) -> int:
        """Execute until an exception: its vector."""
        self.cpu.rip = rip
        assert self.processor.run() == EXCEPTION
        return int(self.core.fault_vector)
