"""The faults of a batch, staged one by one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rt.batch.account import Account
from rt.batch.chunk import Chunk, Join, Parts
from rt.batch.driver import run_batch
from rt.batch.plan import FOLDER, Item, make_plan
from rt.batch.report import viewing
from rt.batch.work import Fact, Task, work
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.frame import Rgb
from tests.support.chunked import translate
from tests.support.cli import LIMIT_S, environment, videobrush
from tests.support.media import Clip, write_clip
from tests.support.onnx_styles import make_style

FILM = Clip(frames=60, options={"g": "10", "sc_threshold": "0"})


def noise(index: int, height: int, width: int) -> Rgb:
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def asked(tmp_path: Path) -> Batch:
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "film.mp4", FILM)
    style = str(make_style(tmp_path / "styles"))
    return Batch((str(tmp_path / "in"),), tmp_path / "out", (style,), backend="identity", chunk=0.7)


def the_item(asked: Batch) -> Item:
    (item,) = make_plan(asked).items
    return item


def worked_until(asked: Batch, kind: type, number: int = 0) -> Task:
    """Work until a task of a kind comes, and return that one."""

    class Found(Exception):
        pass

    def until(task: Task) -> Fact:
        if isinstance(task, kind) and getattr(task, "number", number) == number:
            raise Found(task)
        return work(task)

    with pytest.raises(Found) as found:
        translate(asked, until)
    task: Task = found.value.args[0]
    return task


def can_mount() -> bool:
    tried = "mount -t tmpfs -o size=1m tmpfs /tmp"
    unshare = ["unshare", "-rm", "sh", "-c", tried]
    return shutil.which("unshare") is not None and not subprocess.run(unshare, capture_output=True).returncode


needs_mount = pytest.mark.skipif(not can_mount(), reason="mounting in a namespace is not allowed here")


def mounted(folder: Path, mount: str, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "out").mkdir()
    script = ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, *command]
    return subprocess.run(
        script, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.mark.slow
@needs_mount
@pytest.mark.parametrize("what", ["end", "wait"])
def test_on_a_full_disk_whole_parts_stay_and_room_is_waited_for(
    asked: Batch, tmp_path: Path, what: str
) -> None:
    write_clip(tmp_path / "in" / "film.mp4", replace(FILM, size=(64, 96), image=noise))
    full = "mount -t tmpfs -o size=2m tmpfs out"
    said = mounted(tmp_path, full, "-m", "tests.support.small_disk", "in", asked.style[0], "out", what)
    assert said.returncode == 0, said.stderr
    status, parts, half, message = json.loads(said.stdout.splitlines()[-1])
    if what == "wait":
        assert (status, parts, half, message) == (0, 0, 0, "")
    else:
        assert (status, half) == (75, 0)
        assert parts in (1, 2)  # of three
        assert "no space left on device; about " in message
        assert message.endswith(" MB are free")


@pytest.mark.slow
@needs_mount
def test_a_folder_that_may_only_be_read_is_one_line(asked: Batch, tmp_path: Path) -> None:
    read_only = "mount -t tmpfs -o ro tmpfs out"
    typed = ("batch", "in", "--out", "out", "--style", asked.style[0], "--backend", "identity")
    said = mounted(tmp_path, read_only, "-m", "rt", *typed)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == f"error: cannot write out/{FOLDER}: Read-only file system"


def test_a_zombie_that_ends_late_changes_no_byte(asked: Batch) -> None:
    chunk = worked_until(asked, Chunk, number=1)
    parts, seen = Parts(chunk.item), list[str]()

    def meanwhile(*_: object) -> None:
        if not seen:
            seen.append(work(chunk, attempt="new").status)
            seen.append(json.dumps(sorted(path.name for path in parts.folder.iterdir())))

    assert work(chunk, None, meanwhile, attempt="zombie").status == "part"
    assert seen[0] == "part"
    assert "0001-zombie.part" in seen[1]  # both were there at once
    packets = parts.packets(1).read_bytes()
    assert work(chunk, attempt="later").status == "part"
    assert parts.packets(1).read_bytes() == packets
    facts, _ = translate(asked)
    assert [fact.status for fact in facts] == ["done"]
    assert work(chunk, attempt="last").status == "stopped"  # its item has ended
    assert not parts.folder.exists()


def test_two_attempts_at_an_output_write_different_files(asked: Batch) -> None:
    item = the_item(replace(asked, chunk="off"))
    seen: list[str] = []

    def meanwhile(*_: object) -> None:
        if not seen:
            seen.append(work(item, attempt="new").status)

    assert work(item, None, meanwhile, attempt="zombie").status == "done"
    assert seen == ["done"]
    content = item.output.read_bytes()
    assert work(item).status == "done"
    assert item.output.read_bytes() == content
    assert [path.name for path in asked.out.iterdir() if path.is_file()] == ["film.mp4"]


@pytest.mark.parametrize("chunk", ["off", 0.7])
def test_an_input_that_changes_in_mid_batch_is_said_and_taken_anew(asked: Batch, chunk: Any) -> None:
    asked = replace(asked, chunk=chunk)
    item = the_item(asked)

    def touch(task: Task) -> Fact:
        changed = isinstance(task, Item) == (chunk == "off")

        def now(*_: object) -> None:
            os.utime(item.source, ns=(1, 1))

        return work(task, None, now) if changed else work(task)

    facts, _ = translate(asked, touch)
    assert [fact.status for fact in facts] == ["failed"]
    assert facts[0].message == (
        f"{item.source} has changed since the batch began; the same command takes it as it is now"
    )
    assert not item.output.exists()
    assert the_item(asked).key != item.key
    facts, _ = translate(asked)
    assert [fact.status for fact in facts] == ["done"]


def skewed(item: Item) -> Item:
    return replace(item, version="0.0.1")


def other_style(item: Item) -> Item:
    return replace(item, style_sha256=("0" * 64,))


def missing_style(item: Item) -> Item:
    return replace(item, style="nowhere/style")


def gone(item: Item) -> Item:
    return replace(item, source=item.source.with_name("gone.mp4"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (skewed, r"has videobrush .*, the batch was planned by 0\.0\.1; install the same version on every"),
        (other_style, r"has another style .* than the batch was planned with; give every machine the same"),
        (missing_style, "nowhere/style"),
        (gone, r"cannot read .*gone\.mp4: No such file"),
    ],
)
def test_a_machine_that_is_not_as_planned_refuses_before_it_works(
    asked: Batch, change: Callable[[Item], Item], said: str
) -> None:
    item = change(the_item(asked))
    fact = work(item)
    assert fact.status == "failed"
    with pytest.raises(VideobrushError, match=said):
        raise VideobrushError(fact.message)
    assert not asked.out.exists()


def test_parts_of_two_backends_are_never_joined(asked: Batch) -> None:
    join = worked_until(asked, Join)
    note = join.item.parts / "0002.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"backend": "tensorrt fp16"}))
    fact = work(join)
    assert (fact.status, fact.message) == (
        "failed",
        "its parts were made with identity exact and tensorrt fp16; name one with --backend and --precision",
    )
    assert not join.item.output.exists()


def test_parts_of_two_encoders_are_never_joined(asked: Batch) -> None:
    join = worked_until(asked, Join)
    note = join.item.parts / "0001.json"
    said = json.loads(note.read_text())
    said["facts"]["encoder"] = "libx264 of another build"
    note.write_text(json.dumps(said))
    fact = work(join)
    assert fact.status == "failed"
    assert "0001.packets was encoded by libx264 of another build, this machine has libx264 " in fact.message
    assert not join.item.output.exists()
    assert not list(asked.out.glob("*.part"))


def test_a_part_that_is_not_what_was_written_is_made_again(asked: Batch) -> None:
    facts, _ = translate(replace(asked, out=asked.out.with_name("fine")))
    join = worked_until(asked, Join)
    packets = Parts(join.item).packets(1)
    content = bytearray(packets.read_bytes())
    content[len(content) // 2] ^= 1
    packets.write_bytes(content)
    fact = work(join)
    assert fact.status == "failed"
    assert fact.message == f"{packets} is not what was written; the same command makes it again"
    again, tasks = translate(asked)
    assert [fact.status for fact in again] == ["done"]
    assert [task.number for task in tasks if isinstance(task, Chunk)] == [1]
    fine = asked.out.with_name("fine") / "film.mp4"
    assert (asked.out / "film.mp4").read_bytes() == fine.read_bytes()
    assert [fact.status for fact in facts] == ["done"]


@pytest.mark.parametrize(
    ("holds", "wants", "refused"),
    [
        ((0, 1), None, True),
        ((1, 4), None, True),
        ((0, 1), "2/4", True),
        ((2, 4), "2/4", True),
        ((1, 4), "2/4", False),
    ],
)
def test_a_batch_and_its_shares_see_each_other(
    asked: Batch, holds: tuple[int, int], wants: str | None, refused: bool
) -> None:
    asked = replace(asked, shard=wants)
    said = pytest.raises(VideobrushError, match="another batch works there; wait for it")
    with Account(asked.out / FOLDER).held(*holds), said if refused else nullcontext():
        run_batch(asked, replace(make_plan(asked), items=()), lambda: False, viewing)


def test_what_runs_may_end_before_a_batch_does(asked: Batch, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    write_clip(inputs / "film.mp4", replace(FILM, frames=600))
    write_clip(inputs / "short.mp4", replace(FILM, frames=3))
    ended = threading.Event()
    film = asked.out / "film.mp4"

    def cancelled() -> bool:
        if film.exists() or film.with_name("film.mp4.part").exists():
            ended.set()
        return ended.is_set()

    asked = replace(asked, chunk="off")
    outcome = run_batch(asked, make_plan(asked), cancelled, viewing, grace_s=600)
    assert [Path(fact.source).name for fact in outcome.facts] == ["film.mp4"]
    assert (outcome.counts["done"], outcome.left) == (1, 1)


def test_a_film_whose_chunk_kills_its_process_is_given_up_alone(asked: Batch, tmp_path: Path) -> None:
    """Of processes: `rt/test_batch.py`; here what becomes of the film's other chunks."""
    from rt.batch.local import KILLS
    from rt.batch.work import failed

    def kills(task: Task) -> Fact:
        return failed(task, KILLS) if isinstance(task, Chunk) else work(task)

    facts, tasks = translate(asked, kills)
    assert [(fact.status, fact.message) for fact in facts] == [("failed", KILLS)]
    assert len([task for task in tasks if isinstance(task, Chunk)]) == 1


@pytest.mark.slow
def test_the_command_line_translates_a_film_in_chunks(asked: Batch, tmp_path: Path) -> None:
    typed = ("batch", "in", "--out", "out", "--style", asked.style[0], "--backend", "identity")
    said = videobrush(*typed, "--chunk", "0.7", "--report", "report.json", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("1 done, 0 failed: 60 frames in ")
    (fact,) = json.loads((tmp_path / "report.json").read_text())
    assert (fact["status"], fact["frames"], fact["message"]) == ("done", 60, "")
    assert videobrush(*typed, "--chunk", "0", cwd=tmp_path).returncode == 2
