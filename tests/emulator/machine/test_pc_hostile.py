"""A guest that writes anything anywhere: to each port, register in memory and configuration register of a PC with all
its chips. None may raise, whatever the others have been told before.
"""

from __future__ import annotations

import random

import pytest

from emulator.hw.pci import ADDRESS, DATA, ENABLE
from emulator.machine.config import CDROM, FLOPPY, VIRTIO, Drive, PcConfig
from emulator.machine.pc import Pc
from imgtools.block.protocols.memory import MemoryNode

STEPS = 3000
PORTS = 1 << 16


class Guest:
    def __init__(self, machine: Pc, seed: int) -> None:
        self.machine = machine
        self.random = random.Random(seed)
        self.ports: list[int] = []
        self.find_ports()

    def find_ports(self) -> None:
        self.ports = [port for port in range(PORTS) if self.machine.bus.has(port)]

    def value(self, size: int) -> int:
        choose = self.random
        value = choose.choice((choose.getrandbits(8 * size), choose.getrandbits(5), 1 << choose.randrange(8 * size)))
        return value & (1 << 8 * size) - 1

    def use_port(self, size: int) -> None:
        bus = self.machine.bus
        port = self.random.choice(self.ports) if self.random.random() < 0.9 else self.random.randrange(PORTS)
        bus.write(port, size, self.value(size))
        bus.read(port, size)

    def configure(self, size: int) -> None:
        bus = self.machine.bus
        slot, function = self.random.choice(list(self.machine.pci.functions))
        offset = self.random.randrange(0, 256, size)
        bus.write(ADDRESS, 4, ENABLE | slot << 11 | function << 8 | offset & 0xFC)
        bus.write(DATA + (offset & 3), size, self.value(size))
        bus.read(DATA + (offset & 3), size)

    def use_memory(self, size: int) -> None:
        windows = [each for each in self.machine.space.regions if callable(each.write)]
        window = self.random.choice(windows)
        offset = self.random.randrange(0, min(window.size, 0x2000), size)
        window.write(0, offset, size, self.value(size))
        window.read(0, offset, size)
        self.machine.space.check()

    def wait(self, size: int) -> None:
        while self.machine._posted:  # a reset is among it
            self.machine._posted.popleft()()
        self.machine.bus.run_events(self.machine.now() + self.random.getrandbits(self.random.randrange(34)))


@pytest.mark.parametrize("network", ["e1000", "virtio"])
@pytest.mark.parametrize("seed", range(2))
def test_anything(seed: int, network: str) -> None:
    drives = [
        Drive(MemoryNode(1 << 22)),
        Drive(MemoryNode(1 << 22), interface=VIRTIO),
        Drive(MemoryNode(1474560), interface=FLOPPY),
        Drive(MemoryNode(1 << 21), media=CDROM),
    ]
    config = PcConfig(bios=bytes(1 << 16), memory=16 << 20, drives=drives, network=network)
    config.devices = ("virtio-rng", "virtio-console")
    with Pc(config) as machine:
        machine.power_on()
        guest = Guest(machine, seed)
        steps = [guest.use_port] * 3 + [guest.configure, guest.use_memory, guest.wait]
        for number in range(STEPS):
            guest.random.choice(steps)(guest.random.choice((1, 2, 4)))
            if number % 100 == 0:
                guest.find_ports()
