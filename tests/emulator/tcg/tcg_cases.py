"""The interpreter as one more place to run a `Case`: the outcome in the terms of `emulator/x86/hostcpu.py`."""

from __future__ import annotations

from collections.abc import Sequence

from emulator.softmmu.space import AddressSpace
from emulator.tcg.core import EXCEPTION, UD
from emulator.tcg.processor import Processor
from emulator.x86.generate import AREA, AREA_SIZE, CODE, Case, State
from emulator.x86.hostcpu import Fault, Outcome
from emulator.x86.instruction import CS, SS

PAGE = 4096
END = b"\x0f\x0b"  # UD2: its exception ends a case
LONG_CODE, CODE_32, DATA = 0xA0FB, 0xC0FB, 0xC0F3
USER_MODE_64, USER_MODE_32 = 0x0501, 0


class Interpreter:
    """One processor in user mode without paging; `run` puts every case into it afresh."""

    def __init__(self, mode: int = 64, *, native: bool = True) -> None:
        self.space = AddressSpace()
        self.code = self.space.add_ram(CODE, PAGE)
        self.area = self.space.add_ram(AREA, AREA_SIZE)
        self.processor = Processor(self.space, native=native, ops=1 << 12)
        core = self.core = self.processor.core
        core.cpu.cr0 = 0x11
        core.cpu.cr4 = 3 << 9
        core.cpu.efer = USER_MODE_64 if mode == 64 else USER_MODE_32
        for number, segment in enumerate(core.cpu.segments):
            code = LONG_CODE if mode == 64 else CODE_32
            segment.base, segment.limit = 0, 0xFFFFFFFF
            segment.attributes = code if number == CS else DATA
            segment.selector = 0x1B if number == CS else 0x23
        assert core.cpu.segments[SS].attributes == DATA
        self.processor.state_changed()

    def run(self, cases: Sequence[Case]) -> list[Outcome]:
        return [self.run_case(case) for case in cases]

    def run_case(self, case: Case) -> Outcome:
        core = self.core
        self.load(case.state)
        self.space.write(CODE, (case.code + END).ljust(32, b"\xcc"))
        core.cpu.rip = CODE
        reason = self.processor.run()
        assert reason == EXCEPTION, reason
        vector = core.fault_vector
        if vector != UD or core.cpu.rip != CODE + len(case.code):
            return Fault(vector)
        return self.state(case.state)

    def load(self, state: State) -> None:
        cpu = self.core.cpu
        for number, value in enumerate(state.registers):
            cpu.registers[number] = value
        for number, value in enumerate(state.xmm):
            cpu.xmm[number].low, cpu.xmm[number].high = value & (1 << 64) - 1, value >> 64
        self.processor.rflags = state.flags
        self.space.write(AREA, state.memory)

    def state(self, before: State) -> State:
        cpu = self.core.cpu
        return State(
            registers=tuple(cpu.registers),
            flags=self.processor.rflags,
            xmm=tuple(vector.low | vector.high << 64 for vector in cpu.xmm),
            x87=before.x87,
            control=before.control,
            status=before.status,
            tags=before.tags,
            mxcsr=before.mxcsr,
            memory=self.space.read(AREA, AREA_SIZE),
        )
