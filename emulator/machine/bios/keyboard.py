"""INT 09h and 16h: keys become characters in a buffer, and programs take them from there.

Codes are those of "IBM PS/2 and PC BIOS Interface Technical Reference", INT 16h: the character in the low byte, and the
key in the high one, which for keys without a character says with what other key it was pressed.
"""

from __future__ import annotations

from emulator.hw import keys
from emulator.machine.firmware import ZERO, Service, call, waiting

from . import data

DATA, COMMAND, RESET = 0x60, 0x64, 0xFE
WARM_START = 0x1234
# SHIFT_FLAGS
RIGHT_SHIFT, LEFT_SHIFT, CONTROL, ALT, SCROLL_LOCK, NUM_LOCK, CAPS_LOCK, INSERT = (1 << bit for bit in range(8))
SHIFT = RIGHT_SHIFT | LEFT_SHIFT
HELD = {keys.RIGHT_SHIFT: RIGHT_SHIFT, keys.LEFT_SHIFT: LEFT_SHIFT, keys.CONTROL: CONTROL, keys.ALT: ALT}
LOCKS = {keys.SCROLL_LOCK: SCROLL_LOCK, keys.NUM_LOCK: NUM_LOCK, keys.CAPS_LOCK: CAPS_LOCK}
# KEYBOARD_KIND
AFTER_E1, AFTER_E0, ENHANCED = 1, 2, 0x10
E0, E1, BREAK = 0xE0, 0xE1, 0x80

TYPED = {key: character for character, (key, shifted) in keys.CHARACTERS.items() if not shifted and character >= " "}
SHIFTED = {key: character for character, (key, shifted) in keys.CHARACTERS.items() if shifted} | {keys.SPACE: " "}
KEYPAD = dict(zip(range(0x47, 0x54), "789-456+1230.", strict=True))
WITH_CONTROL = {
    0x03: 0x0300, 0x07: 0x071E, 0x0C: 0x0C1F, 0x1A: 0x1A1B, 0x2B: 0x2B1C, 0x1B: 0x1B1D, 0x0E: 0x0E7F, 0x0F: 0x9400,
    0x1C: 0x1C0A, 0x39: 0x3920, 0x01: 0x011B, 0x47: 0x7700, 0x48: 0x8D00, 0x49: 0x8400, 0x4B: 0x7300, 0x4D: 0x7400,
    0x4F: 0x7500, 0x50: 0x9100, 0x51: 0x7600, 0x52: 0x9200, 0x53: 0x9300, 0x57: 0x8900, 0x58: 0x8A00,
}  # fmt: skip
WITH_ALT = {
    0x0C: 0x8200, 0x0D: 0x8300, 0x47: 0x9700, 0x48: 0x9800, 0x49: 0x9900, 0x4B: 0x9B00, 0x4D: 0x9D00, 0x4F: 0x9F00,
    0x50: 0xA000, 0x51: 0xA100, 0x52: 0xA200, 0x53: 0xA300, 0x57: 0x8B00, 0x58: 0x8C00, 0x39: 0x3920,
}  # fmt: skip
F1, F10 = 0x3B, 0x44
CONTROL_KEYS = {keys.ESCAPE: 0x011B, keys.BACKSPACE: 0x0E08, keys.TAB: 0x0F09, keys.ENTER: 0x1C0D}
LONGEST_BUFFER = 128  # keys; more than that is damage
LAST_PLAIN = 0x84  # the highest key that AH = 00h and 01h know


def interrupt(port: int) -> bytes:
    """INT 15h, AH = 4Fh, may take the key away, or change it.

    PUSH AX; IN AL, 60h; MOV AH, 4Fh; STC; INT 15h; JNC done; OUT port, AL; done: MOV AL, 20h; OUT 20h, AL; POP AX; IRET
    """
    return bytes(
        (0x50, 0xE4, 0x60, 0xB4, 0x4F, 0xF9, 0xCD, 0x15, 0x73, 2, 0xE6, port, 0xB0, 0x20, 0xE6, 0x20, 0x58, 0xCF)
    )


