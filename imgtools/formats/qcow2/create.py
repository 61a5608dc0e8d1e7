"""Making a new qcow2 image, laid out as QEMU lays it out: header, refcount table, refcount block, L1 table.

Because the first clusters are fixed, an image is begun as one without a disk and then grown to its size by the
same code that resizes images.
"""

from __future__ import annotations

from array import array

from imgtools.align import is_power_of_two, round_up
from imgtools.block.gate import combine, has_protocol
from imgtools.block.registry import find_driver
from imgtools.errors import BadOption, OutOfBounds
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.header import Header
from imgtools.formats.qcow2.lanes import CountCodec
from imgtools.formats.qcow2.mapping import to_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Storage

VERSIONS = {"0.10": 2, "v2": 2, "1.1": 3, "v3": 3}
SECTOR = 512
DEFAULT_CLUSTER_SIZE = 65536


def create(path: str, size: int, options: dict[str, Any], context: Context) -> None:
    """Write a new image of `size` bytes to `path`; an image that is there is overwritten once all is checked."""
    header = new_header(round_up(size, SECTOR), options)
    preallocation = options.get("preallocation") or "off"
    if header.backing_name and preallocation != "off" and not header.incompatible & head.EXTENDED_L2:
        raise BadOption("Backing file and preallocation can only be used at the same time if extended_l2 is on")
    final_size, header.size = header.size, 0
    header.build()  # raises where names are too long, before the file is touched
    encryption = None
    if header.crypt_method != head.NO_ENCRYPTION:
        from imgtools.formats.qcow2.encryption import NewEncryption

        encryption = NewEncryption(header, options, context)
    data = _create_data_file(path, options.get("data_file"), context)
    storage = context.create_storage(path)
    try:
        _write_empty(storage, header)
        from imgtools.formats.qcow2.node import Qcow2Node

        context.writable = True
        node = Qcow2Node(storage, head.parse(storage), context)
        if data is not None:
            node.data = node.children["data-file"] = data
        node.pass_discard = False
        node.writer.refcounts.free_index = 3
        node.resize(final_size, preallocation)
        if encryption is not None:
            encryption.write(node)
        node.close()
    finally:
        storage.close()
        if data is not None:
            data.close()


def _create_data_file(path: str, name: str | None, context: Context) -> Storage | None:
    """The empty data file, where the image at `path` will look for one of that name."""
    if name is None:
        return None
    if has_protocol(name):
        raise BadOption(f"Unknown protocol '{name.partition(':')[0]}'")
    if not name:
        raise BadOption("Could not create '': No such file or directory")
    return context.create_storage(combine(path, name))


def new_header(size: int, options: dict[str, Any]) -> Header:
    """The header that the options ask for; raises BadOption for what does not go together."""
    compat = options.get("compat") or "1.1"
    if compat not in VERSIONS:
        raise BadOption(f"Invalid parameter '{compat}'", hint="compat is one of: 0.10, v2, 1.1, v3.")
    version = VERSIONS[compat]
    header = Header(version, cluster_size_of(options).bit_length() - 1, size)
    refcount_bits = 16 if options.get("refcount_bits") is None else options["refcount_bits"]
    if not is_power_of_two(refcount_bits) or refcount_bits > 64:
        raise BadOption("Refcount width must be a power of two and may not exceed 64 bits")
    header.refcount_order = refcount_bits.bit_length() - 1
    if version < 3:
        _refuse_version_3_features(header, options)
    if options.get("lazy_refcounts"):
        header.compatible |= head.LAZY_REFCOUNTS
    _set_data_file(header, options)
    if options.get("extended_l2"):
        if header.cluster_bits < head.MIN_EXTENDED_CLUSTER_BITS:
            raise BadOption(
                "Extended L2 entries are only supported with cluster sizes of at least "
                f"{1 << head.MIN_EXTENDED_CLUSTER_BITS} bytes"
            )
        header.incompatible |= head.EXTENDED_L2
    if options.get("compression_type") == "zstd":
        header.compression_type = head.COMPRESSION_NAMES.index("zstd")
        header.incompatible |= head.COMPRESSION_TYPE
    if any(options.get(name) is not None for name in options if name.startswith("encrypt")):
        from imgtools.formats.qcow2.encryption import choose

        choose(header, options)
    backing_name = options.get("backing_file")
    if backing_name:
        header.backing_name = backing_name.encode(errors="surrogateescape")
        if len(header.backing_name) > head.MAX_BACKING_NAME:
            raise BadOption("Backing file name too long", hint=f"At most {head.MAX_BACKING_NAME} bytes fit.")
        if options.get("backing_fmt"):
            _check_backing_format(options["backing_fmt"])
            header.set_extension(head.BACKING_FORMAT, options["backing_fmt"].encode())
    _check_size(header)
    return header


