from __future__ import annotations

import math
import time

import pytest

from rt import pacing
from rt.pacing import Backoff, Pace


class Clock:
    """`time.perf_counter()` that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def perf_counter(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def test_what_comes_in_pieces_is_shown_at_its_own_pace() -> None:
    pace = Pace(1.0, 60.0)
    begun_s = time.perf_counter()
    for number in range(6):  # all of them are there at once
        time.sleep(pace.wait_s(7 + number / 20))
    assert time.perf_counter() - begun_s >= 0.25
    assert 22 < pace.wait_s(30.0) < 23


@pytest.mark.parametrize("start_s", [0.0, -3.0, 50001.4])
def test_the_first_frame_is_due_at_once_wherever_its_clock_starts(clock: Clock, start_s: float) -> None:
    pace = Pace()
    assert pace.wait_s(start_s) == 0
    assert pace.wait_s(start_s + 0.5) == pytest.approx(0.5)


def test_a_late_frame_moves_all_later_ones_where_nothing_is_caught_up_with(clock: Clock) -> None:
    pace = Pace()
    pace.due_s(0.0)
    clock.now_s += 2
    assert pace.wait_s(1.0) == 0
    assert pace.wait_s(1.5) == pytest.approx(0.5)


@pytest.mark.parametrize(("late_s", "left_s"), [(1.0, 0.1), (0.3, 0.5), (math.inf, 0.1)])
def test_a_frame_within_the_limit_is_caught_up_with(clock: Clock, late_s: float, left_s: float) -> None:
    pace = Pace(late_s)
    pace.due_s(0.0)
    clock.now_s += 1.4
    assert pace.wait_s(1.0) == 0
    assert pace.wait_s(1.5) == pytest.approx(left_s)


def test_a_clock_that_jumps_ahead_starts_the_pace_again(clock: Clock) -> None:
    pace = Pace(1.0, 60.0)
    pace.due_s(0.0)
    assert pace.wait_s(59.0) == pytest.approx(59)
    assert pace.wait_s(61.0) == 0
    assert pace.wait_s(61.5) == pytest.approx(0.5)


@pytest.mark.parametrize("pauses_s", [pacing.DEVICE_BACKOFF_S, pacing.SERVER_BACKOFF_S])
def test_pauses_grow_to_the_last_one_and_begin_again_after_a_success(pauses_s: tuple[float, ...]) -> None:
    backoff = Backoff(pauses_s)
    given = [backoff.next_s() for _ in range(len(pauses_s) + 3)]
    assert given == [*pauses_s, *[pauses_s[-1]] * 3]
    assert given == sorted(given)
    assert backoff.attempts == len(given)
    backoff.reset()
    assert (backoff.attempts, backoff.next_s()) == (0, pauses_s[0])
