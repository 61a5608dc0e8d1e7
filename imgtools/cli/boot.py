"""imgtools boot: an emulated PC with a disk image in it, its console in the terminal."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec

from imgtools.block.filters.overlay import Overlay, temporary_directory
from imgtools.cli import console, keyvalue
from imgtools.cli.arguments import Complaint
from imgtools.cli.boot_options import COMMAND, DRIVE_OPTIONS, INTERFACES, MEGABYTE
from imgtools.cli.opening import named, open_named
from imgtools.errors import BadOption, UnsupportedFeature, from_os_error

__all__ = ["COMMAND", "run"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

ON_OFF = {"on": True, "off": False}


def run(arguments: Any) -> int:
    if len(arguments.operands) > 1:
        raise Complaint("Expecting one image file name; use --drive for further disks")
    import gc

    gc.disable()  # all that is imported stays: to look for what does not costs a sixth of the start
    from emulator.console.session import Session, Wishes
    from emulator.machine.config import LinuxBoot, PcConfig
    from emulator.machine.errors import GuestError, ProgramError
    from emulator.native.errors import NativeError

    accelerator = chosen_accelerator(arguments)
    with ExitStack() as opened:
        drives = [opened_drive(drive, arguments, opened) for drive in drives_of(arguments)]
        if not drives and arguments.kernel is None:
            raise Complaint("Expecting an image file name, --cdrom, --floppy, --drive or --kernel")
        linux = None
        if arguments.kernel is not None:
            initrd = read_file(arguments.initrd) if arguments.initrd else b""
            linux = LinuxBoot(read_file(arguments.kernel), initrd, arguments.append or "")
        elif arguments.initrd or arguments.append:
            raise Complaint("--initrd and --append are for --kernel")
        if arguments.forwards and arguments.network in (None, "none"):
            raise Complaint("--forward is for a guest with a network; see --network")
        config = PcConfig(
            memory=arguments.memory or 512 * MEGABYTE,
            drives=drives,
            boot_order=arguments.boot_order or "cda",
            bios=read_file(arguments.bios) if arguments.bios else None,
            linux=linux,
            network=None if arguments.network in (None, "none") else arguments.network,
            forwards=arguments.forwards,
            devices=tuple(arguments.devices),
            accelerator=accelerator,
            icount=arguments.icount,
            reboot=not arguments.no_reboot,
        )
        wishes = Wishes(
            serial=arguments.serial or ("none" if arguments.display == "text" else "stdio"),
            display=arguments.display or "none",
            screenshot=arguments.screenshot or ("screen.png" if arguments.display == "png" else None),
            steps=arguments.steps,
            timeout=arguments.timeout,
            trace=arguments.trace,
            complain=console.complain,
        )
        try:
            session = Session(config, wishes)
            gc.freeze()
            gc.enable()
            return session.run()
        except (GuestError, ProgramError, NativeError) as error:
            raise Complaint(str(error)) from error


def chosen_accelerator(arguments: Any) -> str:
    """The one that is there of those that are wanted."""
    from emulator.machine.engine import TCG, choose
    from emulator.machine.errors import GuestError

    try:
        name = choose(arguments.accelerator, icount=arguments.icount, warn=console.complain)
    except GuestError as error:
        raise Complaint(str(error)) from error
    if name == TCG and find_spec("llvmlite") is None:
        raise UnsupportedFeature("booting needs llvmlite", hint="pip install 'imgtools[boot]'")
    return name


def drives_of(arguments: Any) -> list[dict[str, str]]:
    """Every disk as the values of a --drive."""
    drives = []
    if arguments.operands:
        drives.append({"file": arguments.operands[0], "if": arguments.interface or "ide"})
        if arguments.format is not None:
            drives[0]["format"] = arguments.format
        if arguments.image_opts:
            drives[0]["image-opts"] = "on"
    for text in arguments.drives:
        drive = keyvalue.parse(text, implied="file")
        for name in drive:
            if name not in DRIVE_OPTIONS:
                raise Complaint(f"--drive has no option '{name}' (there are {', '.join(DRIVE_OPTIONS)})")
        drives.append(drive)
    drives += [{"file": name, "media": "cdrom"} for name in arguments.cdroms]
    drives += [{"file": name, "if": "floppy"} for name in arguments.floppies]
    return drives


def opened_drive(drive: dict[str, str], arguments: Any, opened: ExitStack) -> Any:
    """The disk of a --drive: as it is, or with its writes kept apart."""
    from emulator.machine.config import Drive

    interface, media = drive.get("if", "ide"), drive.get("media", "disk")
    if interface not in INTERFACES or media not in ("disk", "cdrom") or not drive.get("file"):
        raise Complaint("--drive needs a file, if= one of ide, virtio and floppy, media= disk or cdrom")
    read_only = switch(drive, "readonly", media == "cdrom")
    keeps = not switch(drive, "snapshot", not arguments.write) and not read_only
    target = named(drive["file"], drive.get("format"), "image-opts" in drive)
    node: Node = opened.enter_context(open_named(target, arguments, writable=keeps))
    if not keeps and not read_only:
        node = opened.enter_context(Overlay(node, temporary_directory()))
    if "disks" in arguments.trace:
        import sys

        from imgtools.block.filters.trace import Trace

        node = Trace(node, sys.stderr)
    return Drive(node, interface, media, drive.get("serial", ""))


def switch(drive: dict[str, str], name: str, otherwise: bool) -> bool:
    if name not in drive:
        return otherwise
    if drive[name] not in ON_OFF:
        raise BadOption(f"Parameter '{name}' expects 'on' or 'off'")
    return ON_OFF[drive[name]]


def read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise from_os_error(error, f"Could not open '{path}'", path) from error
