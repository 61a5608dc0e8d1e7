"""Modes of operation: how a block cipher encrypts sectors of 512 bytes, many of them in one go.

XTS: IEEE 1619. CBC, CTR and ECB: NIST SP 800-38A. What is common to all sectors is one call of the cipher or of
numpy: with a call for each sector, Python would be most of the work. Sectors are rows of an array of 64-bit words,

    data[sector, block of the sector, word of the block]

and initialisation vectors are rows of `ivs[sector, word]`. A mode holds scratch arrays: one thread uses it at a time.
"""

from __future__ import annotations

import numpy as np

from imgtools.crypto.ecb import BLOCK_SIZES, BlockCipher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Array = np.ndarray[Any, np.dtype[np.uint64]]

SECTOR = 512
BATCH = 4096
"""Sectors that are worked on at once, 2 MiB: fewer calls of numpy are worth more than scratch that fits the cache."""
SLACK = 16
"""What the package wants a buffer to be longer than its output."""
WORD = 8
PADDING = 8
"""Words between rows of a power of two of words: without them the rows would fight for the same lines of the cache."""


class Mode:
    """One mode with its key, for up to BATCH sectors at a time."""

    def __init__(self, cipher: str, key: bytes) -> None:
        self.cipher = BlockCipher(cipher, key)
        self.words = BLOCK_SIZES[cipher] // WORD
        self.blocks = SECTOR // BLOCK_SIZES[cipher]
        self._memory = [np.zeros(BATCH * SECTOR + SLACK, dtype=np.uint8) for _ in range(2)]

    def encrypt(self, data: Array, ivs: Array) -> None:
        """Encrypt sectors in place."""
        raise NotImplementedError

    def decrypt(self, data: Array, ivs: Array) -> None:
        """Decrypt sectors in place."""
        raise NotImplementedError

    def scratch(self, number: int, count: int) -> Any:
        """(bytes, words of the same) of a scratch array for `count` sectors."""
        memory = self._memory[number]
        words = memory[: count * SECTOR].view(np.uint64).reshape(count, self.blocks, self.words)
        return memory[: count * SECTOR + SLACK], words


class Ecb(Mode):
    """Each block for itself: two equal blocks remain equal. There is no vector."""

    def encrypt(self, data: Array, ivs: Array) -> None:
        memory, words = self.scratch(0, len(data))
        self.cipher.encrypt(data, memory)
        data[:] = words

    def decrypt(self, data: Array, ivs: Array) -> None:
        memory, words = self.scratch(0, len(data))
        self.cipher.decrypt(data, memory)
        data[:] = words


class Cbc(Mode):
    """Each block is mixed with the one before it. That makes a chain of a sector's blocks when it is encrypted, so
    then the first blocks of all sectors are encrypted together, the second ones, and so on."""

    def encrypt(self, data: Array, ivs: Array) -> None:
        memory, _ = self.scratch(0, len(data))
        column = memory[: ivs.nbytes].view(np.uint64).reshape(ivs.shape)
        column[:] = ivs
        mixed = np.empty_like(column)
        for block in range(self.blocks):
            np.bitwise_xor(data[:, block], column, out=mixed)
            self.cipher.encrypt(mixed, memory)
            data[:, block] = column

    def decrypt(self, data: Array, ivs: Array) -> None:
        memory, words = self.scratch(0, len(data))
        self.cipher.decrypt(data, memory)
        words[:, 0] ^= ivs
        words[:, 1:] ^= data[:, :-1]
        data[:] = words


class Ctr(Mode):
    """A stream of encrypted counters, which begins at the vector as a big-endian number."""

    def encrypt(self, data: Array, ivs: Array) -> None:
        _, counters = self.scratch(0, len(data))
        numbers = ivs.byteswap()
        steps = np.arange(self.blocks, dtype=np.uint64)
        low = numbers[:, -1:] + steps
        counters[:, :, -1] = low.byteswap()
        if self.words > 1:
            counters[:, :, 0] = (numbers[:, :1] + (low < steps)).byteswap()
        memory, stream = self.scratch(1, len(data))
        self.cipher.encrypt(counters, memory)
        data ^= stream

    decrypt = encrypt


class Xts(Mode):
    """Each block is mixed, before and after, with a tweak: the encrypted vector times 2 to the block's number, in
    the field GF(2^128). The first half of the key is for the data, the second one for the vectors."""

    def __init__(self, cipher: str, key: bytes) -> None:
        half = len(key) // 2
        super().__init__(cipher, key[:half])
        self.tweaker = BlockCipher(cipher, key[half:])
        self._planes = np.zeros((2, self.blocks, BATCH + PADDING), dtype=np.uint64)
        self._spare = np.zeros((2, self.blocks // 2 * BATCH), dtype=np.uint64)

    def encrypt(self, data: Array, ivs: Array) -> None:
        self._run(self.cipher.encrypt, data, ivs)

    def decrypt(self, data: Array, ivs: Array) -> None:
        self._run(self.cipher.decrypt, data, ivs)

    def _run(self, work: Any, data: Array, ivs: Array) -> None:
        _, tweaks = self.scratch(0, len(data))
        memory, result = self.scratch(1, len(data))
        self._make_tweaks(ivs, tweaks)
        np.bitwise_xor(data, tweaks, out=data)
        work(data, memory)
        np.bitwise_xor(result, tweaks, out=data)

    def _make_tweaks(self, ivs: Array, tweaks: Array) -> None:
        """The tweaks of all blocks. Those of blocks 0 to n - 1 times 2^n are those of n to 2 n - 1."""
        count = len(ivs)
        memory, first = self.scratch(1, count)
        self.tweaker.encrypt(ivs, memory)
        flat = first.reshape(-1)
        low, high = self._planes[:, :, :count]
        low[0], high[0] = flat[0 : 2 * count : 2], flat[1 : 2 * count : 2]
        n = 1
        while n < self.blocks:
            _multiply(low[:n], high[:n], n, low[n : 2 * n], high[n : 2 * n], self._spare[:, : n * count])
            n *= 2
        tweaks[:, :, 0], tweaks[:, :, 1] = low.T, high.T


def _multiply(low: Array, high: Array, n: int, to_low: Array, to_high: Array, spare: Array) -> None:
    """Numbers times 2^n (n up to 16) modulo x^128 + x^7 + x^2 + x + 1, each in two words."""
    over, moved = (plane.reshape(low.shape) for plane in spare)
    shift, rest = np.uint64(n), np.uint64(64 - n)
    np.right_shift(high, rest, out=over)
    np.left_shift(high, shift, out=to_high)
    np.right_shift(low, rest, out=moved)
    np.bitwise_or(to_high, moved, out=to_high)
    np.left_shift(low, shift, out=to_low)
    np.bitwise_xor(to_low, over, out=to_low)
    for power in (1, 2, 7):
        np.left_shift(over, np.uint64(power), out=moved)
        np.bitwise_xor(to_low, moved, out=to_low)


MODES = {"ecb": Ecb, "cbc": Cbc, "ctr": Ctr, "xts": Xts}
"""A mode's name, as in LUKS, to what does it."""
