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
EMPTY = 3  # a tag
USER_MODE_64, USER_MODE_32 = 0x0501, 0


def top(status: int) -> int:
    """The register that is ST(0)."""
    return status >> 11 & 7


class Interpreter:
    """One processor in user mode without paging, all its code translated or none; `run` puts every case into it."""

    def __init__(self, mode: int = 64, *, native: bool = True, translate: bool = False) -> None:
        self.space = AddressSpace()
        self.code = self.space.add_ram(CODE, PAGE)
        self.area = self.space.add_ram(AREA, AREA_SIZE)
        self.processor = Processor(self.space, native=native, ops=1 << 12, stop_on_exceptions=True)
        core = self.core = self.processor.core
        core.hot_after, core.worth = int(translate), 1  # at once, or never
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
        return self.state()

    def load(self, state: State) -> None:
        cpu = self.core.cpu
        for number, value in enumerate(state.registers):
            cpu.registers[number] = value
        for number, value in enumerate(state.xmm):
            cpu.xmm[number].low, cpu.xmm[number].high = value & (1 << 64) - 1, value >> 64
        cpu.x87_control, cpu.x87_status, cpu.mxcsr = state.control, state.status, state.mxcsr
        for number, value in enumerate(state.x87):
            place = cpu.x87[(top(state.status) + number) % 8]
            place.significand, place.exponent = value & (1 << 64) - 1, value >> 64
        cpu.x87_tags = sum(EMPTY << 2 * number for number in range(8) if not state.tags >> number & 1)
        self.processor.rflags = state.flags
        self.space.write(AREA, state.memory)

    def stack(self, number: int) -> int:
        """ST(number)."""
        cpu = self.core.cpu
        register = cpu.x87[(top(cpu.x87_status) + number) % 8]
        return register.significand | register.exponent << 64

    def state(self) -> State:
        cpu = self.core.cpu
        return State(
            registers=tuple(cpu.registers),
            flags=self.processor.rflags,
            xmm=tuple(vector.low | vector.high << 64 for vector in cpu.xmm),
            x87=tuple(self.stack(number) for number in range(8)),
            control=cpu.x87_control,
            status=cpu.x87_status,
            tags=sum(1 << number for number in range(8) if cpu.x87_tags >> 2 * number & 3 != EMPTY),
            mxcsr=cpu.mxcsr,
            memory=self.space.read(AREA, AREA_SIZE),
        )
