"""The benchmark of engines runs to its end on the stand-in GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rt.cuda.nvrtc import load_compiler
from rt.errors import BackendError
from rt.styles import find_style
from tests.support.cuda import StandIn
from tests.support.networks import save_residual
from tests.support.onnx_styles import make_style
from tools.bench import engines


@pytest.mark.parametrize("integrated", [False, True])
def test_every_mode_is_measured_with_frames_and_without(
    gpu: StandIn, one: Any, integrated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        load_compiler()
    except BackendError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(engines, "FRAME_SIZE", (64, 96))
    monkeypatch.setattr(engines, "WARM_UP", 2)
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    with gpu.having(integrated=integrated):
        result = engines.measure(style, (32, 48), "fp16", runs=5)
    assert [row["name"] for row in result["rows"]] == [
        "network, latency",
        "network, throughput",
        "frame, fit cpu, latency",
        "frame, fit gpu, latency",
        "frame, fit cpu, throughput",
        "frame, fit gpu, throughput",
    ]
    assert {row["images"] for row in result["rows"]} <= {3, 5}
    assert all(0 < row["p50_ms"] <= row["p95_ms"] and row["fps"] > 0 for row in result["rows"])
    assert 0 <= result["copies_overlapped"] <= 1
    assert result["one_stream_ms"] > 0
    assert [row["device"].endswith("frames fitted there)") for row in result["rows"]] == [
        *(False, False),
        *(False, True) * 2,
    ]
    assert json.loads(json.dumps(result)) == result
    assert "1 image in flight" in result["rows"][0]["device"]
    engines.shown(result)


@pytest.mark.parametrize(
    ("one_stream_ms", "hidden"), [(3.0, 0.5), (2.5, 0.0), (3.5, 1.0), (9.0, 1.0), (2.0, 0.0)]
)
def test_what_three_streams_hide_is_the_time_they_save_of_the_copies(
    one_stream_ms: float, hidden: float
) -> None:
    assert engines.overlapped(one_stream_ms, 2.5, 1.0) == hidden
    assert engines.overlapped(one_stream_ms, 2.5, 0.0) is None


def test_one_stream_has_as_many_images_in_flight(
    gpu: StandIn, one: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "WARM_UP", 2)
    held: list[dict[str, int]] = []
    paced = engines.paced

    def note(backend: Any, *given: Any) -> list[float]:
        held.append(gpu.held())
        return paced(backend, *given)

    monkeypatch.setattr(engines, "paced", note)
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    engine = engines.engine_of(style, (32, 48), "fp16")
    assert len(engines.on_one_stream(engine, engines.noise((32, 48)), 5)) == 3
    engines.in_network(engine, "throughput", engines.noise((32, 48)), 5)
    assert [(found["streams"], found["graphs"]) for found in held] == [(1, 3), (3, 3)]