class Keyboard(Service):
    stubs = {0x09: interrupt, 0x16: waiting}

    def start(self) -> None:
        """An empty buffer."""
        for place in (data.BUFFER_HEAD, data.BUFFER_TAIL, data.BUFFER_START):
            self.put(place, data.BUFFER, 2)
        self.put(data.BUFFER_END, data.BUFFER_AFTER, 2)
        self.put(data.KEYBOARD_KIND, ENHANCED)
        self.put(data.SHIFT_FLAGS, 0, 2)

    # -- INT 09h --------------------------------------------------------------------------------------------

    @call(0x09)
    def receive(self) -> None:
        """A code of set 1, in AL."""
        code, kind = self.caller.al, self.get(data.KEYBOARD_KIND)
        if code in (E0, E1):
            self.put(data.KEYBOARD_KIND, kind | (AFTER_E0 if code == E0 else AFTER_E1))
            return
        if kind & AFTER_E1:  # Pause is E1 1D 45 and its end
            if code & 0x7F == keys.NUM_LOCK:
                self.put(data.KEYBOARD_KIND, kind & ~AFTER_E1)
            return
        self.put(data.KEYBOARD_KIND, kind & ~AFTER_E0)
        key, extended, pressed = code & ~BREAK, bool(kind & AFTER_E0), not code & BREAK
        flags = self.get(data.SHIFT_FLAGS)
        if key in HELD and not (extended and key in (keys.LEFT_SHIFT, keys.RIGHT_SHIFT)):
            self.put(data.SHIFT_FLAGS, flags | HELD[key] if pressed else flags & ~HELD[key])
        elif key in LOCKS and not extended:
            self.put(data.SHIFT_FLAGS, flags ^ LOCKS[key] * pressed)
        elif pressed and key == 0x53 and flags & CONTROL and flags & ALT:
            self.put(data.RESET_FLAG, WARM_START, 2)
            self.firmware.out(COMMAND, RESET)
        elif pressed:
            found = key_code(key, extended, flags)
            if found is not None:
                self.store(found)

    def store(self, code: int) -> bool:
        """Put a key into the buffer, if there is room."""
        tail = self.get(data.BUFFER_TAIL, 2)
        after = self._behind(tail)
        if after == self.get(data.BUFFER_HEAD, 2):
            return False
        self.put(0x400 + tail, code, 2)
        self.put(data.BUFFER_TAIL, after, 2)
        return True

    def _behind(self, place: int) -> int:
        place += 2
        return self.get(data.BUFFER_START, 2) if place >= self.get(data.BUFFER_END, 2) else place

    # -- INT 16h --------------------------------------------------------------------------------------------

    def _next(self, enhanced: bool) -> int | None:
        """The first key in the buffer that the caller can know; others are dropped."""
        for _ in range(LONGEST_BUFFER):
            head = self.get(data.BUFFER_HEAD, 2)
            if head == self.get(data.BUFFER_TAIL, 2):
                break
            code = self.get(0x400 + head, 2)
            if enhanced:
                return code
            if code >> 8 == E0:  # Enter and / of the keypad
                return 0x1C0D if code & 0xFF == 0x0D else 0x1C0A if code & 0xFF == 0x0A else 0x352F
            if code >> 8 <= LAST_PLAIN:
                return code & 0xFF00 if code & 0xFF == E0 and code >> 8 else code
            self.put(data.BUFFER_HEAD, self._behind(head), 2)
        return None

    @call(0x16, 0x00, 0x10, 0x20)
    def read(self) -> None:
        """Wait for a key and take it."""
        code = self._next(self.caller.ah != 0)
        self.caller.wait(code is None)
        if code is not None:
            self.put(data.BUFFER_HEAD, self._behind(self.get(data.BUFFER_HEAD, 2)), 2)
            self.caller.ax = code

    @call(0x16, 0x01, 0x11, 0x21)
    def look(self) -> None:
        """ZF is set without a key."""
        code = self._next(self.caller.ah != 1)
        self.caller.set_flag(ZERO, code is None)
        if code is not None:
            self.caller.ax = code

    @call(0x16, 0x02)
    def shift_flags(self) -> None:
        self.caller.al = self.get(data.SHIFT_FLAGS)

    @call(0x16, 0x12, 0x22)
    def all_shift_flags(self) -> None:
        flags = self.get(data.SHIFT_FLAGS)
        self.caller.al = flags
        self.caller.ah = bool(flags & CONTROL) | bool(flags & ALT) << 1

    @call(0x16, 0x05)
    def push(self) -> None:
        """CX as if it had been typed."""
        self.caller.al = int(not self.store(self.caller.cx))

    @call(0x16, 0x09)
    def functions(self) -> None:
        """There are functions 0Ah, 10h to 12h and 20h to 22h."""
        self.caller.al = 0x70

    @call(0x16, 0x0A)
    def identify(self) -> None:
        self.caller.bx = 0x41AB

    @call(0x16)
    def unknown(self) -> None:
        """Typematic rates, and what is not there."""


def key_code(key: int, extended: bool, flags: int) -> int | None:
    """What a key gives with those that are held; None is nothing."""
    if flags & ALT:
        return _with_alt(key, extended)
    if flags & CONTROL:
        return _with_control(key, extended)
    shifted = bool(flags & SHIFT)
    if extended:
        return _extended(key)
    if F1 <= key <= F10:
        return (key + 0x19 * shifted) << 8
    if key in (0x57, 0x58):
        return (key + (0x30 if shifted else 0x2E)) << 8
    if key in KEYPAD:
        character = KEYPAD[key]
        if character in "+-" or shifted != bool(flags & NUM_LOCK):
            return key << 8 | ord(character)
        return key << 8
    if key == 0x37:
        return 0x372A
    if key == keys.TAB and shifted:
        return 0x0F00
    if key in CONTROL_KEYS:
        return CONTROL_KEYS[key]
    character = TYPED.get(key, "")
    if character.isalpha():
        shifted ^= bool(flags & CAPS_LOCK)
    character = SHIFTED.get(key, "") if shifted else character
    return key << 8 | ord(character) if character else None


def _extended(key: int) -> int | None:
    if key == keys.ENTER:
        return 0xE00D
    if key == 0x35:
        return 0xE02F
    return key << 8 | E0 if key in KEYPAD else None


def _with_control(key: int, extended: bool) -> int | None:
    character = TYPED.get(key, "")
    if character.isalpha():
        return key << 8 | ord(character) & 0x1F
    if F1 <= key <= F10:
        return key + 0x23 << 8
    code = WITH_CONTROL.get(key)
    return code | E0 if extended and code is not None and key in KEYPAD else code


def _with_alt(key: int, extended: bool) -> int | None:
    if TYPED.get(key, "").isalpha():
        return key << 8
    if 0x02 <= key <= 0x0B:
        return key + 0x76 << 8
    if F1 <= key <= F10:
        return key + 0x2D << 8
    return WITH_ALT.get(key) if extended or key not in KEYPAD else None
