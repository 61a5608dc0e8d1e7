"""The parser has getopt_long's manners."""

from __future__ import annotations

import pytest

from imgtools.cli.arguments import Choice, Complaint
from imgtools.cli.completion import values_of
from imgtools.cli.getopt import Asked, Command, Option, UsageError

COMMAND = Command(
    "verb",
    "FILE",
    "Do it.",
    (
        Option("format", "f", "format", "FMT", ""),
        Option("quiet", "q", "", "", ""),
        Option("force", "U", "force-share", "", ""),
        Option("output", "", "output", "OFMT", ""),
        Option("object", "", "object", "OBJECT", "", many=True),
        Option("count", "c", "", "N", "", parse=int),
        Option("allow", "", "allow", "DIR", "", many=True, own=True),
    ),
)


def parse(line: str, own: bool = True) -> dict[str, object]:
    values = vars(COMMAND.parse(["verb", *line.split()], own=own))
    return {name: value for name, value in values.items() if value not in (None, False, [])}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("a b", {"operands": ["a", "b"]}),
        ("-f raw a", {"format": "raw", "operands": ["a"]}),
        ("-fraw a", {"format": "raw", "operands": ["a"]}),
        ("a -f raw b", {"format": "raw", "operands": ["a", "b"]}),
        ("-qU", {"quiet": True, "force": True}),
        ("-qfraw", {"quiet": True, "format": "raw"}),
        ("-qf raw", {"quiet": True, "format": "raw"}),
        ("--format raw", {"format": "raw"}),
        ("--format=raw", {"format": "raw"}),
        ("--format=", {"format": ""}),
        ("--fmt", "unrecognized option '--fmt'"),
        ("--form=raw", {"format": "raw"}),
        ("--force", {"force": True}),
        ("--out=json", {"output": "json"}),
        ("-f -q", {"format": "-q"}),
        ("-- -q", {"operands": ["-q"]}),
        ("a -- b -q", {"operands": ["a", "b", "-q"]}),
        ("-", {"operands": ["-"]}),
        ("-f raw -f qcow2", {"format": "qcow2"}),
        ("--object a --object b", {"object": ["a", "b"]}),
        ("-c 3", {"count": 3}),
        ("--allow x", {"allow": ["x"]}),
        ("--for", "unrecognized option '--for'"),
        ("--o=json", "unrecognized option '--o=json'"),
        ("--force-share=1", "unrecognized option '--force-share=1'"),
        ("-f", "missing argument for option '-f'"),
        ("-qf", "missing argument for option '-qf'"),
        ("--output", "missing argument for option '--output'"),
        ("-Z", "unrecognized option '-Z'"),
        ("-qZ", "unrecognized option '-qZ'"),
        ("-Zq", "unrecognized option 'verb'"),
        ("-q -Zq", "unrecognized option '-q'"),
        ("-f raw -Zq", "unrecognized option 'raw'"),
        ("a -q -Zq", "unrecognized option 'a'"),
    ],
)
def test_words(line: str, expected: dict[str, object] | str) -> None:
    if isinstance(expected, str):
        with pytest.raises(UsageError, match=f"^{expected}$"):
            parse(line)
    else:
        assert parse(line) == expected


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("-Z", "invalid option -- 'Z'"),
        ("-qZ", "invalid option -- 'Z'"),
        ("-f", "option requires an argument -- 'f'"),
        ("--format", "option '--format' requires an argument"),
        ("--force-share=1", "option '--force-share' doesn't allow an argument"),
        ("--for", "option '--for' is ambiguous; possibilities: '--format' '--force-share'"),
        ("--bogus", None),
    ],
)
def test_the_c_library_s_own_words(line: str, plain: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert caught.value.plain == plain


def test_help_ends_the_parsing() -> None:
    for line in ("-h", "--help", "-qh", "a -h -Z", "--he"):
        with pytest.raises(Asked) as caught:
            parse(line)
        assert caught.value.name == "help"


def test_own_options_are_not_the_peer_s() -> None:
    with pytest.raises(UsageError, match="unrecognized option '--allow'"):
        parse("--allow x", own=False)
    assert COMMAND.parse(["verb"], own=False).allow == []


def test_operands_end_the_options_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command("verb", "", "", COMMAND.options)
    command.stops_at_operand = True
    assert command.parse(["verb", "-q", "a", "-U"]).operands == ["a", "-U"]
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    assert COMMAND.parse(["verb", "-q", "a", "-U", "--", "b"]).operands == ["a", "-U", "--", "b"]


def test_a_choice_is_declared_once() -> None:
    plain = Choice("fruit", "", "fruit", "NAME", "", ("apple", "pear"), many=True)
    other = Choice("nut", "n", "", "NAME", "", ("hazel",), complaint="no nut: {}", error=UsageError)
    command = Command("verb", "", "", (plain, other))
    assert command.parse(["verb", "--fruit=pear", "-nhazel", "--fruit", "apple"]).fruit == ["pear", "apple"]
    assert values_of(plain) == ("apple", "pear")
    with pytest.raises(Complaint, match=r"^--fruit must be used with apple, pear as argument\.$"):
        command.parse(["verb", "--fruit=", "-Z"])
    with pytest.raises(UsageError, match="no nut: wal"):
        command.parse(["verb", "-nwal"])
