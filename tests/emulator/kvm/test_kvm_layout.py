"""The structures and numbers beside those of the kernel's headers, by a C compiler. No device is needed."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path
from typing import Any

import pytest

from emulator.kvm import structs
from tests.conftest import cannot_run, require_tool, run

STRUCTURES: dict[str, Any] = {
    "kvm_regs": structs.Registers,
    "kvm_segment": structs.Segment,
    "kvm_dtable": structs.Table,
    "kvm_sregs": structs.SystemRegisters,
    "kvm_userspace_memory_region": structs.MemoryRegion,
    "kvm_cpuid_entry2": structs.CpuidEntry,
    "kvm_translation": structs.Translation,
}
FIELDS = {  # of kvm_run
    **{f"{name}": (getattr(structs.Run, name).offset) for name, *_ in structs.Run._fields_ if "padding" not in name},
    "io.data_offset": structs.Run.exit.offset + structs.IoExit.data_offset.offset,
    "io.count": structs.Run.exit.offset + structs.IoExit.count.offset,
    "mmio.len": structs.Run.exit.offset + structs.MmioExit.len.offset,
    "mmio.is_write": structs.Run.exit.offset + structs.MmioExit.is_write.offset,
    "fail_entry.hardware_entry_failure_reason": structs.Run.exit.offset,
    "internal.suberror": structs.Run.exit.offset,
    "internal.data": structs.Run.exit.offset + structs.InternalError.data.offset,
}
NUMBERS = {
    "": (
        "GET_API_VERSION CREATE_VM CHECK_EXTENSION GET_VCPU_MMAP_SIZE GET_SUPPORTED_CPUID CREATE_VCPU SET_TSS_ADDR "
        "SET_USER_MEMORY_REGION SET_IDENTITY_MAP_ADDR RUN GET_REGS SET_REGS GET_SREGS SET_SREGS TRANSLATE INTERRUPT "
        "SET_SIGNAL_MASK SET_CPUID2 NMI GET_TSC_KHZ API_VERSION CAP_USER_MEMORY CAP_USER_NMI CAP_READONLY_MEM "
        "CAP_IMMEDIATE_EXIT"
    ),
    "EXIT_": "UNKNOWN IO HLT MMIO IRQ_WINDOW_OPEN SHUTDOWN FAIL_ENTRY INTR SET_TPR INTERNAL_ERROR IO_OUT",
    "INTERNAL_ERROR_": "EMULATION",
}


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the headers say, by the expression."""
    if platform.machine() != "x86_64":
        cannot_run("the headers of x86 are another architecture's here")
    fields = [name for name in FIELDS if name != "exit"]
    expressions = [
        *(f"sizeof(struct {name})" for name in STRUCTURES),
        *(f"offsetof(struct {name}, {field})" for name, kind in STRUCTURES.items() for field in _named(kind)),
        *(f"offsetof(struct kvm_run, {field})" for field in fields),
        *(f"KVM_{prefix}{name}" for prefix, names in NUMBERS.items() for name in names.split()),
        "KVM_MEM_READONLY",
        "offsetof(struct kvm_cpuid2, entries)",
        "offsetof(struct kvm_signal_mask, sigset)",
    ]
    folder: Path = tmp_path_factory.mktemp("headers")
    lines = "\n".join(f'printf("%lu\\n", (unsigned long)({expression}));' for expression in expressions)
    head = "#include <linux/kvm.h>\n#include <stddef.h>\n#include <stdio.h>\n"
    (folder / "layout.c").write_text(f"{head}int main(void) {{ {lines} }}\n")
    run(require_tool("gcc"), "-o", folder / "layout", folder / "layout.c")
    return dict(zip(expressions, map(int, run(folder / "layout").stdout.split()), strict=True))


def _named(kind: Any) -> list[str]:
    return [name for name, *_ in kind._fields_ if "padding" not in name]


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure(name: str, headers: dict[str, int]) -> None:
    kind = STRUCTURES[name]
    assert ctypes.sizeof(kind) == headers[f"sizeof(struct {name})"]
    for field in _named(kind):
        assert getattr(kind, field).offset == headers[f"offsetof(struct {name}, {field})"], field


def test_run(headers: dict[str, int]) -> None:
    for field, offset in FIELDS.items():
        if field != "exit":
            assert offset == headers[f"offsetof(struct kvm_run, {field})"], field


def test_numbers(headers: dict[str, int]) -> None:
    for prefix, names in NUMBERS.items():
        for name in names.split():
            assert getattr(structs, name) == headers[f"KVM_{prefix}{name}"], name
    assert headers["KVM_MEM_READONLY"] == structs.READ_ONLY
    assert structs.Cpuid.entries.offset == headers["offsetof(struct kvm_cpuid2, entries)"]
    assert structs.SignalMask.sigset.offset == headers["offsetof(struct kvm_signal_mask, sigset)"]
