from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rt import styles
from rt.errors import StyleError
from rt.styles import find_style, list_styles, styles_folder
from tests.support.onnx_styles import make_style


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOBRUSH_STYLES", str(tmp_path / "own"))
    monkeypatch.setattr(styles, "GALLERY", tmp_path / "gallery")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "own"


@pytest.fixture
def gallery(own: Path) -> Path:
    return own.parent / "gallery"


def test_a_style_is_found_by_name_among_the_bundled_ones(gallery: Path) -> None:
    make_style(gallery, "winter")
    style = find_style("winter")
    assert (style.name, style.folder) == ("winter", gallery / "winter")
    assert style.model() == gallery / "winter" / "model.onnx"


def test_the_users_own_style_comes_before_a_bundled_one(own: Path, gallery: Path) -> None:
    make_style(own, "winter")
    make_style(gallery, "winter")
    assert find_style("winter").folder == own / "winter"
    assert [listed.folder for listed in list_styles()] == [own / "winter"]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_style_is_found_by_its_folder_whatever_the_folder_is_called(own: Path, kind: type) -> None:
    folder = make_style(own.parent / "run", "winter").rename(own.parent / "run" / "Other Name")
    assert find_style(kind(folder)).name == "winter"


def test_a_style_is_found_by_a_path_in_the_current_folder(own: Path) -> None:
    make_style(Path.cwd(), "mine")
    assert find_style("mine").folder == Path("mine")
    assert find_style("./mine").name == "mine"


def test_a_home_folder_is_expanded(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_style(own.parent, "mine")
    monkeypatch.setenv("HOME" if sys.platform != "win32" else "USERPROFILE", str(own.parent))
    assert find_style("~/mine").folder == own.parent / "mine"


def test_an_unknown_style_is_offered_the_nearest_name(own: Path, gallery: Path) -> None:
    make_style(gallery, "winter")
    make_style(own, "monet")
    with pytest.raises(StyleError) as error:
        find_style("wnter")
    assert str(error.value) == (
        "no style 'wnter'; did you mean 'winter'?; known: monet, winter; type: videobrush styles"
    )


@pytest.mark.parametrize("name", ["", "winter", "card.json", "model:onnx"])
def test_a_name_that_is_no_style_is_an_error(own: Path, name: str) -> None:
    own.mkdir()
    with pytest.raises(StyleError, match=f"^no style '{name}'; none is installed in "):
        find_style(name)


def test_no_name_is_not_the_style_in_the_current_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_style(own.parent, "here"))
    with pytest.raises(StyleError, match="^no style ''"):
        find_style("")
    assert find_style(".").name == "here"


@pytest.mark.parametrize("name", ["..", ".", "../own", "gallery/../.."])
def test_what_looks_like_a_path_is_never_searched_for_among_the_styles(own: Path, name: str) -> None:
    make_style(own, "gallery")
    with pytest.raises(StyleError, match=r" is not a style: .*; a style is a folder with a card\.json$"):
        find_style(name)


def test_a_path_that_is_no_style_says_what_is_there(own: Path) -> None:
    (own.parent / "file").write_text("x")
    with pytest.raises(StyleError, match=r"elsewhere is not a style: it has no card\.json"):
        find_style(Path.cwd())
    with pytest.raises(StyleError, match=r"nowhere is not a style: it does not exist"):
        find_style("./nowhere")
    with pytest.raises(StyleError, match=r"file is not a style: it is a file"):
        find_style(f"{own.parent}/file")


@pytest.mark.parametrize("name", ["w" * 5000, "~nobody-of-this-name/style"])
def test_a_name_no_system_can_look_for_is_one_line(own: Path, name: str) -> None:
    with pytest.raises(StyleError, match="^style '.*' cannot be looked for: .*; type: videobrush styles$"):
        find_style(name)


def test_a_damaged_style_is_reported_and_not_hidden_by_a_bundled_one(own: Path, gallery: Path) -> None:
    make_style(gallery, "winter")
    (make_style(own, "winter") / "card.json").write_text("{")
    with pytest.raises(StyleError, match="is damaged: not JSON"):
        find_style("winter")


def test_a_style_in_a_folder_of_another_name_is_reported(own: Path) -> None:
    make_style(own, "winter").rename(own / "summer")
    with pytest.raises(StyleError, match="its card says 'winter'; rename the folder to winter$"):
        find_style("summer")


def test_all_styles_are_listed_and_damaged_ones_say_why(own: Path, gallery: Path) -> None:
    make_style(gallery, "winter")
    (make_style(own, "cut") / "model.onnx").write_bytes(b"short")
    (make_style(own, "gone") / "model.onnx").unlink()
    (own / "empty").mkdir()
    (own / ".hidden").mkdir()
    (own / "notes.txt").write_text("not a style")
    found = {listed.name: listed for listed in list_styles()}
    assert list(found) == ["cut", "empty", "gone", "winter"]
    assert found["winter"].fault is None
    assert found["winter"].style is not None
    assert [found[name].style for name in ("cut", "empty", "gone")] == [None, None, None]
    assert "is damaged: 5 bytes found" in str(found["cut"].fault)
    assert "has no card.json" in str(found["empty"].fault)
    assert "is missing; install the style again" in str(found["gone"].fault)


def test_a_styles_folder_that_is_a_file_is_an_error_that_names_it(own: Path) -> None:
    own.write_text("a file")
    with pytest.raises(StyleError) as error:
        list_styles()
    assert str(error.value) == (
        f"the folder of styles {own} cannot be read: Not a directory; "
        "mend it, or set VIDEOBRUSH_STYLES to another folder"
    )


def test_without_any_style_the_list_is_empty(own: Path) -> None:
    assert list_styles() == []


def test_a_model_is_compared_with_its_card_before_it_is_given(own: Path) -> None:
    folder = make_style(own, "winter")
    style = find_style("winter")
    content = bytearray((folder / "model.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(
        StyleError, match="is damaged: its SHA-256 is not the card's; install the style again$"
    ):
        style.model()


def test_a_precision_the_style_does_not_have_is_an_error_naming_those_it_has(own: Path) -> None:
    make_style(own, "winter")
    with pytest.raises(StyleError, match=r"^style winter has no int8 model; it has: fp32$"):
        find_style("winter").model("int8")


def test_the_users_folder_is_the_platforms_place_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDEOBRUSH_STYLES", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    end = Path("videobrush") / "styles"
    monkeypatch.setattr(sys, "platform", "linux")
    assert styles_folder() == Path("/home/me/.local/share") / end
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert styles_folder() == Path("/data") / end
    monkeypatch.setattr(sys, "platform", "darwin")
    assert styles_folder() == Path("/home/me/Library/Application Support") / end
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert styles_folder() == Path("/local") / end
    monkeypatch.setenv("VIDEOBRUSH_STYLES", "/mine")
    assert styles_folder() == Path("/mine")


def test_the_card_of_a_found_style_is_the_one_in_its_folder(own: Path) -> None:
    folder = make_style(own, "winter")
    facts = json.loads((folder / "card.json").read_text())
    card = find_style("winter").card
    assert (card.multiple, card.minimum_px, card.size_px) == (
        facts["multiple"],
        facts["minimum_px"],
        facts["size_px"],
    )
