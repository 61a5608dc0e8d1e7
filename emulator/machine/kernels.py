"""Kernels that are started without a boot loader: which kind a file is, and how each kind starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import LinuxBoot
from .errors import ProgramError
from .linux import is_bzimage, load_linux

if TYPE_CHECKING:
    from .pc import Pc


ELF_MAGIC = b"\x7fELF"


def load_kernel(machine: Pc, boot: LinuxBoot) -> None:
    """Put a kernel into a machine, so that `machine.run()` starts it."""
    if is_bzimage(boot.kernel):
        load_linux(machine, boot.kernel, boot.initrd, boot.command_line)
    elif boot.kernel.startswith(ELF_MAGIC):
        _load_elf(machine, boot)
    else:
        raise ProgramError("this is no kernel: neither a bzImage of Linux nor an ELF file")


def _load_elf(machine: Pc, boot: LinuxBoot) -> None:
    """By multiboot, if it has such a header, or by PVH, if it has such a note."""
    from .elf import parse
    from .programs import load_elf, multiboot_flags
    from .pvh import load_pvh

    if multiboot_flags(boot.kernel) is None and (program := parse(boot.kernel)).pvh_entry is not None:
        load_pvh(machine, program, boot.initrd, boot.command_line)
    else:
        load_elf(machine, boot.kernel, boot.command_line, boot.initrd)
