"""How each form of the opcode table is translated: a number a form, made from what the table says of it.

A `COPIED` form is re-encoded as it is: its operands are ModRM's two, or one of them and an immediate, and `Plan` says
which of them are read and written. The other kinds are instructions that name registers or move the stack, and
branches. A form without a plan is executed by its handler. So is one that the host does not have.
"""

from __future__ import annotations

from functools import cache

from emulator.x86.flags import STATUS_MASK, flags_written
from emulator.x86.flat_tables import FORM_INDEX
from emulator.x86.host import host_features
from emulator.x86.notation import Encoding, Form, OperandCode
from emulator.x86.table import ENCODINGS, FORMS

from .assembler import BYTES, MAP_SHIFT, PREFIX_SHIFT

# A plan: in the middle bits what the assembler takes (a map, a prefix, BYTES), from bit 16 on a kind and an access
(
    CALLED, COPIED, ACCUMULATOR, EXCHANGE_AX, LOAD_ADDRESS, IMMEDIATE, BYTE_SWAP, WIDEN, SIGN, MULTIPLY, DIVIDE,
    DIVIDE_SIGNED, COMPARE_EXCHANGE, COUNT, MOVE_OFFSET, PUSH, PUSH_IMMEDIATE, PUSH_OPERAND, POP, LEAVE_FRAME, JUMP,
    BRANCH, CALL, RETURN, JUMP_INDIRECT, CALL_INDIRECT, IDLE, VECTOR, STORE_VECTOR, TO_GENERAL,
    FROM_GENERAL, STORE_GENERAL,
) = range(32)  # fmt: skip
KIND_MASK = 31
KIND_SHIFT = 16
READS_REG, WRITES_REG, READS_RM, WRITES_RM = (1 << bit for bit in range(21, 25))
READS_FLAGS, WRITES_FLAGS, KEEPS_FLAGS = (1 << bit for bit in range(25, 28))  # keeps: some of them, or at times
RM_BYTE, RM_WORD, RM_DOUBLE = (1 << bit for bit in range(28, 31))  # the memory operand's size; else the operand size
REG_BYTE = 1 << 31
IN_REGISTERS, ON_BYTES = 1, 2  # not with memory; an accumulator of 8 bits
ALIGNED, QUAD = 4, 8  # a vector in memory: must be aligned, has 64 bits; 32 with RM_DOUBLE, else 128
FLOATING, BY_NUMBER = 16, 32  # MXCSR matters; a vector's other operand is an immediate, ModRM.reg belongs to the opcode

