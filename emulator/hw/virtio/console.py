"""virtio-console: a terminal (section 5.3), with one port."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Any

from .device import VirtioDevice

QUEUE_SIZE = 64
RECEIVE, TRANSMIT = 0, 1  # queues
PIECE = 4096  # bytes that are handed on at a time
TURN = 1 << 20  # bytes
SIZE, EMERGENCY_WRITE = 1, 4  # features (5.3.3)
EMERGENCY_PLACE = 8  # in the configuration


class VirtioConsole(VirtioDevice):
    """`output` gets what the guest writes; `receive` takes what is typed. `size` are columns and rows, where known."""

    device_id = 3
    class_code = 0x078000

    def __init__(self, output: Callable[[bytes], None], size: tuple[int, int] | None = None) -> None:
        self.output = output
        self.size = size
        self.features = EMERGENCY_WRITE | (0 if size is None else SIZE)
        super().__init__([QUEUE_SIZE, QUEUE_SIZE])

    def reset(self) -> None:
        super().reset()
        self.received = bytearray()  # what the driver has had no room for

    def configuration(self) -> bytes:
        return pack("<HHII", *(self.size or (0, 0)), 1, 0)

    def write_configuration(self, offset: int, data: bytes) -> None:
        """A character for which no queue is needed (5.3.4)."""
        if offset == EMERGENCY_PLACE:
            self.output(data[:1])

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size."""
        if self.size is not None:
            self.size = columns, rows
            self.configuration_changed()

    def receive(self, data: bytes) -> None:
        """Bytes from outside."""
        self.received += data
        self.notify(RECEIVE)

    def serve(self, number: int) -> bool:
        return self._type() if number == RECEIVE else self._print()

    def _type(self) -> bool:
        queue = self.queues[RECEIVE]
        while self.received and (chain := queue.take()) is not None:
            count = chain.writable.write(self.received)
            del self.received[:count]
            queue.give(chain, count)
        return False

    def _print(self) -> bool:
        queue = self.queues[TRANSMIT]
        left = TURN
        while left > 0:
            chain = queue.take()
            if chain is None:
                return False
            text, _ = chain.readable.split(TURN)  # nobody writes more at once
            left -= text.size + 1
            while text.size:
                piece, text = text.split(PIECE)
                self.output(piece.read())
            queue.give(chain, 0)
        return True

    def save(self) -> dict[str, Any]:
        return super().save() | {"received": list(self.received)}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.received = bytearray(state["received"])
