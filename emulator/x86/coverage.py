"""The coverage report: how many encodings and forms the opcode table has, by opcode map and by CPUID feature."""

from __future__ import annotations

from collections import Counter, defaultdict

from emulator.x86.features import BASE, FEATURES
from emulator.x86.notation import MAP_NAMES, Encoding
from emulator.x86.table import ENCODINGS, FORMS


def report() -> str:
    """The tables that `python -m emulator.x86 coverage` prints."""
    by_map = {name: [row for row in ENCODINGS if MAP_NAMES[row.map] == name] for name in MAP_NAMES}
    by_feature: dict[str, list[Encoding]] = defaultdict(list)
    for row in ENCODINGS:
        by_feature[row.form.feature].append(row)
    ordered = {name: by_feature[name] for name in (BASE, *FEATURES) if by_feature[name]}
    marks = Counter(mark for form in FORMS for mark in form.marks)
    lines = [
        *_table("opcode map", by_map),
        "",
        *_table("CPUID feature", ordered),
        "",
        f"lockable {marks['lock']}, privileged {marks['cpl0']}, IOPL-sensitive {marks['iopl']}, "
        f"string {marks['rep'] + marks['repe']}, ends a straight line {marks['flow']}",
    ]
    return "\n".join(lines)


def _table(title: str, groups: dict[str, list[Encoding]]) -> list[str]:
    lines = [f"{title:<14} {'rows':>6} {'opcodes':>8} {'forms':>6}"]
    for name, rows in (*groups.items(), ("all", ENCODINGS)):
        opcodes = sum(len(row.opcodes) for row in rows)
        forms = len({row.form.name for row in rows})
        lines.append(f"{name:<14} {len(rows):>6} {opcodes:>8} {forms:>6}")
    return lines
