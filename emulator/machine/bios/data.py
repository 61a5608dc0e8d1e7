"""The BIOS data area at 400h, and the extended one below 640 KiB: physical addresses.

"IBM PS/2 and PC BIOS Interface Technical Reference", section 3.
"""

from __future__ import annotations

SERIAL_PORTS = 0x400  # 4 words
PRINTER_PORTS = 0x408  # 3 words
EBDA_SEGMENT = 0x40E
EQUIPMENT = 0x410
MEMORY_KILOBYTES = 0x413
SHIFT_FLAGS, MORE_SHIFT_FLAGS = 0x417, 0x418
KEY_CODE = 0x419  # of a character that is being typed with Alt and the keypad
BUFFER_HEAD, BUFFER_TAIL = 0x41A, 0x41C  # offsets in segment 40h
BUFFER, BUFFER_AFTER = 0x1E, 0x3E  # the default of the next two, offsets as well
FLOPPY_STATUS = 0x441
VIDEO_MODE = 0x449
COLUMNS = 0x44A
PAGE_SIZE = 0x44C
PAGE_START = 0x44E
CURSORS = 0x450  # 8 words: column, row
CURSOR_SHAPE = 0x460  # last line, first line
ACTIVE_PAGE = 0x462
CRTC_PORT = 0x463
COLOR_PALETTE = 0x466
RESUME_ADDRESS = 0x467  # offset and segment, after a reset with shutdown code 5 or Ah
TICKS = 0x46C
MIDNIGHT = 0x470
RESET_FLAG = 0x472
DISK_STATUS = 0x474
DISK_COUNT = 0x475
BUFFER_START, BUFFER_END = 0x480, 0x482
LAST_ROW = 0x484
CHARACTER_HEIGHT = 0x485
VIDEO_CONTROL, VIDEO_SWITCHES, VIDEO_FLAGS = 0x487, 0x488, 0x489
DISPLAY_CODE = 0x48A
KEYBOARD_KIND, KEYBOARD_LEDS = 0x496, 0x497
EBDA_SIZE_KILOBYTES = 1
LOW_KILOBYTES = 640 - EBDA_SIZE_KILOBYTES
EBDA = LOW_KILOBYTES << 10
BOOT_ADDRESS = 0x7C00
