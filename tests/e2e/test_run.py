from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from rt.demo import CLIP
from rt.media import rational
from rt.styles import list_styles
from rt.terminal import ENDINGS
from tests.conftest import Screen
from tests.support.cli import LIMIT_S, loaded, start, videobrush, wait_until_it_writes

GOLDEN = Path(__file__).parents[1] / "golden"
ERRORS = json.loads((GOLDEN / "errors.json").read_text(encoding="utf-8"))
ON_UNIX = sys.platform != "win32"


@dataclass(frozen=True)
class Track:
    """What a file holds of one stream: exact times in seconds, and content."""

    times: list[Fraction]
    payloads: list[bytes]


def video_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [
            Fraction(frame.pts or 0) * (rational(frame.time_base) or 0) for frame in container.decode(video=0)
        ]


def audio_of(path: Path) -> Track:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        times = [Fraction(packet.pts or 0) * (rational(packet.time_base) or 0) for packet in packets]
        return Track(times, [bytes(packet) for packet in packets])


def image_at(path: Path, index: int) -> npt.NDArray[np.int16]:
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == index:
                return np.asarray(frame.to_ndarray(format="rgb24"), np.int16)
    raise AssertionError(f"{path} has no frame {index}")


@pytest.mark.slow
def test_every_frame_keeps_its_time_and_the_audio_its_bytes(style: Path, tmp_path: Path) -> None:
    said = videobrush("run", CLIP, "out.mp4", "--style", "drawn", cwd=tmp_path)
    assert said.returncode == 0
    assert re.fullmatch(r"144 frames, \d+\.\d fps, out\.mp4\n", said.stdout)
    assert re.fullmatch(
        r"style drawn: openvino on CPU \(.+, \d+ threads?\), (fp32|bf16), "
        r"network image 56x32 for frames of 640x360 "
        r"\(auto: first choice on a CPU; fp32: there is no int8(; .+ AMX.+)?\)\n"
        r"out\.mp4: H\.264 by \w+, crf \d+, preset \w+\n",
        said.stderr,
    )
    out = tmp_path / "out.mp4"
    assert video_times(out) == video_times(CLIP)
    assert audio_of(out) == audio_of(CLIP)
    assert np.abs(image_at(out, 45) - image_at(CLIP, 45)).mean() > 10
    assert sorted(tmp_path.iterdir()) == [out]


@pytest.mark.slow
def test_identity_and_no_strength_leave_the_image_alone(style: Path, tmp_path: Path) -> None:
    for name, options in {"identity": ["--backend", "identity"], "weak": ["--strength", "0"]}.items():
        said = videobrush("run", CLIP, f"{name}.mkv", "--style", "drawn", *options, cwd=tmp_path)
        assert said.returncode == 0, said.stderr
        difference = np.abs(image_at(tmp_path / f"{name}.mkv", 45) - image_at(CLIP, 45))
        assert difference.mean() < 3


