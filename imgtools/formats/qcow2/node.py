"""A qcow2 image as a disk: reading. Opening is in `opening`, writing in `write`, checking in `check`.

header   features, limits, names                mapping   guest offset -> what lies there
refcount who uses which cluster; allocation     overlap   what guest data must never hit
metadata tables, and writing them back          placement where guest data goes
"""

from __future__ import annotations

from _thread import RLock

from imgtools.align import round_up
from imgtools.block.extent import DATA, HOLE, ZERO, Extent
from imgtools.block.format import (
    Amendable,
    Bitmaps,
    Checkable,
    Compressing,
    Emptiable,
    Rebasable,
    Resizable,
    Snapshots,
)
from imgtools.block.node import Layer, cut, fill_zero
from imgtools.errors import BadOption
from imgtools.formats.qcow2 import header as head
from imgtools.formats.qcow2.events import EventfulData
from imgtools.formats.qcow2.extents import layer_columns, layer_extents
from imgtools.formats.qcow2.mapping import COPIED, OFFSET_MASK, ZERO_FLAG, make_mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from imgtools.block.cached import CachedReader
    from imgtools.block.extent import Columns
    from imgtools.block.format import CheckResult, Finding
    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Storage
    from imgtools.crypto.luks.volume import Volume
    from imgtools.formats.qcow2.bitmap import Bitmap
    from imgtools.formats.qcow2.bitmaps import BitmapStore
    from imgtools.formats.qcow2.encryption import EncryptedClusters
    from imgtools.formats.qcow2.header import Header
    from imgtools.formats.qcow2.snapshot import Snapshot
    from imgtools.formats.qcow2.streams import Piece, Streams
    from imgtools.formats.qcow2.write import Writer


