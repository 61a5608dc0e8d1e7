"""`python -m emulator.x86 coverage` and `python -m emulator.x86 disasm 48ffc0 --mode 64 --address 0x1000`."""

from __future__ import annotations

import argparse
import sys

from emulator.x86.coverage import report
from emulator.x86.disasm import disassemble


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0, or 2 if the command line is wrong."""
    parser = argparse.ArgumentParser(prog="python -m emulator.x86", description="The x86 opcode table at work.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("coverage", help="count encodings and forms by opcode map and CPUID feature")
    disasm = commands.add_parser("disasm", help="disassemble bytes given in hexadecimal")
    disasm.add_argument("code", metavar="HEX", nargs="+", type=_hex_bytes)
    disasm.add_argument("--mode", type=int, choices=(16, 32, 64), default=64)
    disasm.add_argument("--address", type=lambda text: int(text, 0), default=0, help="of the first byte")
    options = parser.parse_args(arguments)
    if options.command == "coverage":
        print(report())
        return 0
    for address, code, text in disassemble(b"".join(options.code), options.mode, options.address):
        print(f"{address:8x}  {code.hex():<30}  {text}")
    return 0


def _hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not hexadecimal bytes: {text!r}") from error


if __name__ == "__main__":
    sys.exit(main())
