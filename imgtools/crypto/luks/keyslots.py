"""Key slots: how a passphrase leads to the master key.

Specification: LUKS On-Disk Format 1.2.3, sections 2.4 (anti-forensic splitter) and 4 (algorithms). PBKDF2 makes a key
of the passphrase; with it the slot's material is encrypted as if it were sectors from number 0 on. The material is
the master key split into stripes, all of which are needed to have it back, so that erasing any of them destroys it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from functools import partial

from imgtools.align import round_up
from imgtools.crypto.cipher import SECTOR, SectorCipher
from imgtools.crypto.luks.header import DIGEST_BYTES, SALT_BYTES, Header, KeySlot
from imgtools.errors import AccessDenied, CorruptImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Node

MIN_ITERATIONS = 1000
"""Section 4.1; what a slow machine gets, too."""
MAX_NEW_ITERATIONS = 50_000_000
"""However long it may take: half of what is accepted of others' headers."""
PROBE_ITERATIONS, PROBE_SECONDS = 10_000, 0.05
MASTER_KEY_SHARE = 8
"""The digest of the master key gets one part in so many of a key slot's time: it guards against nobody's guesses."""
ERASURES = 8
"""How often an erased slot's material is overwritten with random bytes."""


def unlock(area: Node, header: Header, passphrase: bytes) -> bytes:
    """The master key, by the first slot that the passphrase opens. Raises AccessDenied where it opens none."""
    for index, slot in enumerate(header.slots):
        if slot.active and (key := open_slot(area, header, index, passphrase)) is not None:
            return key
    raise AccessDenied("Invalid password, cannot unlock any keyslot", path=area.filename)


def open_slot(area: Node, header: Header, index: int, passphrase: bytes) -> bytes | None:
    """The master key in a slot; None where the passphrase is not that slot's."""
    slot, length = header.slots[index], header.cipher.key_bytes
    size = length * slot.stripes
    material = bytearray(round_up(size, SECTOR))
    stored = area.read(slot.offset, min(len(material), max(0, area.size - slot.offset)))
    if len(stored) < size:
        raise CorruptImage(
            f"the material of keyslot {index} lies past the end of the file",
            path=area.filename,
            offset=slot.offset,
            structure="key slot",
            hint="The file was cut short.",
        )
    material[: len(stored)] = stored
    SectorCipher(header.cipher, _stretch(header, passphrase, slot)).decrypt(0, memoryview(material))
    key = merge(bytes(material[:size]), length, slot.stripes, header.hash)
    return key if hmac.compare_digest(digest_of(header, key), header.digest) else None


def fill_slot(area: Node, header: Header, index: int, key: bytes, passphrase: bytes, milliseconds: int) -> None:
    """Let the passphrase lead to the master key `key` by a slot; the material is written, the header not yet."""
    slot = header.slots[index]
    slot.iterations = iterations_in(milliseconds, header.hash, header.cipher.key_bytes)
    slot.salt = os.urandom(SALT_BYTES)
    size = len(key) * slot.stripes
    material = bytearray(round_up(size, SECTOR))
    material[:size] = split(key, slot.stripes, header.hash)
    SectorCipher(header.cipher, _stretch(header, passphrase, slot)).encrypt(0, memoryview(material))
    area.write(slot.offset, material)
    slot.active = True


def erase_material(area: Node, header: Header, index: int) -> None:
    """Overwrite a slot's material, so that its passphrase leads nowhere even with an old copy of the header."""
    slot = header.slots[index]
    for _ in range(ERASURES):
        area.write(slot.offset, os.urandom(round_up(header.cipher.key_bytes * slot.stripes, SECTOR)))
        area.flush()


def _stretch(header: Header, passphrase: bytes, slot: KeySlot) -> bytes:
    return hashlib.pbkdf2_hmac(header.hash, passphrase, slot.salt, slot.iterations, header.cipher.key_bytes)


def digest_of(header: Header, key: bytes) -> bytes:
    """What tells the right master key from others."""
    return hashlib.pbkdf2_hmac(header.hash, key, header.digest_salt, header.digest_iterations, DIGEST_BYTES)


def iterations_in(milliseconds: int, hash: str, key_bytes: int) -> int:
    """How many iterations of PBKDF2 this machine does in a time."""
    count = PROBE_ITERATIONS
    while True:
        started = time.thread_time()
        hashlib.pbkdf2_hmac(hash, b"passphrase", bytes(SALT_BYTES), count, key_bytes)
        seconds = time.thread_time() - started
        if seconds >= PROBE_SECONDS:
            wanted = int(count * milliseconds / 1000 / seconds)
            return min(max(wanted, MIN_ITERATIONS), MAX_NEW_ITERATIONS)
        count *= 2


# The anti-forensic splitter.


def split(key: bytes, stripes: int, hash: str) -> bytes:
    """The key as `stripes` pieces of its length: random ones, and a last one that depends on them all."""
    random = os.urandom(len(key) * (stripes - 1))
    return random + _xor(_diffused(random, len(key), hash), key)


def merge(material: bytes, length: int, stripes: int, hash: str) -> bytes:
    """The key of `length` bytes that was split."""
    end = length * (stripes - 1)
    return _xor(_diffused(material[:end], length, hash), material[end : end + length])


def _diffused(pieces: bytes, length: int, hash: str) -> bytes:
    """All pieces, each mixed into a hash of those before it."""
    mixed = bytes(length)
    for start in range(0, len(pieces), length):
        mixed = _diffuse(_xor(mixed, pieces[start : start + length]), hash)
    return mixed


def _diffuse(data: bytes, hash: str) -> bytes:
    """Each digest-sized part of `data` replaced by the hash of its number and itself."""
    digest = getattr(hashlib, hash, partial(hashlib.new, hash))  # a function of its own is four times as quick
    size, parts = digest().digest_size, []
    for number, start in enumerate(range(0, len(data), size)):
        part = data[start : start + size]
        parts.append(digest(number.to_bytes(4, "big") + part).digest()[: len(part)])
    return b"".join(parts)


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))
