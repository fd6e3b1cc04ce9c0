"""The whole program on the stand-in GPU."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rt.cuda.nvrtc import load_compiler
from rt.errors import BackendError
from rt.fit import style_size
from rt.styles import find_style
from tests.e2e.conftest import draw_clip
from tests.support.cli import videobrush
from tests.support.onnx_styles import make_style
from tests.support.tensorrt.behaviour import store_engine

SIZE = (32, 44)


def images(path: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_clip_translated_with_tensorrt_equals_one_translated_with_onnxruntime(
    own_styles: Path, tmp_path: Path, packages: str
) -> None:
    style = find_style(make_style(own_styles))
    clip = draw_clip(tmp_path / "clip.mp4", frames=12)
    store_engine(style, SIZE)
    command = ["run", clip, "--style", "drawn", "--precision", "fp32", "--fit", "cpu"]
    said = {}
    for backend in ("tensorrt", "onnxruntime"):
        said[backend] = videobrush(
            *command, f"{backend}.mp4", "--backend", backend, cwd=tmp_path, PYTHONPATH=packages
        )
        assert said[backend].returncode == 0, said[backend].stderr
    assert said["tensorrt"].stderr.startswith(
        "style drawn: tensorrt on GPU (Stand-in GPU, TensorRT 10.13.3.9, 3 images in flight, CUDA graph), "
    )
    found = {backend: images(tmp_path / f"{backend}.mp4") for backend in said}
    assert len(found["tensorrt"]) == 12
    assert np.array_equal(found["tensorrt"], found["onnxruntime"])
    assert np.abs(found["tensorrt"].astype(int) - images(clip)).mean() > 10


def test_frames_fitted_on_the_gpu_are_those_fitted_on_the_cpu_within_a_level(
    own_styles: Path, tmp_path: Path, packages: str
) -> None:
    try:
        load_compiler()
    except BackendError as error:
        pytest.skip(str(error))
    style = find_style(make_style(own_styles))
    clip = draw_clip(tmp_path / "clip.mp4", frames=4)
    size = style_size(style.card, 36, 50)
    store_engine(style, size)
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            rgb = frame.to_ndarray(format="rgb24")
            assert cv2.imwrite(str(tmp_path / f"in{number}.png"), rgb[:36, :50, ::-1])
    command = ["run", "in%d.png", "--style", "drawn", "--precision", "fp32", "--backend", "tensorrt"]
    for fit in ("cpu", "gpu"):
        said = videobrush(*command, f"{fit}/", "--fit", fit, cwd=tmp_path, PYTHONPATH=packages)
        assert said.returncode == 0, said.stderr
        assert (", frames fitted there)" in said.stderr) == (fit == "gpu")
    apart = []
    for path in sorted((tmp_path / "gpu").iterdir()):
        found, wanted = (
            np.asarray(cv2.imread(str(tmp_path / fit / path.name)), int) for fit in ("gpu", "cpu")
        )
        apart.append(np.abs(found - wanted).max())
    assert len(apart) == 4
    assert max(apart) <= 1


def test_a_missing_engine_ends_the_program_with_the_command_that_builds_it(
    own_styles: Path, own_engines: Path, tmp_path: Path, packages: str
) -> None:
    make_style(own_styles)
    clip = draw_clip(tmp_path / "clip.mp4", frames=2)
    said = videobrush(
        "run", clip, "out.mp4", "--style", "drawn", "--backend", "tensorrt", cwd=tmp_path, PYTHONPATH=packages
    )
    assert said.returncode == 1
    assert said.stderr == (
        "error: there is no engine for style drawn, fp16, 44x32, tensorrt 10.13.3.9, sm86 (Stand-in GPU, "
        f"26 SMs, 8 GiB) in {own_engines}; type: "
        "videobrush-engines build drawn --precision fp16 --network 44x32 --runtime tensorrt\n"
    )
    assert not (tmp_path / "out.mp4").exists()
