"""LUKS volumes as disks: a header with key slots, then the encrypted sectors.

Version 1, as cryptsetup and QEMU make it. All of LUKS itself is in `imgtools.crypto.luks`; a disk is `node`.
"""

from __future__ import annotations

from imgtools.block.format import Format, Measure, Option
from imgtools.crypto.luks.options import amend_options, create_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Node, Storage


class Luks(Format):
    name = "luks"
    open_options = (Option("key-secret", "text", "id of the secret that has the passphrase", identity=True),)
    create_options = (Option("size", "size", "Virtual disk size"), *create_options())
    amend_options = amend_options()

    def open(self, storage: Storage, context: Context) -> Node:
        from imgtools.formats.luks.node import open_luks

        return open_luks(storage, context)

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        from imgtools.formats.luks.node import create

        create(path, size, options, context)

    def measure(self, source: Node | None, size: int, options: dict[str, Any]) -> Measure:
        from imgtools.crypto.luks.volume import new_header, required

        required(options.get("key-secret"), "key-secret")
        total = new_header(options).payload_offset + (source.size if source else size)
        return Measure(total, total)


FORMAT = Luks()
