"""Port 92h, "system control port A" of the PS/2: the A20 gate and a quick reset (Intel 82371SB data sheet, 290550-002,
section 2.5.5.3 "PORT92").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .device import Device, Line

PORT = 0x92
RESET, A20 = 1, 2


class SystemControl(Device):
    """`set_a20` opens the gate, which is open after power-on; `reset_machine` is asked for by bit 0."""

    ports = (PORT,)

    def __init__(self, set_a20: Line, reset_machine: Callable[[], None]) -> None:
        self.set_a20, self.reset_machine = set_a20, reset_machine
        self.value = A20

    def read(self, port: int) -> int:
        return self.value

    def write(self, port: int, value: int) -> None:
        rises = value & RESET and not self.value & RESET
        self.value = value
        self.set_a20(bool(value & A20))
        if rises:
            self.reset_machine()

    def reset(self) -> None:
        self.value = A20
        self.set_a20(True)

    def save(self) -> dict[str, Any]:
        return {"value": self.value}

    def load(self, state: dict[str, Any]) -> None:
        self.value = state["value"]
        self.set_a20(bool(self.value & A20))
