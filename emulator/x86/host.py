"""The processor that all this runs on: whether its instructions can be executed, and which ones it has."""

from __future__ import annotations

import platform
import sys

from emulator.x86.features import FEATURES

# Where Linux names a feature otherwise than the table
LINUX_NAMES = {
    "X87": "fpu",
    "SSE3": "pni",
    "SSE4.1": "sse4_1",
    "SSE4.2": "sse4_2",
    "CLFSH": "clflush",
    "LZCNT": "abm",
    "LAHF": "lahf_lm",
    "PREFETCHW": "3dnowprefetch",
}


def available() -> bool:
    """Whether cases can run here."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def host_features() -> frozenset[str]:
    """The features of the host, by the names of the opcode table."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("flags"))
    flags = set(line.split())
    return frozenset(name for name in FEATURES if LINUX_NAMES.get(name, name.lower()) in flags)
