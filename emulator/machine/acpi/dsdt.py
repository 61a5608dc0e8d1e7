"""The DSDT: what is on the board and cannot be found by itself, and where interrupts go (ACPI 6.4, chapters 6 and 7).

The cards' pins lead to the four link devices, which are the PIIX3's routing registers; that serves systems with the
8259As and with the I/O APIC, as an ISA interrupt has the same number at both.
"""

from __future__ import annotations

from emulator.hw import hpet, pm
from emulator.hw.piix3 import DISABLED, LINES, PIRQ
from emulator.hw.virtio import mmio

from .aml import (
    ARG0,
    BYTE_ACCESS,
    LOCAL0,
    PCI_CONFIG,
    SERIALIZED,
    bit_and,
    bit_or,
    bus_numbers,
    device,
    dword_field,
    eisa_id,
    field,
    if_,
    irq,
    level_interrupts,
    memory,
    memory_window,
    method,
    name,
    package,
    path,
    port_window,
    ports,
    region,
    resources,
    return_,
    scope,
    store,
    text,
)

LINK_INTERRUPTS = (5, 10, 11)
SLOTS, PINS = 32, 4
ALL_FUNCTIONS = 0xFFFF
PRESENT, ENABLED = 0b1001, 0b1011  # _STA: the second decodes its resources
INTERRUPT_FIELD = 5  # in a resource template of one interrupt
LAST_WINDOW = 0xFEBFFFFF


def definition(low_memory: int, *, floppy: bool, virtio: int) -> bytes:
    """The body of the table. `low_memory` is where RAM below 4 GiB ends and the cards' memory may begin."""
    links = [_link(number) for number in range(LINES)]
    root = device(
        "PCI0",
        name("_HID", eisa_id("PNP0A03")),
        name("_UID", 0),
        name("_CRS", _windows(low_memory)),
        name("_PRT", package(*_routes())),
        _isa_bridge(floppy=floppy),
    )
    timers = device(
        "HPET",
        name("_HID", eisa_id("PNP0103")),
        name("_UID", 0),
        name("_CRS", resources(memory(hpet.ADDRESS, hpet.SIZE))),
    )
    processor = device("CPU0", name("_HID", text("ACPI0007")), name("_UID", 0))
    in_memory = map(_virtio, range(virtio))
    soft_off = name("\\_S5", package(pm.SOFT_OFF, 0, 0, 0))
    return scope("\\_SB", processor, root, *links, timers, *in_memory) + soft_off


def _windows(low_memory: int) -> bytes:
    """All but the ports of PCI's configuration."""
    return resources(
        bus_numbers(0, 0xFF),
        port_window(0, 0xCF7),
        ports(0xCF8, 8),
        port_window(0xD00, 0xFFFF),
        memory_window(0xA0000, 0xBFFFF),
        memory_window(low_memory, LAST_WINDOW),
    )


def _routes() -> list[bytes]:
    """Each slot's pins, as the board is wired."""
    return [
        package(slot << 16 | ALL_FUNCTIONS, pin, path(f"\\_SB.LNK{'ABCD'[slot - 1 + pin & 3]}"), 0)
        for slot in range(SLOTS)
        for pin in range(PINS)
    ]


def _link(number: int) -> bytes:
    """A PIRQ line (section 6.2.13)."""
    register = path(f"\\_SB.PCI0.ISA.PRQ{number}")
    return device(
        f"LNK{'ABCD'[number]}",
        name("_HID", eisa_id("PNP0C0F")),
        name("_UID", number),
        name("_PRS", resources(level_interrupts(*LINK_INTERRUPTS))),
        method("_STA", 0, if_(bit_and(register, DISABLED), return_(PRESENT)), return_(ENABLED)),
        method("_DIS", 0, bit_or(register, DISABLED, register)),
        name("BUF0", resources(level_interrupts(0))),
        dword_field(path("BUF0"), INTERRUPT_FIELD, "NUM0"),
        method(
            "_CRS",
            0,
            store(register, LOCAL0),
            if_(bit_and(LOCAL0, DISABLED), store(0, LOCAL0)),
            store(LOCAL0, path("NUM0")),
            return_(path("BUF0")),
        ),
        method("_SRS", 1 | SERIALIZED, dword_field(ARG0, INTERRUPT_FIELD, "NUM1"), store(path("NUM1"), register)),
    )


def _virtio(number: int) -> bytes:
    """A virtio device's registers in memory, under the name that Linux knows them by."""
    registers = memory(mmio.FIRST + number * mmio.STEP, mmio.SIZE)
    return device(
        f"VR{number:02}",
        name("_HID", text("LNRO0005")),
        name("_UID", number),
        name("_CCA", 1),
        name("_CRS", resources(registers, level_interrupts(mmio.PINS[number]))),
    )


def _isa_bridge(*, floppy: bool) -> bytes:
    return device(
        "ISA",
        name("_ADR", 1 << 16),
        region("PIRQ", PCI_CONFIG, PIRQ, LINES),
        field("PIRQ", BYTE_ACCESS, *((f"PRQ{number}", 8) for number in range(LINES))),
        _isa_device("RTC", "PNP0B00", ports(0x70, 2), irq(8)),
        _isa_device("KBD", "PNP0303", ports(0x60, 1), ports(0x64, 1), irq(1)),
        _isa_device("MOU", "PNP0F13", irq(12)),
        _isa_device("COM1", "PNP0501", ports(0x3F8, 8), irq(4)),
        _isa_device("FDC0", "PNP0700", ports(0x3F2, 4), ports(0x3F7, 1), irq(6), DMA_2) if floppy else b"",
        _isa_device("PMIO", "PNP0C02", ports(pm.EVENTS, pm.EVENTS_SIZE), ports(pm.SMI_COMMAND, 2)),
    )


def _isa_device(label: str, identity: str, *descriptors: bytes) -> bytes:
    return device(label, name("_HID", eisa_id(identity)), name("_CRS", resources(*descriptors)))


DMA_2 = b"\x2a\x04\x00"  # channel 2, 8 bits
