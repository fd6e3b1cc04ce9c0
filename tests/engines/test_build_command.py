"""Which styles and sizes `videobrush-engines build` builds."""

from __future__ import annotations

import pytest

from engines.cli import Build, _network_sizes, _styles_to_build
from rt.errors import VideobrushError
from rt.fit import style_size
from rt.styles import find_style, list_styles


def test_every_frame_size_finds_its_engine_and_sizes_of_one_aspect_share_one() -> None:
    card = find_style("winter").card
    frames = "1280x720,640x480,1920x1080,480x640"
    found = _network_sizes(Build("winter", frames=frames), card)
    assert found == [style_size(card, 720, 1280), style_size(card, 480, 640), style_size(card, 640, 480)]


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (640, 480), (1600, 1200)])
def test_cameras_of_16_to_9_and_4_to_3_find_an_engine_of_the_default(width: int, height: int) -> None:
    for listed in list_styles():
        assert listed.style is not None
        card = listed.style.card
        built = _network_sizes(Build(listed.name), card)
        assert style_size(card, height, width) in built
        assert len(built) == (1 if card.fixed_size else 2)


def test_sizes_of_networks_are_width_by_height() -> None:
    card = find_style("winter").card
    assert _network_sizes(Build("winter", network="448x256, 256×256"), card) == [(256, 448), (256, 256)]
    for wrong in ("", "448", "448x", "x256", "0x256", "448x256,", "axb"):
        with pytest.raises(
            VideobrushError, match="^--network .*is no list of widths and heights; type for exa"
        ):
            _network_sizes(Build("winter", network=wrong), card)


def test_all_styles_are_those_that_have_the_precision(caplog: pytest.LogCaptureFixture) -> None:
    everything = {listed.name for listed in list_styles()}
    assert {style.name for style in _styles_to_build(Build(all_styles=True))} == everything
    lacking = {
        listed.name for listed in list_styles() if listed.style and "int8" not in listed.style.card.models
    }
    with caplog.at_level("WARNING", logger="rt"):
        found = {style.name for style in _styles_to_build(Build(all_styles=True, precision="int8"))}
    assert found == everything - lacking
    assert caplog.text.count("passed over: ") == len(lacking)
