"""A LUKS volume as a disk.

The payload's sectors are numbered from 0, wherever it begins. A sector that was never written holds no ciphertext of
zeroes: it reads as anything, so a new disk's content is arbitrary until it is written, as everywhere with LUKS.
"""

from __future__ import annotations

from imgtools.align import round_down, round_up
from imgtools.block.format import Amendable, Resizable
from imgtools.block.node import Node
from imgtools.crypto.cipher import SECTOR
from imgtools.crypto.encrypted import EncryptedSectors
from imgtools.crypto.luks.volume import NewVolume, Volume, required
from imgtools.crypto.secret import find_passphrase
from imgtools.errors import BadOption, CorruptImage
from imgtools.formats.raw import grow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Storage


class LuksNode(Node, Resizable, Amendable):
    """The disk in a volume; one that was opened for its facts alone has no key."""

    driver = "luks"
    fixed_layout = True
    encrypted = True
    starts_as_zeroes = False

    def __init__(self, storage: Storage, volume: Volume, context: Context) -> None:
        self.payload = volume.header.payload_offset
        size = round_down(storage.size - self.payload, SECTOR)
        super().__init__(storage.filename, size, read_only=not context.writable)
        self.storage = storage
        self.children["file"] = storage
        self.volume = volume
        self.context = context
        self._sectors: EncryptedSectors | None = None

    def unlock(self, passphrase: bytes) -> None:
        """Make the disk readable."""
        self._sectors = EncryptedSectors(self.storage, self.volume.unlock(passphrase))

    @property
    def sectors(self) -> EncryptedSectors:
        """The payload. Raises BadOption where the volume is locked."""
        if self._sectors is None:
            required(None, "key-secret")
        assert self._sectors is not None
        return self._sectors

    def readinto(self, offset: int, buffer: memoryview) -> None:
        self.check_range(offset, len(buffer))
        self.sectors.readinto(self.payload + offset, buffer, offset)

    def write(self, offset: int, data: Buffer) -> None:
        if self.read_only:
            self.refuse_write()
        self.check_range(offset, len(data))
        self.sectors.write(self.payload + offset, data, offset)

    def flush(self) -> None:
        if not self.read_only:
            self.storage.flush()

    def prefetch(self, offset: int, length: int) -> None:
        self.storage.prefetch(self.payload + offset, length)

    def details(self) -> dict[str, Any]:
        return self.volume.header.details()

    def limits(self) -> dict[str, int]:
        return {**super().limits(), "request-alignment": SECTOR}

    def resize(self, size: int, preallocation: str = "off") -> None:
        """As `Resizable`, but that new bytes read as anything."""
        if self.read_only:
            self.refuse_write()
        if size % SECTOR:
            raise BadOption("The new size must be a multiple of 512", path=self.filename)
        grow(self.storage, self.payload + self.size, self.payload + size, preallocation)
        self.size = size

    def amend(
        self,
        options: dict[str, Any],
        progress: Callable[[int, int], None] = lambda done, total: None,
        *,
        force: bool = False,
    ) -> None:
        if self.read_only:
            self.refuse_write()
        progress(0, 1)
        self.volume.amend(options, self.context.objects, force=force)
        self.storage.flush()
        progress(1, 1)


def open_luks(storage: Storage, context: Context) -> LuksNode:
    """The volume in `storage`, unlocked unless it is only looked at."""
    volume = Volume(storage)
    if volume.header.payload_offset > storage.size:
        raise CorruptImage(
            f"the payload begins at {volume.header.payload_offset:#x}, past the end of the file ({storage.size:#x})",
            path=storage.filename,
            structure="header",
            hint="The file was cut short.",
        )
    node = LuksNode(storage, volume, context)
    if not context.checking:
        id = required(context.options.get("key-secret"), "key-secret")
        node.unlock(find_passphrase(context.objects, id))
    return node


def create(path: str, size: int, options: dict[str, Any], context: Context) -> None:
    """Write a new volume for a disk of `size` bytes, which are not written."""
    volume = NewVolume(options, context.objects)
    payload, size = volume.header.payload_offset, round_up(size, SECTOR)
    with context.create_storage(path) as storage:
        grow(storage, 0, payload + size, options.get("preallocation") or "off")
        volume.write(storage)
