"""The rows of the opcode table, one file an area; `emulator/x86/table.py` puts them together."""
