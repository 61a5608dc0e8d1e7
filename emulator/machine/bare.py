"""The bare machine: a processor, RAM, and the few chips that a program without an operating system needs.

| ports | chip |
|---|---|
| 20h, A0h, 4D0h | two 8259A interrupt controllers |
| 40h, 61h | 8254 interval timer on line 0 |
| 3F8h | 16550A serial port on line 4 |
| E9h | debug console |
| F4h | isa-debug-exit |
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.hw.debug_console import DebugConsole
from emulator.hw.debug_exit import DebugExit
from emulator.hw.pic import InterruptControllers
from emulator.hw.pit import IntervalTimer
from emulator.hw.uart import SerialPort

from .bios.bare import BareBios
from .engine import TCG
from .machine import Machine

MEMORY = 128 << 20


class BareMachine(Machine):
    """A machine with `memory` bytes of RAM. `output` gets what the program writes to its consoles."""

    def __init__(
        self, output: Callable[[bytes], None], memory: int = MEMORY, *, native: bool = True, accelerator: str = TCG
    ) -> None:
        super().__init__(native=native, accelerator=accelerator)
        self.ram = self.space.add_ram(0, memory)
        self.output = output
        self.firmware: BareBios | None = None
        self.interrupts = InterruptControllers(self.processor.set_interrupt)
        self.timer = IntervalTimer(self.interrupts.line(0), self.now)
        self.serial = SerialPort(output, self.interrupts.line(4))
        for device in (self.interrupts, self.timer, self.serial, DebugConsole(output), DebugExit(self.end)):
            self.bus.add(device)

    def close(self) -> None:
        """Release the disk that the program came from."""
        super().close()
        if self.firmware is not None:
            self.firmware.close()

    def acknowledge(self) -> int:
        return self.interrupts.acknowledge()

    def type(self, data: bytes) -> None:
        """Bytes for the serial port, from any thread."""
        self.post(lambda: self.serial.receive(data))
