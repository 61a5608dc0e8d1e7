"""x86 as data: the opcode table, and the decoder, the disassembler and the generator of test cases made from it."""
