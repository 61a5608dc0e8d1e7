"""What all remote disks share: a bounded cache of blocks, and reading ahead.

A subclass fetches ranges. Small reads are served from blocks of BLOCK bytes, which are fetched together where several
are missing in a row; while reads go on from where the last one ended, each fetch is twice as long as the one before,
up to `readahead` bytes. Reads of BYPASS bytes and more go straight to where they belong.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import OrderedDict

from imgtools.align import div_up
from imgtools.block.node import Storage, fill_zero

BLOCK = 256 << 10
"""A round trip costs about as much as it takes to transfer this."""
BYPASS = 2 << 20
CACHE = 64 << 20
"""Bytes of blocks that are kept, those that were not used the longest given up first."""
READAHEAD = 4 << 20


class RemoteNode(Storage):
    """A file of `size` bytes somewhere else, for reading. Subclasses override `fetch`."""

    def __init__(self, filename: str, size: int, *, readahead: int = READAHEAD) -> None:
        super().__init__(filename, size)
        self.readahead = max(readahead, BLOCK)
        self._lock = allocate_lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._expected = 0
        """Where the next read begins if it goes on from the last one."""
        self._ahead = BLOCK

    def fetch(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer`, which lies within the file and is not empty; from several threads."""
        raise NotImplementedError

    def readinto(self, offset: int, buffer: memoryview) -> None:
        inside = max(0, min(len(buffer), self.size - offset))
        if inside < len(buffer):
            fill_zero(buffer[inside:])
            buffer = buffer[:inside]
        if inside >= BYPASS:
            self.fetch(offset, buffer)
        elif inside:
            self._read_blocks(offset, buffer)

    def read(self, offset: int, length: int) -> bytes:
        """As Node.read, but past the end the answer is short, as a file's is."""
        return super().read(offset, max(0, min(length, self.size - offset)))

    def prefetch(self, offset: int, length: int) -> None:
        end = min(offset + length, offset + self.readahead, self.size)
        if offset < end:
            self._missing(offset // BLOCK, div_up(end, BLOCK))

    def _read_blocks(self, offset: int, buffer: memoryview) -> None:
        end = offset + len(buffer)
        with self._lock:
            self._ahead = min(self.readahead, self._ahead * 2) if offset == self._expected else BLOCK
            self._expected = end
            ahead = self._ahead
        blocks = self._missing(offset // BLOCK, div_up(end, BLOCK), ahead)
        for number in range(offset // BLOCK, div_up(end, BLOCK)):
            start = number * BLOCK
            first, last = max(offset, start), min(end, start + BLOCK)
            buffer[first - offset : last - offset] = blocks[number][first - start : last - start]

    def _missing(self, first: int, stop: int, ahead: int = 0) -> dict[int, bytes]:
        """The blocks [first, stop), those that are missing fetched, with up to `ahead` bytes where the last one is."""
        with self._lock:
            found = {number: self._blocks[number] for number in range(first, stop) if number in self._blocks}
            for number in found:
                self._blocks.move_to_end(number)
        wanted = [number for number in range(first, stop) if number not in found]
        if wanted:
            start = wanted[0]
            end = max(wanted[-1] + 1, min(start + ahead // BLOCK, div_up(self.size, BLOCK)))
            found |= self._fetch_blocks(start, end)
        return found

    def _fetch_blocks(self, first: int, stop: int) -> dict[int, bytes]:
        start, end = first * BLOCK, min(stop * BLOCK, self.size)
        content = bytearray(end - start)
        self.fetch(start, memoryview(content))
        blocks = {n: bytes(content[(n - first) * BLOCK : (n - first + 1) * BLOCK]) for n in range(first, stop)}
        with self._lock:
            self._blocks.update(blocks)
            while len(self._blocks) > CACHE // BLOCK:
                self._blocks.popitem(last=False)
        return blocks
