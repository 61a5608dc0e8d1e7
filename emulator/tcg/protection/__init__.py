"""Protection: descriptors, privilege levels, interrupts, tasks (Intel SDM Vol. 3, chapters 5 to 8), in compiled Python.

Functions here return false when they raise an exception, which is then noted in `Core.fault_vector` and
`Core.fault_code`; until then they have changed no register. `semantics/` has the instructions that use them.
"""