ARITHMETIC = frozenset(("ADD", "OR", "ADC", "SBB", "AND", "SUB", "XOR", "CMP", "TEST"))
SHIFTS = frozenset(("SHL", "SHR", "SAR", "ROL", "ROR", "RCL", "RCR"))
OTHERS = "MOV MOVZX MOVSX MOVSXD INC DEC NEG NOT XCHG XADD IMUL CMOVcc SETcc BT BTS BTR BTC BSF BSR"
LATER = "TZCNT LZCNT POPCNT SHLD SHRD MOVBE MOVNTI CRC32"
COPIED_MNEMONICS = ARITHMETIC | SHIFTS | frozenset(f"{OTHERS} {LATER}".split())
WHOLE_MOVES = "MOVAPS MOVUPS MOVAPD MOVUPD MOVDQA MOVDQU LDDQU MOVNTDQ MOVNTPS MOVNTPD"
VECTOR_MOVES = frozenset(f"{WHOLE_MOVES} MOVQ MOVSS MOVSD MOVLPS MOVHPS MOVLPD MOVHPD".split())
VECTOR_LOGIC = frozenset(["ANDPS", "ANDNPS", "ORPS", "XORPS", "ANDPD", "ANDNPD", "ORPD", "XORPD"])
SHUFFLES = frozenset(["SHUFPS", "SHUFPD", "UNPCKLPS", "UNPCKLPD", "UNPCKHPS", "UNPCKHPD"])
LANES = ("PS", "PD", "SS", "SD")
FLOATS = frozenset(
    name + lanes for name in ("ADD", "SUB", "MUL", "DIV", "MIN", "MAX", "SQRT", "CMP") for lanes in LANES
)
COMPARISONS = frozenset(["UCOMISS", "UCOMISD", "COMISS", "COMISD"])
VECTOR_SIZES = {"ss": RM_DOUBLE, "d": RM_DOUBLE, "sd": QUAD, "q": QUAD, "dq": 0, "ps": 0, "pd": 0}
BIT_TESTS = frozenset(("BT", "BTS", "BTR", "BTC"))
ONLY_READ = frozenset(("CMP", "TEST", "BT"))  # of the first operand
ONLY_WRITTEN = frozenset(["MOV", "MOVZX", "MOVSX", "MOVSXD", "SETcc", "TZCNT", "LZCNT", "POPCNT", "MOVBE", "MOVNTI"])
BOTH_WRITTEN = frozenset(("XCHG", "XADD"))
BY_NAME = {
    "LEA_Gv_M": LOAD_ADDRESS, "BSWAP_Zv": BYTE_SWAP, "CBW": WIDEN, "CWD": SIGN, "XCHG_Zv_rAX": EXCHANGE_AX,
    "MOV_Zb_Ib": IMMEDIATE, "MOV_Zv_Iv": IMMEDIATE, "MUL_Ev": MULTIPLY, "IMUL_Ev": MULTIPLY, "MUL_Eb": MULTIPLY,
    "IMUL_Eb": MULTIPLY, "DIV_Ev": DIVIDE, "IDIV_Ev": DIVIDE_SIGNED,
    "CMPXCHG_Eb_Gb": COMPARE_EXCHANGE, "CMPXCHG_Ev_Gv": COMPARE_EXCHANGE, "INC_Zv": COUNT, "DEC_Zv": COUNT,
    "MOV_AL_Ob": MOVE_OFFSET, "MOV_rAX_Ov": MOVE_OFFSET, "MOV_Ob_AL": MOVE_OFFSET, "MOV_Ov_rAX": MOVE_OFFSET,
    "PUSH_Zv": PUSH, "PUSH_Iz": PUSH_IMMEDIATE, "PUSH_Ibs": PUSH_IMMEDIATE, "PUSH_Ev": PUSH_OPERAND, "POP_Zv": POP,
    "LEAVE": LEAVE_FRAME, "JMP_Jb": JUMP, "JMP_Jz": JUMP, "Jcc_Jb": BRANCH, "Jcc_Jz": BRANCH, "CALL_Jz": CALL,
    "RET": RETURN, "RET_Iw": RETURN, "JMP_Ev": JUMP_INDIRECT, "CALL_Ev": CALL_INDIRECT,
    "NOP": IDLE, "NOP_Ev": IDLE, "ENDBR64": IDLE, "ENDBR32": IDLE, "PAUSE": IDLE,
    "LFENCE": IDLE, "MFENCE": IDLE, "SFENCE": IDLE,
}  # fmt: skip
BY_ACCUMULATOR = frozenset(name for name, kind in BY_NAME.items() if kind in (MULTIPLY, DIVIDE, DIVIDE_SIGNED))
SIZE_FLAGS = {"b": RM_BYTE, "w": RM_WORD, "d": RM_DOUBLE, "z": RM_DOUBLE}


@cache
def plans() -> list[int]:
    """In the order of FORMS."""
    rows: dict[str, list[Encoding]] = {}
    for row in ENCODINGS:
        rows.setdefault(row.form.name, []).append(row)
    features = host_features() | {"base", "SSE2"}
    found = [0] * len(FORMS)
    for name, encodings in rows.items():
        form = encodings[0].form
        if form.feature in features and "cpl0" not in form.marks:
            found[FORM_INDEX[name]] = _plan(form, encodings)
    return found


def _plan(form: Form, rows: list[Encoding]) -> int:
    kind = BY_NAME.get(form.name, CALLED)
    codes = form.operands
    if kind == CALLED:
        kind = _vector_kind(form) or _copied_kind(form, rows)
    plan = kind << KIND_SHIFT | _encoding(rows[0]) | _flags(form)
    if kind in (COPIED, COMPARE_EXCHANGE, MULTIPLY, DIVIDE, DIVIDE_SIGNED):
        for number, code in enumerate(codes):
            plan |= _access(form, number, code)
    if kind in (VECTOR, STORE_VECTOR):
        memory = codes[0 if kind == STORE_VECTOR or codes[0].method == "U" else 1].memory_type
        plan |= BY_NUMBER if codes[0].method == "U" else 0
        plan |= VECTOR_SIZES[memory] | (ALIGNED if VECTOR_SIZES[memory] == 0 and "unaligned" not in form.marks else 0)
    if kind == TO_GENERAL:
        plan |= VECTOR_SIZES[codes[1].memory_type]
    if kind in (VECTOR, TO_GENERAL, FROM_GENERAL) and uses_mxcsr(form):
        plan |= FLOATING
    if any(code.type == "b" and code.method != "I" for code in codes):
        plan |= BYTES
    if kind == ACCUMULATOR and codes[0].text == "AL":
        plan |= ON_BYTES
    if form.mnemonic in BIT_TESTS and codes[1].method == "G":
        plan |= IN_REGISTERS  # in memory the bit may be far from the operand
    return plan if kind else 0


