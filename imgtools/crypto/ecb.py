"""The block ciphers themselves, by the `cryptography` package: one block after the other, each for itself (ECB).

Every mode of operation that disks use is made of that (see `modes`): a call of the package costs microseconds, and a
sector takes less, so it is called for many sectors at once.
"""

from __future__ import annotations

from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOCK_SIZES = {"aes": 16, "cast5": 8, "serpent": 16, "twofish": 16}
"""Bytes of a block, by the name that LUKS has for the cipher. The package has neither serpent nor twofish."""
KEY_SIZES = {"aes": (16, 24, 32), "cast5": (16,), "serpent": (16, 24, 32), "twofish": (16, 24, 32)}


class BlockCipher:
    """A block cipher with its key. It may be used by one thread at a time."""

    def __init__(self, name: str, key: bytes) -> None:
        cipher = _ciphers()(_algorithm(name, key), _ecb())
        self.block_size = BLOCK_SIZES[name]
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()

    def encrypt(self, source: Any, target: Any) -> None:
        """Encrypt the whole blocks in `source` into `target`, a buffer of bytes that is 15 longer at least."""
        self._encryptor.update_into(memoryview(source).cast("B"), target)

    def decrypt(self, source: Any, target: Any) -> None:
        """The opposite of `encrypt`."""
        self._decryptor.update_into(memoryview(source).cast("B"), target)


def _algorithm(name: str, key: bytes) -> Any:
    if name == "aes":
        from cryptography.hazmat.primitives.ciphers.algorithms import AES

        return AES(key)
    if name == "cast5":
        from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5

        return CAST5(key)
    raise UnsupportedFeature(
        f"the cipher {name} is not supported",
        hint="imgtools encrypts by the package cryptography, which does not have it; aes is what nearly all use.",
    )


def _ciphers() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher
    except ImportError as error:
        raise UnsupportedFeature(
            "encrypted images need the package cryptography", hint="Install it: pip install 'imgtools[crypto]'."
        ) from error
    return Cipher


def _ecb() -> Any:
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    return ECB()
