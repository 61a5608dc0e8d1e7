"""CPUID features that the opcode table may name, and where CPUID reports each (SDM Vol. 2, CPUID; APM Vol. 3, app. E).

A feature is a bit of a register of a leaf (and subleaf). `BASE` is what every processor of the table has: the 80486's
instructions, which no bit announces.
"""

from __future__ import annotations

from typing import NamedTuple

BASE = "base"


class FeatureBit(NamedTuple):
    leaf: int
    subleaf: int
    register: str
    bit: int


FEATURES: dict[str, FeatureBit] = {
    "X87": FeatureBit(1, 0, "edx", 0),
    "TSC": FeatureBit(1, 0, "edx", 4),
    "MSR": FeatureBit(1, 0, "edx", 5),
    "CX8": FeatureBit(1, 0, "edx", 8),
    "SEP": FeatureBit(1, 0, "edx", 11),
    "CMOV": FeatureBit(1, 0, "edx", 15),
    "CLFSH": FeatureBit(1, 0, "edx", 19),
    "MMX": FeatureBit(1, 0, "edx", 23),
    "FXSR": FeatureBit(1, 0, "edx", 24),
    "SSE": FeatureBit(1, 0, "edx", 25),
    "SSE2": FeatureBit(1, 0, "edx", 26),
    "SSE3": FeatureBit(1, 0, "ecx", 0),
    "PCLMULQDQ": FeatureBit(1, 0, "ecx", 1),
    "SSSE3": FeatureBit(1, 0, "ecx", 9),
    "CX16": FeatureBit(1, 0, "ecx", 13),
    "SSE4.1": FeatureBit(1, 0, "ecx", 19),
    "SSE4.2": FeatureBit(1, 0, "ecx", 20),
    "MOVBE": FeatureBit(1, 0, "ecx", 22),
    "POPCNT": FeatureBit(1, 0, "ecx", 23),
    "AES": FeatureBit(1, 0, "ecx", 25),
    "XSAVE": FeatureBit(1, 0, "ecx", 26),
    "RDRAND": FeatureBit(1, 0, "ecx", 30),
    "FSGSBASE": FeatureBit(7, 0, "ebx", 0),
    "BMI1": FeatureBit(7, 0, "ebx", 3),
    "BMI2": FeatureBit(7, 0, "ebx", 8),
    "INVPCID": FeatureBit(7, 0, "ebx", 10),
    "RDSEED": FeatureBit(7, 0, "ebx", 18),
    "ADX": FeatureBit(7, 0, "ebx", 19),
    "SMAP": FeatureBit(7, 0, "ebx", 20),
    "XSAVEOPT": FeatureBit(0xD, 1, "eax", 0),
    "XSAVEC": FeatureBit(0xD, 1, "eax", 1),
    "XSAVES": FeatureBit(0xD, 1, "eax", 3),
    "LAHF": FeatureBit(0x80000001, 0, "ecx", 0),
    "LZCNT": FeatureBit(0x80000001, 0, "ecx", 5),
    "PREFETCHW": FeatureBit(0x80000001, 0, "ecx", 8),
    "SYSCALL": FeatureBit(0x80000001, 0, "edx", 11),
    "RDTSCP": FeatureBit(0x80000001, 0, "edx", 27),
    "LM": FeatureBit(0x80000001, 0, "edx", 29),
}