def _set_data_file(header: Header, options: dict[str, Any]) -> None:
    name, raw = options.get("data_file"), options.get("data_file_raw")
    if raw and name is None:
        raise BadOption("data-file-raw requires data-file")
    if raw and options.get("backing_file"):
        raise BadOption("Backing file and data-file-raw cannot be used at the same time")
    if name is not None:
        header.incompatible |= head.DATA_FILE
        header.set_extension(head.DATA_FILE_NAME, name.encode(errors="surrogateescape"))
    if raw:
        header.autoclear |= head.RAW_DATA_FILE


def _check_backing_format(name: str) -> None:
    try:
        find_driver(name)
    except BadOption as error:
        error.message = f"Parameter 'backing-fmt' does not accept value '{name}'"
        raise


def cluster_size_of(options: dict[str, Any]) -> int:
    """The size of clusters that the options ask for; raises BadOption where they may not be of that many bytes."""
    size: int = DEFAULT_CLUSTER_SIZE if options.get("cluster_size") is None else options["cluster_size"]
    if not is_power_of_two(size) or not 1 << head.MIN_CLUSTER_BITS <= size <= 1 << head.MAX_CLUSTER_BITS:
        raise BadOption("Cluster size must be a power of two between 512 and 2048k")
    return size


def _refuse_version_3_features(header: Header, options: dict[str, Any]) -> None:
    if options.get("lazy_refcounts"):
        raise BadOption(
            "Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)"
        )
    if options.get("data_file") is not None:
        raise BadOption(
            "External data files are only supported with compatibility level 1.1 and above (use version=v3 or greater)"
        )
    if options.get("extended_l2"):
        raise BadOption(
            "Extended L2 entries are only supported with compatibility level 1.1 and above (use version=v3 or greater)"
        )
    if header.refcount_order != 4:
        raise BadOption(
            "Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or "
            "greater)"
        )
    if options.get("compression_type") not in (None, "zlib"):
        raise BadOption(
            "Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or "
            "greater)"
        )


def _check_size(header: Header) -> None:
    entries = -(-header.size >> header.span_bits)
    if entries * 8 > head.MAX_L1_BYTES:
        raise OutOfBounds(
            "Could not resize image: Image size too big for the L1 table",
            hint=f"With clusters of {header.cluster_size} bytes a disk can have "
            f"{(head.MAX_L1_BYTES // 8) << header.span_bits} bytes; use a larger cluster_size.",
        )


def _write_empty(storage: Storage, header: Header) -> None:
    """An image without a disk: header in cluster 0, refcount table in 1, its first block in 2."""
    size = header.cluster_size
    header.refcount_table_offset = size
    header.refcount_table_clusters = 1
    counts = CountCodec(1 << header.refcount_order)
    block = array(counts.typecode, [0]) * (size * 8 >> header.refcount_order)
    block[0:3] = array(counts.typecode, [1, 1, 1])
    table = array("Q", bytes(size))
    table[0] = 2 * size
    built = header.build()
    storage.write(0, built.ljust(size, b"\0") + to_disk(table) + counts.encode(block))
