"""Compressed clusters.

Specification: qcow2, "Compressed clusters". The entry holds the byte offset of the stream and how many further
512-byte sectors it touches; a stream may share its sectors and clusters with its neighbours. Version "zlib" is raw
deflate whose window must not exceed 4 KiB when written; "zstd" is one frame.

Deflate is written by isal, several times faster than zlib at a few per cent more bytes; zlib does the levels above 3.
It is read by libdeflate, twice as fast as either: it wants to know the size beforehand, and takes nothing unusual.
"""

from __future__ import annotations

from errno import EOPNOTSUPP

from imgtools.errors import CorruptImage, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from imgtools.block.node import Buffer
    from imgtools.formats.qcow2.node import Qcow2Node

WRITE_WINDOW, READ_WINDOW = -12, -15
"""Raw deflate: QEMU reads no larger window than 4 KiB, others have written up to 32 KiB."""

MAX_ZSTD_WINDOW = 1 << 27
"""What zstd's own tool accepts without being asked."""

DEFAULT_LEVELS = {"zlib": 2, "zstd": 2}
"""Against the levels that QEMU takes: a fifth of the time for text of the same size and executables 9 % larger
(zlib), two thirds of the time for the same size and 2 % more (zstd)."""


class StreamLocator:
    """Where a compressed cluster's stream lies, for one cluster size."""

    def __init__(self, cluster_bits: int) -> None:
        self.shift = 62 - (cluster_bits - 8)
        self.sectors_mask = (1 << (cluster_bits - 8)) - 1
        self.offset_mask = (1 << self.shift) - 1

    def locate(self, entry: int) -> tuple[int, int]:
        """(offset, length) of the bytes that hold the stream of an L2 entry; what follows it may be another's."""
        offset = entry & self.offset_mask
        sectors = ((entry >> self.shift) & self.sectors_mask) + 1
        return offset, sectors * 512 - (offset & 511)

    def entry_for(self, offset: int, length: int) -> int:
        """The L2 entry, without flags, of a stream."""
        return offset | ((offset + length - 1) >> 9) - (offset >> 9) << self.shift


def decompressor(method: str, cluster_size: int) -> Callable[[Buffer], Buffer]:
    """A function that turns a stream (and whatever follows it) into exactly one cluster, or raises CorruptImage."""
    inflate = _inflate(cluster_size) if method == "zlib" else _unzstd(cluster_size)

    def decompress(stream: Buffer) -> Buffer:
        data = inflate(stream)
        if len(data) != cluster_size:
            raise CorruptImage(
                f"a compressed cluster holds {len(data)} bytes instead of {cluster_size}",
                structure="compressed cluster",
            )
        return data

    return decompress


def _inflate(cluster_size: int) -> Callable[[Buffer], Buffer]:
    import deflate

    def inflate(stream: Buffer) -> Buffer:
        try:
            return deflate.deflate_decompress(stream, cluster_size)
        except deflate.DeflateError:
            return _inflate_patiently(stream, cluster_size)

    return inflate


def _inflate_patiently(stream: Buffer, cluster_size: int) -> bytes:
    """The first `cluster_size` bytes of a stream that goes on behind them, or is not ended."""
    from isal import isal_zlib

    failure: Any = isal_zlib.error
    try:
        return bytes(isal_zlib.decompressobj(READ_WINDOW).decompress(stream, cluster_size))
    except failure as error:
        raise CorruptImage(f"a compressed cluster is damaged: {error}", structure="compressed cluster") from error


def _unzstd(cluster_size: int) -> Callable[[Buffer], Buffer]:
    import threading

    import zstandard

    contexts = threading.local()  # a context serves one thread at a time

    def unzstd(stream: Buffer) -> Buffer:
        context = getattr(contexts, "own", None)
        if context is None:
            context = contexts.own = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
        try:
            # Reading as a stream stops at the cluster's size, whatever the frame claims about its own.
            with context.stream_reader(stream) as reader:
                return bytes(reader.read(cluster_size))
        except (zstandard.ZstdError, MemoryError) as error:
            raise CorruptImage(f"a compressed cluster is damaged: {error}", structure="compressed cluster") from error

    return unzstd


def compressor(node: Qcow2Node, level: int | None) -> Callable[[Buffer], bytes | None]:
    """A function, for one thread, that compresses a cluster; None where that would not make it smaller.

    Raises UnsupportedFeature where an image cannot have compressed clusters.
    """
    if node.mapping.external:
        raise UnsupportedFeature(
            "clusters in an external data file cannot be compressed", path=node.filename, errno=EOPNOTSUPP
        )
    if node.encrypted:
        raise UnsupportedFeature("compressed clusters would not be encrypted", path=node.filename, errno=EOPNOTSUPP)
    method, cluster_size = node.compression, node.header.cluster_size
    chosen = DEFAULT_LEVELS[method] if level is None else level
    compress = _deflate(chosen) if method == "zlib" else _zstd(chosen)

    def compress_cluster(data: Buffer) -> bytes | None:
        if len(data) < cluster_size:
            data = bytes(data) + bytes(cluster_size - len(data))
        stream = compress(data)
        return stream if len(stream) < cluster_size else None

    return compress_cluster


def _deflate(level: int) -> Callable[[Buffer], bytes]:
    if level > 3:  # beyond isal's levels, zlib trades time for size
        import zlib

        def deflate(data: Buffer) -> bytes:
            stream = zlib.compressobj(min(level, 9), zlib.DEFLATED, WRITE_WINDOW, 9)
            return stream.compress(data) + stream.flush()

        return deflate
    from isal import isal_zlib

    def fast_deflate(data: Buffer) -> bytes:
        stream = isal_zlib.compressobj(level, isal_zlib.DEFLATED, WRITE_WINDOW)
        return bytes(stream.compress(data)) + bytes(stream.flush())

    return fast_deflate


def _zstd(level: int) -> Callable[[Buffer], bytes]:
    import zstandard

    return zstandard.ZstdCompressor(level=level).compress
