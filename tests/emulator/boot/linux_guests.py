"""Linux for the tests: Debian's kernels, and initial RAM disks of busybox, modules and a script.

`fetch_kernels.sh` unpacks the kernels; tests that need one that is not there are skipped.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import cannot_run, require_tool

KERNELS = Path(os.environ.get("IMGTOOLS_KERNELS", "/var/lib/imgtools-tests/kernels"))
APPLETS = (
    "sh", "mount", "umount", "cat", "echo", "ls", "poweroff", "reboot", "dd", "sync", "md5sum", "sleep", "ip", "udhcpc",
    "wget", "mkdir", "head", "tail", "cut", "insmod", "printf", "cmp", "uname", "rm",
)  # fmt: skip
PROLOGUE = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod $module; done
"""
DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


class Kernel(NamedTuple):
    """One of Debian's kernels: its bzImage, and where its modules are."""

    image: Path
    modules: Path
    busybox: Path


def kernel(name: str) -> Kernel:
    """`cloud-amd64`, `amd64` or `686-pae`."""
    image = KERNELS / name / "vmlinuz"
    if not image.exists():
        cannot_run(f"{image} is missing (tests/emulator/boot/fetch_kernels.sh gets it)")
    busybox = KERNELS / "busybox-i386" if name == "686-pae" else Path(require_tool("busybox"))
    return Kernel(image, (KERNELS / name / "modules").resolve(), busybox)


def initramfs(kernel: Kernel, modules: Iterable[str], script: str, files: dict[str, bytes] | None = None) -> bytes:
    """A RAM disk whose /init inserts modules and what they depend on, and then runs a script."""
    content = {
        "bin/busybox": kernel.busybox.read_bytes(),
        "init": (PROLOGUE + script).encode(),
        **(files or {}),
    }
    ordered = list(dict.fromkeys(path for name in modules for path in _with_dependencies(kernel, name)))
    content["modules"] = "".join(f"/{path.name}\n" for path in ordered).encode()
    content |= {path.name: path.read_bytes() for path in ordered}
    archive = b"".join(_entry(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "proc", "sys", "dev", "mnt", "tmp"))
    archive += b"".join(_entry(name, stat.S_IFREG | 0o755, data) for name, data in content.items())
    archive += b"".join(_entry(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox") for name in APPLETS)
    return gzip.compress(archive + _entry("TRAILER!!!", 0, b""), 1)


def _entry(name: str, mode: int, data: bytes) -> bytes:
    """A file of a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + path
    return header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4)


def _with_dependencies(kernel: Kernel, name: str) -> Iterator[Path]:
    """A module's file behind those of the modules that it depends on; nothing for what is built in."""
    pattern = re.sub("[-_]", "[-_]", name) + ".ko"
    path = next(kernel.modules.rglob(pattern), None)
    if path is None:
        return
    found = DEPENDS.search(path.read_bytes())
    for other in found.group(1).decode().split(",") if found else ():
        if other:
            yield from _with_dependencies(kernel, other)
    yield path
