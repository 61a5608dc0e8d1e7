"""How the tiny images in this folder were made.

    python -m tests.images.recipe

writes each image of RECIPES, packed with gzip, and MANIFEST.json: the format, which version of the tool made it, and
the SHA-256 of the disk's content. Tests read the images without any tool being installed. Every disk has the same few
runs of readable text, so that a glance at a hex dump tells which one is looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SIZE = 3 * 1024 * 1024 + 512
RUNS = ((0, 1), (65_536, 2), (1_048_576, 3), (1_114_112, 4), (3_145_728, 5))
"""(offset, seed) of runs of 512 bytes; everything else is zero."""

QCOW2 = ["-f", "qcow2"]
RECIPES: dict[str, list[list[str]]] = {
    "v2.qcow2": [["convert", "-O", "qcow2", "-o", "compat=v2", "DISK", "IMAGE"]],
    "v3.qcow2": [["convert", "-O", "qcow2", "DISK", "IMAGE"]],
    "cluster512.qcow2": [["convert", "-O", "qcow2", "-o", "cluster_size=512", "DISK", "IMAGE"]],
    "refcount1.qcow2": [["convert", "-O", "qcow2", "-o", "refcount_bits=1", "DISK", "IMAGE"]],
    "refcount64.qcow2": [["convert", "-O", "qcow2", "-o", "refcount_bits=64", "DISK", "IMAGE"]],
    "zlib.qcow2": [["convert", "-c", "-O", "qcow2", "DISK", "IMAGE"]],
    "zstd.qcow2": [["convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", "DISK", "IMAGE"]],
    "metadata.qcow2": [["convert", "-O", "qcow2", "-o", "preallocation=metadata", "DISK", "IMAGE"]],
    "snapshot.qcow2": [["convert", "-O", "qcow2", "DISK", "IMAGE"], ["snapshot", "-c", "first", "IMAGE"]],
    "bitmap.qcow2": [["convert", "-O", "qcow2", "DISK", "IMAGE"], ["bitmap", "--add", "IMAGE", "b0"]],
    "dynamic.vdi": [["convert", "-O", "vdi", "DISK", "IMAGE"]],
    "static.vdi": [["convert", "-O", "vdi", "-o", "static=on", "DISK", "IMAGE"]],
    "sparse.vmdk": [["convert", "-O", "vmdk", "DISK", "IMAGE"]],
    "zeroed.vmdk": [["convert", "-O", "vmdk", "-o", "zeroed_grain=on", "DISK", "IMAGE"]],
    "stream.vmdk": [["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "DISK", "IMAGE"]],
    "first.qcow": [["convert", "-O", "qcow", "DISK", "IMAGE"]],
    "enhanced.qed": [["convert", "-O", "qed", "DISK", "IMAGE"]],
    "expanding.parallels": [["convert", "-O", "parallels", "DISK", "IMAGE"]],
    "dynamic.vhdx": [["convert", "-O", "vhdx", "-o", "block_size=1M", "DISK", "IMAGE"]],
    "dynamic.vpc": [["convert", "-O", "vpc", "-o", "force_size=on", "DISK", "IMAGE"]],
}
"""Name to the qemu-img commands that make it from the raw disk."""
READ_ONLY = ("bitmap.qcow2", "stream.vmdk", "first.qcow", "enhanced.qed", "expanding.parallels")
"""Images of kinds that are not written."""


def disk() -> bytes:
    """The content of every disk."""
    content = bytearray(SIZE)
    for offset, seed in RUNS:
        content[offset : offset + 512] = (b"imgtools run %d " % seed * 40)[:512]
    return bytes(content)


def main() -> None:
    version = subprocess.run(["qemu-img", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[
        0
    ]
    manifest = {}
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "disk.raw"
        raw.write_bytes(disk())
        for name, commands in RECIPES.items():
            image = Path(folder) / name
            for command in commands:
                words = [{"DISK": str(raw), "IMAGE": str(image)}.get(word, word) for word in command]
                subprocess.run(["qemu-img", *words], check=True)
            packed = gzip.compress(image.read_bytes(), 9, mtime=0)
            (HERE / f"{name}.gz").write_bytes(packed)
            manifest[name] = {
                "made-by": version,
                "commands": [" ".join(["qemu-img", *command]) for command in commands],
                "content-sha256": hashlib.sha256(disk()).hexdigest(),
            }
    (HERE / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
