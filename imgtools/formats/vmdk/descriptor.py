"""The descriptor: the text that names a VMDK's extents, its parent, and the hardware it is for.

VMware's "Virtual Disk Format 5.0", "The Disk Descriptor File". It is a file of its own, or embedded in a
sparse extent. It comes from strangers: nothing in it is believed, and the names in it are opened through the
gate only.
"""

from __future__ import annotations

import os

from imgtools.errors import BadOption, CorruptImage, InvalidFormat, OutOfBounds
from imgtools.sizes import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DESCRIPTOR = 1 << 20
"""Bytes of descriptor that are read: enough for MAX_EXTENTS lines."""
MAX_EXTENTS = 4096
"""Extents of one disk; each is an open file. 8 TiB in pieces of 2 GiB."""
MAX_NAME = 511
"""Bytes in the name of an extent, QEMU's limit."""
MAX_BACKING_NAME = 1023
"""Bytes in the name of a parent, QEMU's limit."""
NO_PARENT = 0xFFFFFFFF
"""The parentCID of a disk that has no parent."""
NOTE = "# parentCID will be "
"""How a comment begins that tells the content ID which the parent is about to get: the parent and its child cannot be
changed in one write, and after a crash in between the child has to know its parent again."""

ACCESS = ("RW", "RDONLY", "NOACCESS")
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class ExtentLine:
    """One line of the extent description; `offset` is in sectors, None where the line has none."""

    def __init__(self, access: str, sectors: int, kind: str, name: str | None, offset: int | None) -> None:
        self.access = access
        self.sectors = sectors
        self.kind = kind
        self.name = name
        self.offset = offset


class Descriptor:
    """A parsed descriptor. `raw` is its text as it is in the file at `path`, `base` the byte where that begins."""

    def __init__(self, raw: bytes, path: str, base: int = 0) -> None:
        self.raw = raw.partition(b"\0")[0]
        self.room = len(raw) if base else MAX_DESCRIPTOR
        self.path = path
        self.base = base
        self.fields: dict[str, str] = {}
        self.noted_cid: int | None = None
        """The content ID in the note that a crash has left, where there is one."""
        self._extent_lines: list[tuple[int, str]] = []
        for offset, line in self._lines():
            words = line.split(None, 1)
            if words and words[0] in ACCESS:
                self._extent_lines.append((base + offset, line))
            elif line.startswith(NOTE):
                digits = line.removeprefix(NOTE)
                self.noted_cid = int(digits, 16) if len(digits) == 8 and HEX_DIGITS.issuperset(digits) else None
            elif not line.startswith("#") and "=" in line:
                key, _, value = line.partition("=")
                self.fields.setdefault(key.strip(), value.strip().strip('"'))

    def _lines(self) -> Iterator[tuple[int, str]]:
        offset = 0
        for line in self.raw.split(b"\n"):
            yield offset, os.fsdecode(line).strip()
            offset += len(line) + 1

    def extents(self) -> list[ExtentLine]:
        """The extent description; raises where a line of it cannot be understood."""
        if len(self._extent_lines) > MAX_EXTENTS:
            raise OutOfBounds(
                f"the descriptor names more than {MAX_EXTENTS} extents", path=self.path, structure="descriptor"
            )
        return [self._extent(offset, line) for offset, line in self._extent_lines]

    def _extent(self, offset: int, line: str) -> ExtentLine:
        parsed = parse_extent_line(line)
        if parsed is None:
            shown = line if len(line) <= 200 else line[:200] + "..."
            raise InvalidFormat(f"Invalid extent line: {shown}", path=self.path, offset=offset, structure="descriptor")
        return parsed

    @property
    def create_type(self) -> str:
        """The subformat; raises where the descriptor has none."""
        if "createType" not in self.fields:
            raise InvalidFormat("invalid VMDK image descriptor", path=self.path, offset=self.base)
        return self.fields["createType"]

    @property
    def cid(self) -> int:
        return self._content_id("CID")

    @property
    def parent_cid(self) -> int:
        return self._content_id("parentCID")

    @property
    def parent(self) -> str | None:
        """The parent's file name as the child has it."""
        name = self.fields.get("parentFileNameHint")
        if name is not None and len(os.fsencode(name)) > MAX_BACKING_NAME:
            raise OutOfBounds("the parent's name is too long", path=self.path, structure="descriptor")
        return name or None

    def _content_id(self, key: str) -> int:
        text = self.fields.get(key, "")
        if not (0 < len(text) <= 8 and HEX_DIGITS.issuperset(text)):
            what = f"{key} is {text[:20]!r}" if key in self.fields else f"there is no {key}"
            raise CorruptImage(f"{what} in the descriptor", path=self.path, offset=self.base, structure="descriptor")
        return int(text, 16)

    def with_cid(self, cid: int, field: str = "CID") -> tuple[int, bytes]:
        """Make `cid` the content ID, or that of the parent (`field` is "parentCID"). What to write for it, and where in
        the file: eight digits, or all of the text."""
        for offset, line in self._lines():
            key, equals, _ = line.partition("=")
            if equals and key.strip() == field:
                start = self.raw.index(b"=", offset) + 1
                stop = offset + len(self.raw[offset:].split(b"\n", 1)[0].rstrip())
                digits = b"%08x" % cid
                text = self.raw[:start] + digits + self.raw[stop:]
                if len(text) > self.room:
                    break
                self.raw = text
                return (self.base + start, digits) if stop - start == len(digits) else (self.base, text)
        raise CorruptImage("there is no room for a new CID in the descriptor", path=self.path, structure="descriptor")

    def with_note(self, cid: int) -> tuple[int, bytes] | None:
        """Note the content ID that the parent is about to get, at the end of the text. What to write for it, and where;
        None where there is no room."""
        start = len(self.raw.rstrip())
        note = b"\n%s%08x\n" % (NOTE.encode(), cid)
        if start + len(note) > self.room:
            return None
        self.raw, self.noted_cid = self.raw[:start] + note + self.raw[start + len(note) :], cid
        return self.base + start, note

    def without_note(self) -> tuple[int, bytes]:
        """Take the note away: an empty line for each of its letters. What to write for it, and where."""
        start = self.raw.index(NOTE.encode())
        blank = b"\n" * len(self.raw[start:].split(b"\n", 1)[0])
        self.raw, self.noted_cid = self.raw[:start] + blank + self.raw[start + len(blank) :], None
        return self.base + start, blank