def _vector_kind(form: Form) -> int:
    """Moves, lanes of integers, and the floating-point instructions that are most frequent."""
    methods = tuple(code.method for code in form.operands)
    if methods == ("G", "U") or (methods == ("G", "W") and uses_mxcsr(form)):
        return TO_GENERAL
    if (form.mnemonic == "MOVD" and "V" in methods) or (methods == ("V", "E") and uses_mxcsr(form)):
        return STORE_GENERAL if methods[0] == "E" else FROM_GENERAL
    if methods == ("U", "I"):
        return VECTOR
    if (flags_written(form) and not uses_mxcsr(form)) or any(
        code.type not in VECTOR_SIZES for code in form.operands if code.method in "VWM"
    ):
        return CALLED
    moves = form.mnemonic in VECTOR_MOVES
    if methods in (("W", "V"), ("M", "V")):
        return STORE_VECTOR if moves else CALLED
    if methods in (("V", "W"), ("V", "M"), ("V", "W", "I")):
        lanes = form.mnemonic.startswith("P") or form.mnemonic in VECTOR_LOGIC | SHUFFLES
        return VECTOR if moves or lanes or uses_mxcsr(form) else CALLED
    return CALLED


def uses_mxcsr(form: Form) -> bool:
    """Whether it is one of the floating-point instructions that are copied; RCP and RSQRT are not, as hosts differ."""
    return form.mnemonic in FLOATS | COMPARISONS or form.mnemonic.startswith("CVT")


def _copied_kind(form: Form, rows: list[Encoding]) -> int:
    codes = form.operands
    methods = [code.method for code in codes]
    if form.mnemonic not in COPIED_MNEMONICS or len({(row.map, row.prefix) for row in rows} - {(2, "66")}) > 1:
        return CALLED
    if codes[0].text in ("AL", "rAX") and methods[1] == "I" and form.mnemonic in ARITHMETIC:
        return ACCUMULATOR
    general = [code for code in codes if code.method in ("E", "G", "M")]
    others = [code for code in codes if code not in general]
    counted = form.mnemonic in (*SHIFTS, "SHLD", "SHRD")
    if not general or any(code.method != "I" and not (counted and code.text in ("CL", "1")) for code in others):
        return CALLED
    return COPIED


def _encoding(row: Encoding) -> int:
    prefix = {"66": 1, "F3": 2, "F2": 3}.get(row.prefix, 0)
    if row.form.mnemonic == "MOVBE":
        prefix = 0  # 66 is the operand size
    return row.map << MAP_SHIFT | prefix << PREFIX_SHIFT


def _flags(form: Form) -> int:
    written = flags_written(form) & STATUS_MASK
    found = READS_FLAGS if form.tested else 0
    if written == STATUS_MASK and "keep0" not in form.marks:
        return found | WRITES_FLAGS
    return found | (WRITES_FLAGS | KEEPS_FLAGS if written else 0)


def _access(form: Form, number: int, code: OperandCode) -> int:
    """What happens to one operand."""
    if code.method not in "EGM":
        return 0
    reads, writes = (READS_REG, WRITES_REG) if code.method == "G" else (READS_RM, WRITES_RM)
    found = 0
    multiplied = form.name.startswith("IMUL_Gv_Ev_")
    if number == 0 and form.name not in BY_ACCUMULATOR:
        found |= 0 if form.mnemonic in ONLY_WRITTEN or multiplied else reads
        found |= 0 if form.mnemonic in ONLY_READ else writes
    else:
        found |= reads | (writes if form.mnemonic in BOTH_WRITTEN else 0)
    if code.method == "G":
        return found | (REG_BYTE if code.type == "b" else 0)
    return found | SIZE_FLAGS.get(code.type, 0)
