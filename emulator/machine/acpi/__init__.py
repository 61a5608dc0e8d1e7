"""The ACPI tables of the PC (ACPI 6.4, chapter 5), built for the machine as it is.

`build` gives two blobs: the tables, and the root pointer, for which systems look in E0000h to FFFFFh.
"""

from __future__ import annotations

from struct import pack, pack_into
from typing import NamedTuple

from emulator.hw import hpet, ioapic, lapic, pm

from .dsdt import LINK_INTERRUPTS, definition
from .linker import BIOS_SEGMENT, HIGH_MEMORY, ROOT, TABLES, Blob

ROOT_SIZE = 64  # bytes until the tables begin, where they follow the root pointer
OEM, MAKER, VERSION = b"IMGTLS", b"IMGT", 1
HEADER_SIZE, CHECKSUM = 36, 9
SCI = 9

# FADT (table 5.9)
NO_IDLE_STATE = 0xFFF
WBINVD, C1, NO_SLEEP_BUTTON, NO_FIXED_RTC, CAN_RESET = (1 << bit for bit in (0, 2, 5, 6, 10))
HAS_LEGACY_DEVICES, HAS_8042 = 1, 2
CENTURY = 0x32
RESET_PORT, RESET_VALUE = 0xCF9, 6

MEMORY, PORTS = 0, 1  # generic addresses

# MADT (section 5.2.12)
TIMER_IRQ, TIMER_PIN = 0, 2
HAS_8259, PROCESSOR_ENABLED = 1, 1
LOCAL_APIC, IO_APIC, OVERRIDE, LOCAL_NMI = 0, 1, 2, 4
LEVEL_HIGH = 0b1101
ALL_PROCESSORS, LINT1 = 0xFF, 1

GOOD_PM_TIMER = 2  # WAET: one read is enough


class Tables(NamedTuple):
    tables: Blob
    root: Blob

    def at(self, address: int) -> bytes:
        """The root pointer and all tables, when they lie at an address."""
        tables = address + ROOT_SIZE
        return self.root.at(tables).ljust(ROOT_SIZE, b"\0") + self.tables.at(tables)

    def script(self) -> bytes:
        """The commands for a firmware that places them."""
        return self.tables.script() + self.root.script()


def build(low_memory: int, pm_base: int, *, floppy: bool = False, virtio: int = 0) -> Tables:
    """The tables for a machine with RAM up to `low_memory` below 4 GiB, its power management at port `pm_base`, and a
    number of virtio devices in memory.
    """
    tables = Blob(TABLES, 64, HIGH_MEMORY)
    facs = tables.add(pack("<4sIIIIIQB31x", b"FACS", 64, 0, 0, 0, 0, 0, 1), 64)
    dsdt = _add(tables, b"DSDT", 2, definition(low_memory, floppy=floppy, virtio=virtio))
    fadt = _add(tables, b"FACP", 3, _fixed(pm_base))
    for place, size, target in ((36, 4, facs), (40, 4, dsdt), (132, 8, facs), (140, 8, dsdt)):
        tables.point(fadt + place, size, target)
    others = [_add(tables, b"APIC", 3, _interrupts()), _add(tables, b"HPET", 1, _timers())]
    others.append(_add(tables, b"WAET", 1, pack("<I", GOOD_PM_TIMER)))
    lists = [_add_list(tables, kind, size, [fadt, *others]) for kind, size in ((b"RSDT", 4), (b"XSDT", 8))]
    for start, size in tables_of(tables):
        tables.checksums.append((start + CHECKSUM, start, size))
    return Tables(tables, _root(*lists))


