"""The options of imgtools boot."""

from __future__ import annotations

import codecs
import os

from imgtools.cli.arguments import FORMAT, OPENING, Choice, Complaint, size_between
from imgtools.cli.getopt import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1 << 20
INTERFACES = ("ide", "virtio", "floppy")
DEVICES = ("virtio-rng", "virtio-console", "virtio-mmio")
DISPLAYS = ("none", "text", "png")
ACCELERATORS = ("kvm", "tcg", "kvm:tcg")
NETWORKS = ("none", "virtio", "e1000")
DRIVE_OPTIONS = ("file", "if", "format", "media", "readonly", "snapshot", "serial")


def serial(text: str) -> str:
    if text not in ("stdio", "pty", "none") and not (text.startswith("file:") and len(text) > len("file:")):
        raise Complaint("--serial must be used with stdio, file:PATH, pty or none as argument.")
    return text


def boot_order(text: str) -> str:
    if not text or not set(text) <= set("acdn"):
        raise Complaint("--boot must be used with letters as argument: c the disk, d the CD-ROM, a the floppy.")
    return text


def step(kind: str) -> Callable[[str], tuple[str, bytes]]:
    """A parser for a text that is waited for or typed, with escapes like \\n and \\x03."""

    def parse(text: str) -> tuple[str, bytes]:
        try:
            decoded, _ = codecs.escape_decode(os.fsencode(text))
        except ValueError as error:
            raise Complaint(f"--{kind} has a backslash that begins no escape ({error}): write two") from None
        return kind, decoded

    return parse


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise Complaint(f"Invalid number of seconds specified: {text}")
    return value


def forward(text: str) -> tuple[str, str, int, int]:
    """[tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT."""
    parts = text.split(":")
    protocol = parts.pop(0) if parts[0] in ("tcp", "udp") else "tcp"
    address = parts.pop(0) if len(parts) == 3 else "127.0.0.1"
    try:
        host, guest = map(int, parts)
    except ValueError:
        host = guest = 0
    if not (0 < host < 65536 and 0 < guest < 65536):
        raise Complaint("--forward must be used with [tcp:|udp:][ADDRESS:]HOSTPORT:GUESTPORT as argument.")
    return protocol, address, host, guest


COMMAND = Command(
    "boot",
    "[FILENAME]",
    "Boot a disk image in an emulated PC. What it writes is forgotten, unless --write is given.",
    (
        FORMAT,
        Option("write", "w", "write", "", "let the guest change the image; without it writes are forgotten"),
        Option(
            "memory",
            "m",
            "memory",
            "SIZE",
            "the guest's memory (512M)",
            parse=size_between("memory size", 16 * MEGABYTE, 1 << 36),
        ),
        Choice(
            "interface",
            "",
            "if",
            "IF",
            "how the guest sees the disk: ide (the default), virtio or floppy",
            INTERFACES,
        ),
        Option(
            "drives",
            "",
            "drive",
            "FILE,...",
            f"a further disk: FILE[,if={'|'.join(INTERFACES)}][,format=FMT][,media=disk|cdrom][,readonly=on]"
            "[,snapshot=on][,serial=TEXT] (may be repeated)",
            many=True,
        ),
        Option("cdroms", "", "cdrom", "FILE", "a CD-ROM (may be repeated)", many=True),
        Option("floppies", "", "floppy", "FILE", "a floppy disk (may be repeated)", many=True),
        Option(
            "boot_order",
            "",
            "boot",
            "ORDER",
            "letters: c the disk, d the CD-ROM, a the floppy (cda)",
            parse=boot_order,
        ),
        Option("bios", "", "bios", "FILE", "another firmware than the built-in one, such as SeaBIOS"),
        Option("kernel", "", "kernel", "FILE", "start this kernel: a bzImage of Linux, multiboot or PVH ELF"),
        Option("initrd", "", "initrd", "FILE", "its initial RAM disk"),
        Option("append", "", "append", "TEXT", "its command line"),
        Choice(
            "network",
            "",
            "network",
            "CARD",
            "a card on a network of its own behind this host: virtio, e1000 or none",
            NETWORKS,
        ),
        Option(
            "forwards",
            "",
            "forward",
            "HOST:GUEST",
            "lead connections to a port of this host into the guest: [tcp:|udp:][ADDRESS:]HOST:GUEST (may be repeated)",
            parse=forward,
            many=True,
        ),
        Choice(
            "devices",
            "",
            "device",
            "NAME",
            "an optional device: virtio-rng, virtio-console, or virtio-mmio, which has virtio devices in memory (may be"
            " repeated)",
            DEVICES,
            many=True,
        ),
        Option(
            "serial",
            "",
            "serial",
            "WHERE",
            "the serial port: stdio (the default), file:PATH, pty or none",
            parse=serial,
        ),
        Choice(
            "display",
            "",
            "display",
            "KIND",
            "none (the default), text: the screen in the terminal, or png: the file of --screenshot, or screen.png, "
            "renewed each second",
            DISPLAYS,
        ),
        Option("screenshot", "", "screenshot", "FILE", "write the screen at the end to a PNG file, or as text"),
        Option(
            "steps",
            "",
            "expect",
            "TEXT",
            "wait until the guest prints this; the exit status says whether it did",
            parse=step("expect"),
            many=True,
        ),
        Option(
            "steps",
            "",
            "send",
            "TEXT",
            r"then type this; \n, \x03 and the like are understood",
            parse=step("send"),
            many=True,
        ),
        Option("timeout", "", "timeout", "SECONDS", "end the machine after this time", parse=seconds),
        Option("no_reboot", "", "no-reboot", "", "end where the guest resets the machine"),
        Option("icount", "", "icount", "", "let time go by with instructions: each run is like the other"),
        Choice(
            "accelerator",
            "",
            "accel",
            "NAME",
            "who executes: kvm, this host's processor; tcg, an emulated one; kvm:tcg, the first that can (the default)",
            ACCELERATORS,
        ),
        Choice(
            "trace",
            "",
            "trace",
            "WHAT",
            "a line of JSON an event, on standard error: ports, interrupts or disks (may be repeated)",
            ("ports", "interrupts", "disks"),
            many=True,
        ),
        *OPENING,
    ),
)
