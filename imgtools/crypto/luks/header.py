"""LUKS's header: which cipher, where the payload begins, and eight key slots.

Specification: LUKS On-Disk Format 1.2.3, section 3 (figures 1 and 3). `parse` lets pass only what can be used without
a doubt: nothing that a header says makes more be read, allocated or computed than the limits here allow.
"""

from __future__ import annotations

from imgtools.crypto.cipher import SECTOR, CipherSpec, digest_size
from imgtools.crypto.luks.records import HEADER, KEY_SLOT
from imgtools.errors import CorruptImage, InvalidFormat, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

MAGIC = b"LUKS\xba\xbe"
VERSION = 1
SLOTS = 8
ACTIVE, INACTIVE = 0x00AC71F3, 0x0000DEAD
STRIPES = 4000
SIZE = HEADER.size + SLOTS * KEY_SLOT.size
DIGEST_BYTES, SALT_BYTES = 20, 32

MAX_KEY_BYTES = 64
"""Of the largest cipher that there is, aes-256 in mode xts."""
MAX_STRIPES = 16 * STRIPES
"""All writers use 4000; with this many a slot's material is 4 MiB."""
MAX_ITERATIONS = 100_000_000
"""Of the function that makes keys of passphrases: about a minute. Writers aim at one or two seconds."""


class KeySlot:
    """One of the places where the master key is kept, encrypted with a passphrase of its own."""

    def __init__(self, offset: int) -> None:
        self.active = False
        self.iterations = 0
        self.salt = bytes(SALT_BYTES)
        self.offset = offset
        """Where the key material begins, in bytes."""
        self.stripes = STRIPES


class Header:
    """The header of a volume; offsets in bytes."""

    def __init__(self, cipher: CipherSpec, hash: str, payload_offset: int) -> None:
        self.cipher = cipher
        self.hash = hash
        self.payload_offset = payload_offset
        self.digest = bytes(DIGEST_BYTES)
        self.digest_salt = bytes(SALT_BYTES)
        self.digest_iterations = 0
        self.uuid = ""
        self.slots: list[KeySlot] = []

    def build(self) -> bytes:
        """The header as it stands on disk."""
        cipher = self.cipher
        mode = cipher.mode + (f"-{cipher.ivgen}" if cipher.ivgen else "")
        mode += f":{cipher.ivgen_hash}" if cipher.ivgen_hash else ""
        header = HEADER.build(
            magic=MAGIC,
            version=VERSION,
            cipher_name=cipher.name.encode(),
            cipher_mode=mode.encode(),
            hash_spec=self.hash.encode(),
            payload_offset=self.payload_offset // SECTOR,
            key_bytes=cipher.key_bytes,
            mk_digest=self.digest,
            mk_digest_salt=self.digest_salt,
            mk_digest_iterations=self.digest_iterations,
            uuid=self.uuid.encode(),
        )
        return header + b"".join(
            KEY_SLOT.build(
                active=ACTIVE if slot.active else INACTIVE,
                iterations=slot.iterations,
                salt=slot.salt,
                key_material_offset=slot.offset // SECTOR,
                stripes=slot.stripes,
            )
            for slot in self.slots
        )

    def details(self) -> dict[str, Any]:
        """The facts that `info` tells."""
        cipher = self.cipher
        facts = {
            "cipher-alg": cipher.algorithm,
            "cipher-mode": cipher.mode,
            "ivgen-alg": cipher.ivgen,
            "ivgen-hash-alg": cipher.ivgen_hash,
            "hash-alg": self.hash,
            "payload-offset": self.payload_offset,
            "master-key-iters": self.digest_iterations,
            "uuid": self.uuid,
            "slots": [
                {"active": True, "iters": slot.iterations, "key-offset": slot.offset, "stripes": slot.stripes}
                if slot.active
                else {"active": False, "key-offset": slot.offset}
                for slot in self.slots
            ],
        }
        return {name: value for name, value in facts.items() if value is not None}


