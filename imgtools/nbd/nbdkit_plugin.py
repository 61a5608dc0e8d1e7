"""A plugin for nbdkit that serves a node: `nbdkit python nbdkit_plugin.py image=disk.qcow2 [format=qcow2] [allow=DIR]`.

Interface: nbdkit-python-plugin(3), API version 2: functions of a module, called by name. All connections share one
node; nbdkit may call from several threads.
"""

from __future__ import annotations

import errno

import nbdkit

import imgtools
from imgtools.block.gate import gate_from_environment
from imgtools.nbd.server.status import allocation_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

API_VERSION = 2
MAX_EXTENTS = 1024
"""Extents that one answer tells, at most; nbdkit asks again for the rest."""

settings: dict[str, str] = {"cache": "writeback"}
allowed: list[str] = []
opened: list[imgtools.Node] = []


def thread_model() -> int:
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def config(key: str, value: str) -> None:
    if key == "allow":
        allowed.append(value)
    elif key in ("image", "format", "cache", "readonly"):
        settings[key] = value
    else:
        raise RuntimeError(f"unknown parameter '{key}'")


def get_ready() -> None:
    """Open the image while errors still reach the user's terminal."""
    node = told(
        imgtools.open,
        settings["image"],
        format=settings.get("format"),
        writable="readonly" not in settings,
        gate=gate_from_environment(allowed),
        cache=settings["cache"],
    )
    opened.append(node)


def cleanup() -> None:
    for node in opened:
        node.close()


def open(readonly: bool) -> imgtools.Node:
    return opened[0]


def get_size(node: imgtools.Node) -> int:
    return node.size


def can_write(node: imgtools.Node) -> bool:
    return not node.read_only


def can_flush(node: imgtools.Node) -> bool:
    return True


def can_trim(node: imgtools.Node) -> bool:
    return not node.read_only


def can_zero(node: imgtools.Node) -> bool:
    return not node.read_only


def can_fua(node: imgtools.Node) -> int:
    return int(nbdkit.FUA_EMULATE)


def can_multi_conn(node: imgtools.Node) -> bool:
    return True


def can_extents(node: imgtools.Node) -> bool:
    return True


def pread(node: imgtools.Node, buffer: bytearray, offset: int, flags: int) -> None:
    told(node.readinto, offset, memoryview(buffer))


def pwrite(node: imgtools.Node, buffer: bytearray, offset: int, flags: int) -> None:
    told(node.write, offset, memoryview(buffer))


def flush(node: imgtools.Node, flags: int) -> None:
    told(node.flush)


def trim(node: imgtools.Node, count: int, offset: int, flags: int) -> None:
    told(node.discard, offset, count)


def zero(node: imgtools.Node, count: int, offset: int, flags: int) -> None:
    told(node.zero, offset, count, unmap=bool(flags & nbdkit.FLAG_MAY_TRIM))


def extents(node: imgtools.Node, count: int, offset: int, flags: int) -> list[tuple[int, int, int]]:
    """Runs of (start, length, type), whose types are the protocol's own bits."""
    found = []
    for extent in told(node.extents, offset, count):
        found.append((extent.start, extent.length, allocation_of(extent.kind)))
        if len(found) == MAX_EXTENTS or flags & nbdkit.FLAG_REQ_ONE:
            break
    return found


def told(verb: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """What a call gives; of an error nbdkit is told the number and, in one line, the text."""
    try:
        return verb(*arguments, **more)
    except imgtools.ImageError as error:
        nbdkit.set_error(error.errno or errno.EIO)
        raise RuntimeError(error.message) from None
