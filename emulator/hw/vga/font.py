"""A plain font for code page 437: letters drawn on 5 by 9 points, boxes and blocks from their Unicode names.

A letter is a row of hexadecimal numbers, from the top: 7 rows above the baseline, and 2 below it for a few.
`font(height)` gives the glyphs of 8 points' width as the VGA has them, a byte a line.
"""

from __future__ import annotations

import unicodedata
from functools import cache

CONTROLS = "\0☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
CODE_PAGE = CONTROLS + bytes(range(32, 127)).decode("ascii") + "⌂" + bytes(range(128, 256)).decode("cp437")

LETTERS = """
! 040404040400040000  " 0a0a0a000000000000  # 0a0a1f0a1f0a0a0000  $ 040f140e051e040000  % 181902040813030000
& 0c12140815120d0000  ' 040408000000000000  ( 020408080804020000  ) 080402020204080000  * 0004150e1504000000
+ 0004041f0404000000  , 00000000000c0c0408  - 0000001f0000000000  . 00000000000c0c0000  / 000102040810000000
0 0e11131519110e0000  1 040c040404040e0000  2 0e11010204081f0000  3 1f02040201110e0000  4 02060a121f02020000
5 1f101e0101110e0000  6 0608101e11110e0000  7 1f0102040808080000  8 0e11110e11110e0000  9 0e11110f01020c0000
: 000c0c000c0c000000  ; 000c0c000c0c040800  < 020408100804020000  = 00001f001f00000000  > 080402010204080000
? 0e1101020400040000  @ 0e11010d15150e0000  A 0e1111111f11110000  B 1e11111e11111e0000  C 0e11101010110e0000
D 1c12111111121c0000  E 1f10101e10101f0000  F 1f10101e1010100000  G 0e11101711110f0000  H 1111111f1111110000
I 0e04040404040e0000  J 0702020202120c0000  K 111214181412110000  L 1010101010101f0000  M 111b15151111110000
N 111119151311110000  O 0e11111111110e0000  P 1e11111e1010100000  Q 0e11111115120d0000  R 1e11111e1412110000
S 0f10100e01011e0000  T 1f0404040404040000  U 1111111111110e0000  V 11111111110a040000  W 1111111515150a0000
X 11110a040a11110000  Y 1111110a0404040000  Z 1f01020408101f0000  [ 0e08080808080e0000  \\ 001008040201000000
] 0e02020202020e0000  ^ 040a11000000000000  _ 000000000000001f00  ` 080402000000000000  a 00000e010f110f0000
b 1010161911111e0000  c 00000e1010110e0000  d 01010d1311110f0000  e 00000e111f100e0000  f 0609081c0808080000
g 00000f1111110f010e  h 101016191111110000  i 04000c0404040e0000  j 02000602020202120c  k 101012141814120000
l 0c04040404040e0000  m 00001a151511110000  n 000016191111110000  o 00000e1111110e0000  p 00001e1111111e1010
q 00000f1111110f0101  r 000016191010100000  s 00000e100e011e0000  t 08081c080809060000  u 0000111111130d0000
v 00001111110a040000  w 0000111115150a0000  x 0000110a040a110000  y 00001111110f01010e  z 00001f0204081f0000
{ 020404080404020000  | 040404040404040404  } 080404020404080000  ~ 000008150200000000
↑ 040e15040404040000  ↓ 04040404150e040000  → 0004021f0204000000  ← 0004081f0804000000  ► 10181c1e1c18100000
◄ 0103070f0703010000  ▲ 0004040e0e1f000000  ▼ 001f0e0e0404000000  ♦ 00040e1f0e04000000  • 00000e0e0e00000000
"""
UNKNOWN = "1f11111111111f0000"
SPREAD = (2, 1, 2, 1, 2, 1, 2, 1, 1)  # how many of 16 lines a row takes
MIDDLE = (3, 4)  # the points of a single line
SIDES = (2, 5)  # and of a double one
UP, DOWN, LEFT, RIGHT = "UP", "DOWN", "LEFT", "RIGHT"
ARMS = {"VERTICAL": (UP, DOWN), "HORIZONTAL": (LEFT, RIGHT)} | {arm: (arm,) for arm in (UP, DOWN, LEFT, RIGHT)}
BLOCKS = {"█": (0, 8, 0, 1), "▄": (0, 8, 0.5, 1), "▌": (0, 4, 0, 1), "▐": (4, 8, 0, 1), "▀": (0, 8, 0, 0.5)}
SHADES = {"░": (0x88, 0x22), "▒": (0xAA, 0x55), "▓": (0xEE, 0xBB)}


@cache
def font(height: int) -> bytes:
    """256 glyphs of 8, 14 or 16 lines."""
    return b"".join(_glyph(character, height) for character in CODE_PAGE)


@cache
def _letters() -> dict[str, bytes]:
    parts = LETTERS.split()
    return {name: bytes.fromhex(rows) for name, rows in zip(parts[::2], parts[1::2], strict=True)}


def _glyph(character: str, height: int) -> bytes:
    if character in BLOCKS:
        left, right, top, bottom = BLOCKS[character]
        line = (0xFF >> left) & ~(0xFF >> right)
        return bytes(line * (top * height <= number < bottom * height) for number in range(height))
    if character in SHADES:
        return bytes(SHADES[character][number & 1] for number in range(height))
    words = unicodedata.name(character, "").split()
    if words[:2] == ["BOX", "DRAWINGS"]:
        return _box(words[2:], height)
    if character in "\0 \xa0":
        return bytes(height)
    letters = _letters()
    base = unicodedata.normalize("NFD", character)[0]
    return _letter(letters.get(character) or letters.get(base) or bytes.fromhex(UNKNOWN), height)


def _letter(rows: bytes, height: int) -> bytes:
    if height < 10:
        rows = rows[:4] + rows[5:] if rows[8] else rows  # a tail needs the room
        lines = [row << 2 for row in rows[:height]]
    else:
        lines = [0] * (height - 14) + [row << 2 for row, times in zip(rows, SPREAD, strict=True) for _ in range(times)]
    return bytes(lines[:height] + [0] * (height - len(lines)))


def _box(words: list[str], height: int) -> bytes:
    """Lines from the middle outwards: "LIGHT DOWN AND RIGHT", "VERTICAL SINGLE AND LEFT DOUBLE"."""
    styles: dict[str, str] = {}
    common = words[0] if words[0] in ("LIGHT", "DOUBLE") else None
    names = [word for word in words if word != "AND"]
    for number, word in enumerate(names):
        for arm in ARMS.get(word, ()):
            styles[arm] = common or names[number + 1]
    middle = height // 2 - 1
    points = [[False] * 8 for _ in range(height)]
    for arm, style in styles.items():
        across = SIDES if style == "DOUBLE" else MIDDLE
        if arm in (UP, DOWN):
            lines = range(middle + 2) if arm == UP else range(middle, height)
            places = [(line, column) for line in lines for column in across]
        else:
            columns = range(6) if arm == LEFT else range(2, 8)
            rows = (middle - 1, middle + 1) if style == "DOUBLE" else (middle,)
            places = [(line, column) for line in rows for column in columns]
        for line, column in places:
            points[line][column] = True
    return bytes(sum(0x80 >> column for column in range(8) if row[column]) for row in points)
