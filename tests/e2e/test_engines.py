"""The command `videobrush-engines` as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rt.install import install_hint
from tests.support.cli import LIMIT_S, environment
from tests.support.media import Clip, write_clip
from tests.support.networks import foreign, save_residual
from tests.support.onnx_styles import make_style
from tests.support.rtx import load_rtx


def engines(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engines", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the style `drawn` and `clip.mp4`."""
    folder = tmp_path_factory.mktemp("place")
    make_style(folder, model=save_residual(folder / "residual.onnx"))
    write_clip(folder / "clip.mp4", Clip(frames=9))
    return folder


@pytest.mark.slow
def test_quantize_prints_every_layer_and_the_verdict_and_verify_agrees(place: Path) -> None:
    said = engines("quantize", "./drawn", "--frames", "clip.mp4", cwd=place)
    assert said.returncode == 0, said.stderr
    head, *layers, verdict = said.stdout.splitlines()
    assert head.split("  ")[0] == "layer"
    assert sorted(line.split()[0] for line in layers) == ["make_conv0", "make_conv1", "make_conv2"]
    assert all(line.endswith("int8") for line in layers)
    assert verdict.startswith("drawn/model.int8.onnx: PSNR ")
    assert verdict.endswith(": ok")
    assert "calibrating 3 layers on 6 frames, comparing on 3 others" in said.stderr
    made = (place / "drawn" / "model.int8.onnx").read_bytes()
    again = engines("quantize", "./drawn", "--frames", "clip.mp4", "--percentile", "90", cwd=place)
    assert (again.returncode, again.stderr) == (
        1,
        "error: style drawn has a model in int8: drawn/model.int8.onnx; add --overwrite to replace it\n",
    )
    assert (place / "drawn" / "model.int8.onnx").read_bytes() == made
    said = engines("verify", "./drawn", "--frames", "clip.mp4", cwd=place)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("drawn int8 on ONNX Runtime: PSNR ")
    said = engines("verify", "./drawn", "--frames", "clip.mp4", "--gate", "99", cwd=place)
    assert said.returncode == 1
    assert said.stdout.rstrip().endswith(": below the gate of 99 dB")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("quantize", "nothing", "--frames", "clip.mp4"), "error: no style 'nothing'"),
        (("quantize", "./drawn", "--overwrite", "--frames", "none.mp4"), "error: cannot read none.mp4"),
        (("quantize", "./drawn", "--frames", "clip.mp4", "--count", "0"), "error: --count is 0, at least 1"),
        (
            ("quantize", "./drawn", "--frames", "clip.mp4", "--percentile", "101"),
            "error: --percentile is 101, not within 0..100",
        ),
        (
            ("quantize", "./drawn", "--overwrite", "--frames", "clip.mp4", "--gate", "99"),
            "below the gate of 99 dB: no int8 model is written and the card stays as it was",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_1(place: Path, typed: tuple[str, ...], said: str) -> None:
    found = engines(*typed, cwd=place)
    assert found.returncode == 1
    assert said in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    assert found.stdout == ""


def test_a_missing_extra_is_named_with_the_command(place: Path) -> None:
    code = "import sys; sys.modules['onnx'] = None; from engines.cli import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr == f"error: videobrush-engines needs onnx; type: {install_hint('engines', place)}\n"


def test_adopt_says_what_it_guessed_and_names_the_style(place: Path) -> None:
    foreign(place / "blur.onnx")
    said = engines("adopt", "blur.onnx", "--range", "-1..1", "--out", "adopted", cwd=place)
    assert (said.returncode, said.stdout) == (0, "adopted\n"), said.stderr
    assert said.stderr.splitlines()[0] == "layout: nchw (guessed: the input is [?, 3, ?, ?])"
    assert (place / "adopted" / "card.json").is_file()


def test_list_without_engines_says_how_to_build_one(place: Path, tmp_path: Path) -> None:
    said = engines("list", cwd=place)
    assert said.returncode == 1
    assert said.stderr.rstrip().endswith("; type: videobrush-engines build STYLE")


def test_a_size_that_does_not_fit_is_refused(place: Path) -> None:
    said = engines("build", "./drawn", "--network", "50x30", "--runtime", "tensorrt-rtx", cwd=place)
    assert said.returncode == 1
    assert said.stderr.rstrip().endswith("type: --network 48x32")
    for option in ("--network", "--for"):
        said = engines("build", "./drawn", option, "256", cwd=place)
        assert said.stderr == (
            f"error: {option} 256 is no list of widths and heights; type for example: {option} 640x480\n"
        )


@pytest.mark.slow
def test_build_names_the_engine_that_list_and_inspect_know(place: Path) -> None:
    load_rtx()
    ordered = ("build", "./drawn", "--network", "48x32", "--target", "sm89", "--runtime", "tensorrt-rtx")
    said = engines(*ordered, cwd=place)
    assert said.returncode == 0, said.stderr
    path, _, facts = said.stdout.rstrip().partition(": ")
    assert Path(path).is_file()
    assert "MB, built in " in facts
    assert facts.endswith(", convolutions: 6 fp16")
    assert said.stderr.startswith("building style drawn, fp16, 48x32, tensorrt-rtx ")
    again = engines(*ordered, cwd=place)
    assert again.stdout.startswith(f"{path}: ")
    assert ", was there already, " in again.stdout
    assert again.stderr == ""
    listed = engines("list", cwd=place)
    assert listed.stdout.splitlines()[0].split()[:2] == ["style", "precision"]
    assert listed.stdout.splitlines()[1].split()[:3] == ["drawn", "fp16", "48x32"]
    assert listed.stdout.rstrip().endswith("ok")
    inspected = engines("inspect", path, cwd=place)
    assert inspected.stdout.splitlines()[0] == path
    assert "  convolutions, as the plan reads: 6 in fp16" in inspected.stdout.splitlines()
    verified = engines("verify", "./drawn", "--frames", "clip.mp4", "--precision", "fp16", cwd=place)
    assert verified.returncode == 0
    assert f"{Path(path).name}: not run: " in verified.stdout


def test_help_names_every_command(place: Path) -> None:
    said = engines("--help", cwd=place)
    assert said.returncode == 0
    for command in ("quantize", "verify", "build", "adopt", "list", "inspect"):
        assert f"• {command} " in said.stdout


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ("build", "./drawn", "--size", "256x448"),
            "--size is no option of build any more: sizes are width x height now; type: --network 448x256, "
            "or --for with the size of your frames",
        ),
        (
            ("build", "./drawn", "--size=32x48"),
            "--size is no option of build any more: sizes are width x height now; type: --network 48x32, "
            "or --for with the size of your frames",
        ),
        (
            ("build", "./drawn", "--batch", "4"),
            "--batch is no option of build any more: every engine takes one image at a time; leave it away",
        ),
        (
            ("quantize", "./drawn", "--frames", "clip.mp4", "--held-back", "clip.mp4"),
            "--held-back is no option of quantize any more: type: --held-out",
        ),
        (
            ("build",),
            "one style is needed, or all; type: videobrush-engines build STYLE, or --all-styles",
        ),
        (
            ("build", "./drawn", "--all-styles"),
            "one style is needed, or all; type: videobrush-engines build STYLE, or --all-styles",
        ),
        (("build", "./drawn", "--workspace", "0"), "--workspace is 0, at least 1 is needed"),
    ],
)
def test_options_that_are_gone_or_contradict_are_one_line(
    place: Path, typed: tuple[str, ...], said: str
) -> None:
    found = engines(*typed, cwd=place)
    assert (found.returncode, found.stdout, found.stderr) == (1, "", f"error: {said}\n")
