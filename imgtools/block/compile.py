"""Compile each room's construct declarations (structs.py) into records (records.py) beside them.

    python -m imgtools.block.compile            writes the files that are out of date
    python -m imgtools.block.compile --check    only says which are, and exits 1

A declaration is a `construct.Struct` at the top of the module, of integers and byte strings of fixed size
and one byte order; anything else there (enumerations, variable parts) is for `explain` alone and passed over.
"""

from __future__ import annotations

import sys
from pathlib import Path
from runpy import run_path

import construct

PACKAGE = Path(__file__).parent.parent

WRAPPERS = (construct.Renamed, construct.Const, construct.Default, construct.Enum, construct.FlagsEnum)
"""What gives a plain field a name, a meaning (`* "..."`) or names for its values."""

HEADER = '''"""Compiled from structs.py by `python -m imgtools.block.compile`; change that file, not this one."""

from imgtools.block.record import Record

'''


def layout_of(declaration: construct.Struct) -> tuple[str, list[str]] | None:
    """The `struct` layout and field names of a declaration; None where it is not of fixed, plain fields."""
    order, codes, fields = ">", "", []
    for index, member in enumerate(declaration.subcons):
        part = member
        while isinstance(part, WRAPPERS):
            part = part.subcon
        if isinstance(part, construct.FormatField):
            if part.fmtstr[0] in "<>":
                order = part.fmtstr[0]
            codes += part.fmtstr[1]
        elif isinstance(part, construct.Bytes) and isinstance(part.length, int):
            codes += f"{part.length}s"
        else:
            return None
        fields.append(member.name or f"reserved_{index}")
    return order + codes, fields


def compile_module(source: Path) -> str:
    """The text of records.py for a structs.py, which is run by itself: its package needs the records to import."""
    text = HEADER
    for name, declaration in run_path(str(source)).items():
        if not isinstance(declaration, construct.Struct) or (compiled := layout_of(declaration)) is None:
            continue
        layout, fields = compiled
        listed = "".join(f'        "{field}",\n' for field in fields)
        text += f'{name} = Record(\n    "{name}",\n    "{layout}",\n    (\n{listed}    ),\n)\n'
    return text


def main() -> int:
    stale = []
    for source in sorted(PACKAGE.rglob("structs.py")):
        text = compile_module(source)
        target = source.with_name("records.py")
        if not target.exists() or target.read_text() != text:
            stale.append(target)
            if "--check" not in sys.argv:
                target.write_text(text)
    for target in stale:
        print(target)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
