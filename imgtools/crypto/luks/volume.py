"""A LUKS volume: its header where it lies in a file, and what one does with it.

`area` is the part of the file that the header and the key material take, as a node that begins with them.
"""

from __future__ import annotations

import os
import uuid

from imgtools.align import round_up
from imgtools.crypto.cipher import SectorCipher
from imgtools.crypto.luks.header import SALT_BYTES, SIZE, SLOTS, STRIPES, Header, KeySlot, parse
from imgtools.crypto.luks.keyslots import (
    MASTER_KEY_SHARE,
    digest_of,
    erase_material,
    fill_slot,
    iterations_in,
    open_slot,
    unlock,
)
from imgtools.crypto.luks.options import DEFAULT_MILLISECONDS, cipher_of
from imgtools.crypto.secret import find_passphrase
from imgtools.errors import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

ALIGNMENT = 4096
"""Key material begins at multiples of this."""


class NewVolume:
    """A volume that is about to be made: all that may be wrong with the request is found before a file is touched."""

    def __init__(self, options: dict[str, Any], objects: dict[str, Any], *, named: str = "key-secret") -> None:
        self.passphrase = find_passphrase(objects, required(options.get("key-secret"), named))
        self.milliseconds: int = DEFAULT_MILLISECONDS if options.get("iter-time") is None else options["iter-time"]
        self.header = new_header(options)
        self.key = os.urandom(self.header.cipher.key_bytes)
        self.cipher = SectorCipher(self.header.cipher, self.key)

    def write(self, area: Node) -> None:
        """Write the header and the passphrase's slot."""
        header, key_bytes = self.header, self.header.cipher.key_bytes
        header.digest_salt = os.urandom(SALT_BYTES)
        header.digest_iterations = iterations_in(self.milliseconds // MASTER_KEY_SHARE, header.hash, key_bytes)
        header.digest = digest_of(header, self.key)
        fill_slot(area, header, 0, self.key, self.passphrase, self.milliseconds)
        area.write(0, header.build())


def new_header(options: dict[str, Any]) -> Header:
    """The header of a new volume, laid out as QEMU does it: key slots behind the header, then the payload."""
    cipher, hash = cipher_of(options)
    material = round_up(cipher.key_bytes * STRIPES, ALIGNMENT)
    first = round_up(SIZE, ALIGNMENT)
    header = Header(cipher, hash, first + SLOTS * material)
    header.slots = [KeySlot(first + index * material) for index in range(SLOTS)]
    header.uuid = str(uuid.uuid4())
    return header


def required(id: str | None, named: str) -> str:
    """The id of the secret that opens an image."""
    if id is None:
        raise BadOption(f"Parameter '{named}' is required for cipher")
    return id


class Volume:
    """A volume that is there; `unlock` gives its cipher."""

    def __init__(self, area: Node) -> None:
        self.area = area
        self.header = parse(area)
        self._key: bytes | None = None

    def unlock(self, passphrase: bytes) -> SectorCipher:
        """The cipher of the payload. Raises AccessDenied where the passphrase opens no slot."""
        self._key = unlock(self.area, self.header, passphrase)
        return SectorCipher(self.header.cipher, self._key)

    def amend(self, options: dict[str, Any], objects: dict[str, Any], *, force: bool = False) -> None:
        """Add a passphrase ("state" is active) or erase some (inactive). See `options.amend_options`.

        The last passphrase, and one in a slot that is named to be overwritten, is only lost where `force` says so.
        """
        state = options.get("state")
        if state is None:
            raise BadOption("Parameter 'state' is missing")
        if state not in ("active", "inactive"):
            raise BadOption(f"Parameter 'state' does not accept value '{state}'")
        slot = options.get("keyslot")
        if state == "active":
            self._add(options, slot, objects, force)
        else:
            self._erase(options, slot, objects, force)

    def _add(self, options: dict[str, Any], slot: int | None, objects: dict[str, Any], force: bool) -> None:
        if options.get("new-secret") is None:
            raise BadOption("'new-secret' is required to activate a keyslot")
        if options.get("old-secret") is not None:
            raise BadOption("'old-secret' must not be given when activating keyslots")
        index = self._free_slot() if slot is None else _checked(slot)
        if self.header.slots[index].active and not force:
            raise BadOption(f"Refusing to overwrite active keyslot {index} - please erase it first")
        passphrase = find_passphrase(objects, options["new-secret"])
        if self._key is None:
            raise BadOption("the volume has to be unlocked before a passphrase is added", path=self.area.filename)
        milliseconds = DEFAULT_MILLISECONDS if options.get("iter-time") is None else options["iter-time"]
        spare = next((number for number, each in enumerate(self.header.slots) if not each.active), None)
        if self.header.slots[index].active and spare is not None:
            # While a slot is overwritten no passphrase opens it. Until the new one does, it opens another.
            self._fill_slot(spare, passphrase, milliseconds)
            self._fill_slot(index, passphrase, milliseconds)
            self._erase_slot(spare)
        else:
            self._fill_slot(index, passphrase, milliseconds)

    def _fill_slot(self, index: int, passphrase: bytes, milliseconds: int) -> None:
        """A slot is named active when its material is there."""
        assert self._key is not None
        fill_slot(self.area, self.header, index, self._key, passphrase, milliseconds)
        self.area.flush()
        self._write_header()
        self.area.flush()

    def _free_slot(self) -> int:
        for index, slot in enumerate(self.header.slots):
            if not slot.active:
                return index
        raise BadOption("Can't add a keyslot - all keyslots are in use")

    def _erase(self, options: dict[str, Any], slot: int | None, objects: dict[str, Any], force: bool) -> None:
        for name in ("new-secret", "iter-time"):
            if options.get(name) is not None:
                raise BadOption(f"'{name}' must not be given when erasing keyslots")
        old = None
        if options.get("old-secret") is not None:
            old = find_passphrase(objects, options["old-secret"])
        active = [index for index, each in enumerate(self.header.slots) if each.active]
        if slot is not None:
            chosen = [self._named_slot(_checked(slot), old)]
            if active == chosen and not force:
                raise BadOption(
                    f"Attempt to erase the only active keyslot {slot} which will erase all the data in the image "
                    "irreversibly - refusing operation"
                )
        elif old is not None:
            chosen = [index for index in active if self._opens(index, old)]
            if not chosen:
                raise BadOption("No keyslots match given (old) password for erase operation")
            if active == chosen and not force:
                raise BadOption(
                    "All the active keyslots match the (old) password that was given and erasing them will erase all "
                    "the data in the image irreversibly - refusing operation"
                )
        else:
            raise BadOption(
                "To erase keyslot(s), either explicit keyslot index or the password currently contained in them must "
                "be given"
            )
        for index in chosen:
            self._erase_slot(index)

    def _named_slot(self, index: int, old: bytes | None) -> int:
        if not self.header.slots[index].active:
            raise BadOption(f"Given keyslot {index} is already erased (inactive) ")
        if old is not None and not self._opens(index, old):
            raise BadOption(f"Given keyslot {index} doesn't contain the given old password for erase operation")
        return index

    def _opens(self, index: int, passphrase: bytes) -> bool:
        return self.header.slots[index].active and open_slot(self.area, self.header, index, passphrase) is not None

    def _erase_slot(self, index: int) -> None:
        """The header first: a slot that is named active always has its material."""
        slot = self.header.slots[index]
        slot.active, slot.iterations, slot.salt = False, 0, bytes(SALT_BYTES)
        self._write_header()
        self.area.flush()
        erase_material(self.area, self.header, index)

    def _write_header(self) -> None:
        self.area.write(0, self.header.build())


def _checked(slot: int) -> int:
    if not 0 <= slot < SLOTS:
        raise BadOption(f"Invalid keyslot {slot} specified, must be between 0 and {SLOTS - 1}")
    return slot
