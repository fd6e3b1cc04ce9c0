from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from rt.backends.identity import IdentityBackend
from rt.fit import apply_residual, shrink
from rt.frame import Frame, Rgb
from rt.media import MATRIX_240M, MATRIX_601, MATRIX_709, MATRIX_2020, MATRIX_FCC, RANGE_FULL, RANGE_LIMITED
from rt.planes import Converter, Planes
from rt.sinks import SinkOptions, open_sink
from rt.sources import open_source
from rt.translator import Translator
from tests.support.media import Clip, write_clip
from tests.support.onnx_styles import drawn_image

SIZE = (48, 64)
SMALL = (16, 32)
MATRICES = (MATRIX_709, MATRIX_FCC, MATRIX_601, MATRIX_240M, MATRIX_2020)


def stored(rgb: Rgb, matrix: int = MATRIX_601, pixels: str = "yuv420p", range_: int = 1) -> av.VideoFrame:
    """Return an image as a decoder would give it."""
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    frame.colorspace = matrix
    made = frame.reformat(format=pixels, dst_color_range=range_)
    made.color_range = range_
    return made


def planes(rgb: Rgb, matrix: int = MATRIX_601) -> Planes:
    return Planes(stored(rgb, matrix), matrix, Converter())


def soft(seed: int = 0) -> Rgb:
    """Return an image without hard edges, far from black and white: 4:2:0 keeps it."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    waves = [np.sin((x * (1 + c) + y * (3 - c) + 9 * seed) / 20) for c in range(3)]
    return np.asarray(128 + 50 * np.stack(waves, axis=-1), np.uint8)


def levels(found: Rgb, wanted: Rgb) -> npt.NDArray[np.int16]:
    return np.abs(np.subtract(found, wanted, dtype=np.int16))


def test_a_shrunk_image_is_that_of_its_rgb_within_a_few_levels() -> None:
    image = planes(soft())
    found = image.shrink(SMALL)
    assert found.dtype == np.uint8
    assert found.shape == (*SMALL, 3)
    difference = levels(found, shrink(image.rgb, SMALL))
    assert difference.max() <= 4
    assert difference.mean() < 0.5


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_residual_applied_to_the_planes_is_the_one_applied_to_the_rgb(matrix: int) -> None:
    image = planes(soft(), matrix)
    small = image.shrink(SMALL)
    changed = small + np.array([40, -30, 20]).astype(np.uint8)
    for strength in (0.3, 1.0):
        found = image.with_residual(small, changed, strength)
        difference = levels(found.rgb, apply_residual(image.rgb, small, changed, strength, "keep"))
        assert difference.max() <= 3
        assert difference.mean() < 1
        assert found.matrix == matrix


def test_a_change_neither_writes_to_its_image_nor_to_an_earlier_result() -> None:
    image = planes(soft())
    before, small = image.rgb.copy(), image.shrink(SMALL)
    first = image.with_residual(small, small + np.uint8(20), 1.0)
    kept = first.encodable().to_ndarray().copy()
    second = image.with_residual(small, small - np.uint8(20), 1.0)
    assert np.array_equal(first.encodable().to_ndarray(), kept)
    assert not np.array_equal(second.encodable().to_ndarray(), kept)
    assert np.array_equal(Planes(image._frame, MATRIX_601, Converter()).rgb, before)


def test_without_strength_the_image_stays_itself() -> None:
    image = planes(soft())
    assert image.with_residual(soft()[:16, :32], soft(1)[:16, :32], 0.0) is image


def test_sums_saturate_instead_of_turning_over() -> None:
    white, black = (planes(np.full((*SIZE, 3), level, np.uint8)) for level in (250, 5))
    small = np.full((*SMALL, 3), 128, np.uint8)
    assert white.with_residual(small, small + np.uint8(100), 1.0).rgb.min() >= 250
    assert black.with_residual(small, small - np.uint8(100), 1.0).rgb.max() <= 5


def test_every_encoder_gets_a_frame_of_its_own() -> None:
    decoded = planes(soft())
    for image in (decoded, decoded.with_residual(soft()[:16, :32], soft(1)[:16, :32], 1.0)):
        one, other = image.encodable(), image.encodable()
        one.pts, other.pts = 1, 2
        assert (one.pts, other.pts) == (1, 2)
        assert np.array_equal(one.to_ndarray(), other.to_ndarray())
        assert np.array_equal(one.to_ndarray(), image._frame.to_ndarray())


@pytest.mark.parametrize(
    ("height", "width", "pixels", "range_", "held"),
    [
        (48, 64, "yuv420p", RANGE_LIMITED, True),
        (48, 64, "yuv420p", 0, True),
        (48, 64, "yuv420p", RANGE_FULL, False),
        (48, 64, "yuv444p", RANGE_LIMITED, False),
        (48, 64, "yuv420p10le", RANGE_LIMITED, False),
        (47, 64, "yuv420p", RANGE_LIMITED, False),
        (48, 63, "yuv420p", RANGE_LIMITED, False),
    ],
)
def test_only_even_limited_range_8_bit_420_is_held(
    height: int, width: int, pixels: str, range_: int, held: bool
) -> None:
    assert Planes.can_hold(stored(drawn_image(height, width), pixels=pixels, range_=range_)) == held


def quarter_turned(folder: Path) -> Path:
    turn = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    return write_clip(folder / "turned.mp4", Clip(matrix=turn))


def test_a_file_gives_planes_where_it_can_and_rgb_where_it_must(tmp_path: Path) -> None:
    plain = list(open_source(str(write_clip(tmp_path / "plain.mp4", Clip()))))
    turned = list(open_source(str(quarter_turned(tmp_path))))
    assert all(isinstance(frame.image, Planes) for frame in plain)
    assert all(isinstance(frame.image, np.ndarray) for frame in turned)
    assert plain[0].size == plain[0].rgb.shape[:2]
    assert turned[0].size == turned[0].rgb.shape[:2] == plain[0].size[::-1]


def test_what_is_not_changed_is_encoded_byte_for_byte(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", Clip(frames=5))
    source = open_source(str(clip))
    sink = open_sink(str(tmp_path / "out.mp4"), source.info, SinkOptions(encoder="x264", crf=0))
    for frame in Translator(IdentityBackend((16, 16))).translate_all(source):
        sink.write(frame)
    sink.close()
    source.close()
    assert list(decoded(tmp_path / "out.mp4")) == list(decoded(clip))


def decoded(path: Path) -> Iterator[bytes]:
    with av.open(str(path)) as container:
        for image in container.decode(video=0):
            yield image.to_ndarray().tobytes()


def test_a_frame_of_planes_knows_its_origin_and_converts_when_asked() -> None:
    origin = Frame(planes(soft()), 0, Fraction(1, 25), 0)
    translated = Frame(planes(soft(1)), 0, Fraction(1, 25), 0, origin=origin)
    assert translated.before is origin.rgb
    assert translated.size == SIZE
    assert origin.before is None
