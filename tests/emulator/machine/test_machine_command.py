"""`python -m emulator run`: exit statuses, input, and one clear message for what cannot go on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from emulator.__main__ import main
from tests.conftest import PATIENCE

EXIT_STATUS = {"program": 2, "guest": 124}


class Done(NamedTuple):
    status: int
    output: bytes
    errors: str


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    """Run the command in this process; its standard input has ended."""

    def run_command(program: Path, *options: str) -> Done:
        status = main(["run", "--accel", "tcg", str(program), *options])
        captured = capfdbinary.readouterr()
        return Done(status, captured.out, captured.err.decode())

    return run_command


def sector(path: Path, code: str) -> Path:
    path.write_bytes(bytes.fromhex(code).ljust(510, b"\x90") + b"\x55\xaa")
    return path


def test_exit_status_and_output(run: Callable[..., Done], tmp_path: Path) -> None:
    assert run(sector(tmp_path / "boot", "b041e6e9 b005e6f4")) == Done(11, b"A", "")  # "A" to E9h, 5 to F4h


def test_input(tmp_path: Path) -> None:
    """What comes in by the serial port, polled, goes out in the same way."""
    # mov dx,3fdh; in al,dx; test al,1; jz; mov dl,f8h; in al,dx; out dx,al; out f4h,al
    program = sector(tmp_path / "boot", "bafd03 ec a801 74fb b2f8 ec ee e6f4")
    command = [sys.executable, "-m", "emulator", "run", str(program)]
    done = subprocess.run(command, input=b"z", capture_output=True, timeout=PATIENCE)
    assert (done.stdout, done.returncode) == (b"z", ord("z") * 2 + 1 & 0xFF)


def test_interrupt(tmp_path: Path) -> None:
    """Control-C ends a program that never leaves the interpreter by itself."""
    program = sector(tmp_path / "boot", "b041e6e9 ebfe")
    command = [sys.executable, "-m", "emulator", "run", str(program)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.read(1) == b"A"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


GUESTS = {
    # cli; hlt
    "halt": ("faf4", "the program halted with interrupts masked", "nop"),
    # lidt [zero]; ud2
    "undefined opcode": ("2e0f011e107c 0f0b", "triple fault: #UD could not be delivered", "ud2"),
    # lidt; jmp far to memory without a program, whose zeros are executed up to the segment's end
    "nowhere": ("2e0f011e107c ea00000070", "triple fault: #GP could not be delivered", "add"),
}


@pytest.mark.parametrize("name", GUESTS)
def test_guest_error(name: str, run: Callable[..., Done], tmp_path: Path) -> None:
    code, message, disassembly = GUESTS[name]
    path = tmp_path / "boot"
    path.write_bytes(bytes.fromhex(code).ljust(16, b"\x90").ljust(510, b"\0") + b"\x55\xaa")
    done = run(path)
    assert done.status == EXIT_STATUS["guest"]
    assert f"{path}: {message}" in done.errors and "EAX=" in done.errors
    assert disassembly in next(line for line in done.errors.splitlines() if line.startswith(">"))


PROGRAMS = {
    "nothing": (b"", "this is no program"),
    "text": (b"hello\n" * 200, "this is no program"),
    "half an ELF header": (b"\x7fELF\x01\x01\x01", "cut off within its headers"),
    "ELF for another processor": (b"\x7fELF\x01" + bytes(11) + b"\2\0\x28\0" + bytes(100), "machine 40"),
    "ELF without segments": (
        b"\x7fELF\x02" + bytes(11) + b"\2\0\x3e\0" + bytes(34) + b"\x38\0" + bytes(100),
        "nothing",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program(name: str, run: Callable[..., Done], tmp_path: Path) -> None:
    content, message = PROGRAMS[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    done = run(path)
    assert done.status == EXIT_STATUS["program"]
    assert message in done.errors and done.errors.count("\n") == 1


def test_no_file(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run(tmp_path / "absent")
    assert done.status == EXIT_STATUS["program"] and "No such file" in done.errors


def test_too_large_for_memory(run: Callable[..., Done], tmp_path: Path) -> None:
    header = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\2\0\3\0\1\0\0\0" + (0x100000).to_bytes(4, "little")
    header += (52).to_bytes(4, "little") + bytes(8) + b"\x34\0\x20\0\1\0" + bytes(6)
    segment = b"".join(value.to_bytes(4, "little") for value in (1, 0, 0x100000, 0x100000, 84, 1 << 30, 7, 0))
    path = tmp_path / "program"
    path.write_bytes(header + segment)
    done = run(path, "--memory", "16")
    assert done.status == EXIT_STATUS["program"] and "there is memory from" in done.errors
