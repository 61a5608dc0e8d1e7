"""The memory that handlers, the block cache and Python share.

Invariants:

- `Core.cpu` comes first and its general registers come first in it, so that a register's place is its offset in `Core`.
- The status flags live in `nonzero`, `sign` and `carry` (see `flags`); `cpu.rflags` holds all others.
- A handler returns the `Op` to execute next. Every `Op` that anything points to stays one until all blocks are dropped:
  a block that dies gets the handler `STALE` in each of its ops, which looks up what is there now.
- `cpu.rip` is true when control enters a block by lookup, when an exception is delivered and when `run` returns;
  in between, the current instruction's address is `Op.rip`.
"""

# The types of this language are checked by emulator.native.
# mypy: ignore-errors

from __future__ import annotations

from emulator.native import Array, FnPtr, Ptr, i32, struct, u8, u16, u32, u64
from emulator.softmmu.structs import Mmu, TlbEntry
from emulator.x86.state import Cpu

JUMP_SLOTS = 16384  # of the indirect-branch cache
HASH_SLOTS = 1 << 16
PAGE_WORDS = 32  # of 64 bits, for sets of pages
MAX_BLOCK = 32  # instructions

# Op.flags
CHECKED = 1  # the memory operand's segment has a base, a limit or rights that matter
LOCKED = 2
IN_MEMORY = 4  # the operand of ModRM

# Why `run` returned: Core.stop_reason
RUNNING, REQUESTED, EXCEPTION, HALTED, TRIPLE_FAULT, STUCK = range(6)  # the last is KVM's

# Core.stepping: what an instruction that was issued alone has behind it
ALONE, TRAP = 1, 2

# Cpu.interrupt_shadow
AFTER_STI, AFTER_SS = 1, 2  # the second holds back debug exceptions too

# Block keys: Core.code_kind
CODE_16, CODE_32, CODE_64 = 0, 1, 2
CODE_SIZE = 3
FLAT_DATA = 4  # DS, ES and SS are flat: base 0, limit 4 GiB - 1, readable and writable; the stack has 32-bit addresses
PROTECTED = 8  # neither real nor virtual-8086 mode
CPL_SHIFT = 4
# What CR0 and CR4 say about x87, MMX and SSE (SDM Vol. 3, sections 2.5 and 14.1)
EMULATED = 1 << 6  # CR0.EM
SWITCHED = 1 << 7  # CR0.TS
WAIT_SWITCHED = 1 << 8  # CR0.TS and CR0.MP: FWAIT, too, raises #NM
NO_SSE = 1 << 9  # no CR4.OSFXSR
NO_XSAVE = 1 << 10  # no CR4.OSXSAVE

# Exceptions (SDM Vol. 3, table 7-1)
DE, DB, NMI, BP, OF, BR, UD, NM, DF = range(9)
TS, NP, SS_FAULT, GP, PF = range(10, 15)
MF, AC, XM = 16, 17, 19
NO_VECTOR = 0xFFFF


@struct
class Op:
    """A predecoded instruction. `a`, `b`, `c` are its operands' places in `Core`, those of general registers mostly."""

    handler: u64  # an address in machine code, a number in the Python mode
    immediate: u64  # sign-extended; the target of a direct branch
    displacement: u64  # relative to RIP it includes the next instruction's address
    rip: u64
    link: u64  # of a direct branch: the target's Op, 0 if it has to be looked up
    mask: u64  # of the address size
    code: u64  # of an op at which translated code is entered: where; of others in front of a block: the way back here
    a: u16
    b: u16
    c: u16
    base: u16
    index: u16
    segment_base: u16  # where the base of the memory operand's segment is, or a zero
    scale: u8  # a shift count
    segment: u8
    length: u8
    rep: u8
    form: u16
    flags: u16
    immediate2: u32


@struct
class Block:
    """A run of instructions in one page. `physical`, `rip`, `space` and `kind` are its key."""

    physical: u64
    rip: u64
    space: u64  # base and limit of CS
    kind: u32
    count: u32
    first: Ptr[Op]
    length: u32  # bytes; 0 when the block is dead
    next_in_hash: u32  # a block's number plus 1
    next_in_page: u32
    reserved: u32


@struct
class Jump:
    """An entry of the indirect-branch cache."""

    rip: u64
    tag: u64
    op: u64


