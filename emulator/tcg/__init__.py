"""T0: the processor as a threaded interpreter over predecoded instructions.

`core` is its state, `forms` says which handler executes which form of the opcode table, `blocks` predecodes and
caches, `threaded` turns the handlers into machine code that jumps from one to the next.
"""
