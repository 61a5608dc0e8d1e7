"""The PC's screen in a terminal: text modes, drawn with the control sequences of ECMA-48 (ANSI X3.64).

Only rows that have changed are drawn, ten times a second. In a graphics mode a line says so.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from emulator.hw.vga.picture import CODE_PAGE, TextScreen, changed_lines, text_screen

from .terminal import write_all

if TYPE_CHECKING:
    from emulator.machine.pc import Pc

PERIOD = 0.1  # seconds
CLEAR, HOME, NORMAL, HIDE, SHOW = "\x1b[2J", "\x1b[H", "\x1b[0m", "\x1b[?25l", "\x1b[?25h"
COLORS = (0, 4, 2, 6, 1, 5, 3, 7)  # the terminal's number of each of the display's


class ScreenInTerminal:
    """Draws the display of a machine. A context manager: the terminal is left in order."""

    def __init__(self, machine: Pc) -> None:
        self.machine = machine
        self._shown: TextScreen | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="screen", daemon=True)

    def __enter__(self) -> ScreenInTerminal:
        write_all(1, (NORMAL + CLEAR + HOME).encode())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.draw()
        bottom = self._shown.rows if self._shown else 1
        write_all(1, f"{NORMAL}{SHOW}\x1b[{bottom};1H\r\n".encode())

    def _tick(self) -> None:
        while not self._over.wait(PERIOD):
            self.machine.post(self.draw)

    def draw(self) -> None:
        """Bring the terminal up to date."""
        screen = text_screen(self.machine.vga)
        if screen is None:
            if self._shown is not None:
                write_all(1, (NORMAL + CLEAR + HOME + "(a graphics mode; --screenshot FILE shows it)").encode())
            self._shown = None
            return
        rows = [f"\x1b[{row + 1};1H{row_text(screen, row)}" for row in changed_lines(self._shown, screen)]
        moved = self._shown is None or self._shown.cursor != screen.cursor
        if rows or moved:
            cursor = HIDE if screen.cursor is None else f"\x1b[{screen.cursor[1] + 1};{screen.cursor[0] + 1}H{SHOW}"
            write_all(1, ("".join(rows) + NORMAL + cursor).encode())
        self._shown = screen


def row_text(screen: TextScreen, row: int) -> str:
    """A row with its colours."""
    start = row * screen.columns
    parts, current = [], -1
    for place in range(start, start + screen.columns):
        attribute = screen.attributes[place]
        if attribute != current:
            current = attribute
            bright = 60 if attribute & 8 else 0
            parts.append(f"\x1b[{30 + COLORS[attribute & 7] + bright};{40 + COLORS[attribute >> 4 & 7]}m")
        character = CODE_PAGE[screen.characters[place]]
        parts.append(character if character.isprintable() else " ")
    return "".join(parts)
