"""A studio's batches without its server: names, limits, turns, what is deleted and when."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt.batch.driver import DISK_FULL, Outcome
from rt.batch.plan import Item, Plan
from rt.batch.work import Fact
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.image import write_image
from rt.styles import find_style
from rt.web.batches import LEAVE_S, TURN_BYTES, Batches, Gone, VisitorBatch
from rt.web.protocol import Refused
from rt.web.service import Busy
from rt.web.uploads import DAY_S, RESERVE_BYTES, Limits, TooMuch, UploadFolder, fitting_name
from tests.support.batches import carried_here
from tests.support.onnx_styles import drawn_image, make_style, save_negative

WAIT_S = 60
PHOTO = ".png"


@pytest.fixture
def places(tmp_path: Path) -> Path:
    return tmp_path / "places"


@pytest.fixture
def opened(tmp_path: Path, places: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Batches]]:
    """Opens batches with two styles, whose work is done in this process."""
    monkeypatch.setattr("rt.batch.driver.carry", carried_here)
    folder = tmp_path / "styles"
    negative = save_negative(tmp_path / "negative.onnx")
    styles = {
        "drawn": find_style(str(make_style(folder))),
        "negative": find_style(str(make_style(folder, "negative", negative))),
    }
    found: list[Batches] = []

    def open_batches(**limits: Any) -> Batches:
        found.append(Batches(styles, places, Limits(**limits), "onnxruntime"))
        return found[-1]

    yield open_batches
    for batches in found:
        batches.close()


def photo(tmp_path: Path, seed: int = 0) -> bytes:
    path = tmp_path / f"photo-{seed}{PHOTO}"
    write_image(drawn_image(32, 44, seed=seed), path)
    return path.read_bytes()


def put(batches: Batches, batch: VisitorBatch, name: str, content: bytes) -> int:
    with batches.receive(batch, name, len(content)) as receiver:
        receiver.take(content)
    assert receiver.upload is not None
    return receiver.upload.number


def wait_for(batches: Batches, batch: VisitorBatch, state: str) -> dict[str, Any]:
    until_s = time.monotonic() + WAIT_S
    while (said := batches.describe(batch))["state"] != state:
        assert time.monotonic() < until_s, said
        time.sleep(0.01)
    return said


def states(said: dict[str, Any]) -> list[str]:
    return [item["state"] for item in said["items"]]


names = st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=10).map("/".join)


@given(
    names,
    st.sampled_from([".mp4", ".JPG", ".heic"]),
    st.lists(names.map(lambda name: f"{name}x.png"), max_size=3),
)
def test_whatever_a_file_is_called_it_stays_within_its_folder(
    name: str, suffix: str, others: list[str]
) -> None:
    taken: list[str] = []
    for typed in (*others, f"{name}a{suffix}", f"{name}A{suffix}", f"{name}a.png"):
        try:
            taken.append(fitting_name(typed, taken))
        except Refused:  # a name that begins with a dot
            continue
    for found in taken:
        path = PurePosixPath(found)
        assert not path.is_absolute()
        assert not {"..", ".", ""} & set(path.parts)
        assert "\\" not in found
        assert found.isprintable()
        assert all(len(part.encode()) < 255 for part in path.parts)
        # The output's name is its style's and a number longer.
        assert len(path.name.encode()) < 200
    stems = [str(PurePosixPath(found).with_suffix("")).casefold() for found in taken]
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("a.mp4", "a.mp4"),
        ("day one/a.mp4", "day one/a.mp4"),
        ("/etc/a.jpg", "etc/a.jpg"),
        ("../../a.jpg", "a.jpg"),
        ("C:\\photos\\a.jpg", "C_/photos/a.jpg"),
        ("what? 100%.png", "what_ 100_.png"),
        ("B.webp", "B (2).webp"),
        ("b.mkv", "b (2).mkv"),
        ("below/b.jpg", "below/b.jpg"),
    ],
)
def test_names_people_have(typed: str, found: str) -> None:
    assert fitting_name(typed, ["b.jpg"]) == found


@pytest.mark.parametrize("typed", ["", "a", "a.txt", "a.exe", ".mp4", "._a.mp4", "Thumbs.db", "a.mp4/", ".."])
def test_what_is_no_video_or_image_is_refused(typed: str) -> None:
    if typed == "a.mp4/":
        assert fitting_name(typed, []) == "a.mp4"
        return
    with pytest.raises(Refused, match="is the name of no video or image"):
        fitting_name(typed, [])


def test_limits_hold_before_a_byte_is_taken(opened: Callable[..., Batches], tmp_path: Path) -> None:
    batches = opened(files=2, total_bytes=3000, batches=1)
    batch = batches.open()
    with pytest.raises(Busy, match="1 batches are open"):
        batches.open()
    for size, fault in ((3001, "a batch takes 3e-06 GB, this file has 0.0 MB"), (0, "the file is empty")):
        with pytest.raises(Refused, match=fault), batches.receive(batch, "a.png", size):
            raise AssertionError("it was let in")
    put(batches, batch, "a.png", bytes(2000))
    with pytest.raises(TooMuch, match="0.0 MB are left"), batches.receive(batch, "b.png", 1001):
        raise AssertionError("it was let in")
    with batches.receive(batch, "b.png", 1000) as receiver:
        receiver.take(bytes(1000))
        # What is on its way counts too.
        with pytest.raises(TooMuch, match="a batch takes 2 files"), batches.receive(batch, "c.png", 1):
            raise AssertionError("it was let in")
        with pytest.raises(Refused, match="more than the 1000 bytes announced"):
            receiver.take(b"x")
    with pytest.raises(Gone):
        batches.remove_file(batch, 9)
    batches.remove_file(batch, 2)
    with (
        pytest.raises(Refused, match="ended after 1 of 2 bytes"),
        batches.receive(batch, "b.png", 2) as receiver,
    ):
        receiver.take(b"x")
    assert [path.name for path in batch.folder.rglob("*") if path.is_file()] == ["a.png"]
    put(batches, batch, "b.png", bytes(1000))


def test_an_upload_that_would_fill_the_disk_is_refused(
    opened: Callable[..., Batches], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = opened()
    batch = batches.open()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=RESERVE_BYTES + 10))
    put(batches, batch, "a.png", bytes(10))
    with pytest.raises(TooMuch, match="disk has 0.5 GB free"), batches.receive(batch, "b.png", 11):
        raise AssertionError("it was let in")


def test_files_in_styles_and_again_with_other_settings(
    opened: Callable[..., Batches], tmp_path: Path
) -> None:
    batches = opened()
    batch = batches.open()
    put(batches, batch, "a.png", photo(tmp_path))
    put(batches, batch, "below/a.png", photo(tmp_path, 1))
    for styles, fault in (
        ([], "choose a style"),
        (["nix"], "there is no style 'nix'; known: drawn, negative"),
    ):
        with pytest.raises(Refused, match=fault):
            batches.start(batch, styles, 1, 0)
    batches.start(batch, ["drawn"], 1, 0)
    said = wait_for(batches, batch, "ended")
    assert states(said) == ["done", "done"]
    assert said["share"] == 1
    results = dict(batches.results(batch))
    assert set(results) == {"a-drawn.png", "below/a-drawn.png"}
    first = {name: path.read_bytes() for name, path in results.items()}

    # A further style leaves what is done.
    before = results["a-drawn.png"].stat().st_mtime_ns
    batches.start(batch, ["drawn", "negative"], 1, 0)
    assert states(wait_for(batches, batch, "ended")) == ["done"] * 4
    assert results["a-drawn.png"].stat().st_mtime_ns == before

    # Other settings replace it, and so do the first ones afterwards.
    for strength, same in ((0.5, False), (1, True)):
        batches.start(batch, ["drawn"], strength, 0)
        assert states(wait_for(batches, batch, "ended")) == ["done"] * 4
        made = {name: path.read_bytes() for name, path in batches.results(batch)}
        assert [made[name] == content for name, content in first.items()] == [same, same]
    batches.remove_file(batch, 1)
    assert set(dict(batches.results(batch))) == {"below/a-drawn.png", "below/a-negative.png"}
    assert not results["a-drawn.png"].exists()


def test_what_fails_says_why_without_the_servers_folders(
    opened: Callable[..., Batches], tmp_path: Path
) -> None:
    batches = opened()
    batch = batches.open()
    put(batches, batch, "bad.png", b"no image")
    put(batches, batch, "good.png", photo(tmp_path))
    batches.start(batch, ["drawn"], 1, 0)
    said = wait_for(batches, batch, "ended")
    assert states(said) == ["failed", "done"]
    assert "bad.png" in said["items"][0]["message"]
    assert str(tmp_path) not in said["items"][0]["message"]


class Steered:
    """Stands in for `run_batch`: says what was asked of it and waits until it may end."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, int]] = []
        self.hold = False
        self.status = "done"
        self.message = ""

    def __call__(
        self, asked: Batch, plan: Plan, cancelled: Callable[[], bool], shown: Any, **waits: float
    ) -> Outcome:
        assert waits == {"grace_s": 0, "wait_s": 0}  # the files of a visitor who left are deleted
        self.turns.append((Path(plan.out).parent.name, len(plan.items)))
        facts = []
        with shown(len(plan.items)) as view:
            for item in plan.items:
                view.progress(0, item, 1, 4)
                while self.hold and not cancelled():
                    time.sleep(0.01)
                if cancelled():
                    break
                facts.append(self.fact(item))
                view.ended(facts[-1])
        return Outcome(tuple(facts), 0, 0, 0.0)

    def fact(self, item: Item) -> Fact:
        status: Any = self.status
        return Fact(item.key, str(item.source), item.style, str(item.output), status, self.message)


