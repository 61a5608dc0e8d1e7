"""Ciphers of sectors against those of the package, which take one sector at a time."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from imgtools.crypto import modes as ours
from imgtools.crypto.cipher import CipherSpec, SectorCipher
from tests.model import pattern

SECTOR = 512


def vector(spec: CipherSpec, key: bytes, sector: int) -> bytes:
    """A sector's initialisation vector, by the definition of its rule."""
    if spec.ivgen == "plain":
        sector &= 0xFFFFFFFF
    plain = sector.to_bytes(16, "little")
    if spec.ivgen != "essiv":
        return plain
    encryptor = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor()
    return encryptor.update(plain)


def encrypted(spec: CipherSpec, key: bytes, sector: int, data: bytes) -> bytes:
    """What the package makes of whole sectors."""
    parts = []
    for start in range(0, len(data), SECTOR):
        iv = vector(spec, key, sector + start // SECTOR)
        mode = {"xts": modes.XTS, "cbc": modes.CBC, "ctr": modes.CTR}.get(spec.mode)
        encryptor = Cipher(algorithms.AES(key), mode(iv) if mode else modes.ECB()).encryptor()
        parts.append(encryptor.update(data[start : start + SECTOR]))
    return b"".join(parts)


@pytest.mark.parametrize("ivgen", ["plain", "plain64", "essiv"])
@pytest.mark.parametrize(
    ("mode", "key_bytes"), [("xts", 32), ("xts", 64), ("cbc", 16), ("cbc", 24), ("cbc", 32), ("ctr", 32), ("ecb", 32)]
)
def test_many_sectors_at_once_are_what_they_are_one_by_one(mode: str, key_bytes: int, ivgen: str) -> None:
    key = pattern(key_bytes, 3)
    spec = CipherSpec("aes", key_bytes, mode, ivgen, "sha256" if ivgen == "essiv" else None)
    cipher = SectorCipher(spec, key)
    for sector, count in ((0, 1), (7, 3), ((1 << 32) - 2, 4), (5, ours.BATCH + 1)):
        plain = pattern(count * SECTOR, sector)
        data = bytearray(plain)
        cipher.encrypt(sector, memoryview(data))
        assert data == encrypted(spec, key, sector, plain)
        cipher.decrypt(sector, memoryview(data))
        assert data == plain


def test_buffers_may_begin_anywhere() -> None:
    cipher = SectorCipher(CipherSpec("aes", 64, "xts", "plain64"), pattern(64))
    plain = pattern(4 * SECTOR)
    expected = bytearray(plain)
    cipher.encrypt(9, memoryview(expected))
    for shift in range(1, 9):
        memory = bytearray(shift) + plain
        cipher.encrypt(9, memoryview(memory)[shift:])
        assert memory[shift:] == expected and not any(memory[:shift])
