"""A volume's cipher: what encrypts sector number n of a disk.

It is a block cipher, a mode of operation, and a rule that makes the sector's number into an initialisation vector:

    plain    the number's low 32 bits, little-endian      plain64  all 64 bits of it
    essiv    plain64, encrypted with a hash of the key: then nobody can tell vectors beforehand
"""

from __future__ import annotations

import hashlib
from _thread import RLock

from imgtools.crypto.ecb import BLOCK_SIZES, KEY_SIZES
from imgtools.errors import BadOption, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.crypto.modes import Array, Mode

SECTOR = 512
HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160")
MODES = ("ecb", "cbc", "xts", "ctr")
IV_GENERATORS = ("plain", "plain64", "essiv")


class CipherSpec:
    """Which cipher, without a key: its name and mode as LUKS has them, and the bytes of the key of the data."""

    def __init__(
        self, name: str, key_bytes: int, mode: str, ivgen: str | None = None, ivgen_hash: str | None = None
    ) -> None:
        self.name = name
        self.key_bytes = key_bytes
        self.mode = mode
        self.ivgen = ivgen
        """None where the mode needs no vector and none is named."""
        self.ivgen_hash = ivgen_hash

    @property
    def algorithm(self) -> str:
        """The cipher with the bits of a key, as in "aes-256"."""
        return f"{self.name}-{self.key_bytes * (4 if self.mode == 'xts' else 8)}"

    def check(self) -> None:
        """Raise where there is no such cipher, UnsupportedFeature where it is not built."""
        if self.name not in BLOCK_SIZES:
            raise UnsupportedFeature(f"Algorithm '{self.name}' is not supported", structure="cipher")
        if self.mode not in MODES:
            raise UnsupportedFeature(f"Unsupported cipher mode {self.mode}", structure="cipher")
        if self.mode == "xts" and BLOCK_SIZES[self.name] != 16:
            raise UnsupportedFeature(f"Unsupported cipher mode {self.mode}", structure="cipher")
        if self.key_bytes not in [size * (2 if self.mode == "xts" else 1) for size in KEY_SIZES[self.name]]:
            bits = f"with key size {self.key_bytes * 8}" + (" in mode xts" if self.mode == "xts" else "")
            raise UnsupportedFeature(f"No {self.name} cipher {bits} is available", structure="cipher")
        if self.ivgen is None and self.mode != "ecb":
            raise UnsupportedFeature(f"the cipher mode {self.mode} needs an IV generator", structure="cipher")
        if self.ivgen not in (None, *IV_GENERATORS):
            raise UnsupportedFeature(f"Unsupported IV generator '{self.ivgen}'", structure="cipher")
        if self.ivgen == "essiv":
            self._check_essiv()

    def _check_essiv(self) -> None:
        size = digest_size(self.ivgen_hash or "sha256")
        if size not in KEY_SIZES[self.name]:
            raise BadOption(f"No {self.name.upper()} cipher with key size {size} available", structure="cipher")


def digest_size(hash: str) -> int:
    """Bytes of a digest; raises UnsupportedFeature where the hash is not known, or not to this Python."""
    try:
        if hash in HASHES:
            return hashlib.new(hash).digest_size
    except ValueError:
        pass
    raise UnsupportedFeature(f"the hash '{hash}' is not available", structure="hash")


class SectorCipher:
    """A cipher with its key. Threads may use it side by side, and wait for each other.

    Waiting costs less than working in parallel: a batch is dozens of calls of numpy, and threads that meet between them
    take the interpreter from each other each time.
    """

    def __init__(self, spec: CipherSpec, key: bytes) -> None:
        spec.check()
        self.spec = spec
        self._essiv: Any = None
        self._lock = RLock()
        if spec.ivgen == "essiv":
            from imgtools.crypto.ecb import BlockCipher

            self._essiv = BlockCipher(spec.name, hashlib.new(spec.ivgen_hash or "sha256", key).digest())
        from imgtools.crypto.modes import MODES

        self._mode: Mode = MODES[spec.mode](spec.name, key)

    def encrypt(self, sector: int, data: memoryview) -> None:
        """Encrypt whole sectors in place; `sector` is the number of the first."""
        self._run("encrypt", sector, data)

    def decrypt(self, sector: int, data: memoryview) -> None:
        """The opposite of `encrypt`."""
        self._run("decrypt", sector, data)

    def _run(self, verb: str, sector: int, data: memoryview) -> None:
        import numpy as np

        from imgtools.crypto.modes import BATCH

        with self._lock:
            mode = self._mode
            words = np.frombuffer(data, dtype=np.uint64).reshape(-1, mode.blocks, mode.words)
            work = getattr(mode, verb)
            for start in range(0, len(words), BATCH):
                batch = words[start : start + BATCH]
                work(batch, self._vectors(sector + start, len(batch), mode.words))

    def _vectors(self, sector: int, count: int, words: int) -> Array:
        """The initialisation vectors of `count` sectors from number `sector` on."""
        import numpy as np

        ivs = np.zeros((count, words), dtype=np.uint64)
        ivs[:, 0] = np.arange(sector, sector + count, dtype=np.uint64).astype("<u8").view(np.uint64)
        if self.spec.ivgen == "plain":
            ivs[:, 0] &= np.array([0xFFFFFFFF], dtype="<u8").view(np.uint64)
        elif self._essiv is not None:
            memory = np.zeros(ivs.nbytes + 16, dtype=np.uint8)
            self._essiv.encrypt(ivs, memory)
            return memory[: ivs.nbytes].view(np.uint64).reshape(ivs.shape)
        return ivs


def decrypt_cbc(key: bytes, iv: bytes, content: bytes) -> bytes:
    """What AES in CBC mode made `content` of, padding and all."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    return decryptor.update(content) + decryptor.finalize()