def parse(area: Node) -> Header:
    """The header at the start of `area`. Raises InvalidFormat, CorruptImage or UnsupportedFeature."""
    data = area.read(0, min(SIZE, area.size))
    if len(data) < SIZE:
        raise InvalidFormat("Unable to read LUKS header: the file is too short", path=area.filename, structure="header")
    fields = HEADER.parse(data)
    if fields.magic != MAGIC:
        raise InvalidFormat("Volume is not in LUKS format", path=area.filename, offset=0, structure="header")
    if fields.version != VERSION:
        raise UnsupportedFeature(
            f"LUKS version {fields.version} is not supported",
            path=area.filename,
            offset=HEADER.offset_of("version"),
            structure="header",
        )
    try:
        header = Header(_cipher_of(fields), _text(fields.hash_spec), fields.payload_offset * SECTOR)
        digest_size(header.hash)
    except (CorruptImage, UnsupportedFeature) as error:
        error.path = area.filename
        raise
    header.digest, header.digest_salt = fields.mk_digest, fields.mk_digest_salt
    header.digest_iterations, header.uuid = fields.mk_digest_iterations, _text(fields.uuid)
    _check_iterations(area, header.digest_iterations, "Master key")
    for index in range(SLOTS):
        header.slots.append(_parse_slot(area, header, data, index))
    _check_overlaps(area, header)
    return header


def _cipher_of(fields: Any) -> CipherSpec:
    mode, dash, rest = _text(fields.cipher_mode).partition("-")
    ivgen, colon, ivgen_hash = rest.partition(":")
    if fields.key_bytes > MAX_KEY_BYTES:
        raise CorruptImage(
            f"LUKS master key of {fields.key_bytes} bytes is too long",
            offset=HEADER.offset_of("key_bytes"),
            structure="header",
        )
    cipher = CipherSpec(
        _text(fields.cipher_name), fields.key_bytes, mode, ivgen if dash else None, ivgen_hash if colon else None
    )
    if cipher.ivgen == "essiv" and not cipher.ivgen_hash:
        raise CorruptImage("Missing IV generator hash specification", structure="header")
    cipher.check()
    return cipher


def _text(field: bytes) -> str:
    """A name up to its terminating zero; only characters that may be shown to people."""
    text = field.partition(b"\0")[0].decode("ascii", errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _parse_slot(area: Node, header: Header, data: bytes, index: int) -> KeySlot:
    offset = HEADER.size + index * KEY_SLOT.size
    fields = KEY_SLOT.parse(data, offset)
    slot = KeySlot(fields.key_material_offset * SECTOR)
    slot.stripes, slot.iterations, slot.salt = fields.stripes, fields.iterations, fields.salt
    slot.active = fields.active == ACTIVE
    if fields.active not in (ACTIVE, INACTIVE):
        raise _damaged(area, f"Keyslot {index} state (active/disable) is corrupted", offset)
    if not 1 <= slot.stripes <= MAX_STRIPES:
        raise _damaged(area, f"Keyslot {index} is corrupted ({slot.stripes} stripes)", offset)
    if slot.active:
        _check_iterations(area, slot.iterations, f"Keyslot {index}")
    return slot


def _check_iterations(area: Node, iterations: int, what: str) -> None:
    if not iterations:
        raise _damaged(area, f"{what} iteration count is zero", None)
    if iterations > MAX_ITERATIONS:
        raise _damaged(area, f"{what} iteration count of {iterations} is over the limit of {MAX_ITERATIONS}", None)


def _check_overlaps(area: Node, header: Header) -> None:
    """Key material lies behind the header, before the payload, and not on top of another slot's."""
    end = SIZE
    for slot in sorted(header.slots, key=lambda slot: slot.offset):
        index = header.slots.index(slot)
        if slot.offset < end:
            what = "the LUKS header" if end == SIZE else "another keyslot"
            raise _damaged(area, f"Keyslot {index} is overlapping with {what}", slot.offset)
        end = slot.offset + header.cipher.key_bytes * slot.stripes
        if end > header.payload_offset:
            raise _damaged(area, f"Keyslot {index} is overlapping with the encrypted payload", slot.offset)


def _damaged(area: Node, message: str, offset: int | None) -> CorruptImage:
    return CorruptImage(message, path=area.filename, offset=offset, structure="header")
