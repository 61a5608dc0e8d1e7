"""What a format is: its visiting card, and the few calls that the rest of the house makes on it.

A format is one object of a subclass of `Format`, named in `registry`. Its class attributes are data (name,
create options); its methods open, create and measure. Everything else is done through the node it opens,
which says by the capability classes below what more it can do.
"""

from __future__ import annotations

from imgtools.block.driver import Driver
from imgtools.block.node import Storage
from imgtools.block.options import Option as Option
from imgtools.errors import UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from imgtools.block.graph import Context
    from imgtools.block.node import Buffer, Node
    from imgtools.block.references import Reference


class Measure:
    """How large a file an image takes: `required` bytes as it is, `fully_allocated` when every byte is used.

    `bitmaps` is what copies of the source's persistent bitmaps would add, where both formats can have them.
    """

    def __init__(self, required: int, fully_allocated: int, bitmaps: int | None = None) -> None:
        self.required = required
        self.fully_allocated = fully_allocated
        self.bitmaps = bitmaps


class Format(Driver):
    """A disk-image format. Subclasses fill in the card and the calls."""

    create_options: tuple[Option, ...] = ()
    """The format's own; those of the file that an image lies in are declared in `operations.create`."""
    amend_options: tuple[Option, ...] = ()
    """What can be changed of an image that is there."""
    supports_compression = False
    structures = ""
    """The module whose STRUCTURES say what lies in an image (see `block.structure`)."""

    def open(self, storage: Storage, context: Context) -> Node:
        """The disk in `storage`. Raises InvalidFormat, UnsupportedFeature or CorruptImage."""
        raise NotImplementedError

    def plain_name(self, options: dict[str, Any], children: dict[str, Node]) -> str | None:
        """The name of the file: its format is guessed again, or named."""
        below = children["file"]
        return below.plain_name if isinstance(below, Storage) and not options else None

    def references(self, storage: Storage) -> Iterable[Reference]:
        """The files that the image in `storage` names, none of them opened. Raises as `open` does."""
        return ()

    def create(self, path: str, size: int, options: dict[str, Any], context: Context) -> None:
        """Make a new image of `size` bytes; `options` hold a value (or None) for each of its and the file's."""
        raise UnsupportedFeature(f"Format driver '{self.name}' does not support image creation")

    def measure(self, source: Node | None, size: int, options: dict[str, Any]) -> Measure:
        """The size of a new image for `source`, or for an empty disk of `size` bytes."""
        raise UnsupportedFeature(f"Format driver '{self.name}' does not support size measurement")

    def option(self, name: str) -> Option | None:
        """The create option of that name."""
        return next((option for option in self.create_options if option.name == name), None)


# Capabilities: what a node may offer beyond the seven verbs. Commands ask with isinstance.


class Finding:
    """One thing that `check` found: its severity ("error" or "leak"), text, and where.

    `repair` is the least repair that mends it ("leaks" or "all"; None: none does). Severity "repair" tells that
    something which was found before is being mended.
    """

    def __init__(
        self, severity: str, message: str, *, structure: str, offset: int | None = None, repair: str | None = None
    ) -> None:
        self.severity = severity
        self.message = message
        self.structure = structure
        self.offset = offset
        self.repair = repair

    def as_dict(self) -> dict[str, Any]:
        """All of it, with JSON-friendly values."""
        return {
            "severity": self.severity,
            "message": self.message,
            "structure": self.structure,
            "offset": self.offset,
            "repair": self.repair,
        }


class CheckResult:
    """The outcome of a check; all sizes in bytes, clusters in the format's own unit."""

    def __init__(self) -> None:
        self.corruptions = 0
        self.leaks = 0
        self.check_errors = 0
        self.corruptions_fixed = 0
        self.leaks_fixed = 0
        self.total_clusters = 0
        self.allocated_clusters = 0
        self.fragmented_clusters = 0
        self.compressed_clusters = 0
        self.image_end_offset: int | None = None


class Checkable:
    """Can verify its own metadata."""

    def check(self, report: Callable[[Finding], None], repair: str | None = None) -> CheckResult:
        """Verify the metadata, telling `report` each finding as it is made. `repair` is None, "leaks" or "all"."""
        raise NotImplementedError


class Amendable:
    """Can change what was chosen when the image was made."""

    def amend(
        self,
        options: dict[str, Any],
        progress: Callable[[int, int], None] = lambda done, total: None,
        *,
        force: bool = False,
    ) -> None:
        """Change the options that are given, of the format's `amend_options`; all or, where it raises, none.

        `progress` is called with (work done, work in all). `force` permits to lose the last key of a disk.
        """
        raise NotImplementedError


