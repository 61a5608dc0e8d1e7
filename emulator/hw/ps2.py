"""PS/2 keyboard and mouse: what they answer to their commands, and what they send.

"IBM PS/2 Hardware Interface Technical Reference": keyboard (101/102 keys) and mouse; a wheel is there once the driver
has set the sample rates 200, 100, 80 (as Microsoft's IntelliMouse has it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from . import keys

ACKNOWLEDGE, RESEND, TEST_PASSED, ECHO = 0xFA, 0xFE, 0xAA, 0xEE
RESET, ENABLE, DISABLE, DEFAULTS, IDENTIFY, SET_RATE = 0xFF, 0xF4, 0xF5, 0xF6, 0xF2, 0xF3
# The keyboard's own
SET_LIGHTS, CHOOSE_SET = 0xED, 0xF0
KEYBOARD_ID = (0xAB, 0x83)
BREAK = 0xF0
# The mouse's own
SCALE_1, SCALE_2, SET_RESOLUTION, GET_STATUS, STREAM, READ_DATA, END_WRAP, WRAP, REMOTE = (
    0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xEE, 0xF0,
)  # fmt: skip
WHEEL_RATES = (200, 100, 80)
MAX_QUEUE = 256  # bytes; a key or movement that does not fit any more is lost
MAX_ANSWERS = 64  # bytes, the last ones


class Ps2Device:
    """It sends its answers to commands, and what is in `queue`: keys or movements. `changed`: there is more to send."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self.queue: deque[int] = deque()
        self.answers: deque[int] = deque(maxlen=MAX_ANSWERS)
        self.command = 0  # that waits for its parameter
        self.last = 0
        self.set_defaults()

    def set_defaults(self) -> None:
        self.enabled = False

    def reset(self) -> None:
        """The state after power-on."""
        self.queue.clear()
        self.answers.clear()
        self.command = 0
        self.set_defaults()

    @property
    def has_data(self) -> bool:
        return bool(self.answers or self.queue)

    def take(self) -> int:
        """The next byte for the controller."""
        self.last = self.answers.popleft() if self.answers else self.queue.popleft()
        return self.last

    def send(self, data: Sequence[int]) -> None:
        """Keys or movements: all of them or nothing."""
        if len(self.queue) + len(data) <= MAX_QUEUE:
            self.queue.extend(data)
            self.changed()

    def answer(self, *data: int) -> None:
        self.answers.extend(data)

    def receive(self, value: int) -> None:
        """A byte from the controller: a command, or the parameter of the last one."""
        command, self.command = self.command, 0
        if not command or not self.set_parameter(command, value):
            if value in (RESET, DISABLE, DEFAULTS):
                self.queue.clear()
            self.execute(value)
        self.changed()

    def set_parameter(self, command: int, value: int) -> bool:
        """The byte behind a command; False if it is a command itself."""
        return False

    def execute(self, value: int) -> None:
        """A command."""

    def save(self) -> dict[str, Any]:
        fields = {name: value for name, value in vars(self).items() if name != "changed"}
        return fields | {"queue": list(self.queue), "answers": list(self.answers)}

    def load(self, state: dict[str, Any]) -> None:
        queues = {"queue": deque(state["queue"]), "answers": deque(state["answers"], MAX_ANSWERS)}
        vars(self).update(state | queues)


class Keyboard(Ps2Device):
    def set_defaults(self) -> None:
        self.enabled = True
        self.code_set = 2
        self.lights = 0

    def key(self, key: int, pressed: bool) -> None:
        """A key goes down or up."""
        if not self.enabled:
            return
        code = key & 0xFF
        prefix = [key >> 8] if key > 0xFF else []
        if self.code_set == 1:
            self.send([*prefix, code | 0x80 * (not pressed)])
        elif code in keys.SET_2:
            self.send([*prefix, *[BREAK] * (not pressed), keys.SET_2[code]])

    def set_parameter(self, command: int, value: int) -> bool:
        if value >= SET_LIGHTS:
            return False
        self.answer(ACKNOWLEDGE)
        if command == SET_LIGHTS:
            self.lights = value & 7
        elif command == CHOOSE_SET and value == 0:
            self.answer(self.code_set)
        elif command == CHOOSE_SET:
            self.code_set = 1 if value == 1 else 2
        return True

    def execute(self, value: int) -> None:
        if value == ECHO:
            self.answer(ECHO)
        elif value == RESEND:
            self.answer(self.last)
        elif value in (SET_LIGHTS, CHOOSE_SET, SET_RATE):
            self.answer(ACKNOWLEDGE)
            self.command = value
        elif value == IDENTIFY:
            self.answer(ACKNOWLEDGE, *KEYBOARD_ID)
        elif value in (ENABLE, DISABLE, DEFAULTS):
            if value != ENABLE:
                self.set_defaults()
            self.enabled = value != DISABLE
            self.answer(ACKNOWLEDGE)
        elif value == RESET:
            self.set_defaults()
            self.answer(ACKNOWLEDGE, TEST_PASSED)
        else:
            self.answer(RESEND)


class Mouse(Ps2Device):
    def set_defaults(self) -> None:
        self.enabled = False
        self.rate, self.resolution, self.scale_2 = 100, 2, False
        self.wraps = self.remote = False
        self.wheel = False
        self.rates: list[int] = []  # the last ones that were set
        self.buttons = 0

    def move(self, right: int, down: int, buttons: int, wheel: int = 0) -> None:
        """A movement; buttons: 1 left, 2 right, 4 middle."""
        self.buttons = buttons & 7
        if self.enabled and not self.remote:
            self.send(self._packet(right, -down, wheel))

    def _packet(self, x: int, y: int, wheel: int = 0) -> list[int]:
        x, y = max(-255, min(255, x)), max(-255, min(255, y))
        packet = [8 | self.buttons | 0x10 * (x < 0) | 0x20 * (y < 0), x & 0xFF, y & 0xFF]
        return packet + [max(-8, min(7, wheel)) & 0xFF] * self.wheel

    def set_parameter(self, command: int, value: int) -> bool:
        self.answer(ACKNOWLEDGE)
        if command == SET_RATE:
            self.rate = value
            self.rates = [*self.rates, value][-len(WHEEL_RATES) :]
            self.wheel |= tuple(self.rates) == WHEEL_RATES
        else:
            self.resolution = value & 3
        return True

    def execute(self, value: int) -> None:
        if self.wraps and value not in (RESET, END_WRAP):
            self.answer(value)
            return
        if value == RESEND:
            self.answer(self.last)
            return
        self.answer(ACKNOWLEDGE)
        match value:
            case 0xE8 | 0xF3:
                self.command = value
            case 0xFF:
                self.set_defaults()
                self.answer(TEST_PASSED, 0)
            case 0xF2:
                self.answer(3 * self.wheel)
            case 0xE9:
                state = self.remote << 6 | self.enabled << 5 | self.scale_2 << 4
                self.answer(state | self.buttons, self.resolution, self.rate)
            case 0xEB:
                self.answer(*self._packet(0, 0))
            case 0xF6:
                self.set_defaults()
            case 0xF4 | 0xF5:
                self.enabled = value == ENABLE
            case 0xE6 | 0xE7:
                self.scale_2 = value == SCALE_2
            case 0xEA | 0xF0:
                self.remote = value == REMOTE
            case 0xEE | 0xEC:
                self.wraps = value == WRAP
            case _:
                self.answers.pop()
                self.answer(RESEND)
