"""The opcode table: its notation, its invariants, and samples of its contents looked up in the SDM."""

from __future__ import annotations

import pytest

from emulator.x86.__main__ import main
from emulator.x86.coverage import report
from emulator.x86.features import FEATURES
from emulator.x86.notation import ALL_FLAGS, NotationError, parse_row, parse_rows
from emulator.x86.table import ENCODINGS, FORMS, FORMS_BY_NAME, by_opcode, check_places, forms_of


def test_a_row() -> None:
    row = parse_row("66 0F 3A 22 | PINSRD/PINSRQ Vdq,Ey,Ib | SSE4.1")
    assert (row.map, row.opcodes, row.prefix, row.prefixes) == (3, range(0x22, 0x23), "66", (1,))
    assert row.form.name == "PINSRD_Vdq_Ey_Ib"
    assert row.form.mnemonics == ("PINSRD", "PINSRQ")
    assert row.form.feature == "SSE4.1"
    assert row.modrm


def test_a_row_of_a_group() -> None:
    row = parse_row("C0 /4,6 | SHL Eb,Ib | m:SZPC u:OA")
    assert (row.map, row.reg, row.memory) == (0, (4, 6), (0, 1))
    assert (row.form.modified, row.form.undefined) == ("SZPC", "OA")
    assert parse_row("8C /0-5 | MOV Rv/Mw,Sw |").reg == (0, 1, 2, 3, 4, 5)


def test_the_mod_field_follows_from_the_operands() -> None:
    assert parse_row("0F C7 /1 | CMPXCHG8B Mq |").memory == (1,)
    assert parse_row("np 0F 50 | MOVMSKPS Gy,Ups |").memory == (0,)
    assert parse_row("D9 /0 | FLD m32fp |").memory == (1,)
    assert parse_row("0F 01 F8 | SWAPGS |").rm == (0,)
    row = parse_row("DB E8+i | FUCOMI ST0,STi |")
    assert (row.memory, row.reg, row.rm) == ((0,), (5,), tuple(range(8)))


def test_modes_and_spans() -> None:
    assert parse_row("63 | MOVSXD Gv,Ez | o64").modes == (64,)
    assert parse_row("06 | PUSH ES | i64").modes == (16, 32)
    assert parse_row("70+cc | Jcc Jb |").opcodes == range(0x70, 0x80)
    assert parse_row("VEX F2 0F 3A F0 | RORX Gy,Ey,Ib |").map == 5


@pytest.mark.parametrize(
    "row",
    [
        "00 | ADD Eb,Gb",
        "00 | ADD Eb,Kb |",
        "00 | ADD Eb,Gx |",
        "00 | ADD Eb,Gb | locked",
        "00 | ADD Eb,Gb | m:OSQ",
        "0F 01 48 | ADD |",
        "00 | A/B/C/D Ev |",
    ],
)
def test_bad_rows_are_refused(row: str) -> None:
    with pytest.raises(NotationError):
        parse_row(row)


@pytest.mark.parametrize(
    "rows",
    [
        "00 | ADD Eb,Gb |\n00 | SUB Eb,Gb |",
        "0F 01 /7 | INVLPG m8 |\n0F 01 /6,7 mem | LMSW Ew |",
        "F3 0F B8 | POPCNT Gv,Ev |\nF3 0F B8 /1 | BSF Gv,Ev |",
        "F3 90 | PAUSE |\n90 | NOP Ev |",
    ],
)
def test_rows_for_the_same_bytes_are_refused(rows: str) -> None:
    with pytest.raises(NotationError):
        check_places(by_opcode(parse_rows(rows)))


def test_a_prefix_tells_rows_apart() -> None:
    check_places(by_opcode(parse_rows("0F BC | BSF Gv,Ev |\nF3 0F BC | TZCNT Gv,Ev |")))


def test_rows_of_a_form_agree() -> None:
    with pytest.raises(NotationError):
        forms_of(parse_rows("80 /0 | ADD Eb,Ib | lock\n82 /0 | ADD Eb,Ib |"))


def test_flags_of_every_form() -> None:
    for form in FORMS:
        outcomes = form.modified + form.cleared + form.set + form.undefined
        assert len(outcomes) == len(set(outcomes)), form
        assert set(outcomes + form.tested) <= set(ALL_FLAGS), form


def test_names_are_keys() -> None:
    assert len({form.name for form in FORMS}) == len(FORMS)
    assert all(form.name.replace(".", "").isidentifier() for form in FORMS)


def test_every_feature_is_used() -> None:
    assert {form.feature for form in FORMS} == set(FEATURES) | {"base"}


@pytest.mark.parametrize("mark", ["lock", "cpl0", "iopl", "rep", "repe", "stack", "flow", "pm"])
def test_marks_against_the_manual(mark: str) -> None:
    """The lists of SDM Vol. 2 (LOCK, REP) and Vol. 3, section 5.9 (privileged instructions), for what is here."""
    lists = {
        "lock": "ADD ADC AND BTC BTR BTS CMPXCHG CMPXCHG8B CMPXCHG16B DEC INC NEG NOT OR SBB SUB XOR XADD XCHG",
        "cpl0": "LGDT LLDT LTR LIDT MOV LMSW CLTS INVD WBINVD INVLPG HLT RDMSR WRMSR SWAPGS SYSRET SYSEXIT "
        "XSETBV CLAC STAC INVPCID XSAVES XRSTORS",
        "iopl": "IN OUT INSB INSW OUTSB OUTSW CLI STI",
        "rep": "INSB INSW OUTSB OUTSW MOVSB MOVSW STOSB STOSW LODSB LODSW",
        "repe": "CMPSB CMPSW SCASB SCASW",
        "stack": "PUSH POP PUSHA POPA PUSHF POPF CALL RET RETF ENTER LEAVE INT INT1 INT3 INTO IRET",
        "flow": "CALL JMP Jcc RET RETF INT INT1 INT3 INTO IRET LOOP LOOPE LOOPNE JCXZ SYSCALL SYSRET SYSENTER SYSEXIT "
        "HLT STI LMSW INVLPG MOV WRMSR XSETBV INVPCID UD0 UD1 UD2",
        "pm": "ARPL SLDT STR LLDT LTR VERR VERW LAR LSL ANDN BLSR BLSMSK BLSI BZHI PEXT PDEP MULX "
        "BEXTR SHLX SARX SHRX RORX",
    }
    assert {form.mnemonic for form in FORMS if mark in form.marks} == set(lists[mark].split())


def test_samples() -> None:
    assert FORMS_BY_NAME["SHLD_Ev_Gv_CL"].undefined == "OA"
    assert FORMS_BY_NAME["ADOX_Gy_Ey"].modified == "O"
    assert FORMS_BY_NAME["CMPXCHG16B_Mdq"].feature == "CX16"
    assert "d64" in FORMS_BY_NAME["PUSH_Zv"].marks
    assert not any(row.form.mnemonic.startswith("V") and row.map >= 4 for row in ENCODINGS)


def test_report_adds_up() -> None:
    lines = [line.split() for line in report().splitlines()]
    totals = [line for line in lines if line[:1] == ["all"]]
    assert totals == [["all", str(len(ENCODINGS)), totals[0][2], str(len(FORMS))]] * 2


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disasm", "f3a4", "ebfe", "--mode", "32", "--address", "0x100"]) == 0
    shown = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        ["100", "f3a4", "rep movs BYTE PTR es:[edi],BYTE PTR ds:[esi]"],
        ["102", "ebfe", "jmp 0x102"],
    ]
    assert main(["coverage"]) == 0
    assert "SSE4.1" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["disasm", "4x"])
