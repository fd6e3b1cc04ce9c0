"""The parts of the first GPU's day on the stand-in GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rt.cuda.nvrtc import load_compiler
from rt.cuda.slot import Slot
from rt.errors import BackendError
from tests.support.cuda import StandIn
from tools.bench import gpu_day_parts
from tools.bench.gpu_day_parts import PARTS

Run = Callable[[str], tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr(gpu_day_parts, "FRAMES", ((75, 101), (64, 96)))
    monkeypatch.setattr(gpu_day_parts, "NETWORK", (32, 48))
    monkeypatch.setattr(gpu_day_parts, "RUNS", 6)

    def run(name: str) -> tuple[int, list[dict[str, Any]]]:
        status = PARTS[name](60)
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_what_is_there_is_found_and_what_is_not_has_a_reason(one: Any, part: Run) -> None:
    status, (found,) = part("probe")
    assert status == 0
    assert found["name"] == "Stand-in GPU"
    assert found["gpu"] is found["engines"] is None
    assert found["runtime"] == "TensorRT 10.13.3.9"
    assert "finds no CUDA device" in found["training"]


def test_frames_are_fitted_within_a_level_of_the_cpu(part: Run) -> None:
    try:
        load_compiler()
    except BackendError as error:
        pytest.skip(str(error))
    status, rows = part("kernels")
    assert status == 0
    assert [row["frame"] for row in rows] == ["101x75", "96x64", "96x64 yuv420p", "96x64 nv12"]
    assert all(row["largest_difference"] <= 1 for row in rows[:2])
    assert all(row["largest_difference"] <= gpu_day_parts.PLANES_WITHIN for row in rows[2:])
    assert all(row["graph"] == "recorded" for row in rows)


@pytest.mark.parametrize(("name", "ways"), [("graphs", 2), ("streams", 2)])
@pytest.mark.parametrize("schedule", ["late", "at once"])
def test_graphs_and_streams_give_each_image_its_own_result(
    gpu: StandIn, part: Run, name: str, ways: int, schedule: str
) -> None:
    gpu.schedule(schedule)
    status, rows = part(name)
    assert status == 0
    assert [row["right"] for row in rows] == [True] * ways
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)


@pytest.mark.parametrize("name", ["graphs", "streams"])
def test_a_result_that_is_not_waited_for_is_found(
    gpu: StandIn, part: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setattr(Slot, "finish", lambda slot: np.array(slot.buffers.host_out))
    status, rows = part(name)
    assert status == 1
    assert not all(row["right"] for row in rows)


def test_an_engine_of_every_style_is_built_and_verified(
    one: Any, part: Run, own_engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rt.styles import list_styles

    only = [entry for entry in list_styles() if entry.name == "wave"]
    monkeypatch.setattr("rt.styles.list_styles", lambda: only)
    monkeypatch.setattr(gpu_day_parts, "style_size", lambda card, *size: (64, 96))
    monkeypatch.setattr(gpu_day_parts, "PRECISIONS", ("int8",))
    status, rows = part("engines")
    assert status == 0
    assert [(row["style"], row["precision"], row["holds"]) for row in rows] == [("wave", "int8", True)]
    assert all(len(row["psnr_db"]) == 1 for row in rows)
