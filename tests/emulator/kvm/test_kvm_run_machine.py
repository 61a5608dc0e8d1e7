"""The PC with KVM, in real mode: each program does what it does with our own processor."""

from __future__ import annotations

import threading
from pathlib import Path
from struct import pack

import pytest
from kvm_guests import STATUS, boot_sector, run_pc

from emulator.hw.device import Device
from emulator.kvm.host import Host
from emulator.kvm.modes import PAGED, missing_modes
from emulator.machine.engine import KVM, TCG
from emulator.machine.errors import GuestError
from emulator.machine.pc import Pc
from tests.conftest import PATIENCE

READ_SECTOR = """
    mov $0x1f2, %dx
    mov $1, %al
    out %al, %dx
    inc %dx
    out %al, %dx
    inc %dx
    xor %al, %al
    out %al, %dx
    inc %dx
    out %al, %dx
    inc %dx
    mov $0xe0, %al
    out %al, %dx
    inc %dx
    mov $0x20, %al
    out %al, %dx
1:  in %dx, %al
    test $8, %al
    jz 1b
    mov $0x1f0, %dx
    mov $256, %cx
    mov $0x8000, %di
    rep insw
    mov $512, %cx
    mov $0x8000, %si
    mov $0xe9, %dx
    rep outsb
"""
TICKS = """
    sti
    mov 0x46c, %bx
1:  hlt
    mov 0x46c, %ax
    sub %bx, %ax
    cmp $3, %ax
    jb 1b
    out %al, $0xe9
"""
SHADOW = """
    cli
    mov $0xf000, %ax
    mov %ax, %es
    mov %es:0, %bl
    not %bl
    mov %bl, %es:0                              # to ROM: nothing
    cmp %bl, %es:0
    je 9f
    mov $0x80000058, %eax                       # PAM0 of the host bridge: F0000h is RAM
    mov $0xcf8, %dx
    out %eax, %dx
    mov $0xcfd, %dx
    mov $0x30, %al
    out %al, %dx
    mov %bl, %es:0
    cmp %bl, %es:0
    jne 9f
    mov $0x10, %al                              # and read-only
    out %al, %dx
    incb %es:0
    cmp %bl, %es:0
    jne 9f
    mov $'S', %al
    out %al, $0xe9
9:
"""
A20 = """
    mov $0xffff, %ax
    mov %ax, %es
    movb $1, 0x9000
    movb $2, %es:0x9010                         # 109000h
    mov 0x9000, %al
    out %al, $0xe9
    xor %al, %al
    out %al, $0x92                              # close the gate
    mov %es:0x9010, %al
    out %al, $0xe9
    movb $3, %es:0x9010
    mov 0x9000, %al
    out %al, $0xe9
    mov $2, %al
    out %al, $0x92
    mov %es:0x9010, %al
    out %al, $0xe9
"""
RESETS = """
    mov $'R', %al
    out %al, $0xe9
    incb 0x9000
    cmpb $3, 0x9000
    je 1f
    mov $0xfe, %al
    out %al, $0x64                              # the keyboard controller pulls RESET
    hlt
1:
"""
PLANAR = """
    mov $0x12, %ax
    int $0x10
    mov $0xa000, %ax
    mov %ax, %es
    mov $0x3c4, %dx
    mov $0x0502, %ax                            # planes 0 and 2
    out %ax, %dx
    mov $1000, %di
    mov $0x5a, %al
    mov $300, %cx
    rep stosb
    movw $0x1234, %es:80
    mov $0x3ce, %dx
    mov $0x0204, %ax                            # read plane 2
    out %ax, %dx
    mov %es:80, %al                             # the low byte
    out %al, $0xe9
"""
PROGRAMS = {
    "strings of ports": (READ_SECTOR, bytes(range(256)) * 2),
    "timer": (TICKS, b"\3"),
    "shadow RAM": (SHADOW, b"S"),
    "A20": (A20, bytes((1, 1, 3, 2))),
    "reset": (RESETS, b"RRR"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, tmp_path: Path) -> None:
    text, expected = PROGRAMS[name]
    image = boot_sector(tmp_path, text)
    assert run_pc(image, KVM) == (STATUS, expected)
    assert run_pc(image, TCG) == (STATUS, expected)


def test_keyboard(tmp_path: Path) -> None:
    """Interrupts of the keyboard reach the BIOS, and its service the program."""
    text = "    xor %ax, %ax\n    int $0x16\n    out %al, $0xe9\n" * 2
    assert run_pc(boot_sector(tmp_path, text), KVM, lambda machine: machine.type_text("oK")) == (STATUS, b"oK")


def test_planar_memory(tmp_path: Path) -> None:
    """Writes to a window that is no memory: the pictures are the same."""
    image = boot_sector(tmp_path, PLANAR)
    pictures = []
    for accelerator in (KVM, TCG):
        picture = str(tmp_path / f"{accelerator}.png")
        outcome = run_pc(image, accelerator, finish=lambda machine, picture=picture: machine.screenshot(picture))
        assert outcome == (STATUS, b"\x34")
        pictures.append(Path(picture).read_bytes())
    assert pictures[0] == pictures[1]


PROTECTED = """
    cli
    lidt 0x7c00 + empty - start
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
"""


def test_triple_fault(tmp_path: Path) -> None:
    """A selector beyond the GDT, and no gate for the exception. Where RIP is, AMD's processors do not tell."""
    image = boot_sector(tmp_path, f"{PROTECTED}    mov $0x48, %ax\n    mov %ax, %ds\nempty: .fill 6\n")
    with pytest.raises(GuestError, match="triple fault: an exception could not be delivered"):
        run_pc(image, KVM, reboot=False)


def test_endless_triple_faults(tmp_path: Path) -> None:
    """The board resets, but not for ever."""
    image = boot_sector(tmp_path, f"{PROTECTED}    mov $0x48, %ax\n    mov %ax, %ds\nempty: .fill 6\n")
    with pytest.raises(GuestError, match="triple fault"):
        run_pc(image, KVM)


def test_mode_that_is_missing(tmp_path: Path) -> None:
    """32-bit paging works, or it is said that the host has none."""
    text = f"""
    movl $0x83, 0x8000                          # 4 MiB of the page directory
    {PROTECTED}
    mov $0x8000, %ebx
    mov %ebx, %cr3
    mov $0x10, %ebx                             # PSE
    mov %ebx, %cr4
    or $0x80000000, %eax
    mov %eax, %cr0
    jmp 1f
empty: .fill 6
1:
"""
    image = boot_sector(tmp_path, text)
    host = Host()
    missing = missing_modes(host)
    host.close()
    if PAGED in missing:
        with pytest.raises(GuestError, match=r"turns on 32-bit paging, which the KVM of this host cannot run"):
            run_pc(image, KVM)
    else:
        assert run_pc(image, KVM).status == STATUS


def test_halt_for_ever(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match=r"(?s)halted with interrupts masked.*EAX=.*mode=16-bit"):
        run_pc(boot_sector(tmp_path, "    cli\n    hlt\n"), KVM)


def test_idle(tmp_path: Path) -> None:
    """A guest that sleeps leaves the processor alone: it is entered only for what wakes it."""
    entered = []

    def count(machine: Pc) -> None:
        run = machine.processor.run

        def counted() -> int:
            entered.append(machine.now())
            return run()

        machine.processor.run = counted  # type: ignore[method-assign]
        threading.Timer(0.5, machine.end, (STATUS,)).start()

    image = boot_sector(tmp_path, "    mov $0xff, %al\n    out %al, $0x21\n    sti\n1: hlt\n    jmp 1b\n")
    assert run_pc(image, KVM, count).status == STATUS
    assert len(entered) < 20


def test_posts(tmp_path: Path) -> None:
    """However often others interrupt a busy guest, nothing gets lost."""
    posts, seen = 2000, []

    def post(machine: Pc) -> None:
        def give(number: int) -> None:
            taken = threading.Event()
            machine.post(lambda: seen.append(number))
            machine.post(taken.set)
            assert taken.wait(PATIENCE)

        def work() -> None:
            for number in range(posts):
                give(number)
            machine.end(STATUS)

        threading.Thread(target=work, daemon=True).start()

    assert run_pc(boot_sector(tmp_path, "1: jmp 1b\n"), KVM, post).status == STATUS
    assert seen == list(range(posts))


def test_unmaskable_interrupt(tmp_path: Path) -> None:
    text = """
    cli
    movw $0x7c00 + 2f - start, 8
    movw $0, 10
    out %al, $0x99
1:  jmp 1b
2:  mov $'N', %al
    out %al, $0xe9
"""
    image = boot_sector(tmp_path, text)

    class Button(Device):
        ports = (0x99,)

        def __init__(self, machine: Pc) -> None:
            self.machine = machine

        def write(self, port: int, value: int) -> None:
            self.machine.processor.interrupt_unmaskable()

    assert run_pc(image, KVM, lambda machine: machine.bus.add(Button(machine))) == (STATUS, b"N")


def test_registers_of_services(tmp_path: Path) -> None:
    """What the BIOS is asked by INT comes back in registers and flags."""
    text = """
    mov $0xe820, %eax
    xor %ebx, %ebx
    mov $24, %ecx
    mov $0x534d4150, %edx
    mov $0x9000, %di
    int $0x15
    jc 9f
    push %eax
    mov %sp, %si
    mov $4, %cx
    mov $0xe9, %dx
    rep outsb
    mov $0x9000, %si
    mov $20, %cx
    rep outsb
9:
"""
    image = boot_sector(tmp_path, text)
    assert run_pc(image, KVM) == run_pc(image, TCG) == (STATUS, b"PAMS" + pack("<QQI", 0, 0x9FC00, 1))
