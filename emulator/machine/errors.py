"""What goes wrong with a program, for one who runs it: one message."""

from __future__ import annotations


class ProgramError(Exception):
    """A file that is no program of this machine; the message says what it should be."""


class GuestError(Exception):
    """The program cannot go on: a triple fault, an endless halt."""
