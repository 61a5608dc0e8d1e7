"""SMART of a disk that never wears out (ATA8-ACS, 7.53; attributes as in SFF-8035i)."""

from __future__ import annotations

from struct import pack_into

from .settings import Settings
from .unit import Refused, command

READ_DATA, READ_THRESHOLDS, AUTOSAVE, EXECUTE = 0xD0, 0xD1, 0xD2, 0xD4
READ_LOG, ENABLE, DISABLE, STATUS = 0xD5, 0xD8, 0xD9, 0xDA
KEY = 0x4F, 0xC2  # in MID and HIGH
SECTOR = 512
# Attributes: number, flags, value and worst, threshold
ATTRIBUTES = ((1, 0x03, 100, 6), (5, 0x03, 100, 10), (9, 0x32, 100, 0), (12, 0x32, 100, 0), (190, 0x22, 69, 50))
LOGS = {0: 1, 1: 1, 6: 1}  # directory, summary of errors, self-tests: their sectors
SELF_TESTS = (0, 1, 2, 0x7F, 0x81, 0x82)  # that pass at once


class Smart(Settings):
    """The SMART commands."""

    def __init__(self) -> None:
        self.smart = True
        super().__init__()

    @command(0xB0)
    def smart_command(self, code: int) -> None:
        feature = self.feature & 0xFF
        if (self.mid & 0xFF, self.high & 0xFF) != KEY or not (self.smart or feature == ENABLE):
            raise Refused
        if feature == READ_DATA:
            self.send(_data())
        elif feature == READ_THRESHOLDS:
            self.send(_thresholds())
        elif feature == READ_LOG:
            self.send(_log(self.low & 0xFF, self.count & 0xFF))
        elif feature in (ENABLE, DISABLE):
            self.smart = feature == ENABLE
            self.finish()
        elif feature in (AUTOSAVE, STATUS) or (feature == EXECUTE and self.low & 0xFF in SELF_TESTS):
            self.finish()  # the key that is still in the registers is the status: no threshold is exceeded
        else:
            raise Refused


def _summed(data: bytearray) -> bytearray:
    data[-1] = -sum(data) & 0xFF
    return data


def _data() -> bytearray:
    data = bytearray(SECTOR)
    data[0] = 0x10
    for place, (number, flags, value, _) in enumerate(ATTRIBUTES):
        pack_into("<BHBB", data, 2 + 12 * place, number, flags, value, value)
    data[367] = 0x11  # off-line tests: at once, and self-tests
    data[368] = 3  # saves by itself
    data[370] = 1  # has logs
    data[372:374] = 1, 1  # minutes of the self-tests
    return _summed(data)


def _thresholds() -> bytearray:
    data = bytearray(SECTOR)
    data[0] = 0x10
    for place, (number, _, _, threshold) in enumerate(ATTRIBUTES):
        data[2 + 12 * place : 4 + 12 * place] = number, threshold
    return _summed(data)


def _log(number: int, sectors: int) -> bytearray:
    if number not in LOGS or sectors != LOGS[number]:
        raise Refused
    data = bytearray(SECTOR)
    data[0] = 1  # version
    if number == 0:
        for other, size in LOGS.items():
            if other:
                data[2 * other] = size
        return data
    return _summed(data)
