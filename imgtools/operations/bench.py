"""How fast a disk answers: requests of one size, one step apart, as fast as they go."""

from __future__ import annotations

import time

from imgtools.errors import ImageError, InputOutput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgtools.block.node import Node


def bench(
    node: Node,
    *,
    count: int = 75000,
    size: int = 4096,
    step: int = 4096,
    offset: int = 0,
    write: bool = False,
    pattern: int = 0,
    flush_interval: int = 0,
) -> float:
    """Send `count` requests and return the seconds it took.

    They start at `offset` and wrap at the end of the disk. Writes store bytes of `pattern` and are flushed
    every `flush_interval` requests, and at the end; without an interval only at the end.
    """
    data = memoryview(bytearray([pattern]) * size)
    request: Callable[[int, memoryview], None] = node.write if write else node.readinto
    disk = node.size
    until_flush = flush_interval if write else 0
    started = time.perf_counter()
    try:
        for number in range(1, count + 1):
            request(offset, data)
            offset += step
            if offset >= disk:
                offset = offset % disk if disk else 0
            if until_flush and number % until_flush == 0:
                node.flush()
        if write:
            node.flush()
    except ImageError as error:
        raise InputOutput(
            "Failed request: Input/output error", path=node.filename, offset=offset, hint=error.message
        ) from error
    return time.perf_counter() - started
