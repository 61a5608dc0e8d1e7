"""The images that the command-line tests work on, made by the peer's own tools."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

PATTERNS = "write -P 17 0 64k", "write -P 34 512k 128k", "write -z 256k 64k"

RECIPES = """
qemu-img create -q -f raw disk.raw 1M
qemu-img create -q -f qcow2 base.qcow2 1M
qemu-img create -q -f qcow2 larger.qcow2 2M
qemu-img create -q -f vdi disk.vdi 1M
qemu-img create -q -f vmdk disk.vmdk 1M
qemu-img create -q -f qcow2 zeroed.qcow2 1M
qemu-img create -q -f qcow2 -o preallocation=metadata reserved.qcow2 1M
qemu-img create -q -f vmdk -o subformat=monolithicFlat flat.vmdk 1M
qemu-img create -q -f vpc disk.vpc 1M
qemu-img create -q -f vhdx -o block_size=1M disk.vhdx 1M
qemu-img create -q -f qcow disk.qcow 1M
qemu-img create -q -f qed disk.qed 1M
qemu-img create -q -f parallels disk.parallels 1M
qemu-img create -q -f raw odd.raw 10000
qemu-img create -q -f raw empty.raw 0
"""


def make_pictures(directory: Path) -> None:
    """Fill `directory`."""

    def run(*words: str) -> None:
        subprocess.run(words, cwd=directory, check=True, stdout=subprocess.DEVNULL)

    def write(name: str, format: str, *commands: str) -> None:
        run("qemu-io", "-f", format, *[word for command in commands for word in ("-c", command)], name)

    for line in RECIPES.strip().splitlines():
        run(*line.split())
    for name in ("disk.raw", "base.qcow2", "larger.qcow2", "disk.vdi", "disk.vmdk"):
        write(name, name.split(".")[1], *PATTERNS)
    for name in ("disk.vpc", "disk.vhdx", "disk.qcow", "disk.qed", "disk.parallels"):
        write(name, name.split(".")[1], *PATTERNS)
    write("larger.qcow2", "qcow2", "write -z 1M 512k")
    write("zeroed.qcow2", "qcow2", "write 0 128k", "write -z 0 64k")
    run("qemu-img", "convert", "-O", "raw", "base.qcow2", "base.raw")
    run("qemu-img", "convert", "-O", "qcow2", "-o", "compat=0.10", "base.qcow2", "v2.qcow2")
    run("qemu-img", "convert", "-O", "qcow2", "-c", "base.qcow2", "compressed.qcow2")
    (directory / "longer.raw").write_bytes(
        (directory / "disk.raw").read_bytes() + bytes(4096) + b"end".ljust(4096, b"\0")
    )
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", "2M")
    write("top.qcow2", "qcow2", "write -P 51 64k 64k", "write -z 512k 64k", "write -z 768k 64k")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "gone", "-F", "qcow2", "broken-backing.qcow2", "1M")
    make_chains(directory)
    base = (directory / "base.qcow2").read_bytes()
    (directory / "snap.qcow2").write_bytes(base)
    run("qemu-img", "snapshot", "-c", "first", "snap.qcow2")
    run("qemu-img", "snapshot", "-c", "a name longer than its column", "snap.qcow2")
    make_states(directory)
    (directory / "inuse.qcow2").write_bytes(base)
    for bitmap in ("b0", "b1"):
        run("qemu-img", "bitmap", "--add", "inuse.qcow2", bitmap)
    killed = ["qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "flush", "-c", "sigraise 9", "inuse.qcow2"]
    subprocess.run(killed, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (directory / "truncated.qcow2").write_bytes(base[:100])
    (directory / "text.txt").write_text("no image at all\n")
    make_damaged(directory, base)


CHAINS = """
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2 2M
qemu-io -f qcow2 -c "write -P 1 128k 64k" -c "write -z 0 64k" middle.qcow2
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 upper.qcow2 3M
qemu-io -f qcow2 -c "write -P 2 192k 64k" -c "write -P 3 2560k 64k" upper.qcow2
qemu-img create -q -f qcow2 -b disk.raw -F raw over-raw.qcow2 2M
qemu-io -f qcow2 -c "write -P 2 192k 64k" -c "write -P 3 1536k 64k" over-raw.qcow2
qemu-img create -q -f qcow2 -b disk.vmdk -F vmdk over-vmdk.qcow2 2M
qemu-img create -q -f qcow2 -b disk.vdi -F vdi over-vdi.qcow2 2M
"""


def make_chains(directory: Path) -> None:
    """Images on top of others, of other sizes and formats."""
    for line in CHAINS.strip().splitlines():
        subprocess.run(shlex.split(line), cwd=directory, check=True, stdout=subprocess.DEVNULL)


def make_states(directory: Path) -> None:
    """The same snapshots, as if a machine that had run for a while had been saved with them."""
    content = bytearray((directory / "snap.qcow2").read_bytes())
    entry = int.from_bytes(content[64:72], "big")
    for state_size, clock, icount in ((1049000000, 3723004000000, (1 << 64) - 1), (5000, 400000 * 3600 * 10**9, 12345)):
        id_size, name_size = (int.from_bytes(content[entry + at : entry + at + 2], "big") for at in (12, 14))
        extra_size = int.from_bytes(content[entry + 36 : entry + 40], "big")
        for at, value in ((24, clock), (40, state_size), (56, icount)):
            content[entry + at : entry + at + 8] = value.to_bytes(8, "big")
        entry += (40 + extra_size + id_size + name_size + 7) // 8 * 8
    (directory / "states.qcow2").write_bytes(content)


def make_damaged(directory: Path, base: bytes) -> None:
    """Images with one thing wrong each, by their offsets in a fresh image of 64 KiB clusters."""
    refcounts, first_data = 0x20000, 5

    def damaged(name: str, *patches: tuple[int, bytes], end: bytes = b"") -> None:
        content = bytearray(base + end)
        for offset, data in patches:
            content[offset : offset + len(data)] = data
        (directory / name).write_bytes(content)

    behind = len(base) >> 16
    damaged("leak.qcow2", (refcounts + 2 * behind, b"\0\1"), end=bytes(1 << 16))
    damaged("shared.qcow2", (refcounts + 2 * first_data, b"\0\2"))
    damaged("corrupt.qcow2", (refcounts + 2 * first_data, b"\0\0"))
    damaged("dirty.qcow2", (72, (1).to_bytes(8, "big")))
