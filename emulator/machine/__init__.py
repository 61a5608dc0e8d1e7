"""Machines: processors, memory and chips put together, and the programs that they start with."""
