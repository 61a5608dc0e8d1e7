"""Which drivers there are: formats, protocols and filters. A driver's module is imported when it is asked for,
never before.

A third party adds one by an entry point of the group "imgtools.formats" (or "imgtools.drivers" for what is no
format) whose object is a `Driver`, or by calling `register`.
"""

from __future__ import annotations

from importlib import import_module

from imgtools.block.gate import has_protocol
from imgtools.errors import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.driver import Driver
    from imgtools.block.format import Format

BUILT_IN = {
    "raw": "imgtools.formats.raw",
    "qcow2": "imgtools.formats.qcow2",
    "vdi": "imgtools.formats.vdi",
    "vmdk": "imgtools.formats.vmdk",
    "qcow": "imgtools.formats.qcow",
    "qed": "imgtools.formats.qed",
    "parallels": "imgtools.formats.parallels",
    "vhdx": "imgtools.formats.vhdx",
    "vpc": "imgtools.formats.vpc",
    "luks": "imgtools.formats.luks",
}
"""Format name to module; the module's FORMAT is the `Format`."""

DRIVERS = {
    "file": "imgtools.block.protocols.file",
    "host_device": "imgtools.block.protocols.file",
    "fsspec": "imgtools.block.protocols.fsspec",
    "http": "imgtools.block.protocols.http",
    "https": "imgtools.block.protocols.http",
    "nbd": "imgtools.block.protocols.nbd",
    "nbdkit": "imgtools.block.protocols.nbdkit",
    "null-co": "imgtools.block.protocols.memory",
    "null-aio": "imgtools.block.protocols.memory",
    "blkdebug": "imgtools.block.filters.blkdebug",
    "blkverify": "imgtools.block.filters.blkverify",
    "compress": "imgtools.block.filters.compress",
    "copy-on-read": "imgtools.block.filters.copy_on_read",
    "preallocate": "imgtools.block.filters.preallocate",
    "quorum": "imgtools.block.filters.quorum",
    "throttle": "imgtools.block.filters.throttle",
    "trace": "imgtools.block.filters.trace",
}
"""Protocol or filter name to module; the module's DRIVERS has the `Driver` of that name."""

PREFIXES = {
    "file": "file",
    "host_device": "host_device",
    "http": "http",
    "https": "https",
    "s3": "fsspec",
    "gs": "fsspec",
    "az": "fsspec",
    "abfs": "fsspec",
    "ftp": "fsspec",
    "sftp": "fsspec",
    "smb": "fsspec",
    "hdfs": "fsspec",
    "webhdfs": "fsspec",
    "nbd": "nbd",
    "nbds": "nbd",
    "nbd+unix": "nbd",
    "nbds+unix": "nbd",
    "nbdkit": "nbdkit",
    "null-co": "null-co",
    "null-aio": "null-aio",
    "blkdebug": "blkdebug",
    "blkverify": "blkverify",
}
"""What may stand before the colon in a file name that the user gives, to the driver that takes it ("json" apart)."""

MAGIC: tuple[tuple[str, int, bytes], ...] = (
    ("qcow2", 0, b"QFI\xfb\0\0\0\2"),
    ("qcow2", 0, b"QFI\xfb\0\0\0\3"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("qcow", 0, b"QFI\xfb\0\0\0\1"),
    ("qed", 0, b"QED\0"),
    ("parallels", 0, b"WithoutFreeSpace\2\0\0\0"),
    ("parallels", 0, b"WithouFreSpacExt\2\0\0\0"),
    ("vhdx", 0, b"vhdxfile"),
    ("vpc", 0, b"conectix"),
    ("luks", 0, b"LUKS\xba\xbe\0\1"),
)
"""How a format is known by its first bytes: (format, offset, bytes)."""

PROBE_LENGTH = 2048

_registered: dict[str, Driver] = {}


def register(driver: Driver, *magic: tuple[int, bytes], prefixes: tuple[str, ...] = ()) -> None:
    """Make a driver known, the magic bytes (offset, bytes) that announce a format, and the prefixes of its names."""
    global MAGIC
    _registered[driver.name] = driver
    MAGIC += tuple((driver.name, offset, pattern) for offset, pattern in magic)
    PREFIXES.update(dict.fromkeys(prefixes, driver.name))


def find_driver(name: str) -> Driver:
    """The driver of that name; raises BadOption where there is none."""
    if name not in _registered:
        if name in BUILT_IN:
            _registered[name] = import_module(BUILT_IN[name]).FORMAT
        elif name in DRIVERS:
            drivers: tuple[Driver, ...] = import_module(DRIVERS[name]).DRIVERS
            _registered.update((driver.name, driver) for driver in drivers)
        else:
            _load_entry_points()
    if name not in _registered:
        raise BadOption(f"Unknown driver '{name}'", hint=f"Known formats: {', '.join(format_names())}.")
    return _registered[name]


def find_format(name: str) -> Format:
    """The format of that name; raises BadOption where there is none."""
    from imgtools.block.format import Format

    driver = find_driver(name)
    if not isinstance(driver, Format):
        raise BadOption(f"Unknown driver '{name}'", hint=f"{name} is no format but a kind of node.")
    return driver


def driver_of_name(name: str) -> Driver | None:
    """The driver that the protocol prefix of a file name stands for; None where it has no prefix that is known."""
    prefix = name.split(":", 1)[0]
    return find_driver(PREFIXES[prefix]) if has_protocol(name) and prefix in PREFIXES else None


def format_names() -> list[str]:
    """All formats that can be named, third parties' included."""
    from imgtools.block.format import Format

    _load_entry_points()
    return sorted({*BUILT_IN, *(name for name, driver in _registered.items() if isinstance(driver, Format))})


def driver_names() -> list[str]:
    """All protocols and filters that can be named, third parties' included."""
    _load_entry_points()
    return sorted({*DRIVERS, *_registered} - set(format_names()))


def probe(head: bytes) -> str:
    """The format that the first PROBE_LENGTH bytes of a file announce; "raw" where none does."""
    for name, offset, pattern in MAGIC:
        if head.startswith(pattern, offset):
            return name
    return "raw"


def _load_entry_points() -> None:
    from importlib.metadata import entry_points

    for group in ("imgtools.formats", "imgtools.drivers"):
        for entry in entry_points(group=group):
            if entry.name not in _registered and entry.name not in BUILT_IN and entry.name not in DRIVERS:
                _registered[entry.name] = entry.load()
