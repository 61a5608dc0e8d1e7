"""The 8042 keyboard controller, with a keyboard and a mouse ("IBM PS/2 Hardware Interface Technical Reference",
"Keyboard and Auxiliary Device Controller"). Ports 60h and 64h; interrupts 1 and 12; it also has a line to A20 and one
that resets the processor.

`type_text` presses keys one after the other, with time in between, since programs have small buffers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from . import keys
from .device import Clock, Device, Line
from .ps2 import BREAK, Keyboard, Mouse

DATA, STATUS = 0x60, 0x64
# Status
OUTPUT_FULL, SYSTEM, LAST_WAS_COMMAND, UNLOCKED, FROM_MOUSE = 1, 4, 8, 0x10, 0x20
# The command byte
KEYBOARD_INTERRUPT, MOUSE_INTERRUPT, SYSTEM_FLAG, NO_KEYBOARD, NO_MOUSE, TRANSLATE = 1, 2, 4, 0x10, 0x20, 0x40
# Commands
READ_RAM, WRITE_RAM = 0x20, 0x60
DISABLE_MOUSE, ENABLE_MOUSE, TEST_MOUSE, SELF_TEST, TEST_KEYBOARD = 0xA7, 0xA8, 0xA9, 0xAA, 0xAB
DISABLE_KEYBOARD, ENABLE_KEYBOARD, READ_INPUT, READ_OUTPUT, WRITE_OUTPUT = 0xAD, 0xAE, 0xC0, 0xD0, 0xD1
AS_KEYBOARD, AS_MOUSE, TO_MOUSE, A20_OFF, A20_ON, PULSE = 0xD2, 0xD3, 0xD4, 0xDD, 0xDF, 0xF0
WITH_DATA = (WRITE_OUTPUT, AS_KEYBOARD, AS_MOUSE, TO_MOUSE)
PASSED = 0x55
# The output port
NO_RESET, A20 = 1, 2
STROKE_TIME = 15_000_000  # ns between two characters that are typed
MAX_ANSWERS = 64
MAX_TYPED = 65536  # characters


class KeyboardController(Device):
    """`keyboard_line` and `mouse_line` are interrupts; `set_a20` and `reset_machine` what the output port leads to."""

    ports = (DATA, STATUS)

    def __init__(
        self, keyboard_line: Line, mouse_line: Line, set_a20: Line, reset_machine: Callable[[], None], clock: Clock
    ) -> None:
        self.keyboard_line, self.mouse_line = keyboard_line, mouse_line
        self.set_a20, self.reset_machine = set_a20, reset_machine
        self.clock = clock
        self.keyboard, self.mouse = Keyboard(self._load), Mouse(self._load)
        self.typed: deque[list[tuple[int, bool]]] = deque()
        self.next_stroke = 0
        self._clear()

    def _clear(self) -> None:
        self.ram = bytearray(32)
        self.ram[0] = KEYBOARD_INTERRUPT | TRANSLATE | NO_MOUSE
        self.command = 0  # that waits for its data
        self.answers: deque[tuple[int, bool]] = deque(maxlen=MAX_ANSWERS)  # its own; whether as if from the mouse
        self.output: int | None = None  # the output buffer
        self.output_is_mouse = False
        self.buffered = 0  # the last value of the output buffer
        self.breaks = False  # the last code of set 2 was F0h
        self.after_command = False
        self.in_use = False  # keyboard and interrupt have been enabled: what a firmware does before would lose keys

    @property
    def mode(self) -> int:
        """The command byte."""
        return self.ram[0]

    def reset(self) -> None:
        self.keyboard.reset()
        self.mouse.reset()
        self._clear()
        self._set_lines()

    # -- what is typed --------------------------------------------------------------------------------------

    def type_text(self, text: str) -> None:
        """Press the keys for a text, as soon as the keyboard is in use."""
        if not self.typed:
            self.next_stroke = max(self.next_stroke, self.clock())
        self.typed.extend(list(keys.strokes(text))[: MAX_TYPED - len(self.typed)])

    def next_event(self) -> int | None:
        return self.next_stroke if self.typed and self.in_use else None

    def run_events(self, now: int) -> None:
        if self.typed and self.in_use and now >= self.next_stroke:
            self.next_stroke = now + STROKE_TIME
            if self.keyboard.enabled and not self.keyboard.queue:
                for key, pressed in self.typed.popleft():
                    self.keyboard.key(key, pressed)

    # -- the output buffer ----------------------------------------------------------------------------------

    def _load(self) -> None:
        """Fill the output buffer if it is empty."""
        while self.output is None:
            if self.answers:
                self.output, self.output_is_mouse = self.answers.popleft()
            elif self.keyboard.has_data and not self.mode & NO_KEYBOARD:
                self.output, self.output_is_mouse = self._translate(self.keyboard.take()), False
            elif self.mouse.has_data and not self.mode & NO_MOUSE:
                self.output, self.output_is_mouse = self.mouse.take(), True
            else:
                break
        self._set_lines()

    def _translate(self, code: int) -> int | None:
        """From set 2 to set 1; F0h becomes the top bit of what follows."""
        if not self.mode & TRANSLATE:
            return code
        if code == BREAK:
            self.breaks = True
            return None
        breaks, self.breaks = self.breaks, False
        return keys.SET_1.get(code, code) | 0x80 * breaks

    def _set_lines(self) -> None:
        full = self.output is not None
        self.keyboard_line(full and not self.output_is_mouse and bool(self.mode & KEYBOARD_INTERRUPT))
        self.mouse_line(full and self.output_is_mouse and bool(self.mode & MOUSE_INTERRUPT))

    def _answer(self, value: int, *, as_mouse: bool = False) -> None:
        self.answers.append((value, as_mouse))
        self._load()

    # -- ports ----------------------------------------------------------------------------------------------

    def read(self, port: int) -> int:
        if port == STATUS:
            status = UNLOCKED | self.mode & SYSTEM_FLAG | LAST_WAS_COMMAND * self.after_command
            if self.output is not None:
                status |= OUTPUT_FULL | FROM_MOUSE * self.output_is_mouse
            return status
        if self.output is not None:
            self.buffered, self.output = self.output, None
            self._set_lines()
            self._load()
        return self.buffered

    def write(self, port: int, value: int) -> None:
        self.after_command = port == STATUS
        if port == STATUS:
            self._execute(value)
            return
        command, self.command = self.command, 0
        if command == 0:
            self.ram[0] &= ~NO_KEYBOARD
            self.keyboard.receive(value)
        elif WRITE_RAM <= command < WRITE_RAM + len(self.ram):
            self.ram[command - WRITE_RAM] = value
            self._mode_changed()
        elif command == WRITE_OUTPUT:
            self.set_a20(bool(value & A20))
            if not value & NO_RESET:
                self.reset_machine()
        elif command == TO_MOUSE:
            self.mouse.receive(value)
        else:
            self._answer(value, as_mouse=command == AS_MOUSE)

    def _execute(self, value: int) -> None:
        self.command = value if value in WITH_DATA or value & 0xE0 == WRITE_RAM else 0
        if value & 0xE0 == READ_RAM:
            self._answer(self.ram[value - READ_RAM])
        elif value in (DISABLE_MOUSE, ENABLE_MOUSE):
            self._set_mode(NO_MOUSE, value == DISABLE_MOUSE)
        elif value in (DISABLE_KEYBOARD, ENABLE_KEYBOARD):
            self._set_mode(NO_KEYBOARD, value == DISABLE_KEYBOARD)
        elif value in (TEST_MOUSE, TEST_KEYBOARD):
            self._answer(0)
        elif value == SELF_TEST:
            self.ram[0] |= SYSTEM_FLAG
            self._answer(PASSED)
        elif value == READ_INPUT:
            self._answer(0x80)
        elif value == READ_OUTPUT:
            full = self.output is not None
            self._answer(NO_RESET | A20 | 0x10 * (full and not self.output_is_mouse))
        elif value in (A20_OFF, A20_ON):
            self.set_a20(value == A20_ON)
        elif value >= PULSE and not value & NO_RESET:
            self.reset_machine()

    def _set_mode(self, bit: int, on: bool) -> None:
        self.ram[0] = self.ram[0] & ~bit | bit * on
        self._mode_changed()

    def _mode_changed(self) -> None:
        self.in_use |= self.mode & (KEYBOARD_INTERRUPT | NO_KEYBOARD) == KEYBOARD_INTERRUPT
        self._load()

    def save(self) -> dict[str, Any]:
        outside = ("keyboard_line", "mouse_line", "set_a20", "reset_machine", "clock", "keyboard", "mouse")
        fields = {name: value for name, value in vars(self).items() if name not in outside}
        fields |= {"ram": list(self.ram), "answers": list(self.answers), "typed": list(self.typed)}
        fields["next_stroke"] = self.next_stroke - self.clock()
        return fields | {"keyboard": self.keyboard.save(), "mouse": self.mouse.save()}

    def load(self, state: dict[str, Any]) -> None:
        fields = dict(state)
        self.keyboard.load(fields.pop("keyboard"))
        self.mouse.load(fields.pop("mouse"))
        vars(self).update(fields)
        self.ram = bytearray(state["ram"])
        self.answers = deque(((value, as_mouse) for value, as_mouse in state["answers"]), MAX_ANSWERS)
        self.typed = deque([(key, pressed) for key, pressed in stroke] for stroke in state["typed"])
        self.next_stroke = state["next_stroke"] + self.clock()
        self._set_lines()
