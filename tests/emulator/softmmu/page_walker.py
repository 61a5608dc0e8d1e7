"""An independent page walker: plain Python from Intel SDM Vol. 3, chapter 4, written from the tables of entries.

It shares nothing with `emulator.softmmu`: registers are keyword arguments, memory is two functions, and what each
kind of entry looks like is data.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAXPHYADDR = 40


@dataclass(frozen=True)
class Level:
    """One level of tables: which address bits select the entry, and the reserved bits when it maps a page."""

    low: int
    index_bits: int
    can_map: bool
    reserved_page: int = 0
    reserved_table: int = 0


def bits(low, high):
    """The bits `low` to `high`, inclusive."""
    return (1 << high + 1) - (1 << low)


FOUR_LEVEL = [
    Level(39, 9, False, reserved_table=1 << 7),
    Level(30, 9, True, reserved_page=bits(13, 29)),
    Level(21, 9, True, reserved_page=bits(13, 20)),
    Level(12, 9, True),
]
PAE = FOUR_LEVEL[2:]
TWO_LEVEL = [Level(22, 10, True, reserved_page=1 << 21), Level(12, 10, True)]


@dataclass
class Registers:
    cr0: int = 0
    cr3: int = 0
    cr4: int = 0
    efer: int = 0
    pdpte: list = field(default_factory=lambda: [0] * 4)

    wp = property(lambda self: self.cr0 >> 16 & 1)
    pg = property(lambda self: self.cr0 >> 31 & 1)
    pse = property(lambda self: self.cr4 >> 4 & 1)
    pae = property(lambda self: self.cr4 >> 5 & 1)
    pge = property(lambda self: self.cr4 >> 7 & 1)
    smep = property(lambda self: self.cr4 >> 20 & 1)
    smap = property(lambda self: self.cr4 >> 21 & 1)
    lma = property(lambda self: self.efer >> 10 & 1)
    nxe = property(lambda self: self.efer >> 11 & 1)


@dataclass(frozen=True)
class Fault:
    code: int | None  # None: the address is not canonical


@dataclass(frozen=True)
class Hit:
    physical: int
    shift: int
    is_global: bool
    updates: tuple  # (place, size, new value) of accessed and dirty flags


def walk(regs, read, address, access, mode):
    """`access` is "r", "w" or "x", `mode` "user", "supervisor" or "ac"; `read(place, size)` reads memory."""
    if not regs.pg:
        return Hit(address, 12, False, ())
    if regs.lma:
        if address >> 47 not in (0, (1 << 17) - 1):
            return Fault(None)
        levels, table, size = FOUR_LEVEL, regs.cr3 & bits(12, 51), 8
        always_reserved = bits(MAXPHYADDR, 51)
    elif regs.pae:
        pointer = regs.pdpte[address >> 30]
        if not pointer & 1:
            return Fault(error(regs, access, mode, 0))
        levels, table, size = PAE, pointer & bits(12, 51), 8
        always_reserved = bits(MAXPHYADDR, 62)
    else:
        levels, table, size, always_reserved = TWO_LEVEL, regs.cr3 & bits(12, 31), 4, 0
    if size == 8 and not regs.nxe:
        always_reserved |= 1 << 63
    path = []
    for level in levels:
        index = address >> level.low & bits(0, level.index_bits - 1)
        place = table + index * size
        entry = read(place, size)
        if not entry & 1:
            return Fault(error(regs, access, mode, 0))
        large = level.low > 12 and level.can_map and entry >> 7 & 1 and (size == 8 or regs.pse)
        reserved = always_reserved | (level.reserved_page if large else level.reserved_table)
        if entry & reserved:
            return Fault(error(regs, access, mode, 1 | 8))
        path.append((place, entry))
        if large or level.low == 12:
            break
        table = entry & (bits(12, 51) if size == 8 else bits(12, 31))
    if not permitted(regs, [entry for _, entry in path], access, mode):
        return Fault(error(regs, access, mode, 1))
    offset = address & bits(0, level.low - 1)
    base = entry & bits(level.low, 51 if size == 8 else 31)
    if size == 4 and large:
        base |= (entry >> 13 & 0xFF) << 32
    updates = []
    for number, (place, old) in enumerate(path):
        new = old | 0x20 | (0x40 if access == "w" and number == len(path) - 1 else 0)
        if new != old:
            updates.append((place, size, new))
    return Hit(base | offset, level.low, bool(regs.pge and entry >> 8 & 1), tuple(updates))


def permitted(regs, entries, access, mode):
    """Section 4.6.1, case by case."""
    user_page = all(e >> 2 & 1 for e in entries)
    writable = all(e >> 1 & 1 for e in entries)
    no_execute = regs.nxe and any(e >> 63 & 1 for e in entries)
    if mode == "user":
        return user_page and {"r": True, "w": writable, "x": not no_execute}[access]
    if access == "x":
        return not no_execute and not (user_page and regs.smep)
    if user_page and regs.smap and mode != "ac":
        return False
    return access == "r" or writable or not regs.wp


def error(regs, access, mode, code):
    fetch = access == "x" and (regs.smep or (regs.pae and regs.nxe))
    return code | (access == "w") << 1 | (mode == "user") << 2 | bool(fetch) << 4
