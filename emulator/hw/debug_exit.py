"""isa-debug-exit: a program ends the machine by writing to port F4h; the exit status is the value times 2 plus 1."""

from __future__ import annotations

from collections.abc import Callable

from .device import Device

PORT = 0xF4


class DebugExit(Device):
    ports = (PORT,)

    def __init__(self, end: Callable[[int], None]) -> None:
        self.end = end

    def read(self, port: int) -> int:
        return 0

    def write(self, port: int, value: int) -> None:
        self.end((value << 1 | 1) & 0xFF)
