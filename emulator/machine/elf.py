"""ELF executables: what to load where (System V ABI, chapters 4 and 5)."""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Const, ConstructError, Int16ul, Int32ul, Int64ul, Padding, Struct

from .errors import ProgramError

MAGIC = b"\x7fELF"
LOAD, NOTE = 1, 4
XEN, PHYS32_ENTRY = b"Xen\0", 18
MACHINES = {1: 3, 2: 62}  # class to machine: 386, x86-64
MAX_SEGMENTS = 128  # programs have a handful


def _header(word: object) -> Struct:
    return Struct(
        "magic" / Const(MAGIC), "ident" / Bytes(12), "type" / Int16ul, "machine" / Int16ul, "version" / Int32ul,
        "entry" / word, "segments" / word, "sections" / word, "flags" / Int32ul, "size" / Int16ul,
        "segment_size" / Int16ul, "segment_count" / Int16ul, Padding(6),
    )  # fmt: skip


HEADER_32, HEADER_64 = _header(Int32ul), _header(Int64ul)
SEGMENT_32 = Struct(
    "type" / Int32ul, "offset" / Int32ul, "virtual" / Int32ul, "physical" / Int32ul, "file_size" / Int32ul,
    "memory_size" / Int32ul, "flags" / Int32ul, "align" / Int32ul,
)  # fmt: skip
SEGMENT_64 = Struct(
    "type" / Int32ul, "flags" / Int32ul, "offset" / Int64ul, "virtual" / Int64ul, "physical" / Int64ul,
    "file_size" / Int64ul, "memory_size" / Int64ul, "align" / Int64ul,
)  # fmt: skip
NOTE_HEADER = Struct("name_size" / Int32ul, "size" / Int32ul, "type" / Int32ul)


class Segment(NamedTuple):
    """Bytes at a physical address, followed by zeros up to `size`."""

    address: int
    data: bytes
    size: int


class Executable(NamedTuple):
    """Where it begins, in 32-bit or 64-bit mode, what it consists of, and where PVH begins it."""

    bits: int
    entry: int
    segments: list[Segment]
    pvh_entry: int | None = None


def parse(data: bytes) -> Executable:
    """The executable in a file."""
    try:
        return _parse(data)
    except ConstructError as error:
        raise ProgramError("the ELF file is cut off within its headers") from error


def _parse(data: bytes) -> Executable:
    kind = data[4] if len(data) > 4 else 0
    if kind not in MACHINES:
        raise ProgramError("the ELF file is neither of 32 nor of 64 bits")
    header = (HEADER_32 if kind == 1 else HEADER_64).parse(data)
    if header.machine != MACHINES[kind]:
        raise ProgramError(f"the ELF file is for machine {header.machine}, not for x86")
    layout = SEGMENT_32 if kind == 1 else SEGMENT_64
    if header.segment_count > MAX_SEGMENTS or header.segment_size < layout.sizeof():
        raise ProgramError(f"the ELF file has {header.segment_count} segments of {header.segment_size} bytes")
    segments, entry, pvh_entry = [], header.entry, None
    for number in range(header.segment_count):
        segment = layout.parse(data[header.segments + number * header.segment_size :])
        if segment.type == NOTE:
            pvh_entry = _pvh_entry(data[segment.offset : segment.offset + segment.file_size])
        if segment.type != LOAD or not segment.memory_size:
            continue
        content = data[segment.offset : segment.offset + segment.file_size]
        if len(content) != segment.file_size or segment.file_size > segment.memory_size:
            raise ProgramError(f"segment {number} of the ELF file is cut off")
        segments.append(Segment(segment.physical, content, segment.memory_size))
        if segment.virtual <= header.entry < segment.virtual + segment.memory_size:
            entry = header.entry - segment.virtual + segment.physical
    if not segments:
        raise ProgramError("the ELF file has nothing to load")
    return Executable(32 if kind == 1 else 64, entry, segments, pvh_entry)


def _pvh_entry(notes: bytes) -> int | None:
    """The note of the entry point for PVH (Xen's include/public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY)."""
    place = 0
    while place + NOTE_HEADER.sizeof() <= len(notes):
        note = NOTE_HEADER.parse(notes[place:])
        name = place + NOTE_HEADER.sizeof()
        content = name + (note.name_size + 3 & ~3)
        if notes[name : name + note.name_size] == XEN and note.type == PHYS32_ENTRY and note.size >= 4:
            return int.from_bytes(notes[content : content + 4], "little")
        place = content + (note.size + 3 & ~3)
    return None
