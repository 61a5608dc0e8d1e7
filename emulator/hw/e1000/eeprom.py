"""The card's EEPROM, a 93C46 of 64 words (section 5): by its four wires in EECD, and word by word through EERD."""

from __future__ import annotations

from typing import Any

WORDS, CHECKSUM_WORD, CHECKSUM = 64, 0x3F, 0xBABA
# EECD
CLOCK, SELECT, DATA_IN, DATA_OUT, REQUEST, GRANT, PRESENT = 1, 2, 4, 8, 1 << 6, 1 << 7, 1 << 8
# EERD
START, DONE, ADDRESS, DATA = 1, 1 << 4, 8, 16  # the last two are places
COMMAND_BITS = 2 + 6  # behind the start bit: operation and address
READ = 2  # operation; the memory is protected from all others


def contents(mac: bytes, identity: dict[int, int]) -> list[int]:
    """The words: the address, identities, and what makes the sum right."""
    words = [0] * WORDS
    words[:3] = [int.from_bytes(mac[place : place + 2], "little") for place in (0, 2, 4)]
    for place, value in identity.items():
        words[place] = value
    words[CHECKSUM_WORD] = CHECKSUM - sum(words) & 0xFFFF
    return words


class Eeprom:
    def __init__(self, words: list[int]) -> None:
        self.words = words
        self.reset()

    def reset(self) -> None:
        self.wires = 0  # EECD as it was written
        self.command: int | None = None  # the bits since the start bit, and a one before them
        self.shifting = 0  # what comes out, from bit 16 on down: first a zero
        self.left = 0

    def read_control(self) -> int:
        grant = GRANT if self.wires & REQUEST else 0
        return self.wires | grant | PRESENT | (DATA_OUT if self._output() else 0)

    def _output(self) -> bool:
        """The wire DO; high while the memory is idle: it is ready."""
        return not self.left or bool(self.shifting >> 16 & 1)

    def write_control(self, value: int) -> None:
        before, self.wires = self.wires, value & (CLOCK | SELECT | DATA_IN | REQUEST | 0x30)
        if not value & SELECT:
            self.command, self.left = None, 0
        elif value & CLOCK and not before & CLOCK:
            self._clock(bool(value & DATA_IN))

    def _clock(self, bit: bool) -> None:
        """The clock rises."""
        if self.left:
            self.shifting = self.shifting << 1 & 0x1FFFF
            self.left -= 1
        elif self.command is None:
            self.command = 1 if bit else None
        else:
            self.command = self.command << 1 | bit
            if self.command >> COMMAND_BITS:
                operation, address = self.command >> 6 & 3, self.command & 0x3F
                self.command = None
                if operation == READ:
                    self.shifting, self.left = self.words[address], 17

    def read_word(self, request: int) -> int:
        """What EERD has after a request was written to it."""
        if not request & START:
            return request & ~DONE
        address = request >> ADDRESS & 0xFF
        value = self.words[address] if address < WORDS else 0
        return DONE | address << ADDRESS | value << DATA

    def save(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "words"}

    def load(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
