"""raw: model, crash, mutation."""

from __future__ import annotations

from tests.crash import survives_crashes
from tests.model import check_against_model, script, subject_of

SUBJECT = subject_of("raw", size=(1 << 18) + 512, unit=4096)


def test_behaves_as_a_bytearray() -> None:
    check_against_model(SUBJECT)


def test_holds_flushed_bytes_after_any_crash() -> None:
    assert survives_crashes(SUBJECT, script(SUBJECT, seed=1)) > 20
