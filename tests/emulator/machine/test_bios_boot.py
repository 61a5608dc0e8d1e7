"""Which drive the built-in BIOS boots, and what is said when none can be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

import imgtools
from emulator.hw import keys
from emulator.machine.config import CDROM, DISK, FLOPPY, IDE, VIRTIO, Drive, PcConfig
from emulator.machine.errors import GuestError
from emulator.machine.pc import Pc

SECTOR, CD_SECTOR = 512, 2048
NEXT = bytes.fromhex("cd18")  # INT 18h: try the next one
Make = Callable[..., Drive]


def program(number: int) -> bytes:
    """A boot sector that ends the machine with 2 * number + 1, if it was told its drive."""
    return bytes.fromhex(f"b0{number:02x} e6f4 f4")


def sector(code: bytes) -> bytes:
    return code.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def cdrom(code: bytes, media: int = 0, *, indicator: int = 0x88, checksum: bool = True) -> bytes:
    """A CD-ROM with a boot record, a catalog and an image (El Torito, section 2)."""
    record = b"\0CD001\1EL TORITO SPECIFICATION".ljust(0x47, b"\0") + pack("<I", 18)
    validation = bytearray(pack("<BB2x24sHBB", 1, 0, b"test", 0, 0x55, 0xAA))
    total = sum(int.from_bytes(validation[place : place + 2], "little") for place in range(0, 32, 2))
    validation[28:30] = pack("<H", -total & 0xFFFF if checksum else 1)
    entry = pack("<BBHBBHI", indicator, media, 0, 0, 0, 4, 19).ljust(32, b"\0")
    image = sector(code) if media else code
    pieces = (record, bytes(validation) + entry, image)
    return bytes(17 * CD_SECTOR) + b"".join(piece.ljust(CD_SECTOR, b"\0") for piece in pieces) + bytes(3 << 20)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A drive with this content."""

    def make(content: bytes, interface: str = IDE, media: str = DISK, size: int = 1 << 20) -> Drive:
        path = tmp_path / f"drive{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content.ljust(size, b"\0"))
        return Drive(imgtools.open(str(path)), interface, media)

    return make


def boot(drives: list[Drive], order: str = "cda") -> int:
    with Pc(PcConfig(memory=4 << 20, drives=drives, boot_order=order)) as machine:
        machine.power_on()
        try:
            return machine.run() >> 1
        finally:
            for drive in drives:
                drive.node.close()


@pytest.mark.parametrize(("order", "number"), [("cda", 1), ("adc", 2), ("dca", 3), ("nda", 3)])
def test_order(make: Make, order: str, number: int) -> None:
    drives = [make(sector(program(1))), make(sector(program(2)), FLOPPY), make(cdrom(program(3)), IDE, CDROM)]
    assert boot(drives, order) == number


def test_first_hard_disk(make: Make) -> None:
    """Disks have their numbers in the order in which they are given, whatever they are behind."""
    assert boot([make(sector(program(5)), VIRTIO), make(sector(program(6)))]) == 5


def test_next(make: Make) -> None:
    """A sector without a signature is passed over, a program may give up."""
    drives = [make(b"\0"), make(sector(NEXT), FLOPPY), make(cdrom(program(3)), IDE, CDROM)]
    assert boot(drives, "cad") == 3


@pytest.mark.parametrize(("media", "kind"), [(1, 0x00), (2, 0x00), (3, 0x00), (4, 0x80)])
def test_emulation(make: Make, media: int, kind: int) -> None:
    """The image is the first floppy or disk: the program reads its own first sector, and asks what it came from."""
    code = (
        bytes.fromhex(
            "fa 31c0 8ed8 8ec0 8ed0 bc007c fb"
            f"80fa{kind:02x} 752f"  # cmp dl, kind; jne fail
            "b80102 bb0080 b90100 b600 cd13 7223"  # one sector to 8000h; jc
            "81 3e fe81 55aa 751b"  # its signature
            "be0090 b8014b cd13 7211"  # the emulation's packet to 9000h; jc
            "803e0190" + f"{media:02x}" + " 750a"  # its media
            "b82a00 e6f4 f4"
        ).ljust(0x60, b"\x90")
        + bytes.fromhex("b001 e6f4 f4")
    )
    assert boot([make(cdrom(code, media), IDE, CDROM), make(sector(program(9)), FLOPPY)], "d") == 42


