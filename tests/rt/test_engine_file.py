"""An engine on disk is the one that was built, or refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engines.store import (
    prepare_folder,
    read_timing_cache,
    timing_cache_path,
    write_engine,
    write_timing_cache,
)
from rt.card import Card, Model
from rt.engine_file import (
    EngineKey,
    build_command,
    engine_path,
    engines_folder,
    facts_path,
    find_plans,
    read_engine,
    source_model,
)
from rt.errors import EngineError

PLAN = bytes(range(256)) * 40
KEY = EngineKey(
    style="winter",
    onnx_sha256="ab" * 32,
    precision="int8",
    height=256,
    width=448,
    runtime="tensorrt",
    runtime_version="10.13.3.9",
    compute_capability="sm87",
    device="Orin",
)
COMMAND = "videobrush-engines build winter --precision int8 --network 448x256 --runtime tensorrt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "engines"


@pytest.fixture
def path(folder: Path) -> Path:
    """Return the path of an engine just written."""
    return write_engine(KEY, PLAN, "model.int8.onnx", 12.345, {"int8": 17, "half": 3}, folder)


def refused(folder: Path, key: EngineKey = KEY) -> str:
    with pytest.raises(EngineError) as error:
        read_engine(key, folder)
    assert str(error.value).endswith(f"; type: {build_command(key)}")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_engine_read_is_the_engine_written(folder: Path, path: Path) -> None:
    engine = read_engine(KEY, folder)
    assert engine.plan == PLAN
    assert engine.facts.key == KEY
    assert (engine.facts.plan_bytes, engine.facts.build_s) == (10240, 12.35)
    assert engine.facts.source == "model.int8.onnx"
    assert engine.facts.precisions == {"int8": 17, "half": 3}
    assert engine.facts.built.endswith("+00:00")
    assert sorted(entry.name for entry in folder.iterdir()) == [path.name, f"{path.name}.json"]


def test_the_name_says_what_it_is_and_ends_in_a_digest_of_everything(path: Path) -> None:
    digest = KEY.digest()
    assert path.name == f"winter-int8-448x256-tensorrt-10.13.3.9-sm87-{digest}.engine"
    assert len(digest) == 12


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("style", "zebra"), ("onnx_sha256", "cd" * 32), ("precision", "fp16"), ("height", 264),
        ("width", 456), ("runtime", "tensorrt-rtx"), ("runtime_version", "10.3.0"),
        ("compute_capability", "sm89"), ("device", "Thor"), ("flags", ("strongly-typed", "sparse")),
    ],
)  # fmt: skip
def test_an_engine_of_another_key_is_never_taken(folder: Path, path: Path, field: str, value: object) -> None:
    key = replace(KEY, **{field: value})  # type: ignore[arg-type]
    assert engine_path(key, folder) != path
    said = refused(folder, key)
    assert said.startswith(f"there is no engine for {key}")
    nearest = f"the nearest in {folder} has {field} {getattr(KEY, field)} instead of {value}"
    assert (nearest in said) == (field != "style")


def test_where_nothing_was_built_the_command_is_said(folder: Path) -> None:
    assert refused(folder) == (
        "there is no engine for style winter, int8, 448x256, tensorrt 10.13.3.9, sm87 (Orin) "
        f"in {folder}; type: {COMMAND}"
    )


def test_the_command_names_the_target_of_an_engine_built_ahead(folder: Path) -> None:
    key = replace(KEY, runtime="tensorrt-rtx", device="any", compute_capability="sm120")
    assert build_command(key) == (
        "videobrush-engines build winter --precision int8 --network 448x256 --runtime tensorrt-rtx "
        "--target sm120"
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(PLAN[:-1]), "is damaged: 10239 bytes found, its facts say 10240"),
        (
            lambda path: path.write_bytes(PLAN[:-1] + b"?"),
            "is damaged: its SHA-256 is not the one of its facts",
        ),
        (lambda path: facts_path(path).unlink(), "has no facts: "),
        (lambda path: facts_path(path).write_text("{"), "is damaged: not JSON ("),
        (lambda path: facts_path(path).write_text("[1]"), "is damaged: no facts of version 2"),
        (lambda path: path.chmod(0o666), "is refused: others may write it; chmod 700 "),
        (lambda path: path.parent.chmod(0o777), "is refused: others may write it; chmod 700 "),
        (lambda path: (path.unlink(), path.mkdir()), "there is no engine for "),
    ],
    ids=["cut off", "changed", "no facts", "no JSON", "no object", "open file", "open folder", "a folder"],
)
def test_a_damaged_engine_is_refused_with_the_reason_and_the_command(
    folder: Path, path: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(path)
    assert said in refused(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 3}, "no facts of version 2"),
        ({"version": 1}, "it is of an earlier videobrush: build the engine again"),
        ({"plan_bytes": "10240"}, "plan_bytes is str, not int"),
        ({"precisions": None}, "precisions is NoneType, not dict"),
        ({"colour": 1}, "facts has not exactly the fields it needs: colour"),
        ({"key": {}}, "key has not exactly the fields it needs: compute_capability, "),
        ({"key": None}, "is damaged: "),
    ],
)
def test_facts_that_are_none_are_refused(
    folder: Path, path: Path, change: dict[str, object], said: str
) -> None:
    facts = json.loads(facts_path(path).read_text(encoding="utf-8"))
    facts_path(path).write_text(json.dumps(facts | change))
    assert said in refused(folder)


def test_an_engine_renamed_to_another_key_is_refused_by_its_facts(folder: Path, path: Path) -> None:
    other = replace(KEY, device="Thor")
    path.rename(engine_path(other, folder))
    facts_path(path).rename(facts_path(engine_path(other, folder)))
    assert "its facts say device Orin instead of Thor" in refused(folder, other)


def test_a_second_engine_of_the_same_key_replaces_the_first(folder: Path, path: Path) -> None:
    write_engine(KEY, b"new", "model.int8.onnx", 1, {}, folder)
    assert read_engine(KEY, folder).plan == b"new"
    assert find_plans(folder) == [path]


def test_a_failed_write_leaves_no_engine_that_could_be_taken(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(EngineError, match="cannot be written: No space left on device$"):
        write_engine(KEY, b"new", "model.int8.onnx", 1, {}, folder)
    assert not list(folder.glob("*.part"))
    assert "has no facts" in refused(folder)


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_engines_are_for_their_owner_alone(folder: Path, path: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(facts_path(path).stat().st_mode) == 0o600
    folder.chmod(0o770)
    with pytest.raises(EngineError, match=rf"is refused: others may write it.*type: chmod 700 {folder}$"):
        prepare_folder(folder)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be made: "):
        prepare_folder(tmp_path / "file" / "engines")


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIDEOBRUSH_ENGINES", str(tmp_path / "mine"))
    assert engines_folder() == tmp_path / "mine"
    monkeypatch.delenv("VIDEOBRUSH_ENGINES")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engines_folder() == tmp_path / "videobrush" / "engines"
    assert find_plans() == []


def test_a_timing_cache_is_kept_for_the_machine_and_the_runtime(folder: Path) -> None:
    path = timing_cache_path(KEY, folder)
    assert read_timing_cache(path) == b""
    write_timing_cache(path, b"timings")
    assert read_timing_cache(path) == b"timings"
    assert timing_cache_path(replace(KEY, width=512, precision="fp16"), folder) == path
    assert timing_cache_path(replace(KEY, device="Thor"), folder) != path
    assert find_plans(folder) == []


def test_the_source_of_an_engine_is_the_model_of_its_precision_and_fp16_may_come_from_fp32() -> None:
    fp32, int8 = Model("model.onnx", "a", 1), Model("model.int8.onnx", "b", 1)
    card = Card("winter", "", 8, 16, 160, {"fp32": fp32, "int8": int8}, "cyclegan")
    assert source_model(card, "fp16") == source_model(card, "fp32") == fp32
    assert source_model(card, "int8") == int8
    with pytest.raises(EngineError) as error:
        source_model(replace(card, models={"fp32": fp32}), "int8")
    assert str(error.value) == (
        "style winter has no int8 model for an engine; it has: fp32; "
        "type: videobrush-engines quantize winter --frames CLIP"
    )
