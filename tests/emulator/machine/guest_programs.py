"""Programs for the bare machine: built by gcc from `guests/`, run here and in QEMU."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from emulator.machine.bare import BareMachine
from emulator.machine.programs import load
from tests.conftest import PATIENCE, cannot_run, require_tool

GUESTS = Path(__file__).with_name("guests")
LINK = "-nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,max-page-size=4096"
AT_1_MIB = "-Wl,-Ttext=0x100000"
SECTORS = 2048  # of a disk that a boot sector is on
QEMU = (
    "-accel tcg -cpu max,vendor=GenuineIntel -m 128 -display none -debugcon stdio -serial null -monitor none "
    "-no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4"
)


class Outcome(NamedTuple):
    output: str
    status: int


def build(name: str, target: Path, bits: int = 32, options: str = "") -> Path:
    """A multiboot program from an assembly or C file; one of 64-bit code is put into a 32-bit ELF file."""
    sources = [GUESTS / name]
    if name.endswith(".c"):
        sources.insert(0, GUESTS / f"start{bits}.S")
    command = f"{require_tool('gcc')} -m{bits} {LINK} {AT_1_MIB} -I{GUESTS} {options} -o {target}"
    _run(*command.split(), *map(str, sources))
    if bits == 64:
        _run("objcopy", "-O", "elf32-i386", str(target))
    return target


def build_boot_sector(name: str, target: Path) -> Path:
    """A disk image from an assembly file and the linker's script beside it."""
    script = (GUESTS / name).with_suffix(".ld")
    command = f"{require_tool('gcc')} -m32 {LINK} -Wl,-T,{script},--oformat=binary -o {target} {GUESTS / name}"
    _run(*command.split())
    with target.open("r+b") as file:
        file.truncate(SECTORS * 512)
    return target


def run_natively(sources: list[Path], target: Path, bits: int, options: str) -> str:
    """What the same code prints as a process of this host."""
    command = f"{require_tool('gcc')} -m{bits} {LINK} -I{GUESTS} {options} -o {target}"
    _run(*command.split(), *map(str, sources))
    done = subprocess.run([str(target)], capture_output=True, timeout=PATIENCE)
    if done.returncode < 0:
        cannot_run(f"the host does not run programs of {bits} bits")
    return done.stdout.decode("latin-1")


def run_here(program: Path, command_line: str = "", *, memory: int = 128 << 20) -> Outcome:
    """Interpreted, and once more with everything translated when it is first executed: the outcome of both."""
    outcomes = []
    for translated in (False, True):
        output = bytearray()
        with BareMachine(output.extend, memory) as machine:
            core = machine.processor.core
            core.hot_after, core.worth = int(translated), 1
            load(machine, program, command_line)
            status = machine.run()
        outcomes.append(Outcome(output.decode("latin-1"), status))
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


def run_qemu(program: Path, *, disk: bool = False) -> Outcome:
    how = ["-drive", f"file={program},format=raw"] if disk else ["-kernel", str(program)]
    command = [require_tool("qemu-system-x86_64"), *QEMU.split(), *how]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    return Outcome(done.stdout.decode("latin-1"), done.returncode)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "cannot find" in done.stderr:
        cannot_run(f"gcc cannot build for this target: {done.stderr.strip()}")
    assert done.returncode == 0, f"{command}: {done.stderr}"