@pytest.mark.parametrize(
    ("content", "media", "order", "message"),
    [
        (b"\0", DISK, "c", "does not end in 55 AA"),
        (b"\0", CDROM, "d", "no El Torito boot record"),
        (b"\0", DISK, "a", "floppy: there is none"),
        (cdrom(b"", indicator=0), CDROM, "d", "not bootable"),
        (cdrom(b"", checksum=False), CDROM, "d", "sector 18, is damaged"),
    ],
)
def test_nothing_to_boot(make: Make, content: bytes, media: str, order: str, message: str) -> None:
    with pytest.raises(GuestError, match="no drive can be booted") as raised:
        boot([make(content, IDE, media)], order)
    assert message in str(raised.value)


def test_program_gives_up(make: Make) -> None:
    with pytest.raises(GuestError, match="the program that was booted gave up"):
        boot([make(sector(NEXT))], "c")


def test_bad_firmware() -> None:
    from emulator.machine.errors import ProgramError

    machine = Pc(PcConfig(memory=4 << 20, bios=b"no firmware"))
    with machine, pytest.raises(ProgramError, match="a BIOS has 64 KiB to 16 MiB"):
        machine.power_on()


class Broken(imgtools.Node):
    """A disk that cannot be read."""

    def readinto(self, offset: int, buffer: memoryview) -> None:
        raise imgtools.ImageError("cluster 7 is damaged")


def test_damaged_image() -> None:
    with pytest.raises(GuestError, match="hard disk: sector 0: cluster 7 is damaged"):
        boot([Drive(Broken("bad.qcow2", 1 << 20))], "c")


def when(machine: Pc, place: int, action: Callable[[], None]) -> None:
    """Do something when the program has put a 1 into memory."""

    def look() -> None:
        if machine.space.read(place, 1) == b"\1":
            action()
        else:
            threading.Timer(0.05, machine.post, (look,)).start()

    machine.post(look)


WAIT_FOR_A_KEY = "b400 cd16"  # INT 16h, AH = 0
DIFFERENT_THE_SECOND_TIME = "31c0 8ed8 fe060006 803e000602 74"  # inc byte [600h]; cmp byte [600h], 2; je


def test_control_alt_delete(make: Make) -> None:
    """The keyboard's interrupt resets the machine while a program waits for a key, and the disk is booted again."""
    waits = bytes.fromhex(WAIT_FOR_A_KEY + "ebfa")
    code = bytes.fromhex(DIFFERENT_THE_SECOND_TIME) + bytes((len(waits),)) + waits + program(42)
    drive = make(sector(code))
    with Pc(PcConfig(memory=4 << 20, drives=[drive])) as machine:

        def press() -> None:
            for key in (keys.CONTROL, keys.ALT, keys.DELETE):
                machine.keyboard.keyboard.key(key, True)

        machine.power_on()
        when(machine, 0x600, press)
        assert machine.run() >> 1 == 42
    drive.node.close()


def test_typed_into_a_program(make: Make) -> None:
    """Waiting for keys, a program gets each with its code; the machine sleeps meanwhile."""
    code = bytes.fromhex("31c0 8ed8 fe061006 bf0006 b90300 b410 cd16 8905 83c702 e2f5") + program(7)
    drive = make(sector(code))
    with Pc(PcConfig(memory=4 << 20, drives=[drive])) as machine:
        machine.power_on()
        when(machine, 0x610, lambda: machine.type_text("aB\x1b[A"))
        assert machine.run() >> 1 == 7
        assert machine.space.read(0x600, 6) == bytes.fromhex("611e 4230 e048")
    drive.node.close()
