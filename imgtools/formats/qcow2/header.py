"""qcow2's header: features, extensions, and the name of the backing file. All of it lies in the first cluster.

Specification: QEMU's docs/interop/qcow2, "Header", "Header extensions", "Feature name table".

Unknown incompatible features are refused by name. Unknown compatible and autoclear features and unknown
extensions are kept as they are when the header is rewritten (autoclear bits are cleared by the first write).
"""

from __future__ import annotations

from imgtools.align import round_up
from imgtools.errors import InvalidFormat, OutOfBounds, UnsupportedFeature
from imgtools.formats.qcow2.records import (
    BITMAPS_EXTENSION,
    EXTENSION,
    FEATURE_NAME,
    HEADER_FULL,
    HEADER_V2,
    HEADER_V3,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.node import Storage

MAGIC = b"QFI\xfb"

DIRTY, CORRUPT, DATA_FILE, COMPRESSION_TYPE, EXTENDED_L2 = (1 << bit for bit in range(5))
LAZY_REFCOUNTS = 1
BITMAPS_CONSISTENT, RAW_DATA_FILE = 1, 2
KNOWN_INCOMPATIBLE = DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2
KNOWN_AUTOCLEAR = BITMAPS_CONSISTENT | RAW_DATA_FILE

FEATURE_NAMES = (
    (0, 0, b"dirty bit"),
    (0, 1, b"corrupt bit"),
    (0, 2, b"external data file"),
    (0, 3, b"compression type"),
    (0, 4, b"extended L2 entries"),
    (1, 0, b"lazy refcounts"),
    (2, 0, b"bitmaps"),
    (2, 1, b"raw external data"),
)
"""(kind, bit, name); kinds are 0 incompatible, 1 compatible, 2 autoclear."""

MAX_CLUSTER_WITHOUT_NAMES = 4096
"""Up to this size the names are left out, as QEMU does: the longest backing file name would not fit beside them."""

END, BACKING_FORMAT, FEATURE_TABLE = 0, 0xE2792ACA, 0x6803F857
BITMAPS, LUKS_HEADER, DATA_FILE_NAME = 0x23852875, 0x0537BE77, 0x44415441

NO_ENCRYPTION, AES, LUKS = 0, 1, 2
COMPRESSION_NAMES = ("zlib", "zstd")

MIN_CLUSTER_BITS, MAX_CLUSTER_BITS = 9, 21
MIN_EXTENDED_CLUSTER_BITS = 14
"""With extended L2 entries: a subcluster, a 32nd of a cluster, then is at least a sector."""
MAX_BACKING_NAME = 1023
"""What the specification allows; also what a path may be."""
MAX_L1_BYTES = 32 << 20
"""QEMU's limit: enough for 2 EiB at 2 MiB clusters, little enough to read at once."""
MAX_REFCOUNT_TABLE_BYTES = 8 << 20
MAX_SNAPSHOTS = 65536


class Header:
    """The header of one image, as values; `parse` checks every field that something else relies on."""

    def __init__(self, version: int, cluster_bits: int, size: int) -> None:
        self.version = version
        self.cluster_bits = cluster_bits
        self.size = size
        self.crypt_method = NO_ENCRYPTION
        self.l1_size = 0
        self.l1_table_offset = 0
        self.refcount_table_offset = 0
        self.refcount_table_clusters = 0
        self.nb_snapshots = 0
        self.snapshots_offset = 0
        self.incompatible = 0
        self.compatible = 0
        self.autoclear = 0
        self.refcount_order = 4
        self.compression_type = 0
        self.backing_name: bytes | None = None
        self.extensions: list[tuple[int, bytes]] = []
        """(type, content) of all but the feature table, in the order in which they stand."""
        self.feature_table = b""
        """The image's own names of feature bits."""
        self.unknown_fields = b""
        """What a longer header than ours holds behind the fields that are known."""

    @property
    def cluster_size(self) -> int:
        return 1 << self.cluster_bits

    @property
    def entry_bits(self) -> int:
        """log2 of the bytes of an L2 entry."""
        return 4 if self.incompatible & EXTENDED_L2 else 3

    @property
    def span_bits(self) -> int:
        """log2 of the guest bytes that one L2 table covers."""
        return 2 * self.cluster_bits - self.entry_bits

    @property
    def backing_format(self) -> str | None:
        content = self.extension(BACKING_FORMAT)
        return None if content is None else content.decode(errors="replace")

    def extension(self, kind: int) -> bytes | None:
        """The content of the extension of that type."""
        return next((content for type_, content in self.extensions if type_ == kind), None)

    def set_extension(self, kind: int, content: bytes | None) -> None:
        """Replace, add or (None) remove an extension."""
        self.extensions = [item for item in self.extensions if item[0] != kind]
        if content is not None:
            self.extensions.append((kind, content))

    def build(self, *, names: bool = True) -> bytes:
        """The header as it stands in the file, padded with nothing: shorter than a cluster, or OutOfBounds.

        `names` may leave the names of the features out.
        """
        fields = {name: getattr(self, name) for name in HEADER_V2.fields if hasattr(self, name)}
        fields["magic"] = MAGIC
        content = self._build_extensions(names)
        length = HEADER_V2.size
        if self.version >= 3:
            length = HEADER_FULL.size + len(self.unknown_fields)
            fields |= {
                "incompatible_features": self.incompatible,
                "compatible_features": self.compatible,
                "autoclear_features": self.autoclear,
                "refcount_order": self.refcount_order,
                "header_length": length,
                "compression_type": self.compression_type,
            }
        if self.backing_name is not None:
            fields["backing_file_offset"] = length + len(content)
            fields["backing_file_size"] = len(self.backing_name)
            content += self.backing_name
        record = HEADER_FULL if self.version >= 3 else HEADER_V2
        header = record.build(**fields) + self.unknown_fields + content
        if len(header) > self.cluster_size:
            raise OutOfBounds(
                f"the header does not fit a cluster of {self.cluster_size} bytes",
                structure="header",
                hint="Use a shorter backing file name or larger clusters.",
            )
        return header

    def _build_extensions(self, with_names: bool) -> bytes:
        """Extensions in QEMU's order: format of the backing file, data file, encryption, names, bitmaps, others."""
        order = (BACKING_FORMAT, DATA_FILE_NAME, LUKS_HEADER)
        items = [item for kind in order for item in self.extensions if item[0] == kind]
        if with_names and self.version >= 3 and self.cluster_size > MAX_CLUSTER_WITHOUT_NAMES:
            names = b"".join(FEATURE_NAME.build(kind=k, bit=b, name=n) for k, b, n in FEATURE_NAMES)
            items.append((FEATURE_TABLE, names))
        items += [item for item in self.extensions if item[0] not in order]
        built = b"".join(
            EXTENSION.build(type=kind, length=len(content)) + content + bytes(-len(content) % 8)
            for kind, content in items
        )
        return built + EXTENSION.build(type=END, length=0)


def parse(storage: Storage) -> Header:
    """The header of the image in `storage`. Raises InvalidFormat, OutOfBounds or UnsupportedFeature."""
    path = storage.filename
    head = storage.read_whole(0, HEADER_FULL.size)  # a file reads as zeroes past its end
    fields = HEADER_V2.parse(head)
    if fields.magic != MAGIC:
        raise _invalid(path, "Image is not in qcow2 format", 0)
    if fields.version not in (2, 3):
        raise UnsupportedFeature(f"Unsupported qcow2 version {fields.version}", path=path, offset=4, structure="header")
    if not MIN_CLUSTER_BITS <= fields.cluster_bits <= MAX_CLUSTER_BITS:
        raise _invalid(path, f"Unsupported cluster size: 2^{fields.cluster_bits}", 20)
    header = Header(fields.version, fields.cluster_bits, fields.size)
    for name in HEADER_V2.fields:
        if hasattr(header, name):
            setattr(header, name, getattr(fields, name))
    length = HEADER_V2.size
    if header.version >= 3:
        length = _parse_version_3(header, head, storage)
    _parse_tail(header, storage, length, fields.backing_file_offset, fields.backing_file_size)
    _check_features(header, path)
    _check_limits(header, path)
    return header


def _parse_version_3(header: Header, head: bytes, storage: Storage) -> int:
    path = storage.filename
    fields = HEADER_V3.parse(head)
    if fields.header_length < HEADER_V3.size:
        raise _invalid(path, "qcow2 header too short", 100)
    if fields.header_length > header.cluster_size:
        raise _invalid(path, "qcow2 header exceeds cluster size", 100)
    if fields.refcount_order > 6:
        raise _invalid(path, "Reference count entry width too large; may not exceed 64 bits", 96)
    header.incompatible = fields.incompatible_features
    header.compatible = fields.compatible_features
    header.autoclear = fields.autoclear_features
    header.refcount_order = fields.refcount_order
    if fields.header_length > HEADER_V3.size:
        header.compression_type = head[HEADER_V3.size]
    if fields.header_length > HEADER_FULL.size:
        header.unknown_fields = storage.read(HEADER_FULL.size, fields.header_length - HEADER_FULL.size)
    return int(fields.header_length)


def _parse_tail(header: Header, storage: Storage, start: int, name_offset: int, name_size: int) -> None:
    """The extensions and the backing file's name, which must lie in the first cluster: a guest writes the others."""
    path = storage.filename
    if name_offset > header.cluster_size:
        raise _invalid(path, "Invalid backing file offset", 8)
    cluster = storage.read(0, header.cluster_size)
    end = name_offset or header.cluster_size
    while start + EXTENSION.size <= min(end, len(cluster)):
        extension = EXTENSION.parse(cluster, start)
        start += EXTENSION.size
        if extension.type == END:
            break
        if extension.length > end - start:
            raise _invalid(path, "Header extension too large", start - EXTENSION.size)
        content = cluster[start : start + extension.length]
        if extension.type == FEATURE_TABLE:
            header.feature_table = content
        else:
            header.extensions.append((extension.type, content))
        start += round_up(extension.length, 8)
    if name_offset:
        if name_size > min(MAX_BACKING_NAME, header.cluster_size - name_offset):
            raise _invalid(path, "Backing file name too long", 16)
        header.backing_name = cluster[name_offset : name_offset + name_size]


def _check_features(header: Header, path: str) -> None:
    unknown = header.incompatible & ~KNOWN_INCOMPATIBLE
    if unknown:
        raise UnsupportedFeature(
            f"Unsupported qcow2 feature(s): {', '.join(_feature_names(header, unknown))}",
            path=path,
            offset=HEADER_V3.offset_of("incompatible_features"),
            structure="header",
            hint="The image was written by newer software; this one could only damage it.",
        )
    if header.compression_type >= len(COMPRESSION_NAMES):
        raise UnsupportedFeature(
            f"qcow2: unknown compression type: {header.compression_type}", path=path, offset=104, structure="header"
        )
    if bool(header.incompatible & COMPRESSION_TYPE) != (header.compression_type != 0):
        needed = "must be set" if header.compression_type else "must not be set"
        raise _invalid(path, f"qcow2: Compression type incompatible feature bit {needed}", 72)
    if header.incompatible & EXTENDED_L2 and header.cluster_bits < MIN_EXTENDED_CLUSTER_BITS:
        raise _invalid(path, "Extended L2 entries need clusters of at least 16384 bytes", 20)
    if header.crypt_method > LUKS:
        raise _invalid(path, f"Unsupported encryption method {header.crypt_method}", 32)


def _feature_names(header: Header, bits: int) -> list[str]:
    """Names of incompatible feature bits, from the image's own table where it has one."""
    table = header.feature_table
    names = {}
    for start in range(0, len(table) - FEATURE_NAME.size + 1, FEATURE_NAME.size):
        entry = FEATURE_NAME.parse(table, start)
        if entry.kind == 0:
            names[entry.bit] = "".join(
                character if character.isprintable() else "?"
                for character in entry.name.rstrip(b"\0").decode(errors="replace")
            )
    unnamed = sum(1 << bit for bit in range(64) if bits >> bit & 1 and not names.get(bit))
    found = [names[bit] for bit in range(64) if bits >> bit & 1 and names.get(bit)]
    return found + ([f"Unknown incompatible feature: {unnamed:x}"] if unnamed else [])


def _check_limits(header: Header, path: str) -> None:
    size = header.cluster_size
    if not header.refcount_table_clusters:
        raise _invalid(path, "Image does not contain a reference count table", 56)
    table_bytes = header.refcount_table_clusters * size
    _check_table(
        path, "Reference count table", header.refcount_table_offset, table_bytes, size, MAX_REFCOUNT_TABLE_BYTES, 48
    )
    if header.nb_snapshots > MAX_SNAPSHOTS:
        raise _too_large(path, "Snapshot table", 60)
    _check_table(path, "Snapshot table", header.snapshots_offset, header.nb_snapshots * 40, size, 64 << 20, 64)
    l1_bytes = header.l1_size * 8
    _check_table(path, "Active L1 table", header.l1_table_offset, l1_bytes, size, MAX_L1_BYTES, 40)
    if header.size >= 1 << 63:
        raise OutOfBounds("Image is too big", path=path, offset=24, structure="header")
    if header.l1_size < -(-header.size >> header.span_bits):
        raise _invalid(path, "L1 table is too small", 36)
    bitmaps = header.extension(BITMAPS)
    if bitmaps is not None and len(bitmaps) < BITMAPS_EXTENSION.size:
        raise _invalid(path, "bitmaps_ext: Invalid extension length", None)


def _check_table(path: str, name: str, offset: int, length: int, cluster: int, limit: int, field: int) -> None:
    if length > limit:
        raise _too_large(path, name, field)
    if length and (offset % cluster or offset + length >= 1 << 63):
        raise _invalid(path, f"{name} offset invalid", field)


def _too_large(path: str, name: str, field: int) -> OutOfBounds:
    return OutOfBounds(f"{name} too large", path=path, offset=field, structure="header")


def _invalid(path: str, message: str, offset: int | None) -> InvalidFormat:
    return InvalidFormat(message, path=path, offset=offset, structure="header")
