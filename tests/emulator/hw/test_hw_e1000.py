"""The e1000, driven by its registers and rings as a driver does."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing

import pytest

from emulator.hw.device import Bus
from emulator.hw.e1000 import E1000
from emulator.hw.net.user import UserNetwork
from emulator.hw.pci import PciBus
from emulator.softmmu.space import AddressSpace

MAC = bytes.fromhex("525400123456")
OTHER = bytes.fromhex("52550a000202")
WINDOW, PORTS = 0xFEB80000, 0xC000
RAM = 1 << 20
TX_RING, TX_BUFFERS, RX_RING, RX_BUFFERS = 0x1000, 0x10000, 0x2000, 0x40000
COUNT = 16
CTRL, STATUS, EECD, EERD, MDIC, ICR, ITR, ICS, IMS, IMC = 0, 8, 0x10, 0x14, 0x20, 0xC0, 0xC4, 0xC8, 0xD0, 0xD8
RCTL, TCTL, RXCSUM, RAL, MTA = 0x100, 0x400, 0x5000, 0x5400, 0x5200
RDBAL, RDLEN, RDH, RDT = 0x2800, 0x2808, 0x2810, 0x2818
TDBAL, TDLEN, TDH, TDT = 0x3800, 0x3808, 0x3810, 0x3818
TXDW, TXQE, LSC, RXDMT0, RXT0 = 1, 2, 4, 0x10, 0x80
EOP, RS, DEXT, TSE = 1, 8, 0x20, 4


class Wire:
    """The other end of the card."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, bool]] = []
        self.rooms = 0

    def send(self, frame: bytes, *, verified: bool = False) -> None:
        self.frames.append((bytes(frame), verified))

    def room(self) -> None:
        self.rooms += 1


class Rig:
    """A card in a bus, and a driver's hands."""

    def __init__(self) -> None:
        self.time = 0
        self.pin = False
        self.space = AddressSpace()
        self.ram = self.space.add_ram(0, RAM)
        self.bus = Bus(lambda due: None)
        self.pci = PciBus(self.bus, self.space, self.set_pin)
        self.wire = Wire()
        self.card = E1000(self.wire, MAC, lambda: self.time)
        self.pci.add(self.card, 3)
        for register, value in ((0x10, WINDOW), (0x14, PORTS), (0x04, 7)):
            self.bus.write(0xCF8, 4, 1 << 31 | 3 << 11 | register)
            self.bus.write(0xCFC, 4, value)
        self.sent = self.filled = 0

    def set_pin(self, slot: int, pin: int, asserted: bool) -> None:
        self.pin = asserted

    def read(self, register: int) -> int:
        return self.card.read_window(register, 4)

    def write(self, register: int, value: int) -> None:
        self.card.write_window(register, 4, value)

    def start(self) -> None:
        for first, ring in ((RDBAL, RX_RING), (TDBAL, TX_RING)):
            self.write(first, ring)
            self.write(first + 8, COUNT * 16)
        for number in range(COUNT):
            self.space.write(RX_RING + 16 * number, struct.pack("<QQ", RX_BUFFERS + 0x1000 * number, 0))
        self.write(RCTL, 1 << 1 | 1 << 15)
        self.write(TCTL, 1 << 1)
        self.write(RDT, COUNT - 1)
        self.write(IMS, RXT0 | TXDW | LSC)
        self.read(ICR)

    def descriptor(self, data: bytes) -> int:
        """Put a descriptor into the transmit ring: where it is. `kick` has it sent."""
        place = TX_RING + 16 * self.sent
        self.space.write(place, data)
        self.sent = (self.sent + 1) % COUNT
        return place

    def buffer(self, data: bytes) -> int:
        place = TX_BUFFERS + 0x2000 * self.sent
        self.space.write(place, data)
        return place

    def legacy(self, data: bytes, command: int = EOP | RS) -> int:
        return self.descriptor(struct.pack("<QHBBBBH", self.buffer(data), len(data), 0, command, 0, 0, 0))

    def extended(self, data: bytes, command: int = EOP | RS, options: int = 0) -> int:
        word = len(data) | 1 << 20 | (command | DEXT) << 24
        return self.descriptor(struct.pack("<QIBBH", self.buffer(data), word, 0, options, 0))

    def context(self, ip: int, payload: int, segment: int, command: int) -> int:
        word = payload | (command | DEXT) << 24
        data = struct.pack("<BBHBBHIBBH", ip, ip + 10, ip + 19, ip + 20, ip + 36, 0, word, 0, ip + 40, segment)
        return self.descriptor(data)

    def kick(self) -> None:
        self.write(TDT, self.sent)

    def receive(self, *frames: bytes) -> int:
        return self.card.receive(list(frames))

    def result(self, number: int) -> tuple[int, int, int]:
        """Length, status and errors of a receive descriptor."""
        length, _, status, errors, _ = struct.unpack("<HHBBH", self.space.read(RX_RING + 16 * number + 8, 8))
        return length, status, errors


