"""`python -m emulator run PROGRAM`: run a boot sector, a disk image or an ELF file on the bare machine."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

from emulator.machine.engine import CHOICES

USAGE_ERROR, GUEST_ERROR, INTERRUPTED = 2, 124, 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is the program's, 2 if there is no program, 124 if it cannot go on."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description="An x86 machine in Python.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a program on the bare machine")
    run.add_argument("program", metavar="PROGRAM", type=Path, help="a disk image, or an ELF file (multiboot 1)")
    run.add_argument("--memory", metavar="MIB", type=_memory, default=128, help="MiB of RAM (default: 128)")
    run.add_argument("--append", metavar="TEXT", default="", help="the command line of a multiboot program")
    run.add_argument("--accel", metavar="NAME", choices=CHOICES, help=f"who executes: {', '.join(CHOICES)}")
    options = parser.parse_args(arguments)
    return run_program(options.program, options.memory, options.append, options.accel)


def run_program(program: Path, memory: int, command_line: str, accelerator: str | None) -> int:
    """Run a program with its consoles on standard output and input."""
    from emulator.console.signals import leave_on_signals
    from emulator.machine import engine
    from emulator.machine.bare import BareMachine
    from emulator.machine.errors import GuestError, ProgramError
    from emulator.machine.programs import load
    from emulator.native.errors import NativeError

    try:
        accelerator = engine.choose(accelerator, icount=False, warn=_warn)
    except GuestError as error:
        _warn(str(error))
        return USAGE_ERROR
    try:
        with BareMachine(_show, memory << 20, accelerator=accelerator) as machine:
            load(machine, program, command_line)
            threading.Thread(target=_pass_input, args=(machine,), name="input", daemon=True).start()
            leave_on_signals(machine.processor.request_exit)
            return machine.run()
    except (ProgramError, NativeError) as error:
        _warn(str(error))
        return USAGE_ERROR
    except GuestError as error:
        print(f"\npython -m emulator: {program}: {error}", file=sys.stderr)
        return GUEST_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def _warn(message: str) -> None:
    print(f"python -m emulator: {message}", file=sys.stderr)


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _pass_input(machine: object) -> None:
    """Standard input to the serial port, until its end."""
    while data := os.read(0, 4096):
        machine.type(data)  # type: ignore[attr-defined]


def _memory(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 3072:
        raise argparse.ArgumentTypeError(f"{text} MiB is not between 1 and 3072")
    return number


if __name__ == "__main__":
    sys.exit(main())
