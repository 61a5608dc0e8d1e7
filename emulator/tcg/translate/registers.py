"""The guest's registers and flags within translated code."""

# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Ptr, function, u32

from .assembler import LOAD, MAP_0F, STORE, put, with_core, with_register
from .layout import HOST, IN_BOTH, IN_CORE, IN_FLAGS, IN_STATUS, STATUS, Translation

LAHF, SAHF, SETO, CMP_AL = 0x9F, 0x9E, MAP_0F | 0x90, 0x3C
BEFORE_OVERFLOW = 0x81  # subtracted from 1 it overflows, from 0 it does not


@function
def save_flags(t: Ptr[Translation]) -> None:
    """What follows changes EFLAGS."""
    if t.flags == IN_FLAGS:
        put(t, LAHF, 1)
        with_register(t, SETO, 8, 0, STATUS)
        t.flags = IN_BOTH


@function
def load_flags(t: Ptr[Translation]) -> None:
    """What follows needs EFLAGS."""
    if t.flags == IN_STATUS:
        put(t, CMP_AL, 1)
        put(t, BEFORE_OVERFLOW, 1)
        put(t, SAHF, 1)
        t.flags = IN_BOTH


@function
def clobber_flags(t: Ptr[Translation]) -> None:
    """Save them, if that has not been done: EFLAGS are free."""
    save_flags(t)
    t.flags = IN_STATUS


@function
def load_register(t: Ptr[Translation], number: u32, scratch: u32) -> u32:
    """The host's register that holds one of the guest's: its own, or a scratch one that it is loaded to."""
    host = u32(HOST[number])
    if host == IN_CORE:
        with_core(t, LOAD, 64, scratch, number * 8)
        return scratch
    return host


@function
def target_register(number: u32, scratch: u32) -> u32:
    """Where to compute one of the guest's registers of which nothing remains; `store_register` ends that."""
    host = u32(HOST[number])
    return scratch if host == IN_CORE else host


@function
def store_register(t: Ptr[Translation], number: u32, scratch: u32) -> None:
    """Behind a change of a register that `load_register` or `target_register` gave."""
    if HOST[number] == IN_CORE:
        with_core(t, STORE, 64, scratch, number * 8)
