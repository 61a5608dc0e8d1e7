"""Encrypted sectors in a storage: the one place where data is encrypted on its way to a file, and decrypted back.

A position in the file and the offset that numbers the sectors are two things: LUKS counts from where its payload
begins, LUKS inside qcow2 from the start of the file, qcow2's old AES as the guest does.
"""

from __future__ import annotations

from imgtools.align import round_down, round_up
from imgtools.crypto.cipher import SECTOR, SectorCipher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Buffer, Storage


class EncryptedSectors:
    """The data that `cipher` keeps in `storage`; read and write at positions in the file, sectors need not be whole."""

    def __init__(self, storage: Storage, cipher: SectorCipher) -> None:
        self.storage = storage
        self.cipher = cipher

    def readinto(self, position: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what lies at `position`, whose sectors are numbered as those at `offset`."""
        skipped = offset % SECTOR
        if not skipped and not len(buffer) % SECTOR:
            self.storage.readinto(position, buffer)
            self.cipher.decrypt(offset // SECTOR, buffer)
            return
        whole = memoryview(bytearray(round_up(skipped + len(buffer), SECTOR)))
        self.readinto(position - skipped, whole, offset - skipped)
        buffer[:] = whole[skipped : skipped + len(buffer)]

    def write(self, position: int, data: Buffer, offset: int) -> None:
        """Store `data` at `position`. The rest of sectors that it covers in part is read, and written again."""
        first, end = round_down(offset, SECTOR), round_up(offset + len(data), SECTOR)
        skipped = offset - first
        whole = memoryview(bytearray(end - first))
        if skipped:
            self.readinto(position - skipped, whole[:SECTOR], first)
        if (offset + len(data)) % SECTOR and not (skipped and len(whole) == SECTOR):
            self.readinto(position - skipped + len(whole) - SECTOR, whole[-SECTOR:], end - SECTOR)
        whole[skipped : skipped + len(data)] = memoryview(data).cast("B")
        self.cipher.encrypt(first // SECTOR, whole)
        self.storage.write(position - skipped, whole)
