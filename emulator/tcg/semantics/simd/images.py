"""MXCSR, and the images of the x87 and SSE state: FXSAVE, XSAVE and their kin (Intel SDM Vol. 1, sections 10.2.3, 10.5
and 13.4 to 13.12).

The XSAVE area has no extended part: x87 and SSE are all that XCR0 can enable, so the compacted format differs from the
standard one in its header only.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from emulator.native import Array, Function, Ptr, addressof, copy_bytes, fill_bytes, function, u8, u16, u32, u64

from ...control import faulted, raised
from ...core import GP, Core, Op
from ..x87.control import initialize, load_control
from ..x87.stack import EMPTY, stack
from .operands import memory_source, read_image, write_image

UNIT = "simd"
MXCSR_MASK = 0xFFFF
RESET_MXCSR = 0x1F80
LEGACY, HEADER = 512, 64
X87_STATE, SSE_STATE = 1, 2
COMPACTED = 1 << 63
X87_REGISTERS, XMM_REGISTERS = 32, 160


@function
def ldmxcsr(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    place = memory_source(core, op, 4, 0)
    if not place:
        return faulted(core, op)
    value = Ptr[u32](place)[0]
    if value & ~u32(MXCSR_MASK):
        return raised(core, op, GP, 0)
    core.cpu.mxcsr = value
    return op + 1


@function
def stmxcsr(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
    if not write_image(core, op, 0, Ptr[u8](addressof(core.cpu.mxcsr)), 4, 0):
        return faulted(core, op)
    return op + 1


# -- the legacy region --------------------------------------------------------------------------------------


@function
def put_x87(core: Ptr[Core], image: Ptr[u8], wide: bool) -> None:
    """The x87 part, with 64-bit pointers if `wide`."""
    cpu = core.cpu
    words = Ptr[u16](image)
    words[0] = cpu.x87_control
    words[1] = cpu.x87_status
    tags = u16(0)
    for i in range(8):
        if cpu.x87_tags >> (2 * i) & EMPTY != EMPTY:
            tags |= u16(1) << i
    words[2] = tags
    words[3] = cpu.x87_opcode
    pointers = Ptr[u64](image + 8)
    pointers[0] = cpu.x87_instruction if wide else u64(u32(cpu.x87_instruction))
    pointers[1] = cpu.x87_operand if wide else u64(u32(cpu.x87_operand))
    for i in range(8):
        place = image + (X87_REGISTERS + 16 * i)
        fill_bytes(place, 0, 16)
        copy_bytes(place, Ptr[u8](stack(core, i)), 10)


@function
def take_x87(core: Ptr[Core], image: Ptr[u8], wide: bool) -> None:
    cpu = core.cpu
    words = Ptr[u16](image)
    cpu.x87_status = words[1]
    tags = u16(0)
    for i in range(8):
        if not words[2] >> i & 1:
            tags |= u16(EMPTY) << (2 * i)
    cpu.x87_tags = tags
    cpu.x87_opcode = words[3] & 0x7FF
    pointers = Ptr[u64](image + 8)
    cpu.x87_instruction = pointers[0] if wide else u64(u32(pointers[0]))
    cpu.x87_operand = pointers[1] if wide else u64(u32(pointers[1]))
    for i in range(8):
        copy_bytes(Ptr[u8](stack(core, i)), image + (X87_REGISTERS + 16 * i), 10)
    load_control(core, words[0])


@function
def xmm_bytes(core: Ptr[Core]) -> u64:
    """Of the registers that the mode has."""
    return 256 if core.code_bits == 64 else 128


@function
def put_mxcsr(core: Ptr[Core], image: Ptr[u8]) -> None:
    Ptr[u32](image)[6] = core.cpu.mxcsr
    Ptr[u32](image)[7] = MXCSR_MASK


@cache
def fxsave(wide: bool) -> Function:
    @function(symbol=f"emulator.tcg.fxsave{int(wide)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        area = Array[u8, LEGACY]()
        image = Ptr[u8](addressof(area))
        size = u32(xmm_bytes(core)) + XMM_REGISTERS
        put_x87(core, image, wide)
        put_mxcsr(core, image)
        copy_bytes(image + XMM_REGISTERS, Ptr[u8](addressof(core.cpu.xmm)), xmm_bytes(core))
        if not write_image(core, op, 0, image, size, 15):
            return faulted(core, op)
        return op + 1

    return handler


@cache
def fxrstor(wide: bool) -> Function:
    @function(symbol=f"emulator.tcg.fxrstor{int(wide)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        area = Array[u8, LEGACY]()
        image = Ptr[u8](addressof(area))
        if not read_image(core, op, 0, image, LEGACY, 15):
            return faulted(core, op)
        mxcsr = Ptr[u32](image)[6]
        if mxcsr & ~u32(MXCSR_MASK):
            return raised(core, op, GP, 0)
        take_x87(core, image, wide)
        core.cpu.mxcsr = mxcsr
        copy_bytes(Ptr[u8](addressof(core.cpu.xmm)), image + XMM_REGISTERS, xmm_bytes(core))
        return op + 1

    return handler


# -- XSAVE --------------------------------------------------------------------------------------------------


@function
def requested(core: Ptr[Core]) -> u64:
    """The components that EDX:EAX asks for and XCR0 enables."""
    registers = core.cpu.registers
    return (u64(u32(registers[0])) | registers[2] << 32) & core.cpu.xcr0


@cache
def xsave(wide: bool, compact: bool) -> Function:
    """XSAVE and XSAVEOPT, or XSAVEC and XSAVES. Every component counts as in use."""

    @function(symbol=f"emulator.tcg.xsave{int(wide)}{int(compact)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        area = Array[u8, LEGACY + HEADER]()
        image = Ptr[u8](addressof(area))
        header = Ptr[u64](image + LEGACY)
        if not read_image(core, op, 0, image, LEGACY + HEADER, 63):  # what is not saved is written as it was
            return faulted(core, op)
        wanted = requested(core)
        if wanted & X87_STATE:
            put_x87(core, image, wide)
        if wanted & SSE_STATE:
            put_mxcsr(core, image)
            copy_bytes(image + XMM_REGISTERS, Ptr[u8](addressof(core.cpu.xmm)), xmm_bytes(core))
        header[0] = wanted if compact else header[0] & ~wanted | wanted
        if compact:
            header[1] = COMPACTED | wanted
        if not write_image(core, op, 0, image, LEGACY + HEADER, 63):
            return faulted(core, op)
        return op + 1

    return handler


@function
def valid_header(core: Ptr[Core], header: Ptr[u64]) -> bool:
    """What the header may say (SDM Vol. 1, sections 13.8.1 and 13.12)."""
    present = header[0]
    layout = header[1]
    if layout & COMPACTED:
        components = layout & ~u64(COMPACTED)
        if components & ~core.cpu.xcr0 or present & ~components:
            return False
    elif layout or present & ~core.cpu.xcr0:
        return False
    rest = u64(0)
    for i in range(2, 8):
        rest |= header[i]
    return rest == 0 if layout & COMPACTED else header[2] == 0


@cache
def xrstor(wide: bool) -> Function:
    """XRSTOR, XRSTORS: components that are not in the image get their initial state."""

    @function(symbol=f"emulator.tcg.xrstor{int(wide)}")
    def handler(core: Ptr[Core], op: Ptr[Op]) -> Ptr[Op]:
        area = Array[u8, LEGACY + HEADER]()
        image = Ptr[u8](addressof(area))
        header = Ptr[u64](image + LEGACY)
        if not read_image(core, op, 0, image, LEGACY + HEADER, 63):
            return faulted(core, op)
        wanted = requested(core)
        mxcsr = Ptr[u32](image)[6]
        if not valid_header(core, header):
            return raised(core, op, GP, 0)
        if header[1] & COMPACTED and not header[0] & SSE_STATE:
            mxcsr = RESET_MXCSR
        if wanted & SSE_STATE and mxcsr & ~u32(MXCSR_MASK):
            return raised(core, op, GP, 0)
        if wanted & X87_STATE:
            restore_x87(core, image, wide, header[0] & X87_STATE != 0)
        if wanted & SSE_STATE:
            core.cpu.mxcsr = mxcsr
            registers = Ptr[u8](addressof(core.cpu.xmm))
            if header[0] & SSE_STATE:
                copy_bytes(registers, image + XMM_REGISTERS, xmm_bytes(core))
            else:
                fill_bytes(registers, 0, xmm_bytes(core))
        return op + 1

    return handler


@function
def restore_x87(core: Ptr[Core], image: Ptr[u8], wide: bool, present: bool) -> None:
    if present:
        take_x87(core, image, wide)
        return
    initialize(core)
    for i in range(8):
        fill_bytes(Ptr[u8](stack(core, i)), 0, 10)


HANDLERS = {
    "LDMXCSR": lambda form, size, memory: ldmxcsr,
    "STMXCSR": lambda form, size, memory: stmxcsr,
    "FXSAVE": lambda form, size, memory: fxsave(size == 64),
    "FXRSTOR": lambda form, size, memory: fxrstor(size == 64),
    "XSAVE": lambda form, size, memory: xsave(size == 64, False),
    "XSAVEOPT": lambda form, size, memory: xsave(size == 64, False),
    "XSAVEC": lambda form, size, memory: xsave(size == 64, True),
    "XSAVES": lambda form, size, memory: xsave(size == 64, True),
    "XRSTOR": lambda form, size, memory: xrstor(size == 64),
    "XRSTORS": lambda form, size, memory: xrstor(size == 64),
}
