"""JSON text: what it means, and the peers' ways of writing it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgtools.cli import keyvalue
from imgtools.cli.json_text import ordered, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_it_is_json(value: Any) -> None:
    assert json.loads(to_json(value)) == value


def test_layout() -> None:
    assert to_json({"data": {"compat": "1.1"}, "list": [1, True]}) == (
        '{\n    "list": [\n        1,\n        true\n    ],\n    "data": {\n        "compat": "1.1"\n    }\n}'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\t\x7f\x01", '"\\t\\u007F\\u0001"'),
        ("\u00e9\u20ac", '"\\u00E9\\u20AC"'),
        ("\U0001f600", '"\\uD83D\\uDE00"'),
        ("bad\udcff", '"bad\\uFFFD"'),
        ("\ud800", '"\\uFFFD"'),
    ],
)
def test_strings(text: str, expected: str) -> None:
    assert to_json(text) == expected


def test_order_of_keys() -> None:
    """As seen in the peer's output for an image that has them all."""
    keys = [
        "backing-filename-format", "snapshots", "virtual-size", "filename", "cluster-size", "format", "actual-size",
        "format-specific", "full-backing-filename", "backing-filename", "dirty-flag",
    ]  # fmt: skip
    assert [key for key, _ in ordered(dict.fromkeys(sorted(keys)))] == keys


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a=1", {"a": "1"}),
        ("a=1,b=2", {"a": "1", "b": "2"}),
        ("a=1,,2,b=3", {"a": "1,2", "b": "3"}),
        ("a=1,,,b=2", {"a": "1,", "b": "2"}),
        ("a=,b", {"a": "", "b": "on"}),
        ("nob", {"b": "off"}),
        ("a=x=y", {"a": "x=y"}),
        ("a=1,a=2", {"a": "2"}),
        ("", {}),
    ],
)
def test_option_strings(text: str, parts: dict[str, str]) -> None:
    assert keyvalue.parse(text) == parts


@given(st.dictionaries(st.text("abc", min_size=1), st.text(), min_size=1))
def test_any_value_can_be_written(values: dict[str, str]) -> None:
    text = ",".join(f"{name}={value.replace(',', ',,')}" for name, value in values.items())
    assert keyvalue.parse(text) == values
