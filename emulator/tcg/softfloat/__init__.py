"""Binary floating-point arithmetic in integers: every rounding mode, every exception, three formats.

IEEE 754-2019 and the Intel SDM Vol. 1, sections 4.8 and 4.9. Operands of any format become a `Number`; an operation
makes an `Exact` of two of them, 128 bits with a sticky bit; `round_exact` rounds it once, as a `Context` says; and
`pack` makes it a number of a format again. So there is one addition for single, double and double-extended precision.

    Number --add, multiply, divide ...--> Exact --round_exact--> Exact --pack--> bits

NaNs are not operands of operations: which of two NaNs is the result is for the instruction set to say.
"""
