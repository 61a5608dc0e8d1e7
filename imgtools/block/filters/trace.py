"""trace: every request as a line of JSON, on standard error or in a file.

    driver=trace,log=requests.jsonl,file.driver=qcow2,file.file.filename=disk.qcow2

    {"time": 1722500000.123456, "verb": "read", "offset": 0, "length": 4096, "seconds": 0.000012}

A request that fails says why under "error". Put it above a format to see what is asked of a disk, below it
to see what the format asks of its file.
"""

from __future__ import annotations

import sys
import time

from imgtools.block.driver import Driver, Option
from imgtools.block.json_names import quoted
from imgtools.block.node import Filter
from imgtools.errors import ImageError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TextIO

    from imgtools.block.extent import Extent
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node


class Trace(Filter):
    """`child`; each request to it is a line in `log` once it is done."""

    driver = "trace"

    def __init__(self, child: Node, log: TextIO) -> None:
        super().__init__(child)
        self.log = log

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self._traced("read", offset, len(buffer), lambda: self.child.readinto(offset, buffer))

    def write(self, offset: int, data: Buffer) -> None:
        self._traced("write", offset, len(data), lambda: self.child.write(offset, data))

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._traced("zero", offset, length, lambda: self.child.zero(offset, length, unmap=unmap))

    def discard(self, offset: int, length: int) -> None:
        self._traced("discard", offset, length, lambda: self.child.discard(offset, length))

    def flush(self) -> None:
        self._traced("flush", None, None, self.child.flush)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        return iter(self._traced("extents", offset, length, lambda: list(self.child.extents(offset, length))))

    def prefetch(self, offset: int, length: int) -> None:
        self._traced("prefetch", offset, length, lambda: self.child.prefetch(offset, length))

    def truncate(self, size: int) -> None:
        self._traced("truncate", size, None, lambda: super(Trace, self).truncate(size))

    def allocate(self, offset: int, length: int) -> None:
        self._traced("allocate", offset, length, lambda: super(Trace, self).allocate(offset, length))

    def close(self) -> None:
        super().close()
        if self.log is not sys.stderr:
            self.log.close()

    def _traced(self, verb: str, offset: int | None, length: int | None, request: Callable[[], Any]) -> Any:
        begun, clock, failure = time.time(), time.perf_counter(), ""
        try:
            return request()
        except ImageError as error:
            failure = f', "error": {quoted(error.message)}'
            raise
        finally:
            seconds = time.perf_counter() - clock
            place = f', "offset": {offset}' if offset is not None else ""
            extent = f', "length": {length}' if length is not None else ""
            line = f'{{"time": {begun:.6f}, "verb": "{verb}"{place}{extent}, "seconds": {seconds:.6f}{failure}}}\n'
            self.log.write(line)


class TraceDriver(Driver):
    name = "trace"
    open_options = (Option("log", "text", "the file that lines are added to (standard error)"),)

    def open_node(self, children: dict[str, Node], context: Context) -> Node:
        path = context.options.get("log")
        try:
            log = open(path, "a", buffering=1, encoding="utf-8") if path else sys.stderr  # noqa: SIM115
        except OSError as error:
            raise from_os_error(error, f"Could not open trace log '{path}'", path) from error
        return Trace(children["file"], log)


DRIVERS = (TraceDriver(),)