@pytest.fixture
def rig() -> Rig:
    one = Rig()
    one.start()
    return one


def frame(target: bytes = MAC, size: int = 100, kind: bytes = b"\x88\xb5") -> bytes:
    return target + OTHER + kind + random.Random(size).randbytes(size - 14)


def test_identity() -> None:
    one = Rig()
    assert one.card.read_config(0, 4) == 0x100E8086 and one.card.read_config(8, 4) >> 8 == 0x020000
    assert one.bus.read(PORTS, 4) == 0 and one.read(STATUS) & 2  # the link is up
    one.bus.write(PORTS, 4, RAL)
    assert one.bus.read(PORTS + 4, 4) == int.from_bytes(MAC[:4], "little")
    one.bus.write(PORTS, 4, RDT)
    one.bus.write(PORTS + 4, 4, 9)
    assert one.read(RDT) == 9 and one.card.read_window(RDT, 8) == 9 and one.card.read_window(RAL + 4, 1) == MAC[4]


def bits(one: Rig, value: int, count: int) -> None:
    """Clock bits into the EEPROM, the highest first."""
    for place in reversed(range(count)):
        data = (value >> place & 1) << 2
        for clock in (0, 1, 0):
            one.write(EECD, 0x40 | 2 | data | clock)


def microwire(one: Rig, word: int) -> int:
    one.write(EECD, 0x40)
    assert one.read(EECD) & 0x80  # granted
    one.write(EECD, 0x40 | 2)
    bits(one, 6, 3)
    bits(one, word, 6)
    assert not one.read(EECD) & 8  # a zero comes first
    value = 0
    for _ in range(16):
        one.write(EECD, 0x40 | 2 | 1)
        value = value << 1 | one.read(EECD) >> 3 & 1
        one.write(EECD, 0x40 | 2)
    one.write(EECD, 0)
    return value


def test_eeprom() -> None:
    """The address, and a sum that drivers insist on, by both ways to read."""
    one = Rig()
    words = [microwire(one, word) for word in range(64)]
    assert sum(words) & 0xFFFF == 0xBABA and struct.pack("<3H", *words[:3]) == MAC
    for word in range(64):
        one.write(EERD, word << 8 | 1)
        assert one.read(EERD) == words[word] << 16 | word << 8 | 0x10
    bits(one, 4 << 6 | 0x30, 9)  # writing is not enabled, and would not be
    one.write(EECD, 0)
    assert microwire(one, 0) == words[0]


def test_phy() -> None:
    one = Rig()
    one.start()

    def phy(register: int, address: int = 1) -> int:
        one.write(MDIC, 2 << 26 | address << 21 | register << 16)
        assert one.read(MDIC) & 1 << 28
        return one.read(MDIC)

    assert phy(1) & 0x24 == 0x24 and phy(2) & 0xFFFF == 0x141 and phy(3) & 0xFFF0 == 0xC20
    assert phy(1, 2) & 1 << 30  # nobody is there
    one.write(MDIC, 1 << 26 | 1 << 21 | 4 << 16 | 0x1E1)
    assert phy(4) & 0xFFFF == 0x1E1
    assert not one.pin
    one.write(MDIC, 1 << 26 | 1 << 21 | 0x1340)  # negotiate anew
    assert one.pin and one.read(ICR) == LSC and not phy(0) & 0x200


