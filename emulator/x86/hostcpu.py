"""The host's processor as an oracle: execute one user-mode instruction of a `Case` and see the state afterwards.

A trampoline in a page of ours loads the state, runs the instruction, and stores the state (SDM Vol. 1, section 10.5.1,
has the layout of the FXSAVE image through which it loads and stores x87, MMX and SSE registers). Cases run in a child
process: an instruction that faults ends the child by a signal, the parent notes which, and a new child goes on.

    with Host() as host:
        outcomes = host.run(cases)

32-bit cases run in compatibility mode, into and out of which the trampoline jumps by far pointers (SDM Vol. 3, section
5.8.3.1; the selectors are Linux's).

Linux on x86-64 only; `host.available()` says whether this is such a host. An instruction that the host does not have
raises SIGILL like one that does not exist: ask `host.host_features` first.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import resource
import signal
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from emulator.x86.generate import AREA, AREA_SIZE, CODE, Case, State

PAGE = 4096
DATA = CODE + PAGE  # what the trampoline loads and stores
TRAMPOLINE = CODE + 64  # leads to the instruction at CODE, and goes on behind it
RESUME = TRAMPOLINE + 1024
SLOT = 32  # bytes at CODE: the instruction, and a jump to RESUME
REGISTERS, FLAGS, HOST_RSP, ENTRY, FX, HOST_FX = 0, 128, 136, 144, 256, 1024
RSP = 4
USER_CODE_32, USER_CODE_64, USER_DATA = 0x23, 0x33, 0x2B
CALLEE_SAVED = (3, 5, 12, 13, 14, 15)

RESULT = struct.Struct(f"<16QQ512s{AREA_SIZE}s")
X87_HEAD = struct.Struct("<HHBxHQQI")  # FCW, FSW, abridged FTW, FOP, FIP, FDP, MXCSR
MAP_FIXED_NOREPLACE = 0x100000

# Signals and the exceptions they come from
VECTORS: dict[int, int] = {signal.SIGFPE: 0, signal.SIGILL: 6, signal.SIGSEGV: 13, signal.SIGBUS: 17, signal.SIGTRAP: 3}


@dataclass(frozen=True, slots=True)
class Fault:
    """The instruction raised an exception; SIGSEGV, whatever its cause, counts as #GP (13)."""

    vector: int


Outcome = State | Fault