@struct
class Core:
    """One processor."""

    cpu: Cpu

    zero: u64  # what a missing base, index or segment base points to; always 0
    table_index: u64  # AL for XLATB
    nonzero: u64
    sign: u64
    carry: u64

    exit_flag: u32  # not 0: see at the next link what there is to do; another thread may set it, behind its reason:
    exit_request: u32  # leave
    interrupt_line: u32  # of the interrupt controller
    nmi_request: u32
    stop_reason: u32
    stop_on_exceptions: u32  # instead of delivering them
    stepping: u32
    debugging: u32  # the breakpoints that DR7 enables
    pending_debug: u64  # bits for DR6: the #DB to raise before the next instruction
    mmu: Ptr[Mmu]
    mode: u32  # of accesses to memory: USER, SUPERVISOR or SUPERVISOR_AC
    reads: Ptr[TlbEntry]  # the TLB of this mode
    writes: Ptr[TlbEntry]
    cpl: u32
    stack_mask: u64  # of the stack's address size
    stack_checked: u32
    open_segments: Array[u32, 2]  # whether FS and GS allow every access: limit 4 GiB - 1, readable and writable

    code_space: u64
    code_kind: u32
    code_bits: u32
    code_tag: u64  # of entries of `jumps` that are valid now: `code_kind`, and above it a count of flushes:
    user_flushes: u64  # of user mode, when the page tables or CR3 change,
    system_flushes: u64  # of the other levels, whose pages are global mostly
    local_jumps: u32  # whether some of these levels' entries lie in other pages,
    code_local: u32  # as the code that was found last
    user_pages: Array[u64, PAGE_WORDS]  # a bit for each page, and others, that entries lead to
    system_pages: Array[u64, PAGE_WORDS]
    target_bias: u64  # a branch target is valid if target + bias <= limit
    target_limit: u64

    fault_vector: u32  # of an access that failed, NO_VECTOR if none
    fault_code: u32
    first_vector: u32  # the exception whose delivery led to a triple fault
    generation: u32  # how often all blocks were dropped

    # The machine around the processor, as Python functions; the first argument is `Core`
    port_in: FnPtr[[u64, u32, u32], u64]  # port, size
    port_out: FnPtr[[u64, u32, u32, u64], None]  # port, size, value
    ports_in: FnPtr[[u64, u32, u32, Ptr[u8], u64], u64]  # port, size, where to, elements: how many were read at once
    ports_out: FnPtr[[u64, u32, u32, Ptr[u8], u64], u64]  # the same to write
    acknowledge: FnPtr[[u64], u32]  # the vector of the interrupt
    identify: FnPtr[[u64], None]  # CPUID
    clock: FnPtr[[u64], u64]  # the time stamp counter before TSC_OFFSET
    noise: FnPtr[[u64], u64]  # random bits
    read_msr: FnPtr[[u64, u32, Ptr[u64]], u32]  # MSRs that are no field of `Cpu`: number, value; 0 is #GP
    write_msr: FnPtr[[u64, u32, u64], u32]
    priority_changed: FnPtr[[u64, u64], None]  # CR8 was written

    scratch: Array[u64, 2]  # the operand of a read-modify-write that cannot access memory directly
    scratch_address: u64
    float_flags: u32  # exceptions of the SSE instruction being executed, as in MXCSR
    float_error: u32  # FERR#: an x87 exception that CR0.NE leaves to the interrupt controller

    handlers: Ptr[u64]  # by number
    variants: Ptr[u16]  # handler numbers by form, size and kind of operand
    near: Ptr[u16]  # by number: the same for 64-bit mode and an address by base and displacement, or 0
    indexed: Ptr[u16]  # and with an index
    silent: Ptr[u16]  # by number: the same without flags, or 0
    fused: Ptr[u16]  # by number: the first of 16 that branch on a condition, too, or 0
    last_number: u32  # of the handler that was chosen last
    previous_number: u32  # and of the one before
    candidate: Ptr[Op]  # whose flags may turn out to be overwritten, or null
    candidate_number: u32  # its handler then
    hot_after: u32  # executions of a block until it is translated, 0 if none ever is (see `translate`)
    worth: u32  # instructions in a row for which translated code is entered again behind one that it cannot execute
    code_full: u32
    translate: FnPtr[[u64, u64], u64]  # Core, the op in front of a block; the op to go on with
    plans: Ptr[u32]  # by form
    code_start: Ptr[u8]  # the room for translated code, where it is writable,
    code_used: Ptr[u8]
    code_end: Ptr[u8]
    code_shift: u64  # and how much higher it is executable
    code_leave: Ptr[u8]  # in it: to a handler,
    code_leave_op: u64  # to that of an op,
    code_load: u64  # and from `code_door`
    code_door: u64  # the handler of ops at which translated code is entered
    status: u32  # the status flags on the way from the one to the other
    floats: u32  # whether the host's MXCSR is the guest's, in translated code
    host_rbp: u64  # while translated code executes
    target: u64  # a branch's op while its return address is pushed; the handler to leave to
    stop: Op
    single: Array[Op, 2]  # an instruction that is not cached, and what leads on behind it
    code: Array[u8, 16]

    counting: u32  # 1: blocks begin with an op that counts their instructions
    instructions: u64  # begun so far
    instruction_limit: u64  # no block begins that would lead beyond it
    slept: u64  # nanoseconds that went by for the guest without instructions
    clock_gettime: FnPtr[[i32, Ptr[u64]], i32]  # the host's
    host_time: Array[u64, 2]  # seconds and nanoseconds of it
    clock_start: u64  # nanoseconds of it when the guest's clock was 0

    ops: Ptr[Op]
    op_count: u32
    op_limit: u32
    blocks: Ptr[Block]
    block_count: u32
    block_limit: u32
    hash: Array[u32, HASH_SLOTS]  # a block's number plus 1
    pages: Array[u32, HASH_SLOTS]
    jumps: Array[Jump, JUMP_SLOTS]
