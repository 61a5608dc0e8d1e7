"""Unicorn (PyPI) as an oracle: the outcome of a `Case`, in the same terms as `emulator/x86/hostcpu.py`.

Unicorn 2 carries a translator of 2020 whose faults are known: `shortcoming` names the cases that it can not judge.
"""

from __future__ import annotations

from collections.abc import Sequence

import unicorn as uc
from unicorn import x86_const as x86

from emulator.x86.generate import AREA, AREA_SIZE, CODE, Case, State
from emulator.x86.hostcpu import Fault, Outcome

PAGE = 4096
GENERAL_NAMES = ("RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", *(f"R{number}" for number in range(8, 16)))
GENERAL = tuple(getattr(x86, f"UC_X86_REG_{name}") for name in GENERAL_NAMES)
GENERAL_32 = tuple(getattr(x86, f"UC_X86_REG_E{name[1:]}") for name in GENERAL_NAMES[:8])
XMM = tuple(getattr(x86, f"UC_X86_REG_XMM{number}") for number in range(16))
PHYSICAL = tuple(getattr(x86, f"UC_X86_REG_FP{number}") for number in range(8))
CR4_OSFXSR = 3 << 9

# What Unicorn computes otherwise than every processor, or not exactly
SHORTCOMINGS = {
    "it stops the process": "PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM",
    "with REX it takes SPL for AH": "SAHF LAHF",
    "approximations are less exact than the processor's, or more so": (
        "RSQRTPS RSQRTSS RCPPS RCPSS F2XM1 FYL2X FYL2XP1 FPTAN FPATAN FSIN FCOS FSINCOS FPREM FPREM1"
    ),
    "constants are not rounded as the control word says": "FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2",
    "FCOMI leaves OF, SF and AF": "FCOMI FCOMIP FUCOMI FUCOMIP",
    "an unsupported value, or one that does not fit, is stored otherwise": "FISTTP FBSTP FBLD",
    "zeros and infinities are split and scaled otherwise": "FXTRACT FSCALE",
    "some reserved no-operations are undefined": "NOP",
    "wrong flags, wrong results in the upper bits": "BLSI BZHI PDEP",
    "a failed 32-bit comparison clears the upper half of the destination": "CMPXCHG",
    "RIP-relative memory is missed by the byte of the immediate": "SHLD SHRD RORX",
    "horizontal operations overwrite their source, or choose another NaN": (
        "PHADDW PHADDD PHADDSW PHSUBW PHSUBD PHSUBSW HADDPS HADDPD HSUBPS HSUBPD DPPS DPPD"
    ),
    "NEG with LOCK takes the sign from the wrong value": "NEG",
    "reserved bits of MXCSR raise nothing": "LDMXCSR",
    "division overflow is missed or comes as a double fault": "DIV IDIV",
}
UNSUITED = frozenset(" ".join(SHORTCOMINGS.values()).split())


def shortcoming(case: Case) -> bool:
    """Whether Unicorn is known to be wrong about this case."""
    instruction = case.instruction
    form = instruction.form
    if form.mnemonic in UNSUITED:
        return True
    if form.mnemonic in ("MOV", "TEST") and instruction.opcode in (0xC6, 0xC7, 0xF6, 0xF7):
        return True  # REX.R, or group 3 /1, is an invalid opcode or another one to it
    if instruction.mode == 32 and form.feature in ("BMI1", "BMI2") and form.mnemonic != "TZCNT":
        return True  # VEX.B, VEX.W and the top bit of VEX.vvvv are ignored in 32-bit mode, but not by it
    if form.feature == "SSSE3" and form.operands[0].method == "P" and instruction.rex & 5:
        return True  # REX makes other registers of MMX ones
    # An empty register raises no stack fault.
    return any(code.method == "ST" for code in form.operands) and instruction.rm & 7 > 5


class Unicorn:
    """One emulated processor; `run` puts every case into it afresh."""

    def __init__(self, mode: int = 64) -> None:
        self.general = GENERAL if mode == 64 else GENERAL_32
        self.xmm = XMM[: len(self.general)]
        self.engine = uc.Uc(uc.UC_ARCH_X86, uc.UC_MODE_64 if mode == 64 else uc.UC_MODE_32)
        self.engine.ctl_set_cpu_model(x86.UC_CPU_X86_EPYC_ROME)
        self.engine.mem_map(CODE, PAGE)
        self.engine.mem_map(AREA, AREA_SIZE)
        self.engine.reg_write(x86.UC_X86_REG_CR4, self.engine.reg_read(x86.UC_X86_REG_CR4) | CR4_OSFXSR)
        self.engine.hook_add(uc.UC_HOOK_INTR, self._interrupt)
        self._vector: int | None = None

    def run(self, cases: Sequence[Case]) -> list[Outcome]:
        return [self._run(case) for case in cases]

    def _run(self, case: Case) -> Outcome:
        self._load(case.state)
        end = CODE + len(case.code)
        self.engine.ctl_remove_cache(CODE, CODE + 32)
        self.engine.mem_write(CODE, case.code.ljust(32, b"\xcc"))
        self._vector = None
        try:
            self.engine.emu_start(CODE, end)
        except uc.UcError as error:
            if self._vector is None:
                return Fault(6 if error.errno == uc.UC_ERR_INSN_INVALID else 13)
        if self._vector is not None:
            return Fault(self._vector)
        return self._state(case.state)

    def _interrupt(self, engine: uc.Uc, vector: int, _: object) -> None:
        if self._vector is None:
            self._vector = vector
        engine.emu_stop()

    def _load(self, state: State) -> None:
        write = self.engine.reg_write
        for register, value in zip(self.general, state.registers, strict=False):
            write(register, value)
        for register, value in zip(self.xmm, state.xmm, strict=False):
            write(register, value)
        write(x86.UC_X86_REG_EFLAGS, state.flags)
        write(x86.UC_X86_REG_MXCSR, state.mxcsr)
        write(x86.UC_X86_REG_FPCW, state.control)
        write(x86.UC_X86_REG_FPSW, state.status)
        write(x86.UC_X86_REG_FPTAG, sum(3 << 2 * register for register in range(8) if not state.tags >> register & 1))
        top = state.status >> 11 & 7
        for number, value in enumerate(state.x87):
            write(PHYSICAL[(top + number) % 8], (value & (1 << 64) - 1, value >> 64))
        self.engine.mem_write(AREA, state.memory)

    def _state(self, before: State) -> State:
        read = self.engine.reg_read
        status = read(x86.UC_X86_REG_FPSW)
        top = status >> 11 & 7
        tag_word = read(x86.UC_X86_REG_FPTAG)
        physical = [read(register) for register in PHYSICAL]
        values = [mantissa | exponent << 64 for mantissa, exponent in physical]
        # What 32-bit mode does not have stays as it was.
        count = len(self.general)
        return State(
            registers=(*(read(register) for register in self.general), *before.registers[count:]),
            flags=read(x86.UC_X86_REG_EFLAGS),
            xmm=(*(read(register) for register in self.xmm), *before.xmm[count:]),
            x87=tuple(values[(top + number) % 8] for number in range(8)),
            control=read(x86.UC_X86_REG_FPCW),
            status=status,
            tags=sum(1 << number for number in range(8) if tag_word >> 2 * number & 3 != 3),
            mxcsr=read(x86.UC_X86_REG_MXCSR),
            memory=bytes(self.engine.mem_read(AREA, AREA_SIZE)),
        )