def parse_extent_line(line: str) -> ExtentLine | None:
    """`RW 4192256 SPARSE "disk-s001.vmdk"`, `RW 100 FLAT "disk-flat.vmdk" 0`, `RW 63 ZERO`; None where it is wrong."""
    front, quote, rest = line.partition('"')
    words = front.split()
    if len(words) != 3 or words[0] not in ACCESS:
        return None
    access, size, kind = words
    sectors = _number(size)
    if sectors is None:
        return None
    if kind == "ZERO":
        return None if quote else ExtentLine(access, sectors, kind, None, None)
    name, quote, tail = rest.partition('"')
    offset = _number(tail.strip()) if tail.strip() else None
    if not quote or not name or len(os.fsencode(name)) > MAX_NAME or (tail.strip() and offset is None):
        return None
    needs_offset = {"FLAT": True, "VMFS": False, "SPARSE": False, "VMFSSPARSE": False, "SESPARSE": False}
    if needs_offset.get(kind) is not (offset is not None):
        return None
    return ExtentLine(access, sectors, kind, name, offset)


def _number(text: str) -> int | None:
    """A number of sectors that can be one."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        return None
    value = int(text)
    return value if value * 512 <= LARGEST else None


def build(
    *,
    create_type: str,
    extents: list[tuple[int, str]],
    size: int,
    cid: int,
    parent_cid: int = NO_PARENT,
    parent: str | None = None,
    adapter_type: str = "ide",
    hardware_version: str = "4",
    tools_version: str = "2147483647",
) -> bytes:
    """The text of a new image of `size` bytes; `extents` are (sectors, name)."""
    heads = 16 if adapter_type == "ide" else 255
    for value in (parent or "", adapter_type, hardware_version, tools_version, *(name for _, name in extents)):
        if any(character < " " for character in value):
            raise BadOption(f"{value!r} cannot be written into a VMDK descriptor")
    flat = create_type.endswith("Flat")
    listed = "".join(
        f'RW {sectors} {"FLAT" if flat else "SPARSE"} "{name}"{" 0" if flat else ""}\n' for sectors, name in extents
    )
    text = (
        f"# Disk DescriptorFile\nversion=1\nCID={cid:x}\nparentCID={parent_cid:x}\n"
        f'createType="{create_type}"\n'
        + (f'parentFileNameHint="{parent}"' if parent else "")
        + f"\n# Extent description\n{listed}\n# The Disk Data Base\n#DDB\n\n"
        f'ddb.virtualHWVersion = "{hardware_version}"\n'
        f'ddb.geometry.cylinders = "{size // (63 * heads * 512)}"\n'
        f'ddb.geometry.heads = "{heads}"\n'
        'ddb.geometry.sectors = "63"\n'
        f'ddb.adapterType = "{adapter_type}"\n'
        f'ddb.toolsVersion = "{tools_version}"\n'
    )
    return os.fsencode(text)
