"""What can be proved of KVM's side without the device: slots, registers, CPUID, and which engine is chosen."""

from __future__ import annotations

import ctypes
from pathlib import Path
from random import Random

import pytest

from emulator.kvm import host, modes
from emulator.kvm.cpuid import guest_cpuid
from emulator.kvm.host import Host, KvmError
from emulator.kvm.memory import MEGABYTE, GuestMemory, Slot, slots_of, without_a20
from emulator.kvm.registers import general_from_cpu, general_to_cpu, system_from_cpu, system_to_cpu
from emulator.kvm.structs import Cpuid, CpuidEntry, SystemRegisters
from emulator.machine import engine
from emulator.machine.errors import GuestError
from emulator.softmmu.space import AddressSpace
from emulator.x86.state import Cpu, reset

PAGE = 4096


class Machine:
    """What KVM is told, with KVM's refusals."""

    def __init__(self) -> None:
        self.slots: dict[int, tuple[int, int, int, bool]] = {}
        self.calls = 0

    def set_memory(self, slot: int, first: int, size: int, host: int, *, read_only: bool = False) -> None:
        self.calls += 1
        if not size:
            del self.slots[slot]
            return
        assert first % PAGE == size % PAGE == host % PAGE == 0 and slot not in self.slots
        for other, length, _, _ in self.slots.values():
            assert first + size <= other or other + length <= first, "slots overlap"
        self.slots[slot] = first, size, host, read_only

    def read(self, address: int) -> tuple[int, bool] | None:
        """The byte at an address and whether it can be written; None where there is no slot."""
        for first, size, place, read_only in self.slots.values():
            if first <= address < first + size:
                return ctypes.c_uint8.from_address(place + address - first).value, not read_only
        return None


def test_slots_follow_the_address_space() -> None:
    """A machine like the PC's: what is no memory has no slot, ROM cannot be written, and changes are taken over."""
    space = AddressSpace()
    ram = space.add_ram(0, 2 * MEGABYTE)
    window = space.add_mmio(0xA0000, 0x20000, lambda offset, size: 0x55, lambda *_: None)
    space.add_rom(0xF0000, b"\xea" * 0x10000)
    device = space.add_mmio(0x1FF800, 0x100, lambda offset, size: 0x77, lambda *_: None)  # less than a page
    memory, machine = GuestMemory(space), Machine()
    memory.connect(machine)  # type: ignore[arg-type]
    memory.update()
    space.write(0x9FFFF, b"\x12")
    assert machine.read(0x9FFFF) == (0x12, True)
    assert machine.read(0xA0000) is machine.read(0xBFFFF) is None
    assert machine.read(0xF0000) == (0xEA, False)
    assert machine.read(0x1FF000) is None and machine.read(0x1FEFFF) == (0, True)
    calls = machine.calls
    memory.update()
    assert machine.calls == calls, "nothing has changed"
    shadow = space.add_alias(ram, 0xF0000, 0x10000, priority=5)
    space.remove(window)
    space.move(device, 3 * MEGABYTE)
    memory.update()
    assert machine.read(0xF0000) == (0, True) and machine.read(0xA0000) == (0, True)
    assert machine.read(0x1FF800) == (0, True)
    space.remove(shadow)
    memory.update()
    assert machine.read(0xF0000) == (0xEA, False)


def test_access_without_slot() -> None:
    """Devices get their widths, memory around them what is left, ROM stays."""
    seen: list[tuple[int, ...]] = []
    space = AddressSpace()
    space.add_ram(0, MEGABYTE)
    space.add_rom(0xF0000, b"\xea" * PAGE)

    def read(offset: int, size: int) -> int:
        seen.append((offset, size))
        return 0x8877665544332211

    space.add_mmio(0x8000, 8, read, lambda *written: seen.append(written))
    memory = GuestMemory(space)
    assert memory.read(0x8004, 4) == b"\x11\x22\x33\x44" and seen.pop() == (4, 4)
    assert memory.read(0x8000, 3) == b"\x11" * 3 and len(seen) == 3
    seen.clear()
    memory.write(0x8002, b"\x34\x12")
    assert seen.pop() == (2, 2, 0x1234)
    memory.write(0x8006, bytes((1, 2, 3, 4)))  # two bytes of it are memory
    assert seen == [(6, 1, 1), (7, 1, 2)] and space.read(0x8008, 2) == b"\3\4"
    memory.write(0xF0000, b"\0")
    assert memory.read(0xF0000, 1) == b"\xea"
    assert memory.read(1 << 40, 4) == b"\xff" * 4


@pytest.mark.parametrize("seed", range(5))
def test_a20(seed: int) -> None:
    """With the gate closed each address shows what is at the one without bit 20, below 16 MiB."""
    random = Random(seed)
    space = AddressSpace()
    for _ in range(6):
        first = random.randrange(0, 20 << 20, PAGE)
        space.add_ram(first, random.randrange(PAGE, 5 << 20, PAGE), priority=random.randrange(9))
    plain = list(slots_of(space.pieces))
    gated = list(without_a20(plain))

    def place(slots: list[Slot], address: int) -> int | None:
        found = [slot for slot in slots if slot.first <= address < slot.first + slot.size]
        assert len(found) < 2
        return found[0].host + address - found[0].first if found else None

    for _ in range(2000):
        address = random.randrange(26 << 20)
        seen = address & ~MEGABYTE if address < 16 << 20 else address
        assert place(gated, address) == place(plain, seen)


