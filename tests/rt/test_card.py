from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rt.card import Card, Model, check_model, describe_model, file_sha256, read_card, write_card
from rt.errors import StyleError

MODEL = b"the bytes of a network" * 100
SHA256 = hashlib.sha256(MODEL).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "winter"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(MODEL)
    return folder


def card(folder: Path) -> Card:
    return Card(
        name="winter",
        title="Sommer → Winter",
        multiple=4,
        minimum_px=32,
        size_px=256,
        models={"fp32": describe_model(folder / "model.onnx")},
        recipe="cyclegan",
        network={"parameters": 1234},
        faults=("Skies turn white.", "Grass flickers."),
    )


def damaged(folder: Path, **changes: Any) -> StyleError:
    """Write a good card with some fields changed (None takes the field away) and return the error."""
    write_card(card(folder), folder)
    path = folder / "card.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in facts.items() if value is not None}))
    with pytest.raises(StyleError) as error:
        read_card(folder)
    assert str(error.value).startswith(f"card {path} is damaged: ")
    assert str(error.value).endswith("; install the style again")
    return error.value


def test_a_card_read_is_the_card_written(folder: Path) -> None:
    write_card(card(folder), folder)
    assert read_card(folder) == card(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.onnx"]


def test_a_card_of_0_1_is_read_under_todays_names(folder: Path) -> None:
    figure = {"translated": 0.8, "floor": 1.0, "ceiling": 0.0}
    old = {
        "data": {"name": "photos", "pictures": {"trainA": 6}},
        "metrics": {
            "called_target": figure,
            "pictures": {"translated": 6},
            "teacher_itself": {"called_target": figure},
            "int8": {"held_back": ["a.mp4"]},
        },
        "view": "picture",
    }
    write_card(card(folder), folder)
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | old))
    read = read_card(folder)
    assert read.data == {"name": "photos", "images": {"trainA": 6}}
    assert read.metrics == {
        "classified_as_target": figure,
        "images": {"translated": 6},
        "teacher_itself": {"classified_as_target": figure},
        "int8": {"held_out": ["a.mp4"]},
    }
    assert read.view == "image"


def test_a_card_that_does_not_say_what_it_expects_is_for_photos(folder: Path) -> None:
    write_card(replace(card(folder), expects="label map"), folder)
    assert read_card(folder).expects == "label map"
    path = folder / "card.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    del facts["expects"]
    path.write_text(json.dumps(facts))
    assert read_card(folder).expects == "photo"


def test_a_card_is_readable_json_with_its_letters_as_written(folder: Path) -> None:
    write_card(card(folder), folder)
    text = (folder / "card.json").read_text(encoding="utf-8")
    assert '"title": "Sommer → Winter"' in text
    assert text.endswith("}\n")


def test_a_card_replaces_the_one_before(folder: Path) -> None:
    (folder / "card.json").write_text("old")
    write_card(card(folder), folder)
    assert read_card(folder).name == "winter"


def test_a_model_is_described_by_its_checksum_and_length(folder: Path) -> None:
    found = describe_model(folder / "model.onnx")
    assert found == Model(file="model.onnx", sha256=SHA256, size_bytes=2200)
    assert file_sha256(folder / "model.onnx") == SHA256


def test_a_whole_model_is_given_by_its_path(folder: Path) -> None:
    model = describe_model(folder / "model.onnx")
    assert check_model(folder, model) == folder / "model.onnx"


def test_a_missing_model_is_reported(folder: Path) -> None:
    model = describe_model(folder / "model.onnx")
    (folder / "model.onnx").unlink()
    with pytest.raises(StyleError, match=r"^style winter is incomplete: .*model\.onnx is missing; install"):
        check_model(folder, model)


def test_a_truncated_model_is_reported_with_both_lengths(folder: Path) -> None:
    model = describe_model(folder / "model.onnx")
    (folder / "model.onnx").write_bytes(MODEL[:999])
    with pytest.raises(StyleError, match="damaged: 999 bytes found, the card says 2200; install"):
        check_model(folder, model)


def test_one_flipped_bit_in_a_model_is_reported(folder: Path) -> None:
    model = describe_model(folder / "model.onnx")
    (folder / "model.onnx").write_bytes(MODEL[:-1] + bytes([MODEL[-1] ^ 1]))
    with pytest.raises(StyleError, match="damaged: its SHA-256 is not the card's; install"):
        check_model(folder, model)


def test_a_model_that_may_not_be_read_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("rt.card.file_sha256", refuse)
    with pytest.raises(StyleError, match=r"model\.onnx cannot be read: Permission denied$"):
        check_model(folder, Model("model.onnx", SHA256, 2200))


