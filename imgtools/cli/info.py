"""imgtools info: what is known about an image without reading its data."""

from __future__ import annotations

import time

from imgtools.cli import console
from imgtools.cli.arguments import FORCE_SHARE, FORMAT, OPENING, OUTPUT, output_format
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.json_text import ordered, to_json
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import could_not_open, gate_of, named
from imgtools.errors import ImageError
from imgtools.operations.info import ImageInfo, SnapshotInfo, info, info_chain
from imgtools.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "info",
    "FILENAME",
    "Tell what is known about an image without reading its data.",
    (
        FORMAT,
        OUTPUT,
        Option("backing_chain", "", "backing-chain", "", "go on with the backing file, and so to the end of the chain"),
        Option("limits", "", "limits", "", "tell, too, what requests had better keep to: their alignment and size"),
        FORCE_SHARE,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    style = output_format(arguments)
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    how: dict[str, Any] = {
        "format": target.format,
        "gate": gate_of(arguments),
        "share": arguments.force_share,
        "objects": objects_of(arguments),
    }
    images: list[ImageInfo] = []
    try:
        if arguments.backing_chain:
            for image in info_chain(target.name, **how):
                images.append(image)
        else:
            images.append(info(target.name, **how))
    except ImageError as error:
        raise could_not_open((images and error.path) or target.shown, error) from error
    if style == "json":
        found = [image.as_dict() | ({"limits": image.limits} if arguments.limits else {}) for image in images]
        console.say(to_json(found if arguments.backing_chain else found[0]))
    else:
        console.say("\n\n".join("\n".join(human(image, limits=arguments.limits)) for image in images))
    return 0


def human(image: ImageInfo, *, limits: bool = False) -> list[str]:
    """The lines that describe an image to people."""
    actual = "unavailable" if image.actual_size is None else format_size(image.actual_size)
    lines = [
        f"image: {image.filename}",
        f"file format: {image.format}",
        f"virtual size: {format_size(image.virtual_size)} ({image.virtual_size} bytes)",
        f"disk size: {actual}",
    ]
    if image.encrypted:
        lines.append("encrypted: yes")
    if image.cluster_size is not None:
        lines.append(f"cluster_size: {image.cluster_size}")
    if image.dirty:
        lines.append("cleanly shut down: no")
    if image.backing_filename:
        full = image.full_backing_filename
        lines.append(
            f"backing file: {image.backing_filename}"
            + (f" (actual path: {full})" if full != image.backing_filename else "")
        )
        if image.backing_format:
            lines.append(f"backing file format: {image.backing_format}")
    if limits:
        lines += ["Block limits:", *describe(image.limits, 1)]
    if image.snapshots:
        lines += snapshot_table(image.snapshots)
    if image.format_specific:
        lines += ["Format specific information:", *describe(image.format_specific, 1)]
    return lines


def snapshot_table(snapshots: list[SnapshotInfo]) -> list[str]:
    """The table of internal snapshots; dates are in local time."""
    lines = ["Snapshot list:", f"{'ID':<9} {'TAG':<16} {'VM SIZE':>8}{'DATE':>20}{'VM CLOCK':>13}{'ICOUNT':>11}"]
    for snapshot in snapshots:
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.date_seconds))
        seconds, milliseconds = divmod(snapshot.vm_clock_nanoseconds // 1_000_000, 1000)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}"
        icount = "" if snapshot.icount is None else snapshot.icount
        size = format_size(snapshot.vm_state_size)
        lines.append(f"{snapshot.id:<9} {snapshot.name:<16} {size:>8}{date:>20}{clock:>13}{icount:>11}")
    return lines


def describe(value: Any, depth: int) -> list[str]:
    """The lines of a format's own facts, nested ones indented further."""
    if isinstance(value, dict):
        members = [(name.replace("-", " "), member) for name, member in ordered(value)]
    else:
        members = [(f"[{index}]", member) for index, member in enumerate(value)]
    lines = []
    for name, member in members:
        nested = isinstance(member, (dict, list))
        text = "" if nested else f" {str(member).lower() if isinstance(member, bool) else member}"
        lines.append(f"{'    ' * depth}{name}:{text}")
        if nested:
            lines += describe(member, depth + 1)
    return lines
