"""The alarm rings at the time that was set last, whichever way it was changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from emulator.machine.alarm import SOON, Alarm

LONG = 60.0  # seconds; what does not ring fails
FAR = 3600 * 1_000_000_000

Ring = Callable[[int], bool]


@pytest.fixture
def rings() -> Iterator[Ring]:
    """Sets the alarm to so many nanoseconds from now, and waits for it."""
    rung = threading.Event()
    with Alarm(time.perf_counter_ns, rung.set) as alarm:

        def set_and_wait(ahead: int) -> bool:
            alarm.set(time.perf_counter_ns() + FAR)
            time.sleep(0)
            alarm.set(time.perf_counter_ns() + ahead)
            heard = rung.wait(LONG)
            rung.clear()
            return heard

        yield set_and_wait


@pytest.mark.parametrize("ahead", [0, SOON // 10, SOON, 5 * SOON])
def test_it_rings_again_and_again(rings: Ring, ahead: int) -> None:
    """Each time before it would look by itself, or not long after it has rung."""
    assert all(rings(ahead) for _ in range(20))


def test_it_rings_after_a_pause(rings: Ring) -> None:
    assert rings(0)
    time.sleep(5 * SOON / 1e9)  # it has stopped looking by itself
    assert rings(SOON)


def test_what_is_put_off_does_not_ring() -> None:
    """By a clock that the test moves: a real one may go on between two of its lines."""
    now = 0
    rung = threading.Event()
    with Alarm(lambda: now, rung.set) as alarm:
        for _ in range(5):
            alarm.set(now + 10 * SOON)
            alarm.set(now + 20 * SOON)
            now += 15 * SOON
            assert not rung.wait(30 * SOON / 1e9)
            now += 5 * SOON
            assert rung.wait(LONG)
            rung.clear()
