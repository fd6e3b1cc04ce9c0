from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from rt.errors import SourceError
from rt.frame import Frame, Rgb
from rt.sources.freeze import FreezeWatch
from rt.sources.live import LiveSource
from tests.support.grabbers import LIMIT_S, FakeGrabber, noise

SOON_S = 0.2
"""Seconds until a frame is stale here: the rules are the same as at two seconds."""


def captures() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("capture")]


def next_fresh(frames: Iterator[Frame]) -> Frame:
    return next(frame for frame in frames if not frame.stale)


def test_a_device_that_cannot_be_opened_fails_at_once_and_leaves_nothing() -> None:
    grabber = FakeGrabber()
    grabber.refusals = ["cannot read camera fake: it is in use"]
    with pytest.raises(SourceError, match="^cannot read camera fake: it is in use$"):
        LiveSource(grabber)
    assert (grabber.opened, grabber.closed) == (0, 1)
    assert captures() == []


def test_a_device_that_opens_but_gives_no_image_fails_at_once() -> None:
    grabber = FakeGrabber(SourceError("no frame came"))
    with pytest.raises(SourceError, match="no frame came"):
        LiveSource(grabber)
    assert grabber.closed == 1
    assert captures() == []


def test_the_facts_are_those_of_the_first_image() -> None:
    source = LiveSource(FakeGrabber(noise(0, 30, 50), rate=15))
    assert (source.info.height, source.info.width) == (30, 50)
    assert source.info.frame_rate == Fraction(15)
    assert source.info.frame_count is None
    assert source.live is True
    source.close()


def test_only_the_newest_image_is_kept_and_the_others_are_counted() -> None:
    grabber = FakeGrabber(noise(0))
    source = LiveSource(grabber)
    frames = iter(source)
    first = next(frames)
    for seed in range(1, 6):
        grabber.give(noise(seed))
    grabber.give(SourceError("unplugged"))  # after it, the five frames were taken
    assert grabber.reopened.wait(LIMIT_S)
    second = next(frames)
    source.close()
    assert np.array_equal(first.rgb, noise(0))
    assert np.array_equal(second.rgb, noise(5))
    assert (first.index, second.index) == (0, 1)
    assert source.dropped == 4


def test_images_lost_before_the_iteration_are_not_counted() -> None:
    grabber = FakeGrabber(*[noise(seed) for seed in range(5)], SourceError("unplugged"))
    source = LiveSource(grabber)
    assert grabber.reopened.wait(LIMIT_S)
    assert source.dropped == 0
    assert np.array_equal(next(iter(source)).rgb, noise(4))
    assert source.dropped == 0
    source.close()


def test_times_start_at_zero_and_increase_with_the_clock() -> None:
    grabber = FakeGrabber(noise(0))
    source = LiveSource(grabber)
    frames = iter(source)
    seen, before_s = [next(frames)], time.perf_counter()
    for seed in range(1, 4):
        grabber.give(noise(seed))
        seen.append(next(frames))
    after_s = time.perf_counter()
    source.close()
    assert seen[0].pts == 0
    assert all(earlier.pts < later.pts for earlier, later in itertools.pairwise(seen))
    assert {frame.time_base for frame in seen} == {Fraction(1, 90000)}
    captured = [frame.captured_s for frame in seen if frame.captured_s is not None]
    assert len(captured) == 4
    assert captured[0] < before_s < captured[1] < captured[3] < after_s
    assert seen[3].time_s == pytest.approx(captured[3] - captured[0], abs=1e-4)


def test_without_a_new_image_the_last_one_comes_again_marked_stale(
    caplog: pytest.LogCaptureFixture,
) -> None:
    grabber = FakeGrabber(noise(0))
    with caplog.at_level(logging.INFO, "rt"):
        source = LiveSource(grabber, fresh_s=SOON_S)
        frames = iter(source)
        first, second, third = next(frames), next(frames), next(frames)
        grabber.give(noise(1))
        back = next_fresh(frames)
        source.close()
    assert [first.stale, second.stale, third.stale] == [False, True, True]
    assert np.array_equal(second.rgb, noise(0))
    assert np.array_equal(third.rgb, noise(0))
    assert first.captured_s == second.captured_s
    assert second.time_s >= SOON_S
    assert np.array_equal(back.rgb, noise(1))
    assert first.pts < second.pts < third.pts < back.pts
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "camera fake: 32x24, given by the test"
    assert said[1] == "camera fake: no new frame for 0.2 s; opening it again"
    assert said[2].startswith("camera fake: it is back after ")
    assert len(said) == 3


def test_a_device_that_hangs_is_closed_and_opened_again() -> None:
    grabber = FakeGrabber(noise(0))
    source = LiveSource(grabber, fresh_s=SOON_S)
    frames = iter(source)
    next(frames)
    assert next(frames).stale  # who waits sees it, and interrupts the read that hangs
    assert grabber.reopened.wait(LIMIT_S)
    assert grabber.closed == 1
    source.close()
    assert not grabber.is_open


@pytest.mark.slow
def test_a_fault_is_said_and_attempts_go_on_until_one_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    grabber = FakeGrabber(noise(0))
    with caplog.at_level(logging.WARNING, "rt"):
        source = LiveSource(grabber, fresh_s=SOON_S)
        frames = iter(source)
        next(frames)
        grabber.refusals = ["gone", "gone"]
        grabber.give(SourceError("cannot read camera fake: unplugged"))
        grabber.give(noise(7))
        assert np.array_equal(next_fresh(frames).rgb, noise(7))
        source.close()
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "camera fake: unplugged; opening it again"
    assert said[-1].startswith("camera fake: it is back after ")
    assert len(said) == 2
    assert grabber.opened == 2
    assert grabber.refusals == []


