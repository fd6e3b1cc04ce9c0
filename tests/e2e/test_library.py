"""`import videobrush` in other people's programs: installed from a wheel and editable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rt.demo import CLIP
from tests.support.cli import LIMIT_S, ROOT

PACKAGED = ("rt", "train", "engines", "pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILD = "import sys, setuptools.build_meta as build; getattr(build, sys.argv[1])(sys.argv[2])"
PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"

PROGRAM = """
import json, sys
import videobrush
said = {"heavy": sorted({"numpy", "cv2", "av", "openvino", "onnxruntime", "rich", "tyro"} & set(sys.modules))}
import rt, train
said["own"] = [rt.OWN, train.OWN]
import numpy as np
clip = sys.argv[1]

sizes = [(1, 1), (2, 3), (7, 9), (33, 1), (64, 48), (270, 480), (480, 270), (100, 400), (64, 48)]
random = np.random.default_rng(0)
with videobrush.load("winter", backend="onnxruntime", size=64) as winter:
    for size in sizes:
        image = random.integers(0, 256, (*size, 3), np.uint8)
        kept = image.copy()
        found = winter(image)
        assert (found.shape, found.dtype) == (image.shape, np.uint8), size
        assert np.array_equal(image, kept) and not np.shares_memory(found, image), size
        assert np.array_equal(winter(np.asfortranarray(image)), found), size
    again = winter(kept)
    assert np.array_equal(again, found) and again is not found
    for wrong in (image.astype(np.float32), image[..., :2], image[None], image[:0], [[0]]):
        try:
            winter(wrong)
            raise SystemExit("a wrong image was taken")
        except ValueError as error:
            said.setdefault("wrong", []).append(str(error))
winter.close()
try:
    winter(image)
except videobrush.BackendError as error:
    said["closed"] = str(error)

told = []
result = videobrush.run(
    clip, "whole.mp4", style="winter", backend="identity", on_progress=lambda *p: told.append(p), duration=0.5
)
said["run"] = [result.frames, len(told), told[-1][0], result.dropped]

with (
    videobrush.frames(clip, duration=0.5) as frames,
    videobrush.load("winter", backend="identity") as same,
    videobrush.writer("own.mp4", like=frames) as out,
):
    said["info"] = [frames.height, frames.width]
    for frame in frames:
        out.write(same(frame.rgb), frame)
with videobrush.writer("drawn.mp4", fps=10) as out:
    for level in range(5):
        out.write(np.full((48, 64, 3), 50 * level, np.uint8))
said["drawn"] = [[round(f.time_s, 3), int(f.rgb.mean())] for f in videobrush.frames("drawn.mp4")]
for name in ("whole.mp4", "own.mp4"):
    with videobrush.frames(name) as frames:
        said[name] = [round(frame.time_s, 3) for frame in frames]
try:
    with videobrush.writer("left.mp4") as out:
        out.write(image)
        raise KeyError("mine")
except KeyError:
    pass
try:
    videobrush.run("missing.mp4", "never.mp4", style="winter")
except videobrush.SourceError as error:
    said["missing"] = str(error)
said["styles"] = [style.name for style in videobrush.styles() if style.damaged is None]
assert sys.modules["rt"] is rt and not [name for name in sys.modules if name.startswith("rt.")]
print(json.dumps(said))
"""


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment in which the program is installed, from a copy of its folder."""
    place = tmp_path_factory.mktemp(request.param)
    copy = place / "checkout"
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    build = "build_wheel" if request.param == "wheel" else "build_editable"
    made = subprocess.run(
        [sys.executable, "-c", BUILD, build, str(place)],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    venv.create(place / "venv", symlinks=sys.platform != "win32")
    if request.param == "wheel":
        shutil.rmtree(copy)  # nothing of it may be needed any more
    interpreter = place / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    packages = Path(
        run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", place).strip()
    )
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:  # what pip does with a wheel, scripts aside
        archive.extractall(packages)
    (packages / "dependencies.pth").write_text(str(Path(np.__file__).parents[1]))
    return interpreter


def run(interpreter: Path, *arguments: object) -> str:
    """Run Python in the folder that comes last; return what it printed."""
    *typed, cwd = map(str, arguments)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "DISPLAY"))}
    said = subprocess.run(
        [interpreter, *typed],
        cwd=cwd,
        env=kept,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a program's own rt.py and train.py."""
    for name in ("rt", "train"):
        (tmp_path / f"{name}.py").write_text(f'OWN = "my own {name}"\n')
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def test_a_program_beside_its_own_rt_and_train_filters_images_and_videos(python: Path, project: Path) -> None:
    said: dict[str, Any] = json.loads(run(python, "program.py", CLIP, project))
    assert said["heavy"] == []
    assert said["own"] == ["my own rt", "my own train"]
    assert said["wrong"] == [
        f"an image is uint8[H, W, 3] RGB; {found} was given"
        for found in (
            "float32[64, 48, 3]",
            "uint8[64, 48, 2]",
            "uint8[1, 64, 48, 3]",
            "uint8[0, 48, 3]",
            "list",
        )
    ]
    assert said["closed"] == "style winter is closed and cannot translate"
    frames = said["run"][0]
    assert said["run"] == [frames, frames, frames, 0]
    assert said["whole.mp4"] == said["own.mp4"]
    assert len(said["own.mp4"]) == frames > 10
    assert [time_s for time_s, _ in said["drawn"]] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert np.allclose([level for _, level in said["drawn"]], [0, 50, 100, 150, 200], atol=2)
    assert said["missing"].startswith("cannot read missing.mp4: no such file")
    assert {"winter", "monet"} <= set(said["styles"])
    assert sorted(path.name for path in project.glob("*.mp4*")) == ["drawn.mp4", "own.mp4", "whole.mp4"]


def test_the_commands_work_in_a_folder_with_an_rt_of_its_own(python: Path, project: Path) -> None:
    script = python.with_name("videobrush-script.py")
    script.write_text("import sys\nfrom rt.cli import main\nsys.exit(main())\n")  # as pip writes it
    listed = run(python, script, "styles", project)
    assert listed == run(python, "-m", "videobrush", "styles", project)
    assert "winter" in listed
    typed = ("run", CLIP, "out.mp4", "--style", "winter", "--backend", "identity", "--duration", "0.3")
    assert run(python, "-m", "videobrush", *typed, project).endswith(", out.mp4\n")


def test_its_types_are_there_for_programs(python: Path) -> None:
    where = Path(run(python, "-c", "import videobrush; print(videobrush.__file__)", python.parent).strip())
    assert where.with_name("py.typed").is_file()
