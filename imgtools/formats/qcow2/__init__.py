"""qcow2: QEMU's copy-on-write format, versions 2 and 3.

Specification: QEMU's docs/interop/qcow2. Start reading at `node`.
"""

from __future__ import annotations

from imgtools.block.driver import Child
from imgtools.block.format import Format, Option
from imgtools.formats.qcow2.open_options import OPEN_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from imgtools.block.format import Measure
    from imgtools.block.graph import Context
    from imgtools.block.node import Node, Storage
    from imgtools.block.references import Reference


AMENDABLE = (
    "backing_file",
    "backing_fmt",
    "compat",
    "data_file",
    "data_file_raw",
    "lazy_refcounts",
    "refcount_bits",
    "size",
)
"""The create options that can be changed later."""


class Qcow2(Format):
    name = "qcow2"
    supports_backing = True
    children = (Child("file"), Child("data-file", optional=True))
    supports_compression = True
    structures = "imgtools.formats.qcow2.explain"
    open_options = OPEN_OPTIONS
    create_options = (
        Option(
            "encryption",
            "bool",
            "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
        ),
        Option("encrypt.format", "text", "Encrypt the image, format choices: 'aes', 'luks'"),
        Option("encrypt.key-secret", "text", "ID of secret providing qcow AES key or LUKS passphrase"),
        Option("encrypt.cipher-alg", "text", "Name of encryption cipher algorithm"),
        Option("encrypt.cipher-mode", "text", "Name of encryption cipher mode"),
        Option("encrypt.ivgen-alg", "text", "Name of IV generator algorithm"),
        Option("encrypt.ivgen-hash-alg", "text", "Name of IV generator hash algorithm"),
        Option("encrypt.hash-alg", "text", "Name of encryption hash algorithm"),
        Option("encrypt.iter-time", "int", "Time to spend in PBKDF in milliseconds"),
        Option("cluster_size", "size", "qcow2 cluster size", default=65536),
        Option("extended_l2", "bool", "Extended L2 tables", default=False),
        Option(
            "preallocation",
            "text",
            "Preallocation mode (allowed values: off, metadata, falloc, full)",
            choices=("off", "metadata", "falloc", "full"),
        ),
        Option(
            "compression_type",
            "text",
            "Compression method used for image cluster compression",
            default="zlib",
            choices=("zlib", "zstd"),
        ),
        Option("size", "size", "Virtual disk size"),
        Option("compat", "text", "Compatibility level (v2 [0.10] or v3 [1.1])"),
        Option("backing_file", "text", "File name of a base image"),
        Option("backing_fmt", "text", "Image format of the base image"),
        Option("data_file", "text", "File name of an external data file"),
        Option("data_file_raw", "bool", "The external data file must stay valid as a raw image"),
        Option("lazy_refcounts", "bool", "Postpone refcount updates", default=False),
        Option("refcount_bits", "int", "Width of a reference count entry in bits", default=16),
    )

    amend_options = (
        *(option for option in create_options if option.name in AMENDABLE),
        Option("encrypt.iter-time", "int", "Time to spend in PBKDF in milliseconds"),
        Option("encrypt.keyslot", "int", "Select a single keyslot to modify explicitly"),
        Option("encrypt.new-secret", "text", "New secret to set in the matching keyslots. Empty string to erase"),
        Option("encrypt.old-secret", "text", "Select all keyslots that match this password"),
        Option("encrypt.state", "text", "Select new state of affected keyslots (active/inactive)"),
    )

    def open(self, storage: Storage, context: Context) -> Node:
        from imgtools.formats.qcow2.opening import open_qcow2

        return open_qcow2(storage, context)

    def references(self, storage: Storage) -> Iterable[Reference]:
        from imgtools.formats.qcow2.opening import references

        return references(storage)

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        from imgtools.formats.qcow2.create import create

        create(path, size, options, context)

    def measure(self, source: Node | None, size: int, options: dict[str, Any]) -> Measure:
        from imgtools.formats.qcow2.measure import measure

        return measure(source, size, options)


FORMAT = Qcow2()