def test_legacy_transmission(rig: Rig) -> None:
    data = frame()
    place = rig.legacy(data)
    rig.legacy(data[:60], command=RS)
    rig.legacy(data[60:])
    rig.kick()
    assert rig.wire.frames == [(data, False), (data, False)]
    assert rig.space.read(place + 12, 1) == b"\1" and rig.read(TDH) == 3
    assert rig.pin and rig.read(ICR) == TXDW | TXQE and not rig.pin
    assert rig.read(0x4080) == 2 and rig.read(0x4080) == 0  # good packets: cleared by reading
    assert rig.read(0x4090) == 2 * (len(data) + 4)


def test_rings_wrap(rig: Rig) -> None:
    for number in range(3 * COUNT):
        rig.legacy(frame(size=60 + number))
        rig.kick()
    assert [len(data) for data, _ in rig.wire.frames] == list(range(60, 60 + 3 * COUNT))


def test_offloads_are_the_networks(rig: Rig) -> None:
    """Checksums that are missing are announced; a frame to segment goes as it is, with its true length."""
    header = b"\x45\0\0\0" + bytes(16) + bytes(20)
    payload = random.Random(1).randbytes(4000)
    rig.extended(frame(), options=2)
    rig.context(14, 4000, 1460, TSE | 3)
    rig.extended(frame(size=14) + header, command=TSE, options=3)
    rig.extended(payload, command=TSE | EOP | RS, options=3)
    rig.extended(frame())
    rig.kick()
    checked, segmented, plain = rig.wire.frames
    assert checked == (frame(), True) and plain == (frame(), False)
    assert segmented[1] and segmented[0] == frame(size=14) + b"\x45\0" + struct.pack(">H", 4040) + header[4:] + payload


def test_reception(rig: Rig) -> None:
    data = frame()
    assert rig.receive(data)
    assert rig.result(0) == (len(data) + 4, 7, 0)  # done, the end, checksums not looked at
    assert rig.space.read(RX_BUFFERS, len(data) + 4) == data + struct.pack("<I", zlib.crc32(data))
    assert rig.pin and rig.read(ICR) & RXT0 and rig.read(RDH) == 1 and rig.read(0x4074) == 1
    rig.write(RCTL, 1 << 1 | 1 << 26)  # no check sequence
    rig.write(RXCSUM, 3 << 8)
    packet = frame(kind=b"\x08\0")[:14] + b"\x45" + bytes(8) + b"\x06" + bytes(40)
    assert rig.receive(packet) and rig.result(1) == (64, 0x63, 0)


def test_reception_into_several_buffers(rig: Rig) -> None:
    rig.write(RCTL, 1 << 1 | 3 << 16)  # of 256 bytes
    data = frame(size=1000)
    assert rig.receive(data)
    assert [rig.result(number)[:2] for number in range(4)] == [(256, 5), (256, 5), (256, 5), (236, 7)]
    assert b"".join(rig.space.read(RX_BUFFERS + 0x1000 * number, 256) for number in range(4))[:1000] == data


def test_many_frames_at_once(rig: Rig) -> None:
    """Around the ring's end, among them what is not for this card, with one interrupt; the last ones have to wait."""
    assert rig.receive(*(frame(size=60 + number) for number in range(10))) == 10
    assert rig.read(ICR) & RXT0
    rig.write(RDT, 9)  # 15 are free, and those around the ring's end are new
    for number in range(10):
        rig.space.write(RX_RING + 16 * number + 8, bytes(8))
    group = bytes.fromhex("01005e000001")
    rig.write(RCTL, 1 << 1 | 1 << 4 | 1 << 15 | 1 << 16)  # with multicasts, buffers of 1024 bytes
    frames = [frame(group), frame(OTHER), *(frame(b"\xff" * 6, 100 + number) for number in range(9)), frame(size=1500)]
    assert rig.receive(*frames, frame(), frame(), frame(), frame()) == len(frames) + 3 and rig.read(RDH) == 9
    stored = [rig.result(number % COUNT)[:2] for number in range(10, 25)]
    expected = [(104, 7), *((104 + number, 7) for number in range(9)), (1024, 5), (480, 7), *[(104, 7)] * 3]
    assert stored == expected and rig.pin and rig.read(ICR) & (RXT0 | RXDMT0) == RXT0 | RXDMT0
    place = RX_BUFFERS + 0x1000 * (20 % COUNT)
    whole = rig.space.read(place, 1024) + rig.space.read(place + 0x1000, 480)
    assert whole == frames[-1] + struct.pack("<I", zlib.crc32(frames[-1]))
    assert rig.space.read(RX_RING, 8) == struct.pack("<Q", RX_BUFFERS)  # a buffer's address stays
    assert rig.read(0x4074) == 24 and rig.read(0x4078) == 9 and rig.read(0x407C) == 1


