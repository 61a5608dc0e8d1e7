"""Kernels without a boot loader that are not Linux: multiboot 1 and PVH, their command line, module and memory map."""

from __future__ import annotations

from pathlib import Path

import pytest
from boot_command import boot

from tests.conftest import require_tool, run

SOURCE = Path(__file__).with_name("guests") / "kernel.S"
LINK = "-m32 -nostdlib -static -no-pie -Wl,--build-id=none,-z,noexecstack,-Ttext=0x100000"
ENDED = 7  # the guest's exit status
MODULE = b"what the module says"


@pytest.mark.parametrize(
    ("options", "bits", "entries"), [([], 32, "1"), (["-DPVH"], 32, "5"), (["-DPVH"], 64, "5")], ids=str
)
def test_start(options: list[str], bits: int, entries: str, tmp_path: Path) -> None:
    """The last number is that of the modules, or of the entries of the memory map."""
    program, module = tmp_path / "kernel", tmp_path / "module"
    run(require_tool("gcc"), *LINK.split(), *options, "-o", program, SOURCE)
    if bits == 64:
        run(require_tool("objcopy"), "-O", "elf64-x86-64", program)
    module.write_bytes(MODULE)
    done = boot("--kernel", program, "--initrd", module, "--append", "a command line ")
    assert (done.status, done.output, done.errors) == (ENDED, f"a command line {MODULE.decode()}{entries}", "")


def test_damaged(tmp_path: Path) -> None:
    """Cut off anywhere, it is started or refused in a line."""
    program, cut = tmp_path / "kernel", tmp_path / "cut"
    run(require_tool("gcc"), *LINK.split(), "-DPVH", "-o", program, SOURCE)
    content = program.read_bytes()
    for size in (5, 40, 60, 100, 4100):
        cut.write_bytes(content[:size])
        done = boot("--kernel", cut, "--timeout", "5")
        assert done.status == 1 and "Traceback" not in done.errors and done.errors.count("\n") == 1, size
