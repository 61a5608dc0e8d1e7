"""virtio-net, virtio-console and virtio-rng, each driven over its rings."""

from __future__ import annotations

import random
from struct import pack

import pytest
from net_guest import words
from virtio_driver import BUFFERS, TRANSPORTS, WRITE, Driver

from emulator.hw.virtio.console import VirtioConsole
from emulator.hw.virtio.net import VirtioNet
from emulator.hw.virtio.rng import VirtioRng

MAC = b"\x52\x54\x00\x12\x34\x56"
F_CHECKSUM, F_GUEST_CHECKSUM, F_GUEST_TSO4, F_MERGED, F_CONTROL = 1, 2, 1 << 7, 1 << 15, 1 << 17


class Wire:
    """A network that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, bool]] = []
        self.rooms = 0

    def send(self, frame: bytes, *, verified: bool = False) -> None:
        self.frames.append((frame, verified))

    def room(self) -> None:
        self.rooms += 1


class Card(Driver):
    """A driver of virtio-net; buffers to receive are made available in pieces of `size`."""

    def __init__(self, transport: str, wanted: int) -> None:
        self.wire = Wire()
        super().__init__(VirtioNet(self.wire, MAC), transport, wanted=wanted, queues=3)
        self.header = 12 if self.transport.modern or self.features & F_MERGED else 10

    def offer(self, count: int, size: int) -> None:
        for _ in range(count):
            self.rings[0].add([(self.place(self.rings[0].free[-1]), size, WRITE)])
        self.rings[0].kick()

    def place(self, head: int) -> int:
        """Of the buffer with a descriptor."""
        return BUFFERS + 0x100000 + head * 0x1000

    def receive(self, *frames: bytes) -> int:
        return self.device.receive(list(frames))

    def received(self) -> list[bytes]:
        return [bytes(self.memory[self.place(head) :][:length]) for head, length in self.rings[0].finished()]

    def send(self, header: bytes, frame: bytes) -> None:
        self.memory[BUFFERS : BUFFERS + self.header] = header.ljust(self.header, b"\0")
        self.memory[BUFFERS + 0x1000 : BUFFERS + 0x1000 + len(frame)] = frame
        self.rings[1].add([(BUFFERS, self.header, 0), (BUFFERS + 0x1000, len(frame), 0)])
        self.rings[1].kick()
        assert len(self.rings[1].finished()) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("merged", [0, F_MERGED])
def test_frames(transport, merged):
    """Frames of many sizes, both ways."""
    rng = random.Random(transport)
    card = Card(transport, F_CHECKSUM | F_GUEST_CHECKSUM | merged)
    configuration = bytes(card.transport.configuration(place, 1) for place in range(8))
    assert configuration == MAC + b"\1\0"
    for size in (14, 60, 1514):
        frame = rng.randbytes(size)
        card.send(b"", frame)
        assert card.wire.frames.pop() == (frame, False)
        card.send(b"\1", frame)
        assert card.wire.frames.pop() == (frame, True)
        card.offer(2, 1526)
        assert card.receive(frame)
        ((*parts,),) = [card.received()]
        assert parts[0][card.header :] == frame and parts[0][0] == 2 and len(parts) == 1
        if card.header == 12:
            assert parts[0][10:12] == b"\1\0"
        assert card.receive(frame) and card.received()
        assert not card.receive(frame)
        card.offer(3, 1526)
        assert card.receive(*[frame] * 5) == 3 and [part[card.header :] for part in card.received()] == [frame] * 3
        rooms = card.wire.rooms
        card.offer(1, 1526)
        assert card.wire.rooms == rooms + 1 and card.receive(frame) and card.received()


def test_merged_buffers():
    """A frame takes as many buffers as it needs, or none if there are too few."""
    card = Card("modern", F_MERGED)
    frame = random.Random(1).randbytes(2000)
    card.offer(3, 512)
    assert not card.receive(frame) and not card.received()
    card.offer(2, 512)
    assert card.receive(frame)
    parts = card.received()
    assert len(parts) == 4 and parts[0][10:12] == b"\4\0"
    assert b"".join(parts)[12:] == frame


def test_large_frames():
    """A driver that agrees gets many TCP segments as one, and is told how large each is; the checksum is begun."""
    card = Card("modern", F_MERGED | F_GUEST_CHECKSUM | F_GUEST_TSO4)
    assert card.device.takes_large_frames and not Card("modern", F_MERGED).device.takes_large_frames
    addresses, tcp = b"\x0a\0\2\2\x0a\0\2\x0f", random.Random(1).randbytes(16) + b"\xab\xcd" + bytes(5002)
    frame = MAC + bytes(6) + b"\x08\0" + b"\x45\0" + bytes(7) + b"\6\0\0" + addresses + tcp
    card.offer(5, 1500)
    assert card.receive(frame)
    data = b"".join(card.received())
    assert data[:12] == pack("<BBHHHHH", 1, 1, 54, 1460, 34, 16, 4)
    segment = data[12 + 34 :]
    assert data[12:46] == frame[:34] and segment[:16] + segment[18:] == tcp[:16] + tcp[18:]
    completed = segment[:16] + pack(">H", words(segment)) + segment[18:]
    assert words(addresses + pack(">HH", 6, len(tcp)) + completed) == 0


def test_frames_that_do_not_fit():
    """One that is larger than the buffer is lost, and the buffer is not; one beyond 64 KiB does not leave the card."""
    card = Card("modern", 0)
    card.offer(1, 100)
    assert card.receive(bytes(1514)) and not card.received()
    assert card.receive(b"x" * 60) and card.received()[0][12:] == b"x" * 60
    card.send(b"", bytes(70000))
    assert not card.wire.frames


def test_control_queue():
    card = Card("modern", F_CONTROL)
    for command, answer in ((b"\0\0\1", 0), (b"\1\0" + bytes(8), 0), (b"\1\1" + MAC, 1), (b"\4\0\2\0", 1)):
        card.memory[BUFFERS : BUFFERS + len(command)] = command
        card.rings[2].add([(BUFFERS, 2, 0), (BUFFERS + 2, len(command) - 2, 0), (BUFFERS + 0x100, 1, WRITE)])
        card.rings[2].kick()
        assert card.rings[2].finished()[0][1] == 1 and card.memory[BUFFERS + 0x100] == answer


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_console(transport):
    """What is typed before there are buffers is kept; what is written comes out in order."""
    written = bytearray()
    driver = Driver(VirtioConsole(written.extend, (80, 25)), transport, wanted=1, queues=2)
    assert [driver.transport.configuration(place, 2) for place in (0, 2)] == [80, 25]
    text = bytes(range(256)) * 40
    driver.memory[BUFFERS : BUFFERS + len(text)] = text
    driver.rings[1].add([(BUFFERS, 5000, 0), (BUFFERS + 5000, len(text) - 5000, 0)])
    driver.rings[1].kick()
    assert written == text and driver.rings[1].finished()
    driver.device.receive(b"typed before")
    for number in range(3):
        driver.rings[0].add([(BUFFERS + 0x10000 + number * 16, 8, WRITE)])
    driver.rings[0].kick()
    assert [length for _, length in driver.rings[0].finished()] == [8, 4]
    driver.device.receive(b"later")
    assert bytes(driver.memory[BUFFERS + 0x10000 :][:37]) == b"typed be\0\0\0\0\0\0\0\0fore" + bytes(12) + b"later"
    driver.transport.interrupt_status()
    driver.device.resize(132, 50)
    assert driver.transport.interrupt_status() == 2 and driver.transport.configuration(2, 2) == 50
    driver.transport.configure(8, 4, ord("!"))
    assert written.endswith(b"!")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_random_bytes(transport):
    source = random.Random(7)
    driver = Driver(VirtioRng(source.randbytes), transport, size=16)
    driver.rings[0].add([(BUFFERS, 100, WRITE), (BUFFERS + 0x1000, 28, WRITE)])
    driver.rings[0].kick()
    assert driver.rings[0].finished()[0][1] == 128
    expected = random.Random(7).randbytes(128)
    assert bytes(driver.memory[BUFFERS : BUFFERS + 100]) == expected[:100]
    assert bytes(driver.memory[BUFFERS + 0x1000 :][:28]) == expected[100:]
