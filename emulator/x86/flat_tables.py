"""The opcode table as arrays of integers, for a decoder that knows no objects.

`build_tree` gives a decision tree. Its first entries are the roots, one for each `map * 256 + opcode`. An entry holds
a kind in its low three bits and a value above them:

- `LEAF`: the value is a form's index in `FORMS` plus 1; 0 is an opcode that is not there.
- any other kind names what to look at (the mode, the prefix, REX.W, REX.B, ModRM's mod, reg, rm); the value is where
  the entries for its outcomes begin. The first four kinds are decided before a ModRM byte is fetched.

`build_shapes` gives an entry for every form: which immediate follows (the low four bits), and flags.
"""

from __future__ import annotations

from emulator.x86.notation import MAP_NAMES, Encoding, Form, NotationError
from emulator.x86.table import ENCODINGS_BY_OPCODE, FORMS, matching

LEAF, BY_MODE, BY_PREFIX, BY_W, BY_B, BY_MEMORY, BY_REG, BY_RM = range(8)
KIND_BITS = 3
# What each kind looks at: the field of an Encoding, and its outcomes in order
KINDS: dict[int, tuple[str, tuple[int, ...]]] = {
    BY_MODE: ("modes", (16, 32, 64)),
    BY_PREFIX: ("prefixes", (0, 1, 2, 3)),
    BY_W: ("w", (0, 1)),
    BY_B: ("b", (0, 1)),
    BY_MEMORY: ("memory", (0, 1)),
    BY_REG: ("reg", tuple(range(8))),
    BY_RM: ("rm", tuple(range(8))),
}

NO_IMMEDIATE, IMM_8, IMM_8_SIGNED, IMM_16, IMM_Z, IMM_V, IMM_16_8, FAR, ABSOLUTE, REL_8, REL_Z = range(11)
IMMEDIATE_KINDS = {
    (): NO_IMMEDIATE,
    ("Ib",): IMM_8,
    ("Ibs",): IMM_8_SIGNED,
    ("Iw",): IMM_16,
    ("Iz",): IMM_Z,
    ("Iv",): IMM_V,
    ("Iw", "Ib"): IMM_16_8,
    ("Ap",): FAR,
    ("Ob",): ABSOLUTE,
    ("Ov",): ABSOLUTE,
    ("Jb",): REL_8,
    ("Jz",): REL_Z,
}
IMMEDIATE_MASK = 15
MODRM, LOCKABLE, STRING, D64, F64, ANYMOD, CONTROL, DEBUG, USES_VVVV = (1 << bit for bit in range(4, 13))


def build_tree() -> list[int]:
    """The decision tree of all opcodes; equal subtrees are stored once."""
    roots = len(MAP_NAMES) * 256
    tree = [0] * roots
    known: dict[tuple[int, ...], int] = {}
    for (opcode_map, opcode), rows in ENCODINGS_BY_OPCODE.items():
        tree[opcode_map * 256 + opcode] = _grow(tree, rows, known)
    return tree


def _grow(tree: list[int], rows: list[Encoding], known: dict[tuple[int, ...], int], first: int = BY_MODE) -> int:
    """The entry that tells `rows` apart, by the kinds from `first` on."""
    if not rows:
        return LEAF
    for kind in range(first, BY_RM + 1):
        field, outcomes = KINDS[kind]
        if all(getattr(row, field) == outcomes for row in rows):
            continue
        children = [[row for row in rows if outcome in getattr(row, field)] for outcome in outcomes]
        entries = tuple(_grow(tree, child, known, kind + 1) for child in children)
        if entries not in known:
            known[entries] = len(tree)
            tree.extend(entries)
        return known[entries] << KIND_BITS | kind
    return _leaf(rows)


def _leaf(rows: list[Encoding]) -> int:
    chosen = matching(rows)
    if len(chosen) > 1:
        raise NotationError(f"two rows for the same bytes: {chosen[0].row} / {chosen[1].row}")
    return FORM_INDEX[chosen[0].form.name] + 1 << KIND_BITS | LEAF


def shape_of(form: Form, modrm: bool) -> int:
    """Which immediate a form has, and what else decoding must know of it."""
    methods = {code.method for code in form.operands}
    immediates = tuple(code.text for code in form.operands if code.method in ("I", "J", "A", "O"))
    flags = {
        MODRM: modrm,
        LOCKABLE: "lock" in form.marks,
        STRING: bool(form.marks & {"rep", "repe"}),
        D64: "d64" in form.marks,
        F64: "f64" in form.marks,
        ANYMOD: "anymod" in form.marks,
        CONTROL: "C" in methods,
        DEBUG: "D" in methods,
        USES_VVVV: "B" in methods,
    }
    return IMMEDIATE_KINDS[immediates] | sum(flag for flag, present in flags.items() if present)


def build_shapes() -> list[int]:
    """The shapes of all forms, in the order of FORMS."""
    modrm = {row.form.name: row.modrm for rows in ENCODINGS_BY_OPCODE.values() for row in rows}
    return [shape_of(form, modrm[form.name]) for form in FORMS]


FORM_INDEX = {form.name: index for index, form in enumerate(FORMS)}
