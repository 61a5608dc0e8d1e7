"""THE opcode table: every encoding and every form that this processor knows.

The rows lie in `emulator/x86/maps/`, their notation is explained in `notation.py`. From this one table come the
decoders (`decode.py`, `flat.py`), the disassembler, the generator of test cases, the coverage report and CPUID.

    >>> FORMS_BY_NAME["ADD_Ev_Gv"].modified
    'OSZAPC'

Invariants, checked on import: a form's name is unique and its rows agree about everything but where they are; no two
rows of equal standing match the same bytes; the rows of an opcode agree whether a ModRM byte follows.
AVX is not in the table, so it raises #UD, and CPUID does not announce it.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from emulator.x86.maps import one_byte, simd, two_byte, x87
from emulator.x86.notation import Encoding, Form, NotationError, parse_rows


def matching(encodings: list[Encoding]) -> list[Encoding]:
    """Of rows that match the same bytes, those that count: the ones that state most conditions."""
    highest = max((encoding.rank for encoding in encodings), default=0)
    return [encoding for encoding in encodings if encoding.rank == highest]


def forms_of(encodings: list[Encoding]) -> dict[str, Form]:
    """The forms by name, in the order of the table."""
    forms: dict[str, Form] = {}
    for encoding in encodings:
        form = forms.setdefault(encoding.form.name, encoding.form)
        if form != encoding.form:
            raise NotationError(f"another row describes {form.name} otherwise: {encoding.row}")
    return forms


def by_opcode(encodings: list[Encoding]) -> dict[tuple[int, int], list[Encoding]]:
    """The rows of every (map, opcode)."""
    places: dict[tuple[int, int], list[Encoding]] = defaultdict(list)
    for encoding in encodings:
        for opcode in encoding.opcodes:
            places[encoding.map, opcode].append(encoding)
    return dict(places)


def check_places(places: dict[tuple[int, int], list[Encoding]]) -> None:
    """Raise NotationError for two rows that claim the same bytes."""
    for rows in places.values():
        for one, other in combinations(rows, 2):
            if not _overlap(one, other):
                continue
            if one.rank == other.rank:
                raise NotationError(f"two rows for the same bytes: {one.row} / {other.row}")
            if one.modrm != other.modrm:
                raise NotationError(f"with and without ModRM: {one.row} / {other.row}")


def _overlap(one: Encoding, other: Encoding) -> bool:
    fields = ("modes", "prefixes", "w", "b", "memory", "reg", "rm")
    return all(set(getattr(one, field)) & set(getattr(other, field)) for field in fields)


ENCODINGS: list[Encoding] = [
    encoding for rows in (one_byte.ROWS, x87.ROWS, two_byte.ROWS, simd.ROWS) for encoding in parse_rows(rows)
]
FORMS_BY_NAME: dict[str, Form] = forms_of(ENCODINGS)
FORMS: list[Form] = list(FORMS_BY_NAME.values())
ENCODINGS_BY_OPCODE = by_opcode(ENCODINGS)
check_places(ENCODINGS_BY_OPCODE)
