"""The time stamp counter without a way through Python: nanoseconds of the host's clock, or of counted instructions."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, addressof, function, u64

from .core import Core

MONOTONIC = 1  # CLOCK_MONOTONIC of clock_gettime
SECOND = 1_000_000_000


@function
def time_now(address: u64) -> u64:
    """Nanoseconds since `Core.clock_start`, or instructions begun and the time slept between them."""
    core = Ptr[Core](address)
    if core.counting:
        return core.instructions + core.slept
    core.clock_gettime(MONOTONIC, Ptr[u64](addressof(core.host_time)))
    return core.host_time[0] * SECOND + core.host_time[1] - core.clock_start
