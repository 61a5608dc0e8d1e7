"""The keys of a keyboard with US layout: their codes, and which of them type a text.

A key is its code in set 1 ("IBM PS/2 Hardware Interface Technical Reference", keyboard scan codes); one above FFh has
the prefix E0h. `SET_2` has the codes of set 2, which a keyboard sends and the controller translates.
"""

from __future__ import annotations

from collections.abc import Iterator

ESCAPE, BACKSPACE, TAB, ENTER, CONTROL, LEFT_SHIFT, RIGHT_SHIFT, ALT, SPACE = (
    1,
    0x0E,
    0x0F,
    0x1C,
    0x1D,
    0x2A,
    0x36,
    0x38,
    0x39,
)
CAPS_LOCK, NUM_LOCK, SCROLL_LOCK = 0x3A, 0x45, 0x46
F1, F11 = 0x3B, 0x57
EXTENDED = 0xE000
HOME, UP, PAGE_UP, LEFT, RIGHT, END, DOWN, PAGE_DOWN, INSERT, DELETE = (
    EXTENDED | code for code in (0x47, 0x48, 0x49, 0x4B, 0x4D, 0x4F, 0x50, 0x51, 0x52, 0x53)
)

# Rows of keys: the code of the first, and what they type without and with Shift
ROWS = (
    (0x02, "1234567890-=", "!@#$%^&*()_+"),
    (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
    (0x1E, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (0x2B, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (SPACE, " ", " "),
)
CHARACTERS: dict[str, tuple[int, bool]] = {}  # the key, and whether it is with Shift
for _first, _plain, _shifted in ROWS:
    for _number, _character in enumerate(_shifted):
        CHARACTERS[_character] = _first + _number, True
    for _number, _character in enumerate(_plain):
        CHARACTERS[_character] = _first + _number, False
CHARACTERS |= {"\r": (ENTER, False), "\n": (ENTER, False), "\t": (TAB, False), "\x1b": (ESCAPE, False)}
CHARACTERS |= {"\b": (BACKSPACE, False), "\x7f": (BACKSPACE, False)}

# What terminals send for other keys (ECMA-48; "XTerm Control Sequences", PC-style function keys)
SEQUENCES = {
    "\x1b[A": UP, "\x1b[B": DOWN, "\x1b[C": RIGHT, "\x1b[D": LEFT, "\x1b[H": HOME, "\x1b[F": END,
    "\x1bOA": UP, "\x1bOB": DOWN, "\x1bOC": RIGHT, "\x1bOD": LEFT, "\x1bOH": HOME, "\x1bOF": END,
    "\x1b[1~": HOME, "\x1b[2~": INSERT, "\x1b[3~": DELETE, "\x1b[4~": END, "\x1b[5~": PAGE_UP, "\x1b[6~": PAGE_DOWN,
    "\x1bOP": F1, "\x1bOQ": F1 + 1, "\x1bOR": F1 + 2, "\x1bOS": F1 + 3, "\x1b[15~": F1 + 4, "\x1b[17~": F1 + 5,
    "\x1b[18~": F1 + 6, "\x1b[19~": F1 + 7, "\x1b[20~": F1 + 8, "\x1b[21~": F1 + 9, "\x1b[23~": F11,
    "\x1b[24~": F11 + 1,
}  # fmt: skip

SET_2 = dict(
    enumerate(
        bytes.fromhex(
            "76 16 1e 26 25 2e 36 3d 3e 46 45 4e 55 66 0d 15 1d 24 2d 2c 35 3c 43 44 4d 54 5b 5a 14 1c 1b"
            "23 2b 34 33 3b 42 4b 4c 52 0e 12 5d 1a 22 21 2a 32 31 3a 41 49 4a 59 7c 11 29 58 05 06 04 0c"
            "03 0b 83 0a 01 09 77 7e 6c 75 7d 7b 6b 73 74 79 69 72 7a 70 71 84"
        ),
        1,
    )
) | {0x56: 0x61, 0x57: 0x78, 0x58: 0x07, 0x5B: 0x1F, 0x5C: 0x27, 0x5D: 0x2F}
SET_1 = {code: key for key, code in SET_2.items()} | {0x02: 0x41}  # what the controller makes of a code


def strokes(text: str) -> Iterator[list[tuple[int, bool]]]:
    """What is pressed (True) and let go for each character; one that the layout does not have is left out."""
    place = 0
    while place < len(text):
        sequence = next((sequence for sequence in SEQUENCES if text.startswith(sequence, place)), None)
        if sequence is not None:
            yield _stroke(SEQUENCES[sequence])
        elif text[place] in CHARACTERS:
            key, shifted = CHARACTERS[text[place]]
            yield _stroke(key, *[LEFT_SHIFT] * shifted)
        elif "\x01" <= text[place] <= "\x1a":
            yield _stroke(CHARACTERS[chr(ord(text[place]) + 0x60)][0], CONTROL)
        place += len(sequence or " ")


def _stroke(key: int, *held: int) -> list[tuple[int, bool]]:
    keys = [*held, key]
    return [(key, True) for key in keys] + [(key, False) for key in reversed(keys)]