def test_a_folder_without_a_card_is_not_a_style(tmp_path: Path) -> None:
    with pytest.raises(StyleError) as error:
        read_card(tmp_path)
    assert str(error.value) == f"{tmp_path} is not a style: it has no card.json"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"not json", b'{"name": "winter",}', b"[" * 100_000, b'{"size_px": ' + b"9" * 5000 + b"}"],
    ids=["empty", "open", "text", "comma", "deep", "huge"],
)
def test_a_card_that_is_not_json_is_reported(folder: Path, content: bytes) -> None:
    (folder / "card.json").write_bytes(content)
    with pytest.raises(StyleError, match=r"card\.json is damaged: not JSON .*; install the style again$"):
        read_card(folder)


def test_a_card_that_is_not_text_is_reported(folder: Path) -> None:
    (folder / "card.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StyleError, match=r"^card .*card\.json cannot be read: "):
        read_card(folder)


def test_a_card_that_is_a_folder_is_reported(folder: Path) -> None:
    (folder / "card.json").mkdir()
    with pytest.raises(StyleError, match=r"^card .*card\.json cannot be read: "):
        read_card(folder)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"winter"'])
def test_a_card_that_is_no_object_is_reported(folder: Path, content: str) -> None:
    (folder / "card.json").write_text(content)
    with pytest.raises(StyleError, match=r"is damaged: the top level is not an object"):
        read_card(folder)


@pytest.mark.parametrize("name", ["name", "title", "multiple", "minimum_px", "size_px", "models", "recipe"])
def test_a_missing_field_is_named(folder: Path, name: str) -> None:
    assert f"field {name!r} is missing" in str(damaged(folder, **{name: None}))


def test_a_card_of_another_version_is_refused_with_both_versions(folder: Path) -> None:
    assert "version 2 found, this program reads version 1" in str(damaged(folder, version=2))
    assert "version None found" in str(damaged(folder, version=None))


def test_an_unknown_field_is_named(folder: Path) -> None:
    assert "unknown field 'colour'" in str(damaged(folder, colour="white"))


@pytest.mark.parametrize("name", ["Winter", "", "../winter", "winter/2", "1winter", "w" * 41, "win ter"])
def test_a_name_that_cannot_be_typed_or_is_a_path_is_refused(folder: Path, name: str) -> None:
    assert f"name {name!r} is not lower-case letters" in str(damaged(folder, name=name))


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("multiple", 0, "multiple is 0, not within 1..8192"),
        ("minimum_px", -1, "minimum_px is -1, not within 1..8192"),
        ("size_px", 8193, "size_px is 8193, not within 1..8192"),
        ("multiple", "4", "multiple is str, not int"),
        ("multiple", True, "multiple is bool, not int"),
        ("multiple", 4.0, "multiple is float, not int"),
        ("size_px", 31, "size_px is 31, below minimum_px 32"),
        ("title", 7, "title is int, not str"),
        ("network", [], "network is list, not dict"),
        ("metrics", "good", "metrics is str, not dict"),
        ("models", {}, "models is empty"),
        ("models", [], "models is list, not dict"),
        ("faults", "one", "faults is not a list of sentences"),
        ("faults", [1], "faults is not a list of sentences"),
        ("expects", "cats", "expects is 'cats', not one of photo, gray photo, label map"),
        ("expects", ["photo"], "expects is ['photo'], not one of photo"),
    ],
)
def test_a_field_of_the_wrong_kind_or_range_is_named_with_what_was_found(
    folder: Path, field: str, value: object, found: str
) -> None:
    assert found in str(damaged(folder, **{field: value}))


@pytest.mark.parametrize(
    ("models", "found"),
    [
        ({"fp64": {}}, "unknown precision 'fp64'"),
        ({"fp32": {"file": "model.onnx"}}, "models.fp32 needs exactly file, sha256 and size_bytes"),
        ({"fp32": "model.onnx"}, "models.fp32 needs exactly file, sha256 and size_bytes"),
        ({"fp32": {"file": 3, "sha256": "", "size_bytes": 1}}, "models.fp32.file is int, not str"),
        ({"fp32": {"file": "m.onnx", "sha256": "", "size_bytes": "1"}}, "size_bytes is str, not int"),
    ],
)
def test_a_models_entry_that_is_not_whole_is_named(folder: Path, models: object, found: str) -> None:
    assert found in str(damaged(folder, models=models))


@pytest.mark.parametrize("file", ["../model.onnx", "/etc/model.onnx", "sub/model.onnx", "model.pkl", ".."])
def test_a_model_outside_the_folder_or_of_another_kind_is_refused(folder: Path, file: str) -> None:
    models = {"fp32": {"file": file, "sha256": SHA256, "size_bytes": 2200}}
    assert "is not the plain name of an .onnx file" in str(damaged(folder, models=models))
