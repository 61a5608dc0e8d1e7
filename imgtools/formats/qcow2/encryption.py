"""Encrypted images: guest clusters are encrypted, tables and compressed clusters are not.

Specification: qcow2, "Header" (crypt_method), "Full disk encryption header pointer", "Data encryption".

    LUKS  a header with key slots lies in clusters of its own; sectors are numbered by where they lie in the file
    AES   QEMU's old form: the passphrase is the key, sectors are numbered as the guest does; kept for old images
"""

from __future__ import annotations

from imgtools.align import div_up
from imgtools.crypto.cipher import CipherSpec, SectorCipher
from imgtools.crypto.encrypted import EncryptedSectors
from imgtools.crypto.luks.options import given_below
from imgtools.crypto.luks.volume import NewVolume, Volume, new_header, required
from imgtools.crypto.secret import find_passphrase
from imgtools.errors import BadOption, CorruptImage, ImageError
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.records import LUKS_EXTENSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node, Storage
    from imgtools.formats.qcow2.header import Header
    from imgtools.formats.qcow2.node import Qcow2Node

METHODS = {"aes": head.AES, "luks": head.LUKS}
PREFIX = "encrypt."
KEY_SECRET = "encrypt.key-secret"
AES_KEY_BYTES = 16
"""Of the old form: the passphrase, cut or filled up with zeroes."""


class EncryptedClusters:
    """Guest data in `data`, at places that are known by their offset in the file and by the guest's."""

    def __init__(self, data: Storage, cipher: SectorCipher, *, numbered_by_guest: bool) -> None:
        self._sectors = EncryptedSectors(data, cipher)
        self._numbered_by_guest = numbered_by_guest

    def readinto(self, host: int, guest: int, buffer: memoryview) -> None:
        """Fill `buffer` with what lies at `host`."""
        self._sectors.readinto(host, buffer, guest if self._numbered_by_guest else host)

    def write(self, host: int, guest: int, data: Buffer) -> None:
        """Store `data` at `host`."""
        self._sectors.write(host, data, guest if self._numbered_by_guest else host)


# Opening.


def unlock(node: Qcow2Node, context: Context) -> None:
    """Make an encrypted image's clusters readable, unless it is only looked at; check what its user says of it."""
    given = given_below(context.options, PREFIX)
    method = next((name for name, number in METHODS.items() if number == node.header.crypt_method), None)
    if method is None:
        if "format" in given:
            raise BadOption(f"No encryption in image header, but options specified format '{given['format']}'")
        return
    if given.get("format", method) != method:
        raise BadOption(
            f"Header reported '{method}' encryption format but options specify '{given['format']}'", path=node.filename
        )
    if method == "luks":
        node.volume = Volume(_luks_area(node))
    if context.checking:
        return
    passphrase = find_passphrase(context.objects, required(given.get("key-secret"), KEY_SECRET))
    cipher = aes_cipher(passphrase) if node.volume is None else node.volume.unlock(passphrase)
    set_cipher(node, cipher)


def set_cipher(node: Qcow2Node, cipher: SectorCipher) -> None:
    """Let guest data be encrypted from now on."""
    by_guest = node.header.crypt_method == head.AES
    node.clusters = EncryptedClusters(node.data, cipher, numbered_by_guest=by_guest)


def aes_cipher(passphrase: bytes) -> SectorCipher:
    """The cipher of the old form."""
    key = passphrase[:AES_KEY_BYTES].ljust(AES_KEY_BYTES, b"\0")
    return SectorCipher(CipherSpec("aes", AES_KEY_BYTES, "cbc", "plain64"), key)


def _luks_area(node: Qcow2Node) -> Node:
    """The part of the file that holds the LUKS header."""
    from imgtools.block.filters.window import Window

    content = node.header.extension(head.LUKS_HEADER)
    if content is None:
        raise CorruptImage("the image has no header extension for its LUKS header", path=node.filename)
    place = LUKS_EXTENSION.parse(content)
    if place.offset % node.header.cluster_size:
        raise CorruptImage(f"Encryption header offset '{place.offset}' is not a multiple of cluster size")
    try:
        return Window(node.storage, place.offset, place.length)
    except ImageError as error:
        raise CorruptImage(
            f"the LUKS header at {place.offset:#x}, {place.length} bytes long, lies past the end of the file",
            path=node.filename,
            structure="LUKS header",
        ) from error


def details(node: Qcow2Node) -> dict[str, Any]:
    """What `info` tells of the encryption."""
    if node.volume is None:
        return {"format": "aes"}
    return {"format": "luks", **node.volume.header.details()}


# Creating.


def choose(header: Header, options: dict[str, Any]) -> None:
    """Set in a new header which encryption is asked for; a LUKS header's place is not known yet."""
    given = given_below(options, PREFIX)
    method = given.get("format")
    if options.get("encryption"):
        if method is not None:
            raise BadOption("'encrypt.format' and its alias 'encryption' can't be used at the same time")
        method = "aes"
    if method is None:
        if given:
            raise BadOption("Parameter 'encrypt.format' is missing")
        return
    if method not in METHODS:
        raise BadOption(f"Parameter 'format' does not accept value '{method}'")
    header.crypt_method = METHODS[method]
    if method == "aes":
        for name in given.keys() - {"format", "key-secret"}:
            raise BadOption(f"Parameter 'encrypt.{name}' is unexpected")
    else:
        header.set_extension(head.LUKS_HEADER, bytes(LUKS_EXTENSION.size))
    required(given.get("key-secret"), KEY_SECRET)


def luks_clusters(header: Header, options: dict[str, Any]) -> int:
    """Clusters that the LUKS header of a new image takes."""
    if header.crypt_method != head.LUKS:
        return 0
    return div_up(new_header(given_below(options, PREFIX)).payload_offset, header.cluster_size)


class NewEncryption:
    """The encryption of an image that is about to be made; what may be wrong is found before a file is touched."""

    def __init__(self, header: Header, options: dict[str, Any], context: Context) -> None:
        given = given_below(options, PREFIX)
        self.volume = None
        self.cipher = None
        if header.crypt_method == head.LUKS:
            self.volume = NewVolume(given, context.objects, named=KEY_SECRET)
            self.cipher = self.volume.cipher
        elif header.crypt_method == head.AES:
            self.cipher = aes_cipher(find_passphrase(context.objects, given["key-secret"]))

    def write(self, node: Qcow2Node) -> None:
        """Give a LUKS header its clusters, and write it there."""
        if self.volume is None:
            return
        writer, length = node.writer, self.volume.header.payload_offset
        count = div_up(length, node.header.cluster_size)
        first = writer.refcounts.allocate(count)
        offset = first << node.header.cluster_bits
        writer.write_back()
        if node.storage.size < offset + length:
            node.storage.truncate(offset + length)
        node.header.set_extension(head.LUKS_HEADER, LUKS_EXTENSION.build(offset=offset, length=length))
        self.volume.write(_luks_area(node))
        writer.metadata.add(first, count, "LUKS header")
        node.storage.flush()
        writer.write_header()
