"""Every kind of container, codec, rate, start, turn and size once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bench.containers import Combination, combinations, draw, outcome

EVERY = 10
"""Of all combinations of the bench each so-many-th is run here: no factor of the number of outputs."""
SOME = list(combinations())[::EVERY]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.mark.parametrize("wanted", SOME, ids=lambda each: f"{each.name}_{each.size}")
def test_a_file_comes_out_as_it_went_in(wanted: Combination, clips: Path, tmp_path: Path) -> None:
    ended, wrong = outcome(wanted, draw(wanted, clips), tmp_path)
    assert wrong == []
    assert ended in ("copied", "encoded", "refused", "silent")


def test_the_sweep_has_every_container_and_output() -> None:
    everything = list(combinations())
    assert 500 <= len(everything) <= 650
    assert len({f"{each.name}{each.size}" for each in everything}) == len(everything)
    assert {each.output for each in SOME} == {".mp4", ".mov", ".mkv", ".webm"}
    assert {each.suffix for each in SOME} >= {".mp4", ".mov", ".mkv", ".avi", ".ts", ".wmv", ".flv", ".webm"}
