"""The E9 debug console: what is written to port E9h is shown, and reading it gives E9h to say that it is there.

SeaBIOS has its own at port 402h, which answers alike.
"""

from __future__ import annotations

from collections.abc import Callable

from .device import Device

PORT, SEABIOS_PORT = 0xE9, 0x402
PRESENT = 0xE9


class DebugConsole(Device):
    ports = (PORT, SEABIOS_PORT)

    def __init__(self, output: Callable[[bytes], None]) -> None:
        self.output = output

    def read(self, port: int) -> int:
        return PRESENT

    def write(self, port: int, value: int) -> None:
        self.output(bytes((value,)))
