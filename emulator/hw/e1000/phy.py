"""The PHY, an 88E1011 that is at address 1 of MDIO (section 13.4.7, IEEE 802.3 clause 22): its link is always up."""

from __future__ import annotations

# MDIC
REGISTER, ADDRESS, READY, FAILED = 16, 21, 1 << 28, 1 << 30  # the first two are places
INTERRUPT = 1 << 29
WRITE, READ = 1 << 26, 2 << 26
OPERATION = 3 << 26
PHY_ADDRESS = 1
CONTROL, RESET, RESTART = 0, 1 << 15, 1 << 9

RESET_VALUES = {
    0: 0x1140,  # control: negotiates, full duplex, 1000 Mb/s
    1: 0x796D,  # status: all speeds, negotiation complete, link up
    2: 0x0141,  # identity
    3: 0x0C20,
    4: 0x0DE1,  # what is advertised
    5: 0xCDE1,  # what the partner can
    6: 0x000F,
    9: 0x0E00,  # 1000BASE-T control
    10: 0x3C00,  # and status
    16: 0x0360,
    17: 0xAC00,  # 88E1011's status: 1000 Mb/s, full duplex, resolved, link up
    18: 0,
    19: 0,
    20: 0x0D60,
    21: 0,
    29: 0,
    30: 0,
}
WRITABLE = {0, 4, 9, 16, 18, 20, 29, 30}


class Phy:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.registers = dict(RESET_VALUES)

    def transfer(self, command: int) -> int:
        """What MDIC has after a command was written to it."""
        register, address = command >> REGISTER & 31, command >> ADDRESS & 31
        command |= READY
        if address != PHY_ADDRESS or command & OPERATION not in (WRITE, READ):
            return command | FAILED
        if command & OPERATION == READ:
            return command & ~0xFFFF | self.registers.get(register, 0)
        self._write(register, command & 0xFFFF)
        return command

    def _write(self, register: int, value: int) -> None:
        if register == CONTROL and value & RESET:
            self.reset()
        elif register in WRITABLE:
            self.registers[register] = value & ~RESTART if register == CONTROL else value
