"""The E9 debug console: what is written to port E9h is shown, and reading it gives E9h to say that it is there."""

from __future__ import annotations

from collections.abc import Callable

from .device import Device

PORT = 0xE9


class DebugConsole(Device):
    ports = (PORT,)

    def __init__(self, output: Callable[[bytes], None]) -> None:
        self.output = output

    def read(self, port: int) -> int:
        return PORT

    def write(self, port: int, value: int) -> None:
        self.output(bytes((value,)))