class Qcow2Node(Layer, Amendable, Checkable, Resizable, Emptiable, Rebasable, Compressing, Snapshots, Bitmaps):
    """An open qcow2 image. `context.checking` lets images pass that may only be checked."""

    driver = "qcow2"

    def __init__(self, storage: Storage, header: Header, context: Context) -> None:
        super().__init__(storage.filename, header.size, read_only=not context.writable)
        self.storage = storage
        self.children["file"] = storage
        self.header = header
        self.lock = RLock()
        self.mapping = make_mapping(storage, header, self.lock)
        self.data: Storage = EventfulData(storage) if storage.listens else storage
        """Where guest data lies: the image itself, or its external data file."""
        self.cluster_size: int | None = header.cluster_size
        self.encrypted = header.crypt_method != head.NO_ENCRYPTION
        self.clusters: EncryptedClusters | None = None
        """What guest data goes through where it is encrypted; None, too, as long as the key is not known."""
        self.volume: Volume | None = None
        """The LUKS volume whose key encrypts the image."""
        self.backing_name = (
            None if header.backing_name is None else header.backing_name.decode(errors="surrogateescape")
        )
        self.backing_format = header.backing_format
        self.compression_unit = header.cluster_size
        self.compression = head.COMPRESSION_NAMES[header.compression_type]
        self.pass_discard = True
        """Whether the file's space is given back when clusters become free."""
        self.lazy_refcounts = False
        """Whether reference counts are written when the image is closed, which is marked dirty until then."""
        self.unguarded: frozenset[str] = frozenset()
        """The structures whose clusters a stray write may hit (see `overlap`): none but on request."""
        self.max_refcount_blocks: int | None = None
        """How many refcount blocks to hold, where that was asked for."""
        self.context = context
        self._bits = header.cluster_bits
        self._low = header.cluster_size - 1
        self._index_mask = self.mapping.entries - 1
        self.not_offset = ~(OFFSET_MASK & ~self._low) & ((1 << 64) - 1)
        """The bits of an entry that are no aligned offset: just COPIED is set of them where data may be written."""
        if header.incompatible & head.EXTENDED_L2 or self.encrypted:
            self.not_offset = (1 << 64) - 1  # an entry alone never says that its cluster is plain data all over
        self._streams: Streams | None = None
        self._writer: Writer | None = None
        self._bitmaps: BitmapStore | None = None
        self.can_have_bitmaps = header.version >= 3
        self.recording: tuple[Bitmap, ...] = ()
        """The bitmaps that are told of every write."""
        self._snapshots: list[Snapshot] | None = None
        self.loaded_snapshot: Snapshot | None = None
        """The snapshot that a node shows which is only read; None for the active disk."""
        self._metadata_preallocated: bool | None = None

    # Facts.

    @property
    def dirty(self) -> bool:
        return bool(self.header.incompatible & head.DIRTY)

    @property
    def corrupt(self) -> bool:
        return bool(self.header.incompatible & head.CORRUPT)

    @property
    def raw_data_file(self) -> bool:
        """Whether the external data file is kept equal to what the guest reads."""
        return self.mapping.external and bool(self.header.autoclear & head.RAW_DATA_FILE)

    @property
    def snapshots(self) -> list[Snapshot]:
        """The internal snapshots, read when first asked for."""
        if self._snapshots is None:
            from imgtools.formats.qcow2.snapshot import read_snapshots

            self._snapshots = read_snapshots(self.storage, self.header) if self.header.nb_snapshots else []
        return self._snapshots

    @snapshots.setter
    def snapshots(self, snapshots: list[Snapshot]) -> None:
        self._snapshots = snapshots

    def details(self) -> dict[str, Any]:
        from imgtools.formats.qcow2.details import details

        return details(self)

    def limits(self) -> dict[str, int]:
        from imgtools.formats.qcow2.details import limits

        return super().limits() | limits(self)

    # Reading.

    def readinto(self, offset: int, buffer: memoryview) -> None:
        length = len(buffer)
        within = offset & self._low
        if within + length <= self._low + 1 and 0 <= offset <= self.size - length:
            table = self.mapping.tables.get(offset >> self.mapping.span_bits)
            if table is not None:
                entry = table[(offset >> self._bits) & self._index_mask]
                if entry & self.not_offset == COPIED and entry != COPIED:
                    self.data.readinto(entry - COPIED + within, buffer)
                    return
        self.check_range(offset, length)
        self._read_runs(offset, buffer)

    def readv(self, offset: int, length: int, pieces: list[memoryview]) -> None:
        self.check_range(offset, length)
        runs = list(self.mapping.runs(offset, offset + length))
        if self.encrypted or any(kind not in (DATA, HOLE) for _, _, kind, _ in runs):
            super().readv(offset, length, pieces)
            return
        for start, stop, kind, host in runs:
            part, pieces = cut(pieces, stop - start) if stop - start < length else (pieces, [])
            if kind == DATA:
                self.data.readv(host, stop - start, part)
            else:
                if self.backing is not None:
                    self.storage.event("read_backing_aio")
                self.readv_below(start, stop - start, part)

    def cached_reader(self) -> CachedReader:
        from imgtools.formats.qcow2.cached import cached_reader

        return cached_reader(self)

    def _read_runs(self, offset: int, buffer: memoryview) -> None:
        end = offset + len(buffer)
        packed: list[Piece] = []
        for start, stop, kind, host in self.mapping.runs(offset, end):
            piece = buffer[start - offset : stop - offset]
            if kind == DATA:
                self.read_data(host, start, piece)
            elif kind == HOLE:
                if self.backing is not None:
                    self.storage.event("read_backing_aio")
                self.read_below(start, piece)
            elif kind == ZERO:
                fill_zero(piece)
            else:
                packed.append((start, piece, host & ~COPIED))
        if packed:
            self._read_packed(packed)

    def read_data(self, host: int, guest: int, buffer: memoryview) -> None:
        """Fill `buffer` with guest data that lies at `host`, and where the guest has it."""
        if self.clusters is not None:
            self.clusters.readinto(host, guest, buffer)
        elif self.encrypted:
            raise BadOption("Parameter 'encrypt.key-secret' is required for cipher", path=self.filename)
        else:
            self.data.readinto(host, buffer)

    def _read_packed(self, pieces: list[Piece]) -> None:
        if self._streams is None:
            from imgtools.formats.qcow2.streams import Streams

            self._streams = Streams(self.storage, self._bits, self.compression)
        self._streams.readinto(pieces)

    def layer_extents(self, offset: int, length: int) -> Iterator[Extent]:
        self.check_range(offset, length)
        return layer_extents(self, offset, length)

    def columns(self, offset: int, length: int) -> Iterator[Extent | Columns]:
        if self.backing is not None:
            return self.extents(offset, length)
        self.check_range(offset, length)
        return layer_columns(self, offset, length)

    def prefetch(self, offset: int, length: int) -> None:
        for start, stop, kind, host in self.mapping.runs(offset, offset + length):
            if kind == DATA:
                self.data.prefetch(host, stop - start)

    # Writing.

    @property
    def writer(self) -> Writer:
        """What writes to this image; raises where it may not be written."""
        if self._writer is None:
            if self.read_only:
                self.refuse_write()
            with self.lock:
                if self.has_bitmaps and not self.context.checking:
                    self.bitmaps.use()
                if self._writer is None:
                    from imgtools.formats.qcow2.write import make_writer

                    self._writer = make_writer(self)
        return self._writer

    def write(self, offset: int, data: Buffer) -> None:
        writer = self._writer or self.writer
        if self.recording:
            self._record(offset, len(data))
        within, length = offset & self._low, len(data)
        if 0 < length <= self._low + 1 - within and 0 <= offset <= self.size - length:
            writer.write_small(offset, data)
            return
        self.check_range(offset, length)
        writer.write(offset, memoryview(data).cast("B"))

    def _record(self, offset: int, length: int) -> None:
        """Check a range that is about to be changed, and mark it in the bitmaps that are to know."""
        self.check_range(offset, length)
        with self.lock:
            self.writer  # noqa: B018 - the first change brings the bitmaps into use
            for bitmap in self.recording:
                bitmap.mark(offset, length)

    def zero(self, offset: int, length: int, *, unmap: bool = True) -> None:
        self._record(offset, length)
        self.writer.zero(offset, length, unmap)

    def discard(self, offset: int, length: int) -> None:
        self._record(offset, length)
        self.writer.discard(offset, length)

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()
        elif not self.read_only:
            self.storage.flush()

    def compressor(self, level: int | None = None) -> Callable[[Buffer], bytes | None]:
        from imgtools.formats.qcow2.compression import compressor

        return compressor(self, level)

    def write_compressed(self, offset: int, length: int, stream: bytes) -> None:
        self._record(offset, length)
        self.writer.write_compressed(offset, stream)

    def amend(
        self,
        options: dict[str, Any],
        progress: Callable[[int, int], None] = lambda done, total: None,
        *,
        force: bool = False,
    ) -> None:
        from imgtools.formats.qcow2.amend import amend

        with self.lock:
            amend(self, options, progress, force=force)

    def renew(self, header: Header) -> None:
        """Go on with another header, which has just been written; all else is on disk, too."""
        vars(self.header).update(vars(header))
        self.mapping.zero_flag = ZERO_FLAG if header.version >= 3 and self.mapping.has_zero_flag else 0
        self.lazy_refcounts = bool(header.compatible & head.LAZY_REFCOUNTS)
        self._writer = None
        if self._bitmaps is not None:
            self.writer  # noqa: B018 - bitmaps in use are saved by a writer

    def resize(self, size: int, preallocation: str = "off") -> None:
        from imgtools.formats.qcow2.resize import resize

        resize(self, size, preallocation)

    # Its place in a chain.

    def make_empty(self) -> None:
        from imgtools.formats.qcow2.resize import make_empty

        make_empty(self)

    def change_backing(self, name: str | None, format: str | None) -> None:
        from imgtools.formats.qcow2.backing import change_backing

        with self.lock:
            change_backing(self, name, format)

    # Persistent bitmaps.

    @property
    def has_bitmaps(self) -> bool:
        """Whether the image has persistent bitmaps, and the last writer knew of them."""
        consistent = bool(self.header.autoclear & head.BITMAPS_CONSISTENT)
        return self._bitmaps is not None or (consistent and self.header.extension(head.BITMAPS) is not None)

    @property
    def bitmaps(self) -> BitmapStore:
        if self._bitmaps is None:
            from imgtools.formats.qcow2.bitmaps import BitmapStore

            self._bitmaps = BitmapStore(self)
        return self._bitmaps

    # Internal snapshots, and the machine's state that they keep.

    def create_snapshot(
        self, name: str, *, vm_state_size: int = 0, vm_clock: int = 0, icount: int = 0, date: int | None = None
    ) -> Snapshot:
        from imgtools.formats.qcow2 import snapshots

        return snapshots.create(self, name, vm_state_size=vm_state_size, vm_clock=vm_clock, icount=icount, date=date)

    def apply_snapshot(self, snapshot: str | Snapshot) -> None:
        from imgtools.formats.qcow2 import snapshots

        snapshots.apply(self, snapshot)

    def delete_snapshot(self, snapshot: str | Snapshot) -> None:
        from imgtools.formats.qcow2 import snapshots

        snapshots.delete(self, snapshot)

    def load_snapshot(self, snapshot: str | Snapshot) -> None:
        from imgtools.formats.qcow2 import snapshots

        snapshots.load(self, snapshots.find(self, snapshot))

    @property
    def vm_state_offset(self) -> int:
        """Where the machine's state lies, behind the disk: with the first L2 table that the disk does not use."""
        return round_up(self.size, 1 << self.mapping.span_bits)

    def read_vmstate(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the machine's state from `offset` on; zeroes where nothing was written."""
        from imgtools.formats.qcow2.vmstate import read_vmstate

        read_vmstate(self, offset, buffer)

    def write_vmstate(self, offset: int, data: Buffer) -> None:
        """Store a piece of the machine's state, to be kept by the next snapshot."""
        from imgtools.formats.qcow2.vmstate import write_vmstate

        write_vmstate(self, offset, memoryview(data).cast("B"))

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        from imgtools.formats.qcow2.check import check

        if self._writer is not None and not self._writer.failed:
            self._writer.settle()
        return check(self, report, repair)

    def forget_decompressed(self) -> None:
        """Streams have been freed: what their entries stood for may change."""
        if self._streams is not None:
            self._streams.forget()

    @property
    def metadata_preallocated(self) -> bool:
        """Whether clusters are mapped that the file has no space for yet: then its holes are zeroes of the disk."""
        if self._metadata_preallocated is None:
            from imgtools.formats.qcow2.refcount import Refcounts

            with self.lock:
                refcounts = self._writer.refcounts if self._writer else Refcounts(self.storage, self.header)
                self._metadata_preallocated = refcounts.exceed_the_file()
        return self._metadata_preallocated

    def close(self) -> None:
        try:
            if self._writer is not None:
                if self._bitmaps is not None and not self._writer.failed:
                    self._bitmaps.save(self._writer)
                self._writer.finish()
                self._writer = None
        finally:
            super().close()