def tables_of(blob: Blob) -> list[tuple[int, int]]:
    """Where the tables with checksums lie, and how long they are."""
    found, place = [], 64
    while place < len(blob.data):
        size = int.from_bytes(blob.data[place + 4 : place + 8], "little")
        found.append((place, size))
        place = -(-(place + size) // 16) * 16
    return found


def _add(blob: Blob, signature: bytes, revision: int, body: bytes) -> int:
    """A table with its header (section 5.2.6)."""
    label = MAKER + signature
    header = pack("<4sIBB6s8sI4sI", signature, HEADER_SIZE + len(body), revision, 0, OEM, label, 1, MAKER, VERSION)
    return blob.add(header + body)


def _add_list(blob: Blob, signature: bytes, size: int, targets: list[int]) -> int:
    start = _add(blob, signature, 1, bytes(size * len(targets)))
    for number, target in enumerate(targets):
        blob.point(start + HEADER_SIZE + number * size, size, target)
    return start


def _root(rsdt: int, xsdt: int) -> Blob:
    """RSDP (section 5.2.5.3)."""
    blob = Blob(ROOT, 16, BIOS_SEGMENT)
    blob.add(pack("<8sB6sBIIQB3x", b"RSD PTR ", 0, OEM, 2, 0, 36, 0, 0))
    blob.point(16, 4, rsdt)
    blob.point(24, 8, xsdt)
    blob.checksums += [(8, 0, 20), (32, 0, 36)]
    return blob


def _ports(first: int, size: int) -> bytes:
    """A generic address (section 5.2.3.2)."""
    return pack("<BBBBQ", PORTS, min(8 * size, 32), 0, 0, first) if size else bytes(12)


def _fixed(base: int) -> bytes:
    """FADT without its header; pointers are filled in later."""
    body = bytearray(244 - HEADER_SIZE)

    def put(place: int, form: str, *values: int) -> None:
        pack_into("<" + form, body, place - HEADER_SIZE, *values)

    put(46, "HIBB", SCI, pm.SMI_COMMAND, pm.ACPI_ENABLE, pm.ACPI_DISABLE)
    put(56, "IIIIIIII", base, 0, base + pm.CONTROL, 0, 0, base + pm.TIMER, pm.EVENTS, 0)
    put(88, "BBBBBB", 4, 2, 0, 4, pm.EVENTS_SIZE, 0)
    put(96, "HH", NO_IDLE_STATE, NO_IDLE_STATE)
    put(108, "BH", CENTURY, HAS_LEGACY_DEVICES | HAS_8042)
    put(112, "I", WBINVD | C1 | NO_SLEEP_BUTTON | NO_FIXED_RTC | CAN_RESET)
    body[116 - HEADER_SIZE : 128 - HEADER_SIZE] = _ports(RESET_PORT, 1)
    put(128, "B", RESET_VALUE)
    blocks = ((base, 4), (0, 0), (base + pm.CONTROL, 2), (0, 0), (0, 0), (base + pm.TIMER, 4), (pm.EVENTS, 4), (0, 0))
    body[148 - HEADER_SIZE :] = b"".join(_ports(first, size) for first, size in blocks)
    return bytes(body)


def _interrupts() -> bytes:
    """MADT: a processor, an I/O APIC, and what does not lead straight from the ISA bus to the pin of its number."""
    levels = sorted((SCI, *LINK_INTERRUPTS))
    parts = [
        pack("<II", lapic.ADDRESS, HAS_8259),
        pack("<BBBBI", LOCAL_APIC, 8, 0, 0, PROCESSOR_ENABLED),
        pack("<BBBBII", IO_APIC, 12, 0, 0, ioapic.ADDRESS, 0),
        pack("<BBBBIH", OVERRIDE, 10, 0, TIMER_IRQ, TIMER_PIN, 0),
        *(pack("<BBBBIH", OVERRIDE, 10, 0, number, number, LEVEL_HIGH) for number in levels),
        pack("<BBBHB", LOCAL_NMI, 6, ALL_PROCESSORS, 0, LINT1),
    ]
    return b"".join(parts)


def _timers() -> bytes:
    """HPET (its specification, section 3.2.4)."""
    return pack("<I", hpet.CAPABILITIES & 0xFFFFFFFF) + _memory(hpet.ADDRESS) + pack("<BHB", 0, 100, 0)


def _memory(first: int) -> bytes:
    return pack("<BBBBQ", MEMORY, 64, 0, 0, first)