@pytest.mark.slow
def test_compare_writes_before_and_after_side_by_side(style: Path, tmp_path: Path) -> None:
    said = videobrush("run", CLIP, "both.mp4", "--style", "drawn", "--compare", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    both, before = image_at(tmp_path / "both.mp4", 45), image_at(CLIP, 45)
    assert both.shape == (360, 1280, 3)
    assert np.abs(both[:, :640] - before).mean() < 3
    assert np.abs(both[:, 640:] - before).mean() > 10


def test_overwrite_replaces_an_existing_result(style: Path, short_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("something else")
    said = videobrush("run", short_clip, out, "--style", "drawn", "--overwrite", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert len(video_times(out)) == 40


def missing(folder: Path, style: Path) -> tuple[str, ...]:
    return "missing.mp4", "out.mp4", "--style", "drawn"


def empty(folder: Path, style: Path) -> tuple[str, ...]:
    (folder / "in.mp4").write_bytes(b"")
    return "in.mp4", "out.mp4", "--style", "drawn"


def text(folder: Path, style: Path) -> tuple[str, ...]:
    (folder / "in.mp4").write_text("Dear diary, today I made a video.\n" * 40)
    return "in.mp4", "out.mp4", "--style", "drawn"


def folder_as_input(folder: Path, style: Path) -> tuple[str, ...]:
    (folder / "in.mp4").mkdir()
    return "in.mp4", "out.mp4", "--style", "drawn"


def audio_only(folder: Path, style: Path) -> tuple[str, ...]:
    return "audio.wav", "out.mp4", "--style", "drawn"


def unknown_style(folder: Path, style: Path) -> tuple[str, ...]:
    return "clip.mp4", "out.mp4", "--style", "drawm"


def style_without_card(folder: Path, style: Path) -> tuple[str, ...]:
    (style / "card.json").unlink()
    return "clip.mp4", "out.mp4", "--style", "drawn"


def damaged_card(folder: Path, style: Path) -> tuple[str, ...]:
    (style / "card.json").write_text("{")
    return "clip.mp4", "out.mp4", "--style", "drawn"


def damaged_model(folder: Path, style: Path) -> tuple[str, ...]:
    model = bytearray((style / "model.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (style / "model.onnx").write_bytes(model)
    return "clip.mp4", "out.mp4", "--style", "drawn"


def truncated_model(folder: Path, style: Path) -> tuple[str, ...]:
    (style / "model.onnx").write_bytes(b"torn")
    return "clip.mp4", "out.mp4", "--style", "drawn"


def missing_model(folder: Path, style: Path) -> tuple[str, ...]:
    (style / "model.onnx").unlink()
    return "clip.mp4", "out.mp4", "--style", "drawn"


def missing_folder(folder: Path, style: Path) -> tuple[str, ...]:
    return "clip.mp4", "nowhere/out.mp4", "--style", "drawn"


def folder_as_output(folder: Path, style: Path) -> tuple[str, ...]:
    (folder / "out.mp4").mkdir()
    return "clip.mp4", "out.mp4", "--style", "drawn"


def existing_output(folder: Path, style: Path) -> tuple[str, ...]:
    (folder / "out.mp4").write_text("precious")
    return "clip.mp4", "out.mp4", "--style", "drawn"


def unknown_suffix(folder: Path, style: Path) -> tuple[str, ...]:
    return "clip.mp4", "out.xyz", "--style", "drawn"


def output_is_input(folder: Path, style: Path) -> tuple[str, ...]:
    return "clip.mp4", "clip.mp4", "--style", "drawn", "--overwrite"


def output_is_a_symbolic_link_to_the_input(folder: Path, style: Path) -> tuple[str, ...]:
    (folder / "link.mp4").symlink_to(folder / "clip.mp4")
    return "clip.mp4", "link.mp4", "--style", "drawn", "--overwrite"


def output_is_a_hard_link_to_the_input(folder: Path, style: Path) -> tuple[str, ...]:
    (folder / "link.mp4").hardlink_to(folder / "clip.mp4")
    return "clip.mp4", "link.mp4", "--style", "drawn", "--overwrite"


def size_too_small(folder: Path, style: Path) -> tuple[str, ...]:
    return "clip.mp4", "out.mp4", "--style", "drawn", "--size", "8"


def no_output_and_no_display(folder: Path, style: Path) -> tuple[str, ...]:
    return "clip.mp4", "--style", "drawn"


CASES: tuple[Callable[[Path, Path], tuple[str, ...]], ...] = (
    *(missing, empty, text, folder_as_input, audio_only),
    *(unknown_style, style_without_card, damaged_card, damaged_model, truncated_model, missing_model),
    *(missing_folder, folder_as_output, existing_output, unknown_suffix),
    *(output_is_input, output_is_a_symbolic_link_to_the_input, output_is_a_hard_link_to_the_input),
    *(size_too_small, no_output_and_no_display),
)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_mistake_is_one_line_found_before_a_model_is_loaded_and_leaves_nothing(
    case: Callable[[Path, Path], tuple[str, ...]], style: Path, short_clip: Path, audio: Path, tmp_path: Path
) -> None:
    shutil.copy(short_clip, tmp_path / "clip.mp4")
    shutil.copy(audio, tmp_path / "audio.wav")
    arguments = case(tmp_path, style)
    before = contents(tmp_path)
    said, names = loaded("run", *arguments, cwd=tmp_path)
    known = f"known: {', '.join(listed.name for listed in list_styles())};"
    shown = said.stderr.replace(str(style), "STYLE").replace(known, "known: NAMES;")
    assert (said.returncode, said.stdout, shown) == (1, "", f"error: {ERRORS[case.__name__]}\n")
    assert names & {"openvino", "onnxruntime", "onnx", "torch"} == set()
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_every_agreed_error_text_has_its_case() -> None:
    assert sorted(ERRORS) == sorted(case.__name__ for case in CASES)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone has a folder closed to root")
def test_a_folder_without_permission_to_write_is_found_first(
    style: Path, short_clip: Path, tmp_path: Path
) -> None:
    closed = Path("/sys")  # closed to everyone; root may write into any folder of the test's own
    said, names = loaded("run", short_clip, closed / "out.mp4", "--style", "drawn", cwd=tmp_path)
    message = f"error: cannot write {closed}/out.mp4: no permission to write in the folder {closed}\n"
    assert (said.returncode, said.stderr) == (1, message)
    assert "openvino" not in names


@pytest.mark.slow
def test_a_source_that_ends_early_is_finished_and_says_how_much(
    style: Path, long_clip: Path, tmp_path: Path
) -> None:
    whole = long_clip.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 50])
    said = videobrush("run", "cut.mkv", "out.mp4", "--style", "drawn", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (1, "")
    message = said.stderr.splitlines()[-1]
    found = re.fullmatch(
        r"error: cut\.mkv ends early: read (\d+) frames, .+; (\d+) frames are written", message
    )
    assert found is not None, message
    read, written = map(int, found.groups())
    assert read == written == len(video_times(tmp_path / "out.mp4"))
    assert 10 < read < 1000


@pytest.mark.slow
@pytest.mark.skipif(not ON_UNIX, reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "word", "status"),
    [(number, word, 128 + number) for number, word in ENDINGS.items()],
    ids=[number.name for number in ENDINGS],
)
def test_a_signal_leaves_a_playable_file_of_the_frames_so_far(
    number: int, word: str, status: int, style: Path, long_clip: Path, tmp_path: Path
) -> None:
    running = start("run", long_clip, "out.mp4", "--style", "drawn", cwd=tmp_path)
    wait_until_it_writes(running, tmp_path / "out.mp4.part")
    running.send_signal(number)
    out, err = running.communicate(timeout=LIMIT_S)
    assert (running.returncode, out) == (status, "")
    found = re.fullmatch(rf"warning: {word}: (\d+) frames are written to out\.mp4", err.splitlines()[-1])
    assert found is not None, err
    frames = int(found[1])
    assert 0 < frames < 6000
    assert video_times(tmp_path / "out.mp4") == [Fraction(index, 25) for index in range(frames)]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out.mp4"]


@pytest.mark.slow
def test_no_output_shows_a_window_where_there_is_a_display(
    style: Path, short_clip: Path, screen: Screen, tmp_path: Path
) -> None:
    said = videobrush("run", short_clip, "--style", "drawn", cwd=tmp_path, DISPLAY=screen.display)
    assert said.returncode == 0, said.stderr
    assert re.fullmatch(r"40 frames, \d+\.\d fps\n", said.stdout)
    assert len(said.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
