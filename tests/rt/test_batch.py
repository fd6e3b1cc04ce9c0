from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from rt.batch.account import Account
from rt.batch.driver import Outcome, run_batch, watch_plans
from rt.batch.local import DEATHS, carry
from rt.batch.plan import FOLDER, Item, Plan, make_plan
from rt.batch.report import check_report, end_lines, plan_lines, status_lines, viewing, write_report
from rt.batch.work import Fact, LoadedBackends, work
from rt.cli import _again
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.image import read_image, write_image
from rt.log import LOG
from rt.styles import Style, find_style
from tests.support.batches import note_and_die
from tests.support.cli import environment, videobrush, wait_until_it_writes
from tests.support.media import Clip, write_clip
from tests.support.onnx_styles import drawn_image, make_style


@pytest.fixture
def style(tmp_path: Path) -> str:
    return str(make_style(tmp_path / "styles"))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder as people have them: a clip, one below, photos of two sizes, and litter."""
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    write_clip(folder / "a.mp4", Clip(frames=6))
    write_clip(folder / "below" / "b.mkv", Clip(frames=4, size=(50, 62)))
    write_image(drawn_image(31, 45), folder / "photo.jpg")
    write_image(drawn_image(64, 50, seed=1), folder / "below" / "photo.png")
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "._a.mp4").write_bytes(b"litter")
    (folder / "empty.mov").touch()
    return folder


@pytest.fixture
def asked(inputs: Path, style: str, tmp_path: Path) -> Batch:
    return Batch((str(inputs),), tmp_path / "out", (style,), backend="identity")


def run(asked: Batch, cancelled: Callable[[], bool] = lambda: False) -> Outcome:
    return run_batch(asked, make_plan(asked), cancelled, viewing, grace_s=0)


def outputs(out: Path) -> dict[str, bytes]:
    """Return the bytes of every output; of Matroska, whose header holds a random number, its packets."""
    files = [path for path in out.rglob("*") if path.is_file() and FOLDER not in path.parts]
    return {
        path.relative_to(out).as_posix(): packets(path) if path.suffix == ".mkv" else path.read_bytes()
        for path in files
    }


def packets(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return b"".join(
            b"%d:%b;" % (packet.pts or 0, bytes(packet)) for packet in container.demux() if packet.size
        )


def named(plan: Plan) -> list[str]:
    return [item.output.relative_to(plan.out).as_posix() for item in plan.items]


def test_a_plan_mirrors_folders_and_says_what_it_leaves_out(asked: Batch, inputs: Path) -> None:
    plan = make_plan(asked)
    assert named(plan) == ["a.mp4", "photo.jpg", "below/b.mkv", "below/photo.png"]
    assert [(left.source.name, left.reason) for left in plan.left_out] == [
        ("empty.mov", "it is empty"),
        ("notes.txt", "its name is that of no video or image"),
    ]
    assert list(plan_lines(plan, set()))[-1].startswith("2 videos and 2 images, ")
    assert not asked.out.exists()  # nothing is written by planning


def test_every_machine_computes_the_form_that_the_first_one_chose(
    asked: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    precisions: list[str] = []

    def fake(items: list[Item], *_: object, **__: object) -> Iterator[Fact]:
        for item in items:
            precisions.append(item.asked().precision)
            yield Fact(item.key, str(item.source), item.style, str(item.output), "failed", "not tried")

    monkeypatch.setattr("rt.batch.driver.carry", fake)
    asked = replace(asked, backend="openvino")
    for shard, quickest in enumerate(("int8+bf16", "int8", "bf16")):
        monkeypatch.setattr("rt.batch.driver.pinned_precision", lambda *_, chosen=quickest: chosen)
        run(replace(asked, shard=f"{shard}/3"))
    assert precisions == ["int8+bf16"] * 4
    assert {entry["precision"] for entry in Account(asked.out / FOLDER).planned()} == {"int8+bf16"}
    run(replace(asked, precision="fp32"))
    assert precisions[4:] == ["fp32"] * 4


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("a.avi", "a.mp4"),
        ("a.MOV", "a.MOV"),
        ("a.webm", "a.mp4"),
        ("a.mts", "a.mp4"),
        ("a.JPG", "a.JPG"),
        ("a.heic", "a.jpg"),
        ("a.qoi", "a.png"),
    ],
)
def test_what_cannot_be_written_becomes_another_kind_and_that_is_said(
    tmp_path: Path, style: str, name: str, becomes: str
) -> None:
    (tmp_path / name).write_bytes(b"content")
    plan = make_plan(Batch((str(tmp_path / name),), tmp_path / "out", (style,)))
    assert named(plan) == [becomes]
    changed = name != becomes
    assert plan.items[0].note == (
        f"{Path(name).suffix} is written as {Path(becomes).suffix}" if changed else ""
    )


def test_several_styles_have_a_name_each_and_templates_are_obeyed(asked: Batch, tmp_path: Path) -> None:
    other = str(make_style(tmp_path / "styles", "other"))
    both = replace(asked, style=(*asked.style, other))
    assert named(make_plan(both))[:2] == ["a-drawn.mp4", "a-other.mp4"]
    named_by_hand = replace(both, name="{style}/{dir}/{index}_{stem}{suffix}")
    assert named(make_plan(named_by_hand))[:2] == ["drawn/000000_a.mp4", "other/000000_a.mp4"]
    with pytest.raises(
        VideobrushError, match=r"'\{colour\}' cannot be used: \{colour\} is not known; known are \{dir\}"
    ):
        make_plan(replace(asked, name="{colour}"))
    with pytest.raises(VideobrushError, match="it leaves the folder of --out"):
        make_plan(replace(asked, name="../{stem}{suffix}"))


def test_two_inputs_with_one_output_are_refused_by_name(tmp_path: Path, style: str) -> None:
    for name in ("one/a.mp4", "two/A.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"content")
    with pytest.raises(VideobrushError) as error:
        make_plan(Batch((str(tmp_path / "one"), str(tmp_path / "two")), tmp_path / "out", (style,)))
    assert "one/a.mp4" in str(error.value)
    assert "two/A.mp4" in str(error.value)
    assert "type for example --name '{dir}/{stem}-{style}-{index}{suffix}'" in str(error.value)


def test_patterns_lists_and_single_files_name_inputs(asked: Batch, inputs: Path, tmp_path: Path) -> None:
    plan = make_plan(replace(asked, inputs=(f"{inputs}/**/*.mp4", f"{inputs}/photo.jpg")))
    assert named(plan) == ["a.mp4", "photo.jpg"]
    listed = tmp_path / "list.jsonl"
    listed.write_text(
        json.dumps({"input": str(inputs / "a.mp4"), "output": "films/x.mkv"})
        + "\n\n"
        + json.dumps({"input": str(inputs / "photo.jpg")})
    )
    assert named(make_plan(replace(asked, inputs=(), list_file=listed))) == ["films/x.mkv", "photo.jpg"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", 'line 1: not an entry such as {"input": "a.mp4", "style": "winter"}'),
        ('{"in": 3}', "line 1: not an entry such as"),
        ('{"input": "nowhere.mp4"}', "line 1: there is no file nowhere.mp4"),
        ('{"input": "%s", "output": "../x.mp4"}', "line 1: ../x.mp4 leaves the folder of --out"),
        ('{"input": "%s", "output": "/x.mp4"}', "line 1: /x.mp4 leaves the folder of --out"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(
    asked: Batch, inputs: Path, tmp_path: Path, line: str, said: str
) -> None:
    listed = tmp_path / "list.jsonl"
    listed.write_text(line.replace("%s", str(inputs / "a.mp4")))
    with pytest.raises(VideobrushError) as error:
        make_plan(replace(asked, inputs=(), list_file=listed))
    assert str(error.value).startswith(f"{listed}, ")
    assert said in str(error.value)


def test_the_folder_of_the_outputs_is_no_input_and_no_input_is_written_over(
    style: str, tmp_path: Path
) -> None:
    write_clip(tmp_path / "a.mp4", Clip(frames=2))
    (tmp_path / "out").mkdir()
    write_clip(tmp_path / "out" / "old.mp4", Clip(frames=2))
    assert named(make_plan(Batch((str(tmp_path),), tmp_path / "out", (style,)))) == ["a.mp4"]
    with pytest.raises(VideobrushError, match=r"a\.mp4 would be written over by its own translation"):
        make_plan(Batch((str(tmp_path / "a.mp4"),), tmp_path, (style,)))


@pytest.mark.slow
def test_a_folder_becomes_a_folder_and_what_is_done_is_not_done_again(
    asked: Batch, inputs: Path, tmp_path: Path
) -> None:
    first = run(asked)
    assert (first.counts["done"], first.counts["failed"], first.skipped, first.status) == (4, 0, 0, 0)
    made = outputs(asked.out)
    assert sorted(made) == ["a.mp4", "below/b.mkv", "below/photo.png", "photo.jpg"]
    assert read_image(asked.out / "photo.jpg").size == (31, 45)
    np.testing.assert_array_equal(  # identity: the very image
        read_image(asked.out / "below" / "photo.png").rgb, read_image(inputs / "below" / "photo.png").rgb
    )
    said = videobrush(
        *("run", inputs / "a.mp4", tmp_path / "run.mp4", "--style", asked.style[0], "--backend", "identity"),
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    assert made["a.mp4"] == (tmp_path / "run.mp4").read_bytes()

    times = {path: path.stat().st_mtime_ns for path in asked.out.rglob("*.*") if path.is_file()}
    again = run(asked)
    assert (len(again.facts), again.skipped) == (0, 4)
    assert {path: path.stat().st_mtime_ns for path in times if FOLDER not in path.parts} == {
        path: made_ns for path, made_ns in times.items() if FOLDER not in path.parts
    }

    (asked.out / "photo.jpg").unlink()  # an output that is gone is made again, a changed input too
    write_clip(inputs / "a.mp4", Clip(frames=9))
    third = run(replace(asked, overwrite=True))
    assert sorted(Path(fact.output).name for fact in third.facts) == ["a.mp4", "photo.jpg"]
    assert third.skipped == 2


@pytest.mark.slow
def test_a_bad_file_ends_nothing_and_is_tried_again_when_asked(asked: Batch, inputs: Path) -> None:
    bad = inputs / "bad.mp4"
    bad.write_bytes(b"this is no video" * 50)
    first = run(asked)
    (failed,) = [fact for fact in first.facts if fact.status == "failed"]
    assert (failed.source, first.counts["done"], first.status) == (str(bad), 4, 1)
    lines = list(end_lines(first, "videobrush batch in --out out --retry-failed"))
    assert lines[0].startswith("4 done, 1 failed: ")
    assert lines[-2].startswith(f"failed   {bad} (")
    assert lines[-1] == "again:   videobrush batch in --out out --retry-failed"
    assert not (asked.out / "bad.mp4").exists()
    assert not list(asked.out.rglob("*.part"))

    status = list(status_lines(Account(asked.out / FOLDER)))
    assert status[0] == "4 done, 0 damaged, 1 failed, 0 to do"
    again = run(replace(asked, retry_failed=True))
    assert [fact.source for fact in again.facts] == [str(bad)]


def test_a_file_that_is_there_already_is_left_alone(
    asked: Batch, inputs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", LOG.name)
    asked.out.mkdir()
    (asked.out / "a.mp4").write_text("precious")
    outcome = run(replace(asked, inputs=(str(inputs / "a.mp4"),)))
    (fact,) = outcome.facts
    assert "1 of 1, " in caplog.text
    assert (
        fact.message == f"{asked.out / 'a.mp4'} exists, and not from this input with these settings; "
        "add --overwrite to replace it"
    )
    assert (asked.out / "a.mp4").read_text() == "precious"
    assert run(replace(asked, inputs=(str(inputs / "a.mp4"),), overwrite=True)).status == 0
    assert (asked.out / "a.mp4").stat().st_size > 500


@pytest.mark.slow
def test_workers_and_shards_give_the_same_bytes(asked: Batch, tmp_path: Path) -> None:
    run(asked)
    whole = outputs(asked.out)
    two = replace(asked, out=tmp_path / "two", workers=2)
    assert run(two).status == 0
    assert outputs(two.out) == whole
    shared = replace(asked, out=tmp_path / "shared")
    for shard in range(3):
        assert run(replace(shared, shard=f"{shard}/3")).status == 0
    assert outputs(shared.out) == whole
    assert list(status_lines(Account(shared.out / FOLDER))) == ["4 done, 0 damaged, 0 failed, 0 to do"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_that_dies_costs_its_item_a_try_and_no_other_item(asked: Batch, tmp_path: Path) -> None:
    for name in ("fine", "unlucky", "poison", "fine too"):
        (tmp_path / f"{name}.mp4").write_bytes(b"content")
    plan = make_plan(Batch((f"{tmp_path}/*.mp4",), asked.out, asked.style))
    facts = {Path(fact.source).stem: fact for fact in carry(plan.items, 2, perform=note_and_die)}
    assert {name: fact.status for name, fact in facts.items()} == {
        "fine": "done",
        "fine too": "done",
        "unlucky": "done",
        "poison": "failed",
    }
    assert facts["poison"].message == f"it kills its process: tried {DEATHS} times"
    tries = {path.stem: len(path.read_text()) for path in asked.out.glob("*.tries")}
    assert tries == {"fine": 1, "fine too": 1, "unlucky": 2, "poison": DEATHS}


@pytest.mark.slow
def test_a_batch_that_is_ended_drops_what_runs_and_goes_on_the_next_time(asked: Batch, inputs: Path) -> None:
    write_clip(inputs / "long.mp4", Clip(frames=4000, size=(64, 96)))
    ended = threading.Event()

    def shortly() -> None:
        part = asked.out / "long.mp4.part"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
        ended.set()

    threading.Thread(target=shortly).start()
    outcome = run(asked, ended.is_set)
    assert (len(outcome.facts), outcome.left) == (0, 5)  # the largest is the first
    assert outputs(asked.out) == {}
    assert run(asked).counts["done"] == 5


def test_a_second_driver_is_refused(asked: Batch) -> None:
    account = Account(asked.out / FOLDER)
    with account.held(), pytest.raises(VideobrushError, match="another batch works there; wait for it"):
        run(asked)
    with account.held(shard=1):
        assert run(replace(asked, shard="0/2")).status == 0


def test_networks_stay_loaded_from_item_to_item(asked: Batch, style: str) -> None:
    loaded = LoadedBackends()
    plan = make_plan(replace(asked, backend="onnxruntime"))
    images = [item for item in plan.items if item.image]
    facts = [work(images[0], loaded), work(images[0], loaded)]
    assert [fact.status for fact in facts] == ["done", "done"]
    assert len(loaded._kept) == 1
    loaded.close()
    assert loaded._kept == {}


def test_new_files_are_taken_once_they_have_settled(asked: Batch, inputs: Path) -> None:
    shutil.rmtree(inputs)
    inputs.mkdir()
    ended = threading.Event()
    plans = watch_plans(lambda: make_plan(asked), ended.is_set)
    growing = inputs / "growing.mp4"
    growing.write_bytes(b"x")

    def grow() -> None:
        for _ in range(5):
            time.sleep(0.5)
            with growing.open("ab") as file:
                file.write(b"x")

    writer = threading.Thread(target=grow)
    writer.start()
    plan = next(plans)
    writer.join()
    assert [item.source for item in plan.items] == [growing]
    assert plan.items[0].source_bytes == growing.stat().st_size == 6
    ended.set()
    assert list(plans) == []


@pytest.mark.parametrize("suffix", [".json", ".csv", ".html"])
def test_a_report_tells_how_each_input_ended(asked: Batch, inputs: Path, tmp_path: Path, suffix: str) -> None:
    (inputs / "bad <b>.mp4").write_bytes(b"no video")
    plan = make_plan(asked)
    facts = tuple(work(item) for item in plan.items if item.image or item.source.stem.startswith("bad"))
    path = tmp_path / f"report{suffix}"
    write_report(path, Outcome(facts, 0, 0, 1.0))
    text = path.read_text()
    if suffix == ".json":
        assert [entry["status"] for entry in json.loads(text)] == [fact.status for fact in facts]
    elif suffix == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
        assert [row["source"] for row in rows] == [fact.source for fact in facts]
    else:
        assert text.count("data:image/jpeg") == 4  # before and after of the two images
        assert "bad &lt;b&gt;.mp4" in text
        assert "<b>" not in text


def test_a_report_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(VideobrushError, match=r"its name must end in one of \.json, \.csv, \.html"):
        check_report(tmp_path / "report.txt")
    with pytest.raises(VideobrushError, match="create it first"):
        check_report(tmp_path / "nowhere" / "report.csv")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("in --style winter", "batch needs a folder for its outputs: type --out DIR"),
        ("in --out out", "batch needs a style: type --style NAME; `videobrush styles` lists them"),
        ("in --out out --style winter --workers 0", "--workers is 0, at least 1 is needed"),
        ("in --out out --style winter --shard 4/4", "--shard 4/4 is no share: type for example --shard 0/4"),
        ("in --out out --style winter --watch --dry-run", "--watch goes on for ever: leave out --dry-run"),
        ("in --out out --style winter --strength 2", "--strength is 2.0, not within 0..1"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    typed: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from rt.cli import main

    assert main(["batch", *typed.split()]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_line_translates_a_folder_and_says_so(asked: Batch, inputs: Path, tmp_path: Path) -> None:
    typed = ["batch", inputs, "--out", "out", "--style", asked.style[0], "--backend", "identity"]
    planned = videobrush(*typed, "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.splitlines()[0] == f"to do    {inputs}/a.mp4 -> out/a.mp4  {asked.style[0]}"
    assert not (tmp_path / "out").exists()
    said = videobrush(*typed, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("4 done, 0 failed: 12 frames in ")
    assert len([line for line in said.stderr.splitlines() if " of 4, " in line]) == 4
    assert (
        videobrush("batch", "status", "out", cwd=tmp_path).stdout == "4 done, 0 damaged, 0 failed, 0 to do\n"
    )


def test_a_moving_image_is_a_video_and_a_still_one_an_image(tmp_path: Path, style: str) -> None:
    frames = [Image.fromarray(drawn_image(32, 40, seed=number)) for number in range(3)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], duration=40)
    frames[0].save(tmp_path / "still.webp")
    plan = make_plan(
        Batch((str(tmp_path / "moving.webp"), str(tmp_path / "still.webp")), tmp_path / "out", (style,))
    )
    assert [(item.image, item.output.name) for item in plan.items] == [
        (False, "moving.mp4"),
        (True, "still.webp"),
    ]


def test_settings_and_styles_change_what_is_done_and_nothing_else_does(asked: Batch) -> None:
    keys = {item.key for item in make_plan(asked).items}
    assert {item.key for item in make_plan(replace(asked, workers=3, verbose=True)).items} == keys
    assert not keys & {item.key for item in make_plan(replace(asked, strength=0.5)).items}
    os.utime(make_plan(asked).items[0].source, ns=(1, 1))
    assert len(keys & {item.key for item in make_plan(asked).items}) == 3


def test_what_is_done_is_known_from_any_folder_and_however_it_is_typed(
    asked: Batch, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(asked).counts["done"] == 4
    for folder, typed, out in ((inputs, ".", "../out"), (inputs.parent, "in/../in", str(asked.out))):
        monkeypatch.chdir(folder)
        again = run(replace(asked, inputs=(typed,), out=Path(out)))
        assert (len(again.facts), again.skipped) == (0, 4)


@pytest.mark.slow
def test_an_output_whose_driver_was_killed_before_it_noted_it_is_made_again(
    asked: Batch, inputs: Path
) -> None:
    one = replace(asked, inputs=(str(inputs / "a.mp4"),))
    assert run(one).status == 0
    (key,) = (item.key for item in make_plan(one).items)
    account = Account(asked.out / FOLDER)
    (account.folder / "facts" / f"{key}.done.json").unlink()
    assert run(one).status == 1  # without a note it may be anybody's
    account.begin(key)
    assert [fact.status for fact in run(one).facts] == ["done"]
    assert account.begun() == set()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_links_and_pipes_in_a_folder_are_left_out_with_a_reason(
    asked: Batch, inputs: Path, tmp_path: Path
) -> None:
    (inputs / "gone.mp4").symlink_to("nowhere.mp4")
    (inputs / "linked").symlink_to(tmp_path)
    os.mkfifo(inputs / "pipe.webp")
    plan = make_plan(asked)
    assert len(plan.items) == 4
    assert {left.source.name: left.reason for left in plan.left_out if left.source.suffix != ".txt"} == {
        "empty.mov": "it is empty",
        "gone.mp4": "it cannot be read: No such file or directory",
        "linked": "it is a link to a folder; type it as an input",
        "pipe.webp": "it is no file",
    }
    with pytest.raises(VideobrushError, match=r"pipe\.webp: it is no file and no folder"):
        make_plan(replace(asked, inputs=(str(inputs / "pipe.webp"),)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{stem", "expected '}' before end of string"),
        ("{stem!r}{suffix}", "{stem!r} is not known"),
        ("{stem.x}{suffix}", "{stem.x} is not known"),
        ("{index:d}{suffix}", "{index:d} is not known"),
        ("{}", "{} is not known"),
        ("{0}", "{0} is not known"),
        ("/{stem}", "it leaves the folder of --out"),
    ],
)
def test_a_wrong_template_is_one_line(asked: Batch, name: str, said: str) -> None:
    with pytest.raises(VideobrushError) as error:
        make_plan(replace(asked, name=name))
    assert str(error.value).startswith(f"--name {name!r} cannot be used: {said}; known are {{dir}}, ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "{stem}",
            "--name '{stem}' gives a, which ends in no suffix of a video or image; type --name '{stem}{suff",
        ),
        ("{stem}.new", "--name '{stem}.new' gives a.new, which ends in no suffix"),
        (
            "{stem}.webm",
            "cannot write a.webm: WebM cannot hold H.264 video; type a.mkv instead, or --codec av1",
        ),
    ],
)
def test_a_name_that_nothing_can_be_written_under_is_refused_before_the_run(
    asked: Batch, inputs: Path, name: str, said: str
) -> None:
    with pytest.raises(VideobrushError) as error:
        make_plan(replace(asked, inputs=(str(inputs / "a.mp4"),), name=name))
    assert str(error.value).startswith(said)
    listed = inputs / "list.jsonl"
    listed.write_text(json.dumps({"input": str(inputs / "a.mp4"), "output": "b"}))
    with pytest.raises(VideobrushError, match=r"the list gives b, which ends in no suffix .*; type b\.mp4$"):
        make_plan(replace(asked, inputs=(), list_file=listed))
    assert named(make_plan(replace(asked, inputs=(str(inputs / "a.mp4"),), name="{stem}.mkv"))) == ["a.mkv"]


def test_outputs_beside_their_inputs_are_not_translated_again(asked: Batch, inputs: Path) -> None:
    beside = replace(asked, out=inputs, name="{dir}/{stem}-new{suffix}")
    assert run(beside).counts["done"] == 4
    again = make_plan(beside)
    assert len(again.items) == 4
    reasons = [left.reason for left in again.left_out if "-new" in left.source.name]
    assert f"it is what {inputs / 'a.mp4'} becomes" in reasons
    assert len(reasons) == 4
    assert run(beside).skipped == 4


def test_a_name_that_is_too_long_for_the_disk_fails_alone(asked: Batch, inputs: Path) -> None:
    (inputs / "a.mp4").rename(inputs / f"{'a' * 250}.mp4")
    outcome = run(replace(asked, name="{dir}/{stem}-translated{suffix}"))
    assert (outcome.counts["done"], outcome.counts["failed"]) == (3, 1)


def test_an_image_with_a_percent_sign_is_no_pattern_of_many(asked: Batch, tmp_path: Path) -> None:
    folder = tmp_path / "percent"
    folder.mkdir()
    for name in ("img%03d.png", "100%.png"):
        write_image(drawn_image(31, 45), folder / name)
    asked.out.mkdir()
    for name in ("img000.png", "img001.png"):
        (asked.out / name).write_text("precious")
    outcome = run(replace(asked, inputs=(str(folder),), overwrite=True))
    assert outcome.counts["done"] == 2
    assert sorted(path.name for path in asked.out.glob("*.png")) == [
        "100_.png",
        "img000.png",
        "img001.png",
        "img_03d.png",
    ]
    assert (asked.out / "img000.png").read_text() == "precious"


def test_the_input_named_first_decides_where_an_input_named_twice_goes(asked: Batch, inputs: Path) -> None:
    assert "below/b.mkv" in named(make_plan(replace(asked, inputs=(str(inputs), f"{inputs}/below"))))


@pytest.mark.slow
def test_a_watched_folder_does_not_try_again_what_failed(asked: Batch, inputs: Path) -> None:
    (inputs / "bad.mp4").write_bytes(b"this is no video" * 50)
    watching = replace(asked, watch=True)
    assert run(watching).counts["failed"] == 1
    again = run(watching)
    assert (again.facts, again.skipped, again.left) == ((), 4, 1)
    (inputs / "bad.mp4").write_bytes(b"this is no video either" * 50)
    assert run(watching).counts["failed"] == 1


@pytest.mark.slow
def test_a_watched_folder_is_shared_by_keys_and_survives_a_clash(
    asked: Batch, inputs: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.batch.driver._SETTLE_S", 0.01)
    shares = [replace(asked, watch=True, shard=f"{shard}/3") for shard in range(3)]
    done = [fact.key for share in shares for fact in run(share).facts]
    assert sorted(done) == sorted(item.key for item in make_plan(asked).items)
    ended = threading.Event()
    plans = watch_plans(lambda: make_plan(asked), ended.is_set)
    assert len(next(plans).items) == 4
    (inputs / "a.avi").write_bytes(b"would become a.mp4")
    threading.Timer(0.5, (inputs / "a.avi").unlink).start()
    threading.Timer(1.0, write_clip, (inputs / "c.mp4", Clip(frames=2))).start()
    assert len(next(plans).items) == 5
    ended.set()
    assert len([said for said in caplog.messages if said.endswith("waiting until that is mended")]) == 1


def test_a_full_disk_ends_the_batch_with_its_own_status(
    asked: Batch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(
        items: list[Item], slots: int, cancelled: Callable[[], bool], *_: object, **__: object
    ) -> Iterator[Fact]:
        for item in items:
            if not cancelled():
                message = f"cannot write {item.output}: No space left on device"
                yield Fact(item.key, str(item.source), item.style, str(item.output), "failed", message)

    monkeypatch.setattr("rt.batch.driver.carry", fail)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    outcome = run(asked)
    assert (outcome.status, outcome.counts["failed"], outcome.left) == (75, 1, 3)
    assert list(end_lines(outcome, "batch in --retry-failed"))[-1] == "again:   batch in"
    assert "0.0 MB free" in caplog.text


def test_a_report_may_stand_among_the_outputs_that_are_to_be_made(tmp_path: Path) -> None:
    check_report(tmp_path / "out" / "report.csv", tmp_path / "out")
    with pytest.raises(VideobrushError, match="create it first"):
        check_report(tmp_path / "out" / "below" / "report.csv", tmp_path / "out")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(VideobrushError, match="it is a folder"):
        check_report(tmp_path / "folder.csv")


def test_the_command_that_tries_again_watches_nothing() -> None:
    assert _again(["batch", "a b", "--watch", "--retry-failed"]) == "videobrush batch 'a b' --retry-failed"


def test_many_inputs_read_their_style_once(
    asked: Batch, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def find(name: str) -> Style:
        calls.append(name)
        return find_style(name)

    monkeypatch.setattr("rt.batch.plan.find_style", find)
    assert len({item.key for item in make_plan(asked).items}) == 4
    assert calls == [asked.style[0]]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups that are signalled")
def test_a_signal_to_all_processes_of_a_batch_costs_no_item_a_try(asked: Batch, inputs: Path) -> None:
    write_clip(inputs / "long.mp4", Clip(frames=4000, size=(64, 96)))
    typed = ("batch", inputs, "--out", asked.out, "--style", asked.style[0], "--backend", "identity")
    running = subprocess.Popen(
        [sys.executable, "-m", "rt", *map(str, typed)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until_it_writes(running, asked.out / "long.mp4.part")
    os.killpg(running.pid, signal.SIGTERM)
    assert running.stderr is not None
    heard = next(line for line in running.stderr if "what runs may end" in line)
    assert heard == "warning: what runs may end within 10 s; again: it is dropped at once\n"
    os.killpg(running.pid, signal.SIGTERM)
    said = running.communicate(timeout=60)
    assert running.returncode == 143, said
    assert said[1].splitlines()[-1] == "warning: terminated: what is done is kept; the same command continues"
    assert said[0].startswith("0 done, 0 failed, 5 left")
    assert outputs(asked.out) == {}


@pytest.mark.parametrize("suffix", [".json", ".csv", ".html"])
def test_a_report_names_files_that_are_no_unicode(tmp_path: Path, suffix: str) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    fact = Fact("key", name, "winter", name, "failed", f"cannot read {name}")
    write_report(tmp_path / f"report{suffix}", Outcome((fact,), 0, 0, 1.0))
    assert r"caf\udce9.mp4" in (tmp_path / f"report{suffix}").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_read_is_left_out_with_its_reason(
    asked: Batch, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    plan = make_plan(asked)
    assert named(plan) == ["a.mp4", "photo.jpg"]
    reasons = {left.source.name: left.reason for left in plan.left_out}
    assert reasons["below"] == "it cannot be read: Permission denied"