class Resizable:
    """Can change its virtual size."""

    def resize(self, size: int, preallocation: str = "off") -> None:
        """Grow or shrink to `size` bytes; new bytes read as zeroes, cut bytes are lost."""
        raise NotImplementedError


class Emptiable:
    """Can forget what it holds itself, so that its whole disk is read from below."""

    def make_empty(self) -> None:
        """Give all space of the disk back; snapshots remain."""
        raise NotImplementedError


class Rebasable:
    """Can name another backing file."""

    def change_backing(self, name: str | None, format: str | None) -> None:
        """Name a backing file and its format, or none. What the image holds is on disk before its name changes."""
        raise NotImplementedError


class Compressing:
    """Can store clusters compressed."""

    compression_unit = 65536
    """Bytes of a compressed write; the last one may be shorter."""

    def compressor(self, level: int | None = None) -> Callable[[Buffer], bytes | None]:
        """A function, for use by one thread, that compresses one unit (None where it would not shrink)."""
        raise NotImplementedError

    def write_compressed(self, offset: int, length: int, stream: bytes) -> None:
        """Store what `compressor` made of the `length` bytes at `offset`, which must be unallocated."""
        raise NotImplementedError


class Snapshots:
    """Can keep states of its disk inside the image.

    A snapshot has an `id` (a number as text, the image's own), a `name`, and the further attributes that
    `operations.info.SnapshotInfo` has. Where one is asked for by a text, it is that of this id, or else the first of
    this name; NotFound is raised where there is none.
    """

    @property
    def snapshots(self) -> Sequence[Any]:
        """The snapshots, in the order of the image's table."""
        raise NotImplementedError

    def create_snapshot(
        self, name: str, *, vm_state_size: int = 0, vm_clock: int = 0, icount: int = 0, date: int | None = None
    ) -> Any:
        """Keep the disk as it is now; the new snapshot. Names need not be unique.

        `vm_state_size` bytes of the machine's state, written before, go with it; `vm_clock` is the machine's time in
        nanoseconds, `icount` how many instructions it has executed, `date` nanoseconds since 1970 (None: now).
        """
        raise NotImplementedError

    def apply_snapshot(self, snapshot: Any) -> None:
        """Make the disk, its size too, what it was; what was written since is lost, the snapshot remains."""
        raise NotImplementedError

    def delete_snapshot(self, snapshot: Any) -> None:
        """Forget a snapshot, and give back the space that only it has used."""
        raise NotImplementedError

    def load_snapshot(self, snapshot: Any) -> None:
        """Let a node that is open read-only show the disk as the snapshot has it."""
        raise NotImplementedError

    def read_vmstate(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the machine's state from `offset` on; zeroes where nothing was written."""
        raise NotImplementedError

    def write_vmstate(self, offset: int, data: Buffer) -> None:
        """Store a piece of the machine's state, to be kept by the next snapshot."""
        raise NotImplementedError


class BitmapCollection:
    """The persistent bitmaps of a disk: iterates over them, has them by name (NotFound where there is none).

    A bitmap has a `name`, a `granularity` in bytes, `enabled` (whether it records writes), `inconsistent` (a writer
    died with it in use: it can only be removed), `count` (bytes that are marked), `is_dirty(offset)`, and
    `dirty_ranges(offset=0, length=None)`, which yields (start, length) in bytes.
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, name: str) -> Any:
        raise NotImplementedError

    def add(self, name: str, granularity: int | None = None, *, enabled: bool = True) -> Any:
        """A new bitmap in which nothing is marked; its granularity is the format's choice where none is given."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Forget a bitmap; an inconsistent one, too."""
        raise NotImplementedError

    def clear(self, name: str) -> None:
        """Take all marks away."""
        raise NotImplementedError

    def enable(self, name: str, enabled: bool = True) -> None:
        """Let a bitmap record writes from now on, or no more."""
        raise NotImplementedError

    def merge(self, name: str, source: Any) -> None:
        """Mark in the bitmap `name` all that is marked in `source`, a bitmap of a disk of the same size."""
        raise NotImplementedError


class Bitmaps:
    """Keeps bitmaps of what was written with its disk."""

    can_have_bitmaps = True
    """Whether this image can; its version may be too old."""

    @property
    def bitmaps(self) -> BitmapCollection:
        """The image's bitmaps; changes are written when the node is closed."""
        raise NotImplementedError
