"""The row of samples of a live source, and who reads it."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt.audio import (
    KEPT_S,
    PATIENCE_S,
    RATE,
    AudioReader,
    Joiner,
    LiveAudio,
    Samples,
    audio_of,
    stretched,
)
from rt.frame import SourceInfo


def tone(start: int, count: int, hz: float = 440) -> Samples:
    at = np.arange(start, start + count)
    return np.sin(2 * np.pi * hz * at / RATE).astype(np.float32)[np.newaxis]


def read_all(reader: AudioReader, time_s: Fraction | float) -> Samples:
    found = list(reader.until(Fraction(time_s)))
    return np.concatenate(found, axis=1) if found else np.zeros((1, 0), np.float32)


@given(
    st.lists(
        st.tuples(st.floats(-0.02, 0.02) | st.sampled_from([-3.0, -0.5, 0.3, 2.0]), st.integers(1, 4800)),
        min_size=1,
        max_size=40,
    )
)
def test_a_row_never_goes_back_unless_its_clock_does_and_no_error_stays(
    moves: list[tuple[float, int]],
) -> None:
    joiner, at_s = Joiner(), 100.0
    for moved_s, count in moves:
        at_s += moved_s
        before = joiner.end
        join = joiner.join(at_s, count)
        assert 0 <= join.skipped <= count
        assert joiner.end == join.start + join.length
        placed = join.start - join.skipped
        if join.broken:  # it stands where it belongs, or is left out
            assert join.skipped == count or abs(placed - at_s * RATE) <= 1
        else:
            assert join.start == before
            assert abs(placed - at_s * RATE) <= 0.015 * RATE + 1
            assert abs(join.length - count) <= max(1, count // 400)
        at_s += count / RATE


@given(st.integers(100, 5000), st.integers(-12, 12), st.sampled_from([220.0, 1000.0, 4000.0]))
def test_stretching_keeps_the_tone(count: int, more: int, hz: float) -> None:
    block = tone(0, count, hz)
    longer = stretched(block, count + more)
    assert longer.shape == (1, count + more)
    assert longer.dtype == np.float32
    at = np.linspace(0, count - 1, count + more)
    assert np.abs(longer[0] - np.sin(2 * np.pi * hz * at / RATE))[2:-2].max() < 0.02


def test_blocks_in_step_are_read_as_they_were_put() -> None:
    audio = LiveAudio(1, "tone")
    audio.begin(50.0)
    for start in range(0, RATE, 1000):
        audio.put(50 + start / RATE, tone(start, 1000))
    reader = AudioReader(audio)
    reader.begin(Fraction(1, 4))
    parts = [read_all(reader, Fraction(number, 25)) for number in range(7, 26)]
    found = np.concatenate(parts, axis=1)
    assert found.shape == (1, RATE * 3 // 4)
    assert np.array_equal(found, tone(RATE // 4, RATE * 3 // 4))
    assert audio.status() == "audio in step within 0 ms"


def test_a_gap_is_silence_and_what_follows_keeps_its_time() -> None:
    audio = LiveAudio(1, "tone")
    audio.begin(0.0)
    audio.put(0.0, tone(0, RATE))
    audio.put(1.5, tone(0, RATE))
    found = audio.read(0, round(2.5 * RATE))
    assert np.abs(found[:, RATE + 1 : round(1.5 * RATE)]).max() == 0
    assert np.array_equal(found[:, round(1.6 * RATE) :], tone(4800, round(0.9 * RATE)))
    assert audio.status() == "audio in step within 0 ms, 1 gap"


def test_an_overlap_is_cut() -> None:
    audio = LiveAudio(1, "tone")
    audio.begin(0.0)
    audio.put(0.0, tone(0, RATE))
    audio.put(0.9, -tone(0, RATE))
    found = audio.read(0, round(1.9 * RATE))
    assert np.array_equal(found[:, 300:RATE], tone(300, RATE - 300))
    assert np.array_equal(found[:, RATE + 300 :], -tone(4800 + 300, round(0.9 * RATE) - 300))


def test_a_clock_that_is_set_back_replaces_what_came_after() -> None:
    audio = LiveAudio(1, "tone")
    audio.begin(0.0)
    for second in range(5):
        audio.put(float(second), tone(0, RATE))
    audio.put(1.5, -tone(0, RATE))
    assert audio.end == round(2.5 * RATE)
    assert np.array_equal(audio.read(round(1.6 * RATE), round(2.5 * RATE)), -tone(4800, round(0.9 * RATE)))


def test_audio_that_does_not_come_is_waited_for_and_then_silence() -> None:
    audio = LiveAudio(1, "tone")
    audio.begin(0.0)
    audio.put(0.0, tone(0, RATE))
    reader = AudioReader(audio)
    reader.begin(Fraction(0))
    assert read_all(reader, 1.5).shape[1] == RATE
    assert read_all(reader, 1.9).shape[1] == 0
    overdue = read_all(reader, 1.5 + PATIENCE_S)
    assert overdue.shape[1] == RATE // 2
    assert not overdue.any()
    audio.put(1.5, tone(0, 2 * RATE))
    assert np.array_equal(read_all(reader, 3.5)[:, 4800:], tone(4800, 2 * RATE - 4800))


def test_what_is_kept_is_bounded_and_what_is_gone_is_silence() -> None:
    audio = LiveAudio(1, "tone")
    audio.begin(0.0)
    for second in range(60):
        audio.put(float(second), tone(0, RATE) + 1)
    assert not audio.read(0, RATE).any()
    assert audio.read(round((60 - KEPT_S) * RATE), 60 * RATE)[0].min() > -1e-6
    assert len(audio._chunks) <= KEPT_S + 1


def test_a_long_silence_is_read_in_pieces() -> None:
    audio = LiveAudio(2, "tone")
    reader = AudioReader(audio)
    reader.begin(Fraction(0))
    sizes = [piece.shape for piece in reader.until(Fraction(3600))]
    assert max(size[1] for size in sizes) == RATE
    assert sum(size[1] for size in sizes) == round(3600 - PATIENCE_S) * RATE


def test_only_live_sources_have_live_audio() -> None:
    assert audio_of(None) is None
    assert audio_of(SourceInfo("clip.mp4", 4, 4, None, None)) is None


def test_silence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = LiveAudio(1, "tone")
    assert audio.status() == "audio in step within 0 ms"
    later_s = time.perf_counter() + 7
    monkeypatch.setattr(time, "perf_counter", lambda: later_s)
    assert audio.status() == "NO AUDIO for 7 s"