class Host:
    """The pages at `CODE` and `AREA`, and the trampoline. A context manager: the pages are unmapped at its end."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        self._map(CODE, 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._map(AREA, AREA_SIZE, mmap.PROT_READ | mmap.PROT_WRITE)
        ctypes.memmove(TRAMPOLINE, *_sized(_trampoline_head()))
        ctypes.memmove(RESUME, *_sized(_trampoline_tail()))
        self._enter = ctypes.CFUNCTYPE(None)(TRAMPOLINE)

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._libc.munmap(ctypes.c_void_p(CODE), ctypes.c_size_t(2 * PAGE))
        self._libc.munmap(ctypes.c_void_p(AREA), ctypes.c_size_t(AREA_SIZE))

    def run(self, cases: Sequence[Case]) -> list[Outcome]:
        """The state after every case, or the fault that it raised."""
        outcomes: list[Outcome] = []
        with mmap.mmap(-1, 8 + RESULT.size * len(cases)) as shared:  # shared with the children
            while len(outcomes) < len(cases):
                status = self._run_in_child(cases, len(outcomes), shared)
                done = struct.unpack_from("<Q", shared, 0)[0]
                outcomes += (
                    self._result(shared, index, cases[index].instruction.mode) for index in range(len(outcomes), done)
                )
                if os.WIFSIGNALED(status) and os.WTERMSIG(status) in VECTORS:
                    outcomes.append(Fault(VECTORS[os.WTERMSIG(status)]))
                elif status:
                    raise RuntimeError(f"the child that runs instructions ended with wait status {status:#x}")
        return outcomes

    def _map(self, address: int, size: int, protection: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
        if self._libc.mmap(address, size, protection, flags, -1, 0) != address:
            raise OSError(ctypes.get_errno(), f"cannot map {address:#x}")

    def _run_in_child(self, cases: Sequence[Case], first: int, shared: mmap.mmap) -> int:
        """Run the cases from `first` on in a child; its wait status."""
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1]
        status = 1
        faulthandler.disable()  # a fault is an outcome, not something to report
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            for index in range(first, len(cases)):
                struct.pack_into("<Q", shared, 0, index)
                shared[8 + index * RESULT.size : 8 + (index + 1) * RESULT.size] = self._run_here(cases[index])
            struct.pack_into("<Q", shared, 0, len(cases))
            status = 0
        finally:
            os._exit(status)

    def _run_here(self, case: Case) -> bytes:
        state = case.state
        mode = case.instruction.mode
        if mode == 64:
            jump = b"\xe9" + (RESUME - (CODE + len(case.code) + 5)).to_bytes(4, "little", signed=True)
        else:
            jump = b"\xea" + struct.pack("<IH", RESUME, USER_CODE_64)
        entry = struct.pack("<IH", CODE, USER_CODE_64 if mode == 64 else USER_CODE_32)
        ctypes.memmove(DATA + ENTRY, *_sized(entry))
        ctypes.memmove(CODE, *_sized((case.code + jump).ljust(SLOT, b"\xcc")))
        ctypes.memmove(AREA, state.memory, AREA_SIZE)
        ctypes.memmove(DATA + REGISTERS, *_sized(struct.pack("<17Q", *state.registers, state.flags)))
        ctypes.memmove(DATA + FX, *_sized(fx_image(state)))
        self._enter()
        registers = ctypes.string_at(DATA + REGISTERS, 136)
        return registers + ctypes.string_at(DATA + FX, 512) + ctypes.string_at(AREA, AREA_SIZE)

    def _result(self, shared: mmap.mmap, index: int, mode: int) -> State:
        *registers, flags, image, memory = RESULT.unpack_from(shared, 8 + index * RESULT.size)
        if mode == 32:  # the upper halves and the upper registers are undefined
            registers = [register & 0xFFFFFFFF for register in registers[:8]] + [0] * 8
        return state_from(tuple(registers), flags, image, memory)


def fx_image(state: State) -> bytes:
    """The FXSAVE image with the x87, MMX and SSE registers of a state."""
    head = X87_HEAD.pack(state.control, state.status, state.tags, 0, 0, 0, state.mxcsr)
    x87 = b"".join(value.to_bytes(16, "little") for value in state.x87)
    xmm = b"".join(value.to_bytes(16, "little") for value in state.xmm)
    return (head.ljust(32, b"\0") + x87 + xmm).ljust(512, b"\0")


def state_from(registers: tuple[int, ...], flags: int, image: bytes, memory: bytes) -> State:
    """The state whose x87, MMX and SSE registers are in an FXSAVE image."""
    control, status, tags, _, _, _, mxcsr = X87_HEAD.unpack_from(image)
    return State(
        registers=registers,
        flags=flags,
        xmm=tuple(_numbers(image, 160, 16, 16)),
        x87=tuple(_numbers(image, 32, 8, 10)),
        control=control,
        status=status,
        tags=tags,
        mxcsr=mxcsr,
        memory=memory,
    )


def _numbers(image: bytes, start: int, count: int, size: int) -> Iterable[int]:
    for position in range(start, start + 16 * count, 16):
        yield int.from_bytes(image[position : position + size], "little")


def _sized(data: bytes) -> tuple[bytes, int]:
    return data, len(data)


class _Assembler:
    """The few instructions of the trampoline; all address the data page relative to RIP."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.code = b""

    def emit(self, code: str) -> None:
        self.code += bytes.fromhex(code)

    def data(self, opcode: str, field: int, offset: int) -> None:
        """An instruction whose ModRM is [RIP + displacement] with `field` in reg."""
        self.emit(opcode)
        following = self.address + len(self.code) + 5
        self.code += bytes((5 | field << 3,)) + (DATA + offset - following).to_bytes(4, "little", signed=True)

    def load(self, register: int, offset: int) -> None:
        self.data("4c8b" if register > 7 else "488b", register & 7, offset)

    def store(self, register: int, offset: int) -> None:
        self.data("4c89" if register > 7 else "4889", register & 7, offset)


def _trampoline_head() -> bytes:
    """Called as a C function: save what it must keep, load the state of the case, jump to CODE."""
    code = _Assembler(TRAMPOLINE)
    for register in CALLEE_SAVED:
        code.emit(f"41{0x50 + register - 8:02x}" if register > 7 else f"{0x50 + register:02x}")
    code.data("480fae", 0, HOST_FX)  # fxsave64
    code.store(RSP, HOST_RSP)
    code.emit(f"b8{USER_DATA:02x}000000 8ed8 8ec0")  # 64-bit mode does not care what DS and ES are
    code.data("480fae", 1, FX)  # fxrstor64
    code.data("ff", 6, FLAGS)  # push
    code.emit("9d")  # popfq; what follows changes no flags
    for register in range(16):
        code.load(register, REGISTERS + 8 * register)
    code.data("ff", 5, ENTRY)  # jmp far
    return code.code


def _trampoline_tail() -> bytes:
    """Store the state without changing it first, and return to C."""
    code = _Assembler(RESUME)
    for register in range(16):
        code.store(register, REGISTERS + 8 * register)
    code.load(RSP, HOST_RSP)
    code.emit("9c")  # pushfq
    code.data("8f", 0, FLAGS)  # pop
    code.emit("fc")  # cld
    code.data("480fae", 0, FX)
    code.data("480fae", 1, HOST_FX)
    for register in reversed(CALLEE_SAVED):
        code.emit(f"41{0x58 + register - 8:02x}" if register > 7 else f"{0x58 + register:02x}")
    code.emit("c3")
    return code.code
