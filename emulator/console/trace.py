"""What happens between the processor and the chips, a line of JSON an event, on standard error.

    {"time": 12345678, "event": "out", "port": "0x3f8", "size": 1, "value": "0x41", "rip": "0xffffffff81000000"}
    {"time": 12345999, "event": "interrupt", "vector": "0x30", "rip": "0xffffffff81000010"}

Times are nanoseconds of the machine's clock.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

PORTS, INTERRUPTS = "ports", "interrupts"


def trace(machine: Machine, what: Sequence[str]) -> None:
    """Put the tracing in front of what the processor asks the machine for."""

    def tell(event: str, **fields: int) -> None:
        shown = {name: value if name == "size" else hex(value) for name, value in fields.items()}
        line = {"time": machine.now(), "event": event, **shown, "rip": hex(machine.processor.cpu.rip)}
        print(json.dumps(line), file=sys.stderr)

    if PORTS in what:
        read, write = machine.read_port, machine.write_port

        def read_port(port: int, size: int) -> int:
            value = read(port, size)
            tell("in", port=port, size=size, value=value & (1 << 8 * size) - 1)
            return value

        def write_port(port: int, size: int, value: int) -> None:
            tell("out", port=port, size=size, value=value)
            write(port, size, value)

        machine.read_port, machine.write_port = read_port, write_port  # type: ignore[method-assign]
    if INTERRUPTS in what:
        take = machine.acknowledge

        def acknowledge() -> int:
            vector = take()
            tell("interrupt", vector=vector)
            return vector

        machine.acknowledge = acknowledge  # type: ignore[method-assign]
