"""Which formats there are. A format's module is imported when a file of that format is met, never before.

A third party adds one by an entry point of the group "imgtools.formats" whose object is a `Format`, or by
calling `register`.
"""

from __future__ import annotations

from importlib import import_module

from imgtools.errors import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgtools.block.format import Format

BUILT_IN = {
    "raw": "imgtools.formats.raw",
    "qcow2": "imgtools.formats.qcow2",
    "vdi": "imgtools.formats.vdi",
    "vmdk": "imgtools.formats.vmdk",
}
"""Format name to module; the module's FORMAT is the `Format`."""

MAGIC: tuple[tuple[str, int, bytes], ...] = (
    ("qcow2", 0, b"QFI\xfb\0\0\0\2"),
    ("qcow2", 0, b"QFI\xfb\0\0\0\3"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
)
"""How a format is known by its first bytes: (format, offset, bytes)."""

PROBE_LENGTH = 2048

_registered: dict[str, Format] = {}


def register(format: Format, *magic: tuple[int, bytes]) -> None:
    """Make a format known, and the magic bytes (offset, bytes) that announce it."""
    global MAGIC
    _registered[format.name] = format
    MAGIC += tuple((format.name, offset, pattern) for offset, pattern in magic)


def find_format(name: str) -> Format:
    """The format of that name; raises BadOption where there is none."""
    if name not in _registered:
        if name in BUILT_IN:
            _registered[name] = import_module(BUILT_IN[name]).FORMAT
        else:
            _load_entry_points()
    if name not in _registered:
        raise BadOption(f"Unknown driver '{name}'", hint=f"Known formats: {', '.join(format_names())}.")
    return _registered[name]


def format_names() -> list[str]:
    """All formats that can be named, third parties' included."""
    _load_entry_points()
    return sorted({*BUILT_IN, *_registered})


def probe(head: bytes) -> str:
    """The format that the first PROBE_LENGTH bytes of a file announce; "raw" where none does."""
    for name, offset, pattern in MAGIC:
        if head.startswith(pattern, offset):
            return name
    return "raw"


def _load_entry_points() -> None:
    from importlib.metadata import entry_points

    for entry in entry_points(group="imgtools.formats"):
        if entry.name not in _registered and entry.name not in BUILT_IN:
            _registered[entry.name] = entry.load()
