"""virtio-rng: random bytes (section 5.4)."""

from __future__ import annotations

import os
from collections.abc import Callable

from .device import VirtioDevice

QUEUE_SIZE = 16
LIMIT = 64 << 10  # bytes at a time


class VirtioRng(VirtioDevice):
    """`source(n)` gives n random bytes."""

    device_id = 4
    class_code = 0x00FF00

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self.source = source
        super().__init__([QUEUE_SIZE])

    def serve(self, number: int) -> bool:
        queue = self.queues[number]
        while (chain := queue.take()) is not None:
            queue.give(chain, chain.writable.write(self.source(min(chain.writable.size, LIMIT))))
        return False
