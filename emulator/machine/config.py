"""What a PC is made of: the choices that a person has, and their defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.hw.medium import OnError, report

from .engine import TCG

if TYPE_CHECKING:
    from imgtools import Node

IDE, VIRTIO, FLOPPY = "ide", "virtio", "floppy"
DISK, CDROM = "disk", "cdrom"
MEMORY = 512 << 20


def nothing(_: bytes) -> None:
    """An output that nobody reads."""


def ignore(_: str) -> None:
    """A warning that nobody reads."""


@dataclass
class Drive:
    """A disk image in the machine. The node belongs to whoever opened it."""

    node: Node
    interface: str = IDE  # IDE, VIRTIO or FLOPPY
    media: str = DISK  # DISK or CDROM
    serial: str = ""

    @property
    def read_only(self) -> bool:
        return self.media == CDROM or self.node.read_only


@dataclass
class LinuxBoot:
    """A kernel that is started without a boot loader: bzImage, multiboot 1 or PVH ELF."""

    kernel: bytes
    initrd: bytes = b""
    command_line: str = ""


@dataclass
class PcConfig:
    memory: int = MEMORY  # bytes
    drives: Sequence[Drive] = ()
    boot_order: str = "cda"  # letters as in QEMU's -boot: a floppy, c disk, d CD-ROM, n network
    bios: bytes | None = None  # another firmware than the built-in one
    linux: LinuxBoot | None = None
    serial: Callable[[bytes], None] = nothing  # what the first serial port sends
    console: Callable[[bytes], None] = nothing  # what the debug console gets
    teletype: Callable[[bytes], None] = nothing  # what programs print by the built-in BIOS
    network: str | None = None  # None, "virtio" or "e1000"
    forwards: Sequence[tuple[str, str, int, int]] = ()  # protocol, host address, host port, guest port
    devices: Sequence[str] = field(default_factory=tuple)  # optional ones, by name
    accelerator: str = TCG  # or KVM: who executes
    icount: bool = False  # time goes by with instructions instead of the host's clock
    on_error: OnError = report  # a disk's image failed: whether the disk tries again
    warn: Callable[[str], None] = ignore  # what a person should know
    reboot: bool = True  # a reset starts anew; without it the machine ends

    def drives_on(self, interface: str) -> list[Drive]:
        return [drive for drive in self.drives if drive.interface == interface]
