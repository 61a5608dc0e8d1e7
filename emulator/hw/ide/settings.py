"""What the host chooses: transfer modes and caches (SET FEATURES; ATA8-ACS, 7.45), and power (7.16 of ATA/ATAPI-7)."""

from __future__ import annotations

from .unit import Refused, Unit, command

# SET FEATURES by its subcommand: the switches, and what is accepted without any effect
SWITCHES = {
    0x02: ("write_cache", True),
    0x82: ("write_cache", False),
    0xAA: ("look_ahead", True),
    0x55: ("look_ahead", False),
}
SET_TRANSFER_MODE = 0x03
ACCEPTED = (0x66, 0xCC)  # whether settings outlive a reset
MULTIWORD, ULTRA = 4, 8  # the kind of a transfer mode; 0 and 1 are PIO
MULTIWORD_MODES, ULTRA_MODES = range(3), range(6)
ACTIVE, STANDBY = 0xFF, 0x00  # CHECK POWER MODE


class Settings(Unit):
    """These outlive a software reset, as most systems expect."""

    def __init__(self) -> None:
        self.write_cache = self.look_ahead = True
        self.multiword: int | None = None
        self.ultra: int | None = ULTRA_MODES[-1]
        self.multiple = 0  # sectors of READ MULTIPLE
        self.standby = False
        super().__init__()

    @command(0xEF)
    def set_features(self, code: int) -> None:
        feature = self.feature & 0xFF
        if feature == SET_TRANSFER_MODE:
            self._set_mode(self.count >> 3 & 0x1F, self.count & 7)
        elif feature in SWITCHES:
            name, value = SWITCHES[feature]
            setattr(self, name, value)
            self.settings_changed()
        elif feature not in ACCEPTED:
            raise Refused
        self.finish()

    def settings_changed(self) -> None:
        """A switch was moved."""

    def _set_mode(self, kind: int, mode: int) -> None:
        if kind == MULTIWORD and mode in MULTIWORD_MODES:
            self.multiword, self.ultra = mode, None
        elif kind == ULTRA and mode in ULTRA_MODES:
            self.multiword, self.ultra = None, mode
        elif kind > 1:
            raise Refused

    # -- power ----------------------------------------------------------------------------------------------

    @command(0xE0, 0xE2, 0xE6, 0x94, 0x96, 0x99)
    def stand_by(self, code: int) -> None:
        """STANDBY, STANDBY IMMEDIATE and SLEEP; the next command that needs the medium wakes it up."""
        self.standby = True
        self.settle()
        self.finish()

    def settle(self) -> None:
        """Make what is in the cache durable."""

    @command(0xE1, 0xE3, 0x95, 0x97)
    def idle(self, code: int) -> None:
        self.standby = False
        self.finish()

    @command(0xE5, 0x98)
    def check_power_mode(self, code: int) -> None:
        self.count = STANDBY if self.standby else ACTIVE
        self.finish()
