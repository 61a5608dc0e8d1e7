"""Wild guests: random code with random tables in every mode, which must neither crash nor hang the host's process.

In CI a few dozen; the long run is `TCG_SEEDS=200 pytest -n auto tests/emulator/tcg/test_tcg_hostile.py`. A seed runs in
a process of its own, so that a crash is a failure that names it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from threading import Timer

import pytest

from emulator.softmmu.space import AddressSpace
from emulator.tcg.processor import Processor
from emulator.x86.instruction import CS
from emulator.x86.random_code import random_encoding
from emulator.x86.table import ENCODINGS

SEEDS = int(os.environ.get("TCG_SEEDS", "1"))
GUESTS = 20
MEMORY = 1 << 20
RUNS, SECONDS = 3, 0.02
CODE = {16: 0x009B, 32: 0xC09B, 64: 0xA09B}
FINISHED = "finished"


def random_memory(random: Random, mode: int) -> bytearray:
    """Code of all forms, between descriptors, page tables and noise."""
    memory = bytearray(random.randbytes(MEMORY))
    for start in range(0, MEMORY, 4096):
        place, kind = start, random.randrange(5)
        while kind < 2 and place < start + 4000:
            row = random.choice(ENCODINGS)
            code = random_encoding(row, mode, random) if mode in row.modes else b"\x90"
            memory[place : place + len(code)] = code
            place += len(code)
        if kind == 2:  # page tables that lead to memory, mostly
            for entry in range(start, start + 4096, 8):
                value = random.randrange(MEMORY >> 12) << 12 | random.choice((7, 7, 7, 3, 5, 0x87, 0, 0x1E7))
                memory[entry : entry + 8] = value.to_bytes(8, "little")
        if kind == 3:  # descriptors and gates
            for entry in range(start, start + 4096, 8):
                memory[entry + 5] = random.choice((0x9B, 0x93, 0xFB, 0xF3, 0x8E, 0xEE, 0x8B, 0x89, 0xE5, 0xEC, 0x82))
    return memory


def run_guest(seed: str) -> None:
    random = Random(seed)
    mode = random.choice((16, 32, 64))
    space = AddressSpace()
    space.add_ram(0, MEMORY)
    space.write(0, bytes(random_memory(random, mode)))
    processor = Processor(space, ops=1 << 12)
    processor.core.hot_after = random.choice((0, 1, 3))
    processor.core.worth = 1
    cpu = processor.core.cpu
    level = random.choice((0, 0, 0, 3))
    for number, segment in enumerate(cpu.segments):
        segment.base, segment.limit = (0, 0xFFFFFFFF) if mode != 16 else (random.randrange(MEMORY) & ~15, 0xFFFF)
        segment.attributes = CODE[mode] | level << 5 if number == CS else 0xC093 | level << 5
    for table in (cpu.gdtr, cpu.idtr, cpu.ldtr, cpu.tr):
        table.base, table.limit = random.randrange(MEMORY), random.choice((0, 0x67, 0xFFFF))
    cpu.tr.attributes = 0x8B
    paging = random.random() < 0.7 or mode == 64
    cpu.cr0 = 0x11 | (1 << 31 if paging and mode != 16 else 0) if mode != 16 or random.random() < 0.5 else 0x10
    cpu.cr3 = random.randrange(MEMORY >> 12) << 12
    cpu.cr4 = random.getrandbits(22) & 0x3706FF | (1 << 5 if mode == 64 else 0)
    cpu.efer = 0xD01 if mode == 64 else 0
    for _ in range(RUNS):
        for number in range(16):
            cpu.registers[number] = random.choice((random.getrandbits(64), random.randrange(MEMORY)))
        processor.rflags = random.getrandbits(22) & 0x3F7FD5 & ~(1 << 17 if mode == 64 else 0)
        for number in range(8):
            cpu.debug[number] = random.randrange(MEMORY) if random.random() < 0.2 else 0
        cpu.rip = random.randrange(MEMORY)
        cpu.halted = 0
        processor.state_changed()
        alarm = Timer(SECONDS, processor.request_exit)
        alarm.start()
        processor.run()
        alarm.cancel()
        alarm.join()
        processor.core.exit_request = 0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_wild_guests(seed: int) -> None:
    command = [sys.executable, __file__, str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    last = done.stdout.splitlines()[-1:]
    assert (done.returncode, last) == (0, [FINISHED]), f"guest {last}: {done.returncode} {done.stderr[-2000:]}"


if __name__ == "__main__":
    for guest in range(GUESTS):
        print(sys.argv[1], guest, flush=True)
        run_guest(f"{sys.argv[1]} {guest}")
    print(FINISHED)
