"""The model-specific registers that are the machine's (Intel SDM Vol. 4, table 2-2): memory types, machine checks, and
what systems read without asking CPUID first. All others are #GP.

Memory types have no effect; a firmware sets them, systems read them. There are no banks of machine check errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

ALL = (1 << 64) - 1
PHYSICAL = (1 << 40) - 1  # as CPUID says

RANGES = 8
MTRR_CAPABILITIES, MTRR_BASE, MTRR_DEFAULT = 0xFE, 0x200, 0x2FF
FIXED_MTRRS = (0x250, 0x258, 0x259, *range(0x268, 0x270))
FIXED_RANGES, WRITE_COMBINING = 1 << 8, 1 << 10
DEFAULT_BITS = 0xCFF  # type, fixed and all enabled
TYPES = (0, 1, 4, 5, 6)
WRITE_BACK, UNCACHED = 6, 0
VALID = ENABLED = 1 << 11
FIXED_ENABLED = 1 << 10
DISPLAY_RANGE = 0x259  # A0000h to BFFFFh
DEVICES, DEVICES_SIZE = 3 << 30, 1 << 30

# IA32_ARCH_CAPABILITIES (Vol. 4, table 2-2): this processor does not speculate, so it has none of the weaknesses that
# systems work around at a price: separate page tables for the kernel, no indirect branches, buffers that are cleared.
SAFE = (0, 1, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27, 62)
"""RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO,
BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO."""

READ_ONLY = {
    0x17: 0,  # IA32_PLATFORM_ID
    0x10A: sum(1 << bit for bit in SAFE),
    MTRR_CAPABILITIES: RANGES | FIXED_RANGES | WRITE_COMBINING,
    0x179: 0,  # IA32_MCG_CAP: no banks
}
# What is remembered: the bits that exist
REMEMBERED = {
    0x48: 7 | 1 << 10,  # IA32_SPEC_CTRL: IBRS, STIBP, SSBD, BHI_DIS_S
    0x49: 0,  # IA32_PRED_CMD
    0x79: 0,  # IA32_BIOS_UPDT_TRIG
    0x8B: ALL,  # IA32_BIOS_SIGN_ID
    0x17A: 7,  # IA32_MCG_STATUS
    MTRR_DEFAULT: DEFAULT_BITS,
}

Handler = tuple[Callable[[], int], Callable[[int], bool]]


def _types_exist(value: int) -> bool:
    return all(value >> shift & 0xFF in TYPES for shift in range(0, 64, 8))


class MachineRegisters:
    """By number; `others` are those that a chip answers for."""

    def __init__(self, others: Mapping[int, Handler]) -> None:
        self.others = others
        self.reset()

    def reset(self) -> None:
        self.values = dict.fromkeys((*REMEMBERED, *FIXED_MTRRS, *range(MTRR_BASE, MTRR_BASE + 2 * RANGES)), 0)

    def read(self, number: int) -> int | None:
        """None is #GP."""
        if number in self.others:
            return self.others[number][0]()
        return self.values.get(number, READ_ONLY.get(number))

    def write(self, number: int, value: int) -> bool:
        """False is #GP."""
        if number in self.others:
            return self.others[number][1](value)
        if number not in self.values or not self._allowed(number, value):
            return False
        self.values[number] = value & REMEMBERED.get(number, ALL)
        return True

    @staticmethod
    def _allowed(number: int, value: int) -> bool:
        """Whether a memory type register can have a value (section 12.11.2 of Vol. 3)."""
        if number in FIXED_MTRRS:
            return _types_exist(value)
        if number == MTRR_DEFAULT:
            return not value & ~DEFAULT_BITS and value & 0xFF in TYPES
        if MTRR_BASE <= number < MTRR_BASE + 2 * RANGES:
            if number & 1:
                return not value & ~(PHYSICAL & ~0x7FF)
            return not value & ~(PHYSICAL & ~0xFFF | 0xFF) and value & 0xFF in TYPES
        return True

    def set_memory_types(self) -> None:
        """What a firmware does: all is write-back, but the display's memory and the devices between 3 and 4 GiB."""
        self.values |= dict.fromkeys(FIXED_MTRRS, 0x0606060606060606) | {DISPLAY_RANGE: 0}
        self.values[MTRR_BASE] = DEVICES | UNCACHED
        self.values[MTRR_BASE + 1] = PHYSICAL & -DEVICES_SIZE | VALID
        self.values[MTRR_DEFAULT] = ENABLED | FIXED_ENABLED | WRITE_BACK
