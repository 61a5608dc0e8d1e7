"""T1: blocks that are executed often become machine code of an x86-64 host.

The guest's instructions are the host's, so a translated instruction is the guest's own one, encoded with other
registers and, for memory, behind a TLB lookup. What it does to registers and flags is nobody's description but the
processor's; what has no such copy is executed by its handler of the threaded interpreter. docs/dev/emulator-tcg.md
has the whole picture.
"""