def test_a_slow_camera_is_not_a_stalled_one() -> None:
    grabber = FakeGrabber(noise(0), rate=4)
    source = LiveSource(grabber, fresh_s=SOON_S)
    frames = iter(source)
    next(frames)
    begun_s = time.perf_counter()
    assert next(frames).stale
    assert time.perf_counter() - begun_s > 0.5
    source.close()


def test_another_size_in_mid_stream_is_fitted_into_the_first(caplog: pytest.LogCaptureFixture) -> None:
    grabber = FakeGrabber(noise(0, 24, 32))
    source = LiveSource(grabber)
    frames = iter(source)
    next(frames)
    for _ in range(2):
        grabber.give(np.full((48, 32, 3), 200, np.uint8))
        tall = next(frames).rgb
    source.close()
    assert tall.shape == (24, 32, 3)
    assert (tall[:, 8:24] == 200).all()
    assert (tall[:, :8] == 0).all()
    assert (tall[:, 24:] == 0).all()
    said = [record.getMessage() for record in caplog.records if "frames are now" in record.getMessage()]
    assert said == ["camera fake: its frames are now 32x48; they are fitted into the first size, 32x24"]


def test_close_wakes_whoever_waits_and_leaves_no_thread() -> None:
    grabber = FakeGrabber(noise(0))
    source = LiveSource(grabber)
    begun, ended = threading.Event(), threading.Event()

    def read() -> None:
        for _ in source:
            begun.set()
        ended.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert begun.wait(LIMIT_S)
    source.close()
    assert ended.wait(LIMIT_S)
    reader.join(LIMIT_S)
    assert captures() == []
    assert grabber.closed == 1


def test_close_ends_the_attempts_to_open_again() -> None:
    grabber = FakeGrabber(noise(0), SourceError("unplugged"))
    source = LiveSource(grabber)
    grabber.refusals = ["gone"] * 1000
    source.close()
    assert captures() == []


def test_a_fault_of_ours_in_the_capture_reaches_whoever_iterates() -> None:
    class Broken(FakeGrabber):
        def read(self) -> Rgb:
            if self.opened == 1:
                self.opened = 2
                return noise(0)
            raise ZeroDivisionError("ours")

    source = LiveSource(Broken())
    with pytest.raises(ZeroDivisionError, match="ours"):
        list(source)
    source.close()


def test_a_live_source_is_read_once() -> None:
    source = LiveSource(FakeGrabber(noise(0)))
    iter(source)
    with pytest.raises(RuntimeError, match="iterated once"):
        iter(source)
    source.close()


def test_a_camera_that_repeats_one_noisy_image_is_frozen_and_opened_again() -> None:
    class Frozen(FakeGrabber):
        """Repeats its last frame for ever, until it is opened again."""

        last: Rgb | None = None

        def read(self) -> Rgb:
            time.sleep(0.001)  # the pace of the device
            if self.opened == 1 and self._given.empty() and self.last is not None:
                return np.array(self.last)
            last = self.last = super().read()
            return last

    grabber = Frozen(*[noise(seed) for seed in range(15)], noisy=True)
    source = LiveSource(grabber, fresh_s=SOON_S)
    frames = iter(source)
    seen = [next(frames)]
    while not seen[-1].stale:
        seen.append(next(frames))
    assert np.array_equal(seen[-1].rgb, noise(14))
    assert grabber.reopened.wait(LIMIT_S)
    grabber.give(noise(99))
    assert np.array_equal(next_fresh(frames).rgb, noise(99))
    source.close()


def watched(images: list[Rgb], limit_s: float = 2.0) -> list[bool]:
    watch = FreezeWatch(limit_s)
    return [watch.is_new(image, number / 10) for number, image in enumerate(images)]


def test_a_single_repeat_of_a_noisy_camera_is_not_a_new_image_and_no_freeze() -> None:
    moving = [noise(seed) for seed in range(12)]
    assert watched([*moving, moving[-1], noise(50), noise(50).copy()]) == [*[True] * 12, False, True, False]


def test_a_freeze_is_told_after_the_limit_and_not_before() -> None:
    moving = [noise(seed) for seed in range(12)]
    assert watched([*moving, *[moving[-1]] * 20]) == [True] * 12 + [False] * 20
    with pytest.raises(SourceError, match="one and the same frame for 2 s"):
        watched([*moving, *[moving[-1]] * 21])


@pytest.mark.parametrize(
    "images",
    [
        [noise(0)] * 60,
        [noise(seed // 3) for seed in range(90)],
        [*[noise(seed) for seed in range(20)], *[np.zeros((24, 32, 3), np.uint8)] * 60],
    ],
    ids=["still from the start", "drawn, changing now and then", "covered lens"],
)
def test_still_images_without_noise_are_no_freeze(images: list[Rgb]) -> None:
    assert watched(images) == [True] * len(images)


def test_after_reopening_noise_has_to_be_seen_again() -> None:
    watch = FreezeWatch(2.0)
    for seed in range(12):
        assert watch.is_new(noise(seed), seed / 10)
    watch.reset()
    assert all(watch.is_new(noise(11), number) for number in range(60))