@pytest.fixture
def steered(monkeypatch: pytest.MonkeyPatch) -> Steered:
    found = Steered()
    monkeypatch.setattr("rt.web.batches.run_batch", found)
    return found


def test_a_long_batch_does_not_keep_the_others_waiting(
    opened: Callable[..., Batches], steered: Steered
) -> None:
    batches = opened(total_bytes=10**10)
    one, other = batches.open(), batches.open()
    for name in "abc":
        with (one.inputs / f"{name}.mp4").open("wb") as file:
            file.truncate(TURN_BYTES // 2 + 1)
        one.uploads[ord(name)] = SimpleNamespace(name=f"{name}.mp4", number=ord(name), bytes=1)  # type: ignore[assignment]
    put(batches, other, "x.mp4", b"x")
    put(batches, other, "y.mp4", b"x")
    steered.hold = True
    batches.start(one, ["drawn"], 1, 0)
    wait_for(batches, one, "running")
    batches.start(other, ["drawn"], 1, 0)
    assert batches.describe(other)["ahead"] == 1
    steered.hold = False
    wait_for(batches, one, "ended")
    wait_for(batches, other, "ended")
    assert steered.turns == [
        (one.folder.name, 1),
        (other.folder.name, 2),
        (one.folder.name, 1),
        (one.folder.name, 1),
    ]


def test_stopped_batches_go_on_when_they_are_started_again(
    opened: Callable[..., Batches], steered: Steered
) -> None:
    batches = opened()
    one, other = batches.open(), batches.open()
    steered.hold = True
    for batch in (one, other):
        put(batches, batch, "a.mp4", b"x")
        batches.start(batch, ["drawn"], 1, 0)
    wait_for(batches, one, "running")
    with pytest.raises(Refused, match="being translated"):
        batches.start(one, ["drawn"], 1, 0)
    with pytest.raises(Refused, match="stop it first"):
        batches.remove_file(one, 1)
    batches.stop(other)  # it had no turn yet
    assert states(wait_for(batches, other, "ended")) == ["waiting"]
    batches.stop(one)
    batches.stop(one)
    assert states(wait_for(batches, one, "ended")) == ["waiting"]
    steered.hold = False
    batches.start(one, ["drawn"], 1, 0)
    assert states(wait_for(batches, one, "ended")) == ["done"]
    assert [turn[0] for turn in steered.turns] == [one.folder.name] * 2


def test_a_full_disk_and_a_fault_of_ours_end_their_batch_alone(
    opened: Callable[..., Batches], steered: Steered, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = opened()
    batch = batches.open()
    put(batches, batch, "a.mp4", b"x")
    steered.status, steered.message = "failed", "cannot write a.mp4: No space left on device"
    assert Outcome((Fact("", "", "", "", "failed", steered.message),), 0, 0, 0).status == DISK_FULL
    batches.start(batch, ["drawn"], 1, 0)
    assert wait_for(batches, batch, "ended")["fault"].startswith("the studio's disk is full")

    def broken(*_: object, **__: object) -> Outcome:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("rt.web.batches.run_batch", broken)
    batches.start(batch, ["drawn"], 1, 0)
    assert wait_for(batches, batch, "ended")["fault"] == "a fault of the program: ZeroDivisionError: of ours"
    monkeypatch.setattr("rt.web.batches.run_batch", steered)
    steered.status, steered.message = "done", ""
    batches.start(batch, ["drawn"], 1, 0)
    assert (wait_for(batches, batch, "ended")["fault"], states(batches.describe(batch))) == ("", ["done"])


def test_files_are_deleted_when_their_visitor_has_left_or_after_a_day(
    opened: Callable[..., Batches], steered: Steered
) -> None:
    batches = opened()
    reloaded, left, old, running = (batches.open() for _ in range(4))
    for batch in (reloaded, left, old, running):
        put(batches, batch, "a.mp4", b"x")
    steered.hold = True
    batches.start(running, ["drawn"], 1, 0)
    wait_for(batches, running, "running")
    now = time.monotonic()
    batches.leave(reloaded)
    batches.stay(reloaded)
    batches.leave(left)
    batches.sweep(now + LEAVE_S / 2)
    assert left.folder.exists()
    batches.sweep(now + LEAVE_S + 1)
    assert [batch.folder.exists() for batch in (reloaded, left, old, running)] == [True, False, True, True]
    with pytest.raises(Gone):
        batches.get(left.id)
    batches.sweep(now + DAY_S - 1)
    assert old.folder.exists()
    batches.sweep(now + DAY_S + 1)
    # What is translated stays, however long it takes.
    assert [batch.folder.exists() for batch in (reloaded, old, running)] == [False, False, True]
    batches.leave(running)
    batches.sweep(now + LEAVE_S + 1)
    until_s = time.monotonic() + WAIT_S
    while running.folder.exists():
        assert time.monotonic() < until_s
        time.sleep(0.01)
    with pytest.raises(Gone), batches.receive(running, "b.mp4", 1) as receiver:
        receiver.take(b"x")


def test_nothing_is_left_of_a_studio_that_ended_or_was_killed(
    opened: Callable[..., Batches], places: Path, tmp_path: Path
) -> None:
    killed = (
        "import os, sys; from pathlib import Path; from rt.web.uploads import UploadFolder;"
        "folder = UploadFolder(Path(sys.argv[1])).path(); (folder / 'a.mp4').touch(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", killed, str(places)], check=False)
    assert len(list(places.glob("*/a.mp4"))) == 1
    batches = opened()
    put(batches, batches.open(), "b.mp4", b"x")
    assert not list(places.glob("*/a.mp4"))
    opened()  # another studio of the same user takes nothing away
    assert len(list(places.rglob("b.mp4"))) == 1
    batches.close()
    batches.close()
    assert list(places.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VideobrushError, match="cannot make .*: Not a directory"):
        UploadFolder(tmp_path / "file").path()