def test_buffers_that_are_no_memory(rig: Rig) -> None:
    """Their frames are lost; those of the others are not."""
    rig.space.write(RX_RING + 16, struct.pack("<Q", RAM - 50))
    rig.space.write(RX_RING + 32, struct.pack("<Q", 1 << 63))
    assert rig.receive(*(frame(size=100 + number) for number in range(4))) == 4
    assert [rig.result(number)[:2] for number in range(4)] == [(104 + number, 7) for number in range(4)]
    assert rig.space.read(RX_BUFFERS, 100) == frame() and rig.space.read(RAM - 50, 50) == bytes(50)
    assert rig.space.read(RX_BUFFERS + 0x3000, 103) == frame(size=103)


def test_a_full_ring_waits(rig: Rig) -> None:
    """The card refuses what it has no buffers for, and tells when the driver gives some."""
    taken = 0
    while rig.receive(frame(size=60 + taken)):
        taken += 1
    assert taken == COUNT - 1 and rig.read(ICR) & RXDMT0
    rooms = rig.wire.rooms
    rig.write(RDT, 4)
    assert rig.wire.rooms == rooms + 1
    assert rig.receive(frame()) and rig.read(RDH) == 0


def test_filters(rig: Rig) -> None:
    group = bytes.fromhex("01005e000001")

    def arrives(target: bytes) -> bool:
        before = rig.read(RDH)
        assert rig.receive(frame(target))
        rig.write(RDT, (rig.read(RDH) - 1) % COUNT)
        return rig.read(RDH) != before

    assert arrives(MAC) and arrives(b"\xff" * 6) and not arrives(OTHER) and not arrives(group)
    value = int.from_bytes(group[4:], "little") >> 4 & 0xFFF
    rig.write(MTA + 4 * (value >> 5), 1 << (value & 31))
    assert arrives(group) and not arrives(group[:5] + b"\x99")
    rig.write(RAL + 8, int.from_bytes(OTHER[:4], "little"))
    rig.write(RAL + 12, int.from_bytes(OTHER[4:], "little") | 1 << 31)
    assert arrives(OTHER)
    rig.write(RCTL, 1 << 1 | 1 << 3 | 1 << 4)
    assert arrives(bytes(6)) and arrives(group[:5] + b"\x99")
    rig.write(RCTL, 0)
    assert not arrives(MAC)


def test_interrupts_are_masked_and_set(rig: Rig) -> None:
    rig.receive(frame())
    assert rig.pin
    rig.write(IMC, 0xFFFFFFFF)
    assert not rig.pin and rig.read(IMS) == 0
    rig.write(ICS, LSC)
    assert not rig.pin
    rig.write(IMS, LSC)
    assert rig.pin and rig.read(ICR) & (LSC | RXT0) == LSC | RXT0 and not rig.pin
    rig.write(ITR, 0x12345)
    assert rig.read(ITR) == 0x2345


def test_reset(rig: Rig) -> None:
    rig.receive(frame())
    rig.write(RAL, 0)
    rig.write(CTRL, rig.read(CTRL) | 1 << 26)
    assert not rig.pin and rig.read(RCTL) == 0 and rig.read(RDH) == 0 and not rig.read(CTRL) & 1 << 26
    assert rig.read(RAL) == int.from_bytes(MAC[:4], "little")


