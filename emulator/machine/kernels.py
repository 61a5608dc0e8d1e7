"""Kernels that are started without a boot loader: which kind a file is, and how each kind starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import LinuxBoot
from .elf import MAGIC as ELF_MAGIC
from .errors import ProgramError
from .linux import is_bzimage, load_linux
from .programs import load_elf

if TYPE_CHECKING:
    from .pc import Pc


def load_kernel(machine: Pc, boot: LinuxBoot) -> None:
    """Put a kernel into a machine, so that `machine.run()` starts it."""
    if is_bzimage(boot.kernel):
        load_linux(machine, boot.kernel, boot.initrd, boot.command_line)
    elif boot.kernel.startswith(ELF_MAGIC):
        load_elf(machine, boot.kernel, boot.command_line)
    else:
        raise ProgramError("this is no kernel: neither a bzImage of Linux nor an ELF file")
