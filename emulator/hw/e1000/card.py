"""The card: its registers, its interrupts, and its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..device import Clock
from ..pci import BUS_MASTER, Bar, PciFunction
from .eeprom import Eeprom, contents
from .phy import INTERRUPT as MDIO_INTERRUPT
from .phy import Phy
from .receive import BROADCAST, Receiver
from .registers import (
    ADDRESS_VALID,
    CAUSES,
    CTRL,
    CTRL_PHY_RESET,
    CTRL_RESET,
    EECD,
    EERD,
    ICR,
    ICS,
    IMC,
    IMS,
    LINK_CHANGED,
    MDIC,
    MDIO_DONE,
    RCTL,
    READ_ONLY,
    RECEIVE_ADDRESSES,
    RECEIVE_RING,
    RECEIVED_BROADCASTS,
    RECEIVED_MULTICASTS,
    RECEIVED_OCTETS,
    RECEIVED_PACKETS,
    RESET_VALUES,
    SENT_OCTETS,
    SENT_PACKETS,
    STATISTICS,
    TAIL,
    TCTL,
    TOTAL_RECEIVED,
    TOTAL_RECEIVED_OCTETS,
    TOTAL_SENT,
    TOTAL_SENT_OCTETS,
    TRANSMIT_RING,
    TRANSMITTER_ON,
    WRITABLE,
)
from .transmit import Transmitter

MASK = 0xFFFFFFFF
MEMORY_WINDOW, PORT_WINDOW = 1 << 17, 64
IO_ADDRESS, IO_DATA = 0, 4
CRC_SIZE = 4  # counted with each frame
TRANSMIT_TAIL, RECEIVE_TAIL = TRANSMIT_RING + TAIL, RECEIVE_RING + TAIL


class Network(Protocol):
    """What is at the other end of the wire."""

    def send(self, frame: bytes, *, verified: bool = False) -> None:
        """A frame from the guest; `verified`: its checksums need not be looked at, and may be missing."""

    def room(self) -> None:
        """The card may take a frame that it refused."""


class E1000(PciFunction):
    """An 82540EM with the address `mac`."""

    vendor_id, device_id, class_code, revision = 0x8086, 0x100E, 0x020000, 3
    subsystem_vendor_id, subsystem_id = 0x1AF4, 0x1100
    interrupt_pin = 1
    takes_large_frames = False

    def __init__(self, network: Network, mac: bytes, clock: Clock) -> None:
        super().__init__(
            bars={
                0: Bar(MEMORY_WINDOW, read=self.read_window, write=self.write_window),
                1: Bar(PORT_WINDOW, io=True, read=self.read_ports, write=self.write_ports),
            }
        )
        self.network = network
        self.mac = mac
        self.clock = clock
        identity = {0x0B: self.subsystem_id, 0x0C: self.subsystem_vendor_id, 0x0D: self.device_id, 0x0E: self.vendor_id}
        self.eeprom = Eeprom(contents(mac, identity))
        self.phy = Phy()
        self.registers = dict(RESET_VALUES)
        self.transmitter, self.receiver = Transmitter(self), Receiver(self)
        self._readers: dict[int, Callable[[], int]] = {
            EECD: self.eeprom.read_control,
            ICR: self._read_causes,
            ICS: lambda: self.causes,
            IMS: lambda: self.unmasked,
            IMC: lambda: self.unmasked,
        }
        self._writers: dict[int, Callable[[int], None]] = {
            CTRL: self._write_control,
            EECD: self.eeprom.write_control,
            EERD: lambda value: self.registers.update({EERD: self.eeprom.read_word(value)}),
            MDIC: self._write_mdio,
            ICR: self._acknowledge,
            ICS: self.cause,
            IMS: lambda value: self._mask(self.unmasked | value & CAUSES),
            IMC: lambda value: self._mask(self.unmasked & ~value),
            TCTL: lambda value: self._store_and_transmit(TCTL, value),
            TRANSMIT_TAIL: lambda value: self._store_and_transmit(TRANSMIT_TAIL, value),
            RCTL: lambda value: self._store_and_receive(RCTL, value),
            RECEIVE_TAIL: lambda value: self._store_and_receive(RECEIVE_TAIL, value),
        }
        self._reset_card()

    def reset(self) -> None:
        super().reset()
        self.eeprom.reset()
        self.phy.reset()
        self._reset_card()

    def _reset_card(self) -> None:
        self.registers.update(RESET_VALUES)
        self.registers[RECEIVE_ADDRESSES] = int.from_bytes(self.mac[:4], "little")
        self.registers[RECEIVE_ADDRESSES + 4] = int.from_bytes(self.mac[4:], "little") | ADDRESS_VALID
        self.transmitter.reset()
        self.causes = self.unmasked = 0
        self.io_address = 0
        self._unsent = False  # descriptors are left for the next turn
        self._sent = [0, 0]  # frames and octets that are not in the statistics yet
        self._received = [0, 0, 0, 0]  # the same, and broadcasts and multicasts
        self.interrupt(False)

    # -- windows --------------------------------------------------------------------------------------------

    def read_window(self, offset: int, size: int) -> int:
        """Registers are 32 bits wide, and a smaller read is a part of one."""
        if size == 8:
            return self.read_register(offset) | self.read_register(offset + 4) << 32
        return self.read_register(offset & ~3) >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def write_window(self, offset: int, size: int, value: int) -> None:
        """A smaller write is none (section 13.2.1)."""
        if size >= 4 and not offset & 3:
            self.write_register(offset, value & MASK)
        if size == 8:
            self.write_register(offset + 4, value >> 32)

    def read_ports(self, offset: int, size: int) -> int:
        """Any register through two ports (section 13.2.1.1)."""
        if (offset, size) == (IO_ADDRESS, 4):
            return self.io_address
        return self.read_register(self.io_address) if (offset, size) == (IO_DATA, 4) else 0

    def write_ports(self, offset: int, size: int, value: int) -> None:
        if (offset, size) == (IO_ADDRESS, 4):
            self.io_address = value & MEMORY_WINDOW - 4
        elif (offset, size) == (IO_DATA, 4):
            self.write_register(self.io_address, value)

    def read_register(self, offset: int) -> int:
        if offset in self._readers:
            return self._readers[offset]()
        if offset not in STATISTICS:
            return self.registers.get(offset, 0)
        self._tell_statistics()
        value, self.registers[offset] = self.registers[offset], 0
        return value

    def write_register(self, offset: int, value: int) -> None:
        if offset in self._writers:
            self._writers[offset](value)
        else:
            self._store(offset, value)

    def _store(self, offset: int, value: int) -> None:
        if offset in self.registers and offset not in READ_ONLY:
            self.registers[offset] = value & WRITABLE.get(offset, MASK)

    def _write_control(self, value: int) -> None:
        if value & CTRL_PHY_RESET:
            self.phy.reset()
        if value & CTRL_RESET:
            self._reset_card()
        else:
            self.registers[CTRL] = value & ~(CTRL_RESET | CTRL_PHY_RESET)

    def _write_mdio(self, value: int) -> None:
        self.registers[MDIC] = self.phy.transfer(value)
        restarted = value & 0xFFFF & 1 << 9 and not value >> 16 & 31
        self.cause((MDIO_DONE if value & MDIO_INTERRUPT else 0) | (LINK_CHANGED if restarted else 0))

    # -- interrupts (section 3.4) ---------------------------------------------------------------------------

    def cause(self, causes: int) -> None:
        self.causes |= causes & CAUSES
        self._update_interrupt()

    def _read_causes(self) -> int:
        """Reading acknowledges all."""
        causes = self.causes
        self._acknowledge(causes)
        return causes

    def _acknowledge(self, causes: int) -> None:
        self.causes &= ~causes
        self._update_interrupt()

    def _mask(self, unmasked: int) -> None:
        self.unmasked = unmasked
        self._update_interrupt()

    def _update_interrupt(self) -> None:
        """At once: ITR and the delays are remembered, not obeyed. What comes together is one interrupt anyway, as the
        guest does not run meanwhile; and a guest that waits for one is woken late on a busy host.
        """
        if not self.causes & self.unmasked:
            self.interrupt(False)
        else:
            self.interrupt(True)

    def next_event(self) -> int | None:
        return self.clock() if self._unsent else None

    def run_events(self, now: int) -> None:
        if self._unsent:
            self._transmit()

    # -- frames ---------------------------------------------------------------------------------------------

    def _store_and_transmit(self, offset: int, value: int) -> None:
        self._store(offset, value)
        self._transmit()

    def _transmit(self) -> None:
        self._unsent = False
        if self.registers[TCTL] & TRANSMITTER_ON and self.command & BUS_MASTER:
            self._unsent = self.transmitter.run()

    def _store_and_receive(self, offset: int, value: int) -> None:
        self._store(offset, value)
        self.network.room()

    def receive(self, frames: list[bytes]) -> int:
        """Frames for the guest: how many are done with; the network hears of buffers for the others."""
        return self.receiver.receive(frames) if self.command & BUS_MASTER else len(frames)

    # -- statistics -----------------------------------------------------------------------------------------

    def count_sent(self, size: int) -> None:
        self._sent[0] += 1
        self._sent[1] += size + CRC_SIZE

    def count_received(self, frames: list[bytes]) -> None:
        groups = [frame[:6] for frame in frames if frame[0] & 1]
        broadcasts = groups.count(BROADCAST)
        self._received[0] += len(frames)
        self._received[1] += sum(map(len, frames)) + CRC_SIZE * len(frames)
        self._received[2] += broadcasts
        self._received[3] += len(groups) - broadcasts

    def _tell_statistics(self) -> None:
        """Put into the registers what has been counted since the last time."""
        for frames, total_frames, octets, total_octets, counted in (
            (SENT_PACKETS, TOTAL_SENT, SENT_OCTETS, TOTAL_SENT_OCTETS, self._sent),
            (RECEIVED_PACKETS, TOTAL_RECEIVED, RECEIVED_OCTETS, TOTAL_RECEIVED_OCTETS, self._received),
        ):
            for register in (frames, total_frames):
                self._count(register, counted[0])
            for register in (octets, total_octets):
                self._count_octets(register, counted[1])
        self._count(RECEIVED_BROADCASTS, self._received[2])
        self._count(RECEIVED_MULTICASTS, self._received[3])
        self._sent, self._received = [0, 0], [0, 0, 0, 0]

    def _count(self, register: int, by: int) -> None:
        """Counters of 32 bits stick at their end."""
        self.registers[register] = min(self.registers[register] + by, MASK)

    def _count_octets(self, register: int, octets: int) -> None:
        total = self.registers[register] + (self.registers[register + 4] << 32) + octets
        self.registers[register], self.registers[register + 4] = total & MASK, total >> 32 & MASK

    # -- state ----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Between two frames."""
        self._tell_statistics()
        return {
            "registers": {str(offset): value for offset, value in self.registers.items()},
            "phy": {str(number): value for number, value in self.phy.registers.items()},
            "eeprom": self.eeprom.save(),
            "causes": self.causes,
            "unmasked": self.unmasked,
            "io_address": self.io_address,
            "ip_start": self.transmitter.ip_start,
            "unsent": self._unsent,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.registers.update({int(offset): value for offset, value in state["registers"].items()})
        self.phy.registers = {int(number): value for number, value in state["phy"].items()}
        self.eeprom.load(state["eeprom"])
        self.causes, self.unmasked = state["causes"], state["unmasked"]
        self.io_address, self._unsent = state["io_address"], state["unsent"]
        self.transmitter.ip_start = state["ip_start"]
        self._update_interrupt()