def test_no_transfers_without_bus_mastering(rig: Rig) -> None:
    rig.card.write_config(4, 2, 3)
    rig.legacy(frame())
    rig.kick()
    assert rig.receive(frame()) and not rig.wire.frames and rig.read(RDH) == 0


def test_save_and_load(rig: Rig) -> None:
    rig.receive(frame())
    other = Rig()
    other.card.load(rig.card.save())
    assert other.pin and other.read(RDH) == 1 and other.read(ICR) & RXT0
    other.space.write(RX_RING, rig.space.read(RX_RING, 16 * COUNT))
    assert other.receive(frame()) and other.result(1)[0] == len(frame()) + 4


def test_large_rings_leave_the_guest_its_turn() -> None:
    """65,536 descriptors are not done in one go."""
    rig = Rig()
    rig.start()
    rig.write(TDBAL, 0)
    rig.write(TDLEN, 0xFFF80)
    rig.write(TDT, 60000)
    assert 0 < rig.read(TDH) < 60000 and rig.card.next_event() == rig.time
    while rig.card.next_event() is not None:
        rig.card.run_events(rig.time)
    assert rig.read(TDH) == 60000


def hostile(chance: random.Random) -> Iterator[int]:
    while True:
        yield chance.choice((
            0, 1, 0xFFFFFFFF, 1 << 31, RAM - 16, RAM - 8, 16 * COUNT, chance.randrange(RAM), chance.getrandbits(32),
            chance.randrange(COUNT),
        ))  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_hostile_drivers_never_raise(seed: int) -> None:
    """Any value in any register, and rings that lie anywhere with anything in them."""
    chance = random.Random(seed)
    rig = Rig()
    registers = [
        *range(0, 0x200, 4),
        *range(0x2800, 0x2830, 4),
        *range(0x3800, 0x3830, 4),
        TCTL,
        RXCSUM,
        RDT,
        TDT,
        0x1FFFC,
    ]
    values = hostile(chance)
    for turn in range(6000):
        if turn % 500 == 0:
            rig.start()
            rig.space.write(0, chance.randbytes(0x8000))
        rig.time += chance.randrange(10_000)
        match chance.randrange(8):
            case 0 | 1 | 2:
                rig.card.write_window(chance.choice(registers), chance.choice((1, 2, 4, 4, 4, 8)), next(values))
            case 3:
                rig.card.read_window(chance.choice(registers), chance.choice((1, 2, 4, 8)))
            case 4:
                rig.card.write_ports(chance.choice((0, 1, 4)), chance.choice((1, 4)), next(values))
                rig.card.read_ports(chance.choice((0, 1, 4)), chance.choice((1, 4)))
            case 5:
                target = chance.choice((MAC, b"\xff" * 6))
                rig.receive(*(frame(target, chance.choice((60, 1514, 9000))) for _ in range(chance.randrange(1, 20))))
            case 6:
                rig.write(TCTL, 2)
                rig.write(TDT, chance.randrange(COUNT))
            case 7:
                rig.card.run_events(rig.time)
                rig.card.next_event()
        rig.wire.frames.clear()
    rig.write(CTRL, 1 << 26)
    rig.start()
    rig.sent = 0
    rig.legacy(frame())
    rig.kick()
    assert rig.wire.frames == [(frame(), False)]


def test_with_the_network_behind_it() -> None:
    """An ARP request through the rings, and its reply."""
    rig = Rig()
    posted = []
    network = UserNetwork(lambda: rig.time, posted.append)
    with closing(network):
        rig.card.network = network
        network.attach(rig.card)
        rig.start()
        addresses = MAC + bytes((10, 0, 2, 15)) + bytes(6) + bytes((10, 0, 2, 2))
        rig.legacy(b"\xff" * 6 + MAC + bytes.fromhex("0806000108000604 0001") + addresses)
        rig.kick()
        while posted:
            posted.pop(0)()
        assert rig.result(0)[0] == 64
        assert rig.space.read(RX_BUFFERS, 12) == MAC + OTHER and rig.space.read(RX_BUFFERS + 22, 6) == OTHER