def test_registers_round_trip() -> None:
    """Whatever `Cpu` has, KVM is given, and gives back."""
    random = Random(5)
    for _ in range(50):
        cpu, again = Cpu(), Cpu()
        reset(cpu)
        reset(again)
        for number in range(16):
            cpu.registers[number] = random.getrandbits(64)
        cpu.rip, cpu.rflags = random.getrandbits(64), random.getrandbits(21) | 2
        for segment in (*cpu.segments, cpu.ldtr, cpu.tr):
            segment.base, segment.limit = random.getrandbits(64), random.getrandbits(32)
            segment.selector, segment.attributes = random.getrandbits(16), random.getrandbits(16) & 0xF0FF
        for table in (cpu.gdtr, cpu.idtr):
            table.base, table.limit = random.getrandbits(64), random.getrandbits(16)
        for name in ("cr0", "cr2", "cr3", "cr4", "efer"):
            setattr(cpu, name, random.getrandbits(64))
        system = SystemRegisters()
        system_from_cpu(cpu, system)
        system_to_cpu(system, again)
        general_to_cpu(general_from_cpu(cpu), again)
        assert bytes(again) == bytes(cpu)
        for segment in (system.cs, system.ss, system.ldt):
            assert segment.unusable != segment.present


def test_cpuid() -> None:
    """What this machine has not is not announced, whatever the host has; its instructions are."""
    answers = {
        (0, 0): (0x16, 0x756E6547, 0x6C65746E, 0x49656E69),
        (1, 0): (0x906EA, 0x07_10_0800, 0xFFFFFFFF & ~(1 << 31), 0xFFFFFFFF),
        (4, 0): (0x1C004121, 0x01C0003F, 0x3F, 0),
        (7, 0): (0, 0x29C6FBF, 0, 0),
        (0xA, 0): (0x7300404, 0, 0, 0x603),
        (0xB, 0): (1, 2, 0x100, 7),
        (0x15, 0): (2, 216, 0, 0),
        (0x40000001, 0): (0x01007EFB, 0, 0, 0),
        (0x80000001, 0): (0, 0, 0xFFFFFFFF, 0xFFFFFFFF),
    }
    supported = Cpuid(nent=len(answers))
    for entry, ((leaf, index), words) in zip(supported.entries, answers.items(), strict=False):
        entry.function, entry.index = leaf, index
        entry.eax, entry.ebx, entry.ecx, entry.edx = words

    def leaves(features: set[str]) -> dict[int, CpuidEntry]:
        answer = guest_cpuid(supported, features, 2_500_000)
        return {entry.function: entry for entry in answer.entries[: answer.nent]}

    given = leaves({"APIC"})
    assert given[1].ecx & (1 << 21 | 1 << 24 | 1 << 5 | 1 << 3) == 0  # x2APIC, TSC deadline, VMX, MONITOR
    assert given[1].ecx >> 31 and given[1].ecx >> 28 & 1  # a hypervisor; AVX
    assert given[1].ebx == 0x00_01_0800 and not given[1].edx >> 28 & 1  # one processor
    assert given[7].ebx == 0x29C6FBF
    assert given[4].eax == 0x121
    assert (given[0xA].eax, given[0xB].ebx) == (0, 0)
    assert given[0x15].ecx * given[0x15].ebx // given[0x15].eax == 2_500_000_000
    assert given[0x40000001].eax == 0x0100000B  # clock, no delays; interrupts are not KVM's
    assert given[0x40000000].ebx == int.from_bytes(b"KVMK", "little")
    assert given[0x80000001].ecx >> 2 & 1 == 0  # SVM
    assert given[1].edx >> 9 & 1 and not leaves(set())[1].edx >> 9 & 1  # a local APIC


def test_mode_that_is_turned_on() -> None:
    cpu = Cpu()
    reset(cpu)
    cpu.registers[3] = 1 << 31
    to_cr0 = b"\x0f\x22\xc3"  # from RBX
    assert modes.turned_on(cpu, to_cr0) == modes.PAGED
    assert modes.turned_on(cpu, b"\x0f\x22\xc1") is modes.turned_on(cpu, b"\x0f\x22\xdb") is None
    cpu.cr4 = 1 << 5
    assert modes.turned_on(cpu, to_cr0) == modes.PHYSICAL_EXTENSION
    cpu.efer = 1 << 8
    assert modes.turned_on(cpu, to_cr0) == modes.LONG
    cpu.cr0 |= 1 << 31
    assert modes.turned_on(cpu, b"") == modes.LONG


def unusable(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(host, "DEVICE", str(path))
    with pytest.raises(KvmError) as error:
        Host()
    return str(error.value)


def test_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "kvm"
    assert "there is no" in unusable(absent, monkeypatch) and "kvm_intel" in unusable(absent, monkeypatch)
    absent.write_bytes(b"")
    assert "is no KVM" in unusable(absent, monkeypatch)
    assert "cannot be opened" in unusable(tmp_path, monkeypatch)


def test_choice_without_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word where nothing is asked for, with one where there is a choice, an error where there is none."""
    monkeypatch.setattr(host, "DEVICE", str(tmp_path / "kvm"))
    said: list[str] = []
    assert engine.choose(None, icount=False, warn=said.append) == engine.TCG and said == []
    assert engine.choose(engine.TCG, icount=True, warn=said.append) == engine.TCG and said == []
    assert engine.choose(engine.KVM_OR_TCG, icount=False, warn=said.append) == engine.TCG
    assert said.pop().endswith("; tcg executes")
    with pytest.raises(GuestError, match="there is no"):
        engine.choose(engine.KVM, icount=False, warn=said.append)
    with pytest.raises(GuestError, match="counts instructions"):
        engine.choose(engine.KVM, icount=True, warn=said.append)
