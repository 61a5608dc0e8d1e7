"""The commands with --accel kvm: consoles, exit statuses, signals, and what is said of the host."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from kvm_guests import STATUS, boot_sector

from emulator.kvm.host import DEVICE, Host
from emulator.kvm.modes import missing_modes
from tests.conftest import PATIENCE, run
from tests.emulator.machine.guest_programs import build_boot_sector

DISK = Path(__file__).parents[1] / "boot" / "guests" / "disk.S"
BOOT = (sys.executable, "-m", "imgtools", "boot", "-f", "raw")
BARE = (sys.executable, "-m", "emulator", "run")
INTERRUPTED = 130
NOBODY = 65534


@pytest.fixture(scope="module")
def missing() -> str:
    """What the host's KVM lacks, as it is said."""
    host = Host()
    modes = missing_modes(host)
    host.close()
    return f"the KVM of this host cannot run {', '.join(modes)}" if modes else ""


def test_rung_one(missing: str, tmp_path: Path) -> None:
    """A boot sector that prints, and writes to its disk by INT 13h; a reset of the board ends the machine."""
    image, objects = tmp_path / "disk", tmp_path / "disk.o"
    run("gcc", "-m32", "-c", "-DRESETS", "-o", objects, DISK)
    run("objcopy", "-O", "binary", "-j", ".text", objects, image)
    image.write_bytes(image.read_bytes().ljust(1 << 20, b"\0"))
    done = run(*BOOT, "--accel", "kvm", "--write", "--no-reboot", image, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "W")
    assert done.stderr.strip() == (missing and f"imgtools: {missing}")
    content = image.read_bytes()
    assert content[512:1024] == content[:512]


def test_bare_machine(tmp_path: Path) -> None:
    """Services of the firmware, the timer's interrupts, long limits in real mode: the same from both."""
    program = build_boot_sector("boot16.S", tmp_path / "disk")
    outcomes = [run(*BARE, "--accel", name, program, check=False) for name in ("kvm", "tcg")]
    assert outcomes[0].returncode == outcomes[1].returncode and outcomes[0].stdout == outcomes[1].stdout != ""


def test_either(missing: str, tmp_path: Path) -> None:
    """With a choice KVM is taken if it lacks nothing, and why not is said."""
    image = boot_sector(tmp_path, "")
    done = run(*BOOT, "--accel", "kvm:tcg", image, check=False)
    assert done.returncode == STATUS
    assert done.stderr.strip() == (missing and f"imgtools: {missing}; tcg executes")
    assert run(*BOOT, image, check=False).stderr == ""


def test_counted_instructions(tmp_path: Path) -> None:
    done = run(*BOOT, "--accel", "kvm", "--icount", boot_sector(tmp_path, ""), check=False)
    assert (done.returncode, done.stderr) == (1, "imgtools: --icount counts instructions, which KVM does not do\n")


@pytest.mark.parametrize("command", [BOOT, BARE])
@pytest.mark.parametrize("rest", ["1: jmp 1b", "    sti\n1: hlt\n    jmp 1b"])
def test_control_c(command: tuple[str, ...], rest: str, tmp_path: Path) -> None:
    """Whatever the guest does, a signal ends it."""
    image = boot_sector(tmp_path, f"    mov $'A', %al\n    out %al, $0xe9\n{rest}\n")
    words = [*command, "--accel", "kvm", str(image)]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None and process.stdout.read(1) == b"A"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == INTERRUPTED


if os.geteuid() == 0 and not os.stat(DEVICE).st_mode & stat.S_IRWXO:  # else there is nobody who may not open it

    def test_no_permission() -> None:
        said = f"from emulator.kvm.host import Host; import os; os.setuid({NOBODY}); Host()"
        done = run(sys.executable, "-c", said, check=False)
        assert done.stderr.strip().endswith("may not be opened: join its group (usermod -a -G kvm USER)")


def test_timeout(tmp_path: Path) -> None:
    done = run(*BOOT, "--accel", "kvm", "--timeout", "1", boot_sector(tmp_path, "1: jmp 1b"), check=False)
    assert done.returncode == 1 and done.stderr.endswith("the time of 1 s is over\n")
