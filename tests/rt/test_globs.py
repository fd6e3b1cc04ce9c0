"""A pattern of the shell never costs anybody a file."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt.cli import main
from rt.commands import Run
from rt.errors import SinkError, VideobrushError
from rt.image import write_image
from rt.job import run_job
from rt.pipeline import Stop
from tests.support.media import Clip, drawn, write_clip

NAMES = ("a.jpg", "b.png", "c.mp4", "d.webp", "e.mkv", "IMG_1.HEIC", "note.txt", "song.wav")
FOLDERS = ("out/", "photos", "frames/img_%04d.png", "new/")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of media that is typed."""
    folder = tmp_path_factory.mktemp("files")
    for number, name in enumerate(("a.jpg", "b.png", "d.webp")):
        write_image(drawn(number, 48, 64), folder / name)
    shutil.copy(folder / "a.jpg", folder / "IMG_1.HEIC")  # a JPEG, as phones send them
    write_clip(folder / "c.mp4", Clip(frames=3))
    write_clip(folder / "e.mkv", Clip(frames=3))
    (folder / "note.txt").write_text("precious, but nothing to look at")
    (folder / "song.wav").write_bytes(silence())
    return folder


def silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(bytes(1600))
    return file.getvalue()


def ran(folder: Path, typed: list[str], overwrite: bool) -> tuple[int, str]:
    """Run the command line in a folder; return its exit status and what it said."""
    names = [str(folder / name) + "/" * name.endswith("/") for name in typed]
    said = io.StringIO()
    more = ["--overwrite"] if overwrite else []
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main(["run", *names, "--style", "winter", "--backend", "identity", *more])
    return status, said.getvalue()


@settings(max_examples=40, deadline=None)
@given(
    there=st.sets(st.sampled_from(NAMES), min_size=1),
    typed=st.lists(st.sampled_from((*NAMES, *FOLDERS)), min_size=3, max_size=5, unique=True),
    overwrite=st.booleans(),
)
def test_no_media_that_was_typed_beside_other_outputs_is_ever_changed(
    files: Path, there: set[str], typed: list[str], overwrite: bool
) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in there:
            shutil.copy(files / name, folder / name)
        (folder / "photos").mkdir()
        with contextlib.suppress(SystemExit):
            ran(folder, typed, overwrite)
        for name in there - {"note.txt"}:
            assert (folder / name).read_bytes() == (files / name).read_bytes(), typed


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("last", ["out/", "photos", "DIR"])
def test_photos_and_a_folder_are_refused_with_the_command_to_type(
    tmp_path: Path, last: str, overwrite: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg", "c d.jpg")):
        write_image(drawn(number, 24, 32), tmp_path / name)
    (tmp_path / "photos").mkdir()
    outputs = [f"{tmp_path}/b.jpg", f"{tmp_path}/c d.jpg", *([] if last == "DIR" else [f"{tmp_path}/{last}"])]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SinkError) as caught:
        run_job(Run(f"{tmp_path}/a.jpg", "winter", tuple(outputs), overwrite=overwrite), Stop())
    out = last if last == "DIR" else f"{tmp_path}/{last}"
    assert str(caught.value) == (
        f"{tmp_path}/b.jpg, {tmp_path}/c d.jpg would be written over, since only the first name is an input; "
        f"to translate several inputs type: videobrush batch {tmp_path}/a.jpg {tmp_path}/b.jpg "
        f"'{tmp_path}/c d.jpg' --out {out} --style winter; "
        "an output of an earlier run has to be removed first"
    )
    assert "--overwrite" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_many_files_of_one_folder_are_offered_as_a_pattern(tmp_path: Path) -> None:
    for number in range(12):
        write_image(drawn(number, 24, 32), tmp_path / f"{number}.jpg")
    names = sorted(str(path) for path in tmp_path.iterdir())
    with pytest.raises(SinkError, match=f"batch {tmp_path}/\\*.jpg --out {tmp_path}/out/ --style winter"):
        run_job(Run(names[0], "winter", (*names[1:], f"{tmp_path}/out/")), Stop())


def test_what_is_no_media_is_refused_as_ever(tmp_path: Path) -> None:
    write_image(drawn(0, 24, 32), tmp_path / "a.jpg")
    (tmp_path / "b.mp4").write_text("no video")
    outputs = (f"{tmp_path}/b.mp4", f"{tmp_path}/c.jpg")
    with pytest.raises(VideobrushError, match="b.mp4: it exists; add --overwrite"):
        run_job(Run(f"{tmp_path}/a.jpg", "winter", outputs, backend="identity"), Stop())


def test_one_output_is_replaced_where_that_was_asked(tmp_path: Path) -> None:
    write_image(drawn(0, 24, 32), tmp_path / "a.png")
    write_image(drawn(1, 24, 32), tmp_path / "b.png")
    before = (tmp_path / "b.png").read_bytes()
    run_job(
        Run(f"{tmp_path}/a.png", "winter", (f"{tmp_path}/b.png",), backend="identity", overwrite=True), Stop()
    )
    assert (tmp_path / "b.png").read_bytes() != before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "note.txt"])
def test_media_of_every_kind_is_known_by_its_content(
    name: str, overwrite: bool, files: Path, tmp_path: Path
) -> None:
    shutil.copy(files / name, tmp_path / name)
    write_image(drawn(0, 24, 32), tmp_path / "first.jpg")
    outputs = (f"{tmp_path}/{name}", f"{tmp_path}/new.mp4")
    with pytest.raises(SinkError, match=f"{name} would be written over, since only"):
        run_job(
            Run(f"{tmp_path}/first.jpg", "winter", outputs, backend="identity", overwrite=overwrite), Stop()
        )
    assert (tmp_path / name).read_bytes() == (files / name).read_bytes()
    assert not (tmp_path / "new.mp4").exists()
