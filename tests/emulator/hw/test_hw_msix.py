"""MSI-X, on a virtio card: messages in place of the pin."""

from __future__ import annotations

import pytest
from virtio_driver import BAR0, BAR4, BUFFERS, WRITE, Driver

from emulator.hw.virtio.rng import VirtioRng

BAR1 = 0xFEBE0000
ENABLED, ALL_MASKED = 1 << 15, 1 << 14
NOBODY = 0xFFFF


class Random(Driver):
    """A driver of virtio-rng that wants messages: vector 0 for the configuration, 1 for the queue."""

    def __init__(self, transport: str) -> None:
        super().__init__(VirtioRng(), transport, size=16)
        self.messages: list[tuple[int, int]] = []
        self.machine.pci.message = lambda address, data: self.messages.append((address, data))
        self.transport.config_write(0x14, 4, BAR1)
        place = self.transport.config_read(0x34, 1)
        while self.transport.config_read(place, 1) != 0x11:
            place = self.transport.config_read(place + 1, 1)
        self.place = place
        assert self.transport.config_read(place + 2, 2) == 1  # two vectors
        assert self.transport.config_read(place + 4, 4) == 1  # in window 1, at 0
        for vector in range(2):
            self.set_entry(vector, 0xFEE00000 + 0x1000 * vector, 0x40 + vector)
        self.set_vectors(0, 1)

    def set_vectors(self, configuration: int, queue: int) -> None:
        """In either interface; that of the legacy one is there while MSI-X is enabled."""
        transport = self.transport
        if transport.modern:
            transport.put(0x10, 2, configuration)
            transport.put(0x1A, 2, queue)
            assert transport.get(0x1A, 2) == queue
        else:
            self.control(ENABLED)
            transport.put(20, 2, configuration)
            transport.put(22, 2, queue)
            assert transport.get(22, 2) == queue

    def set_entry(self, vector: int, address: int, data: int) -> None:
        for offset, value in ((0, address), (4, 0), (8, data), (12, 0)):
            self.machine.write_memory(BAR1 + 16 * vector + offset, 4, value)

    def mask(self, vector: int, masked: bool) -> None:
        self.machine.write_memory(BAR1 + 16 * vector + 12, 4, masked)

    def control(self, value: int) -> None:
        self.transport.config_write(self.place + 2, 2, value)

    def ask(self) -> None:
        self.rings[0].add([(BUFFERS, 64, WRITE)])
        self.rings[0].kick()
        assert self.rings[0].finished()

    def waiting(self) -> int:
        return self.machine.read_memory(BAR1 + 0x800, 4)


@pytest.mark.parametrize("transport", ["legacy", "modern"])
def test_messages(transport):
    driver = Random(transport)
    driver.control(ENABLED)
    driver.ask()
    assert driver.messages == [(0xFEE01000, 0x41)] and not driver.machine.high
    driver.device.configuration_changed()
    assert driver.messages.pop() == (0xFEE00000, 0x40)
    driver.control(0)
    driver.ask()
    assert len(driver.messages) == 1 and driver.machine.high and driver.transport.interrupt_status() == 1


def test_masks():
    """A masked vector is remembered, and sent when the mask goes."""
    driver = Random("modern")
    driver.control(ENABLED)
    driver.mask(1, True)
    driver.ask()
    driver.ask()
    assert not driver.messages and driver.waiting() == 2
    driver.mask(1, False)
    assert driver.messages == [(0xFEE01000, 0x41)] and driver.waiting() == 0
    driver.control(ENABLED | ALL_MASKED)
    driver.ask()
    assert len(driver.messages) == 1
    driver.control(ENABLED)
    assert len(driver.messages) == 2


def test_reset():
    """After a reset of the machine the pin is what there is."""
    driver = Random("modern")
    driver.control(ENABLED)
    driver.machine.bus.reset()
    assert driver.transport.config_read(driver.place + 2, 2) == 1
    for offset, value in ((0x10, BAR0), (0x20, BAR4)):
        driver.transport.config_write(offset, 4, value)
    driver.transport.config_write(4, 2, 7)
    driver.start(0, 1, 16)
    driver.ask()
    assert not driver.messages and driver.machine.high


def test_vectors_that_are_not_there():
    driver = Random("modern")
    driver.control(ENABLED)
    driver.transport.put(0x1A, 2, 2)
    assert driver.transport.get(0x1A, 2) == NOBODY
    driver.ask()
    assert not driver.messages and not driver.machine.high
