"""Long videos in chunks are equal to a run."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rt.batch.chunk import Chunk, Cuts, Join, Parts, find_cuts
from rt.batch.driver import run_batch
from rt.batch.plan import make_plan
from rt.batch.report import viewing
from rt.batch.tasks import Tasks
from rt.batch.work import Fact, Task, work
from rt.commands import Batch
from tests.support.chunked import run_alone, translate
from tests.support.media import TURNS, Audio, Clip, write_clip
from tests.support.onnx_styles import make_style
from tools.bench.batch_exact import contents

FRAMES = 60
CLOSED = {"g": "10", "sc_threshold": "0"}
TONE = Audio(seconds=3)
PAL = Clip(frames=FRAMES, options=CLOSED)
UNEVEN = tuple(2 * index + index % 3 // 2 for index in range(FRAMES))


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_style(tmp_path_factory.mktemp("styles")))


def batch(folder: Path, style: str, **changes: Any) -> Batch:
    asked = Batch((str(folder / "in"),), folder / "out", (style,), backend="identity", crf=0, chunk=0.7)
    return replace(asked, **changes)


def write(folder: Path, name: str, clip: Clip) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    return write_clip(folder / "in" / name, clip)


SOURCES = {
    "closed": ("a.mp4", PAL),
    "audio, tags, chapters": (
        "a.mp4",
        replace(
            PAL,
            audio=(TONE, replace(TONE, codec="mp3", language="deu")),
            metadata={"title": "a day"},
            chapters=((0.0, 1.0, "one"), (1.0, 2.4, "two")),
        ),
    ),
    "subtitles": ("a.mkv", replace(PAL, audio=(TONE,), subtitles=((0.2, "hello"), (1.9, "bye")))),
    "reordered": ("a.mp4", replace(PAL, options={**CLOSED, "bf": "3", "preset": "medium"})),
    "open": ("a.mp4", replace(PAL, options={"x264-params": "keyint=10:open-gop=1:bframes=3:scenecut=0"})),
    "open, matroska": ("a.mkv", replace(PAL, options={"x264-params": "keyint=10:open-gop=1:bframes=3"})),
    "quicktime": ("a.mov", replace(PAL, audio=(TONE,))),
    "ntsc": ("a.mp4", replace(PAL, rate=Fraction(30000, 1001))),
    "variable": ("a.mp4", replace(PAL, unit=Fraction(1, 50), pts=UNEVEN)),
    "variable, matroska": ("a.mkv", replace(PAL, unit=Fraction(1, 50), pts=UNEVEN)),
    "late": (
        "a.mkv",
        replace(PAL, pts=tuple(range(100, 100 + FRAMES)), audio=(replace(TONE, start_s=4.0),)),
    ),
    "early": ("a.mkv", replace(PAL, pts=tuple(range(-20, FRAMES - 20)), audio=(TONE,))),
    "turned": ("a.mp4", replace(PAL, matrix=TURNS[90])),
    "270 lines": ("a.mp4", replace(PAL, size=(270, 64))),
    "odd": ("a.mp4", replace(PAL, size=(49, 63), pixels="yuv444p")),
    "hevc": (
        "a.mp4",
        replace(
            PAL, codec="libx265", size=(64, 64), options={"x265-params": "keyint=10:open-gop=1:log-level=0"}
        ),
    ),
    "av1": ("a.mkv", replace(PAL, codec="libsvtav1", size=(64, 64), options={"g": "10", "preset": "12"})),
    "mpeg4": ("a.mkv", replace(PAL, codec="mpeg4", options={"g": "10", "bf": "2"})),
}


@pytest.mark.parametrize("name", SOURCES)
def test_chunks_give_what_a_run_gives(tmp_path: Path, style: str, name: str) -> None:
    file, clip = SOURCES[name]
    write(tmp_path, file, clip)
    asked = batch(tmp_path, style)
    (fact,), tasks = translate(asked)
    assert fact.status == "done", fact
    kinds = Counter(type(task) for task in tasks)
    assert (kinds[Chunk], kinds[Join]) >= (2, 1), "it was not cut"
    run_alone(asked, tmp_path / file)
    assert contents(asked.out / file) == contents(tmp_path / file)
    assert fact.frames == FRAMES
    assert not list((asked.out / ".videobrush" / "parts").iterdir())
    assert not [path for path in asked.out.rglob("*") if ".part" in path.suffixes]


@pytest.mark.parametrize(
    "changes",
    [
        {"steady": 0.7},
        {"steady": 1.0, "backend": "onnxruntime"},
        {"compare": True},
        {"strength": 0.3, "backend": "onnxruntime"},
        {"audio": "aac"},
        {"audio": "none"},
        {"interlaced": "keep"},
    ],
    ids=str,
)
def test_chunks_are_translated_as_a_run_is_asked_to(
    tmp_path: Path, style: str, changes: dict[str, Any]
) -> None:
    write(tmp_path, "a.mp4", replace(PAL, audio=(TONE,)))
    asked = batch(tmp_path, style, **changes)
    (fact,), tasks = translate(asked)
    assert fact.status == "done", fact
    assert any(isinstance(task, Join) for task in tasks)
    run_alone(asked, tmp_path / "a.mp4")
    assert contents(asked.out / "a.mp4") == contents(tmp_path / "a.mp4")


def test_the_plan_depends_on_file_and_settings_alone(tmp_path: Path, style: str) -> None:
    write(tmp_path, "a.mp4", PAL)
    found = [find_cuts(item) for item in make_plan(batch(tmp_path, style, workers=1)).items]
    assert found == [find_cuts(item) for item in make_plan(batch(tmp_path, style, workers=9)).items]
    (cuts,) = found
    assert cuts is not None
    assert (cuts.counts, cuts.encoder, cuts.whole) == ((20, 20, 20), "x264", "")
    assert cuts.warms == (None, None)
    (steady,) = (find_cuts(item) for item in make_plan(batch(tmp_path, style, steady=0.5)).items)
    assert steady is not None
    assert steady.warms == (0, 0)  # 48 frames before, but there are 20 and 40
    for chunk in ("off", 2.0):
        (item,) = make_plan(batch(tmp_path, style, chunk=chunk)).items
        assert find_cuts(item) is None


WHOLE: dict[str, tuple[str, Clip, dict[str, Any]]] = {
    "interlaced": (
        "a.mp4",
        replace(PAL, options={**CLOSED, "flags": "+ildct+ilme"}, through="setfield=tff"),
        {},
    ),
    "no index": ("a.ts", PAL, {}),
    "one keyframe": ("a.mp4", replace(PAL, options={"g": "1000"}), {}),
    "a part of it": ("a.mp4", PAL, {"start": 0.2}),
    "some seconds": ("a.mp4", PAL, {"duration": 2.0}),
    "moving image": ("a.gif", replace(PAL, codec="gif", pixels="rgb8", options={}), {}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_cut_stays_whole(tmp_path: Path, style: str, name: str) -> None:
    file, clip, changes = WHOLE[name]
    write(tmp_path, file, clip)
    (item,) = make_plan(batch(tmp_path, style, **changes)).items
    assert find_cuts(item) is None


def test_workers_and_resumes_give_the_same_bytes(tmp_path: Path, style: str) -> None:
    write(tmp_path, "a.mp4", replace(PAL, audio=(TONE,)))
    write(tmp_path, "b.mp4", replace(PAL, rate=Fraction(30)))
    one = batch(tmp_path, style, crf=None, steady=0.5)
    made = {}
    for workers in (1, 3):
        asked = replace(one, out=tmp_path / f"out{workers}", workers=workers)
        outcome = run_batch(asked, make_plan(asked), lambda: False, viewing)
        assert outcome.counts == {"done": 2}
        made[workers] = [(asked.out / name).read_bytes() for name in ("a.mp4", "b.mp4")]
    assert made[1] == made[3]
    stopped = Counter[str]()

    def one_by_one(task: Task) -> Fact:
        """Work on a task; the batch is killed before each third one, and begins again."""
        stopped["tasks"] += 1
        if stopped["tasks"] % 3 == 0:
            raise KeyboardInterrupt
        return work(task)

    asked = replace(one, out=tmp_path / "resumed")
    for _ in range(20):
        try:
            facts, _ = translate(asked, one_by_one)
            break
        except KeyboardInterrupt:
            continue
    assert [fact.status for fact in facts][-1] == "done"
    assert [(asked.out / name).read_bytes() for name in ("a.mp4", "b.mp4")] == made[1]


def test_a_part_that_is_whole_is_not_made_again_and_one_that_is_not_is(tmp_path: Path, style: str) -> None:
    write(tmp_path, "a.mp4", PAL)
    asked = batch(tmp_path, style)
    (item,) = make_plan(asked).items
    parts = Parts(item)

    def until_joined(task: Task) -> Fact:
        if isinstance(task, Join):
            raise KeyboardInterrupt
        return work(task)

    with pytest.raises(KeyboardInterrupt):
        translate(asked, until_joined)
    cuts = parts.cuts()
    assert cuts is not None
    assert parts.missing(cuts) == []
    (parts.folder / "0001.json").unlink()  # killed between the packets and their note
    packets = parts.packets(2)
    packets.write_bytes(packets.read_bytes()[:-1])  # a disk that lost the end
    (parts.folder / "0000-killed.part").write_bytes(b"half")
    facts, tasks = translate(asked)
    assert [fact.status for fact in facts] == ["done"]
    assert [task.number for task in tasks if isinstance(task, Chunk)] == [1, 2]
    assert [type(task) for task in tasks][-1] is Join
    assert not parts.folder.exists()


@pytest.mark.parametrize("fault", ["opening", "closing"])
def test_neighbours_that_found_different_frames_are_not_joined(
    tmp_path: Path, style: str, fault: str
) -> None:
    write(tmp_path, "a.mp4", PAL)
    asked = batch(tmp_path, style, steady=0.7)

    def spoil(task: Task) -> Fact:
        fact = work(task)
        if isinstance(task, Chunk) and task.number == 1:
            note = task.item.parts / "0001.json"
            said = json.loads(note.read_text())
            said[fault] = ["0" * 32, *said[fault][1:-1], "0" * 32]
            note.write_text(json.dumps(said))
        return fact

    facts, tasks = translate(asked, spoil)
    assert [fact.status for fact in facts] == ["done"]
    assert [type(task).__name__ for task in tasks[-2:]] == ["Join", "Item"]
    run_alone(asked, tmp_path / "a.mp4")
    assert (asked.out / "a.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()


def test_a_damaged_file_is_translated_whole_and_said_as_a_run_says_it(tmp_path: Path, style: str) -> None:
    path = write(tmp_path, "a.mkv", replace(PAL, frames=200, size=(96, 96)))
    asked = batch(tmp_path, style)
    content = bytearray(path.read_bytes())
    place = len(content) * 3 // 5
    content[place : place + 1500] = bytes(1500)
    path.write_bytes(content)
    (fact,), tasks = translate(asked)
    assert fact.status == "damaged", (fact, tasks)
    with pytest.raises(Exception, match="a.mkv") as error:
        run_alone(asked, tmp_path / "a.mkv")
    assert fact.message == str(error.value)
    assert contents(asked.out / "a.mkv") == contents(tmp_path / "a.mkv")


def test_chunks_of_an_item_that_is_given_up_are_not_begun(tmp_path: Path, style: str) -> None:
    write(tmp_path, "a.mp4", PAL)
    write(tmp_path, "b.mp4", PAL)

    def fail_first(task: Task) -> Fact:
        fact = work(task)
        if isinstance(task, Chunk) and task.item.source.stem == "a" and task.number == 0:
            return replace(fact, status="failed", message="spoilt")
        return fact

    facts, tasks = translate(batch(tmp_path, style), fail_first)
    assert [(Path(fact.source).stem, fact.status) for fact in facts] == [("a", "failed"), ("b", "done")]
    assert [task.number for task in tasks if isinstance(task, Chunk) and task.item.source.stem == "a"] == [0]


def test_the_progress_of_a_file_counts_all_of_its_chunks(tmp_path: Path, style: str) -> None:
    write(tmp_path, "a.mp4", PAL)
    (item,) = make_plan(batch(tmp_path, style)).items
    Parts(item).write_cuts(Cuts((10, 20), (None, None), (10, 10, 40), "x264"))
    tasks = Tasks([item])
    first, second = tasks.take(), tasks.take()
    assert first is not None
    assert second is not None
    assert tasks.progress(first, 3, 10) == (3, 60)
    assert tasks.progress(second, 4, 10) == (7, 60)
    tasks.ended(first, Fact(item.key, "", "", "", "part"))
    assert tasks.progress(second, 5, 10) == (15, 60)
    assert not tasks.over
    shutil.rmtree(item.parts)
