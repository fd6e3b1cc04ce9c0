"""On a real GPU: engines built there give ONNX Runtime's pictures, in order, whatever the mode."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import rt.cuda.slot
from engines.compile import Order, build_engines
from engines.quality import Network, compare
from engines.target import choose_runtime
from rt.backends import Mode
from rt.backends.tensorrt import TensorRtBackend, load_engine
from rt.cuda.buffers import MappedBuffers
from rt.cuda.device import find_gpu
from rt.engine_file import Engine, read_engine
from rt.errors import BackendError
from rt.styles import find_style
from tests.support.networks import save_residual
from tests.support.onnx_styles import drawn_picture, make_style

SIZE = (128, 192)
GATE_DB = 50
pytestmark = [pytest.mark.gpu, pytest.mark.slow]


@dataclass(frozen=True)
class Built:
    """An engine for this GPU, and what it was made of as ONNX Runtime computes it."""

    engine: Engine
    network: Network


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    try:
        find_gpu()
        choose_runtime(None)
    except BackendError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("gpu")
    model = save_residual(folder / "residual.onnx")
    style = find_style(make_style(folder, model=model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAMESHIFT_ENGINES", str(folder / "engines"))
        (made,) = build_engines(style, Order("fp16", SIZE), lambda what: nullcontext(lambda *step: None))
        yield Built(read_engine(made.facts.key), Network(onnx.load(model)))


@pytest.fixture(params=["latency", "throughput"])
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


def pictures(count: int) -> npt.NDArray[np.uint8]:
    return np.stack([drawn_picture(*SIZE, seed=seed) for seed in range(count)])


def fly(backend: TensorRtBackend, rgb: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Translate one picture after the other, with as many in flight as there are slots."""
    flying: deque[Any] = deque()
    for picture in rgb:
        if len(flying) == backend.slots:
            yield flying.popleft().result()[0]
        flying.append(backend.start(picture[None]))
    for pending in flying:
        yield pending.result()[0]


def test_an_engine_gives_the_pictures_of_onnxruntime(built: Built, mode: Mode) -> None:
    backend = load_engine(built.engine, mode)
    rgb = pictures(6)
    comparison = compare(map(built.network.translate, rgb), backend.translate(rgb))
    backend.close()
    assert comparison.psnr_db >= GATE_DB
    assert "CUDA graph)" in backend.device
    assert "no CUDA graph" not in backend.device


def test_pictures_in_flight_are_not_mixed_up(built: Built, mode: Mode) -> None:
    backend = load_engine(built.engine, mode)
    rgb = pictures(40)
    alone = [backend.translate(picture[None])[0] for picture in rgb]
    assert np.array_equal(np.stack(list(fly(backend, rgb))), np.stack(alone))
    assert np.array_equal(np.stack(list(fly(backend, rgb[::-1]))), np.stack(alone[::-1]))
    assert len({one.tobytes() for one in alone}) == len(rgb)
    backend.close()


def test_memory_shared_with_the_host_gives_the_same_pictures(
    built: Built, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = pictures(6)
    copied = load_engine(built.engine, mode)
    expected = copied.translate(rgb)
    copied.close()
    monkeypatch.setattr(rt.cuda.slot, "make_buffers", MappedBuffers)
    mapped = load_engine(built.engine, mode)
    assert np.array_equal(mapped.translate(rgb), expected)
    mapped.close()


def test_opening_and_closing_many_times_leaves_the_gpu_usable(built: Built, mode: Mode) -> None:
    rgb = pictures(1)
    found = set()
    for _ in range(10):
        backend = load_engine(built.engine, mode)
        found.add(backend.translate(rgb).tobytes())
        backend.close()
    assert len(found) == 1
