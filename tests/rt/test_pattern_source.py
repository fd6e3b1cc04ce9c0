from __future__ import annotations

import itertools
import threading
from fractions import Fraction

import numpy as np
import pytest

from rt.errors import SourceError
from rt.sources import SourceOptions, open_source


def test_an_unpaced_pattern_has_the_frames_and_times_of_its_rate() -> None:
    source = open_source("pattern://?unpaced", SourceOptions(fps=Fraction(30000, 1001), duration_s=1.0))
    frames = list(source)
    assert source.live is False
    assert source.info.frame_count == len(frames) == 30
    assert [frame.pts for frame in frames] == list(range(30))
    assert {frame.time_base for frame in frames} == {Fraction(1001, 30000)}
    assert {frame.captured_s for frame in frames} == {None}


def test_it_moves_from_frame_to_frame_and_turns_around_without_a_jump() -> None:
    source = open_source("pattern://?unpaced", SourceOptions(height=90, width=120, duration_s=10))
    frames = [frame.rgb.astype(np.int16) for frame in source]
    steps = [float(np.abs(after - before).mean()) for before, after in itertools.pairwise(frames)]
    assert len(frames) == 300
    assert min(steps) > 0.5
    assert max(steps) < 25


def test_the_seed_chooses_the_image() -> None:
    def first(address: str) -> bytes:
        return next(iter(open_source(address, SourceOptions(height=32, width=48)))).rgb.tobytes()

    assert first("pattern://?unpaced&seed=7") == first("pattern://?seed=7&unpaced")
    assert first("pattern://?unpaced&seed=7") != first("pattern://?unpaced")


def test_a_paced_pattern_is_a_camera_and_ends_after_its_duration() -> None:
    source = open_source("pattern://", SourceOptions(fps=Fraction(50), height=32, width=48, duration_s=0.5))
    assert source.live is True
    assert (source.info.height, source.info.width, source.info.frame_rate) == (32, 48, Fraction(50))
    frames = list(source)
    source.close()
    assert frames[0].pts == 0
    assert frames[-1].time_s < 0.5
    assert len(frames) + source.dropped <= 26  # none of them before it was due
    assert all(frame.captured_s is not None for frame in frames)
    assert not [t for t in threading.enumerate() if t.name.startswith("capture")]


@pytest.mark.parametrize(
    "address",
    ["pattern://bars", "pattern:///bars", "pattern://?speed=3", "pattern://?seed=x", "pattern://?unpaced=no"],
)
def test_anything_else_behind_the_scheme_is_refused(address: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(address)
    assert str(caught.value) == (
        f"cannot read {address}: a pattern has a seed and may be unpaced, nothing else; "
        "type: pattern://?unpaced&seed=7"
    )


@pytest.mark.parametrize(
    ("options", "flag"), [(SourceOptions(loop=True), "--loop"), (SourceOptions(start_s=3), "--start")]
)
def test_what_a_pattern_cannot_do_is_refused_by_name(options: SourceOptions, flag: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source("pattern://", options)
    assert str(caught.value) == (
        f"cannot use {flag} with pattern://: it is drawn without end; leave {flag} out"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SourceOptions(fps=Fraction(0)), "cannot use --fps 0: more than 0 is needed"),
        (SourceOptions(width=-5), "cannot use --width -5: more than 0 is needed"),
        (SourceOptions(duration_s=0.0), "cannot use --duration 0.0: more than 0 is needed"),
        (SourceOptions(start_s=-1), "cannot use --start -1: 0 or more is needed"),
    ],
)
def test_figures_without_sense_are_refused(options: SourceOptions, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source("pattern://", options)
    assert str(caught.value) == message
