"""The benchmark of engines without a GPU."""

from __future__ import annotations

import sys

import pytest

from tools.bench import engines


def test_without_a_gpu_it_says_what_is_missing_and_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    monkeypatch.setattr(sys, "argv", ["engines", "--style", "winter", "--save"])
    assert engines.main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "engines: nothing measured: the GPU cannot be used: package pycuda is not installed; "
        "type: pip install pycuda\n"
    )


@pytest.mark.parametrize(
    ("latency_ms", "throughput_ms", "copies_ms", "share"),
    [
        (3.0, 2.6, 0.4, 1.0),
        (3.0, 2.8, 0.4, 0.5),
        (3.0, 3.2, 0.4, 0.0),
        (3.0, 1.0, 0.4, 1.0),
        (3.0, 2.0, 0, None),
    ],
)
def test_the_share_of_copies_that_streams_hide(
    latency_ms: float, throughput_ms: float, copies_ms: float, share: float | None
) -> None:
    assert engines.overlapped(latency_ms, throughput_ms, copies_ms) == share


def test_a_row_has_the_percentiles_of_its_times() -> None:
    found = engines.row("network, latency", [float(ms) for ms in range(1, 102)], "GPU")
    assert (found["p50_ms"], found["p95_ms"], found["images"]) == (51.0, 96.0, 101)
    assert found["fps"] == round(1000 / 51, 1)
