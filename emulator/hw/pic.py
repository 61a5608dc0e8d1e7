"""Two 8259A interrupt controllers, the second on line 2 of the first (Intel 8259A data sheet, 231468-003).

Ports 20h and 21h, A0h and A1h; 4D0h and 4D1h choose edge or level for each line (82371SB data sheet, "ELCR").
`acknowledge` is the INTA cycle: it gives the vector of the highest request.
"""

from __future__ import annotations

from typing import Any

from .device import Device, Line

CASCADE = 2
SPURIOUS = 7
# OCW2 by its top three bits
AUTO_ROTATE_OFF, EOI, SPECIFIC_EOI, AUTO_ROTATE_ON, ROTATE_EOI, SET_PRIORITY, ROTATE_SPECIFIC = 0, 1, 3, 4, 5, 6, 7


class Controller:
    """One 8259A."""

    def __init__(self, elcr_mask: int) -> None:
        self.elcr_mask = elcr_mask
        self.elcr = 0
        self.lines = 0
        self.clear()

    def clear(self) -> None:
        self.requests = self.mask = self.service = 0
        self.vector = 0
        self.lowest = 7
        self.expects = 0  # the ICW that comes next
        self.needs_icw4 = False
        self.single = False
        self.reads_service = False
        self.polls = False
        self.special_mask = False
        self.auto_eoi = False
        self.auto_rotate = False
        self.fully_nested = False

    def set_line(self, number: int, high: bool) -> None:
        bit = 1 << number
        if self.elcr & bit:
            self.requests = self.requests | bit if high else self.requests & ~bit
        elif high and not self.lines & bit:
            self.requests |= bit
        self.lines = self.lines | bit if high else self.lines & ~bit

    def _first(self, bits: int) -> int | None:
        """The line of the highest priority among bits."""
        order = ((self.lowest + 1 + step) % 8 for step in range(8))
        return next((number for number in order if bits >> number & 1), None)

    def _rank(self, number: int | None) -> int:
        return 8 if number is None else (number - self.lowest - 1) % 8

    def pending(self) -> int | None:
        """The line to ask the processor for, if it is above what is in service."""
        if not self.requests & ~self.mask:
            return None
        number = self._first(self.requests & ~self.mask)
        service = self.service & ~self.mask if self.special_mask else self.service
        if self.fully_nested and number == CASCADE:
            service &= ~(1 << CASCADE)
        return number if self._rank(number) < self._rank(self._first(service)) else None

    def accept(self, number: int) -> None:
        if not self.elcr >> number & 1:
            self.requests &= ~(1 << number)
        if not self.auto_eoi:
            self.service |= 1 << number
        elif self.auto_rotate:
            self.lowest = number

    def read(self, data: bool) -> int:
        if self.polls:
            self.polls = False
            number = self.pending()
            if number is None:
                return 0
            self.accept(number)
            return 0x80 | number
        if data:
            return self.mask
        return self.service if self.reads_service else self.requests

    def write_command(self, value: int) -> None:
        if value & 0x10:  # ICW1
            self.clear()
            self.requests = self.lines & self.elcr
            self.expects = 2
            self.single = bool(value & 2)
            self.needs_icw4 = bool(value & 1)
        elif value & 8:  # OCW3
            if value & 2:
                self.reads_service = bool(value & 1)
            self.polls = bool(value & 4)
            if value & 0x40:
                self.special_mask = bool(value & 0x20)
        else:
            self._write_ocw2(value >> 5, value & 7)

    def _write_ocw2(self, operation: int, number: int) -> None:
        if operation in (AUTO_ROTATE_OFF, AUTO_ROTATE_ON):
            self.auto_rotate = operation == AUTO_ROTATE_ON
        elif operation in (EOI, ROTATE_EOI):
            highest = self._first(self.service & ~self.mask if self.special_mask else self.service)
            if highest is not None:
                self.service &= ~(1 << highest)
                self.lowest = highest if operation == ROTATE_EOI else self.lowest
        elif operation in (SPECIFIC_EOI, ROTATE_SPECIFIC):
            self.service &= ~(1 << number)
            self.lowest = number if operation == ROTATE_SPECIFIC else self.lowest
        elif operation == SET_PRIORITY:
            self.lowest = number

    def write_data(self, value: int) -> None:
        match self.expects:
            case 2:
                self.vector = value & 0xF8
                self.expects = 4 if self.single and self.needs_icw4 else 0 if self.single else 3
            case 3:  # which line the other controller is on is fixed
                self.expects = 4 if self.needs_icw4 else 0
            case 4:
                self.auto_eoi = bool(value & 2)
                self.fully_nested = bool(value & 0x10)
                self.expects = 0
            case _:
                self.mask = value


class InterruptControllers(Device):
    """Lines 0 to 15, and one output to the processor."""

    ports = (0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1)

    def __init__(self, output: Line) -> None:
        self.output = output
        self.first = Controller(0xF8)
        self.second = Controller(0xDE)

    def line(self, number: int) -> Line:
        """The input of a device."""
        return lambda high: self.set_line(number, high)

    def set_line(self, number: int, high: bool) -> None:
        controller = self.first if number < 8 else self.second
        controller.set_line(number & 7, high)
        if not controller.mask >> (number & 7) & 1:
            self._update()

    def _update(self) -> None:
        self.first.set_line(CASCADE, self.second.pending() is not None)
        self.output(self.first.pending() is not None)

    def acknowledge(self) -> int:
        """The vector of the highest request; that of line 7 if there is none any more."""
        vector = self._take(self.first)
        if vector == self.first.vector + CASCADE:
            vector = self._take(self.second)
            self.first.set_line(CASCADE, False)
        self._update()
        return vector

    @staticmethod
    def _take(controller: Controller) -> int:
        number = controller.pending()
        if number is None:
            return controller.vector + SPURIOUS
        controller.accept(number)
        return controller.vector + number

    def read(self, port: int) -> int:
        controller = self._controller(port)
        value = controller.elcr if port >= 0x4D0 else controller.read(bool(port & 1))
        self._update()
        return value

    def write(self, port: int, value: int) -> None:
        controller = self._controller(port)
        if port >= 0x4D0:
            controller.elcr = value & controller.elcr_mask
        elif port & 1:
            controller.write_data(value)
        else:
            controller.write_command(value)
        self._update()

    def _controller(self, port: int) -> Controller:
        return self.second if port in (0xA0, 0xA1, 0x4D1) else self.first

    def reset(self) -> None:
        for controller in (self.first, self.second):
            controller.elcr = controller.lines = 0
            controller.clear()
        self._update()

    def save(self) -> dict[str, Any]:
        return {"first": dict(vars(self.first)), "second": dict(vars(self.second))}

    def load(self, state: dict[str, Any]) -> None:
        vars(self.first).update(state["first"])
        vars(self.second).update(state["second"])
        self._update()
