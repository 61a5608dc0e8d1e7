"""Boot a PC and follow its screen: wait for texts, type what comes next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from emulator.hw.vga.picture import text_screen
from emulator.machine.config import Drive, LinuxBoot, PcConfig
from emulator.machine.pc import Pc
from tests.conftest import PATIENCE, cannot_run

SEABIOS = Path("/usr/share/seabios/bios-256k.bin")
FIRMWARE = ("built-in", "seabios")
SEEN, MISSING = 10, 11  # exit statuses of the machine


def require_file(path: Path, package: str) -> Path:
    if not path.exists():
        cannot_run(f"{path} is not there (Debian package {package})")
    return path


def firmware(name: str) -> bytes | None:
    """What `PcConfig.bios` has for a name."""
    return None if name == "built-in" else require_file(SEABIOS, "seabios").read_bytes()


class Outcome:
    """What was on the screen and what went to the consoles when the run ended."""

    def __init__(self, screen: str, output: str, status: int) -> None:
        self.screen, self.output, self.status = screen, output, status


def screen_of(machine: Pc) -> str:
    screen = text_screen(machine.vga)
    return "(graphics)" if screen is None else "\n".join(screen.lines)


def follow(
    drives: Sequence[Drive],
    steps: Sequence[tuple[str, str]],
    *,
    bios: str = "built-in",
    order: str = "c",
    memory: int = 512 << 20,
    linux: LinuxBoot | None = None,
) -> Outcome:
    """Boot; each time the screen shows the text of a step, type its other one. It fails if one does not come."""
    output = bytearray()
    config = PcConfig(
        memory, drives, boot_order=order, bios=firmware(bios), linux=linux, serial=output.extend, teletype=output.extend
    )  # fmt: skip
    left = list(steps)
    with Pc(config) as machine:

        def look() -> None:
            if left and left[0][0] in screen_of(machine):
                machine.type_text(left.pop(0)[1])
            if not left:
                machine.end(SEEN)

        over = threading.Event()

        def watch() -> None:
            for _ in range(PATIENCE * 10):
                if over.wait(0.1):
                    return
                machine.post(look)
            machine.end(MISSING)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            machine.power_on()
            status = machine.run()
        finally:
            over.set()
            watcher.join()
        outcome = Outcome(screen_of(machine), output.decode("latin-1"), status)
    assert status == SEEN, f"{left[0][0]!r} did not come:\n{outcome.screen}\n{outcome.output[-1000:]}"
    return outcome
