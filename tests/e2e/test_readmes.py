"""The commands of every README are parsed, and run where they can be."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import rt.cli
from rt.commands import Run, Studio
from rt.styles import find_style
from tests.e2e.conftest import draw_clip
from tests.support.onnx_styles import drawn_image
from tests.support.readme import NAMES, ROOT, Command, commands
from tests.support.studio import image, jpeg, running

CLIS = {"videobrush": "rt.cli", "videobrush-train": "train.cli", "videobrush-engines": "engines.cli"}
SHOWN = [command for name in NAMES for command in commands(name)]
TYPED = [command for command in SHOWN if command.words[0] in CLIS]
CURLED = [command for command in SHOWN if command.words[0] == "curl"]


def parse(command: Command, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what the real command line makes of the words; it runs nothing."""
    cli = importlib.import_module(CLIS[command.words[0]])
    read: list[Any] = []

    def keep(parsed: Any) -> int:
        read.append(parsed)
        return 0

    monkeypatch.setattr(cli, "_run", keep)
    monkeypatch.setattr(sys, "argv", list(command.words))
    assert cli.main() == 0, str(command)
    return read[0]


def runs_here(command: Command) -> bool:
    """Return whether a command needs nothing but files: no camera, stream, screen or trained network."""
    words = command.words
    if words[:2] == ("videobrush", "styles"):
        return "mine" not in words
    inputs = ("holiday.mp4", "photo.jpg", "photos/")
    devices = ("window://", "virtual://", "rtmp://")
    return (
        words[:2] == ("videobrush", "run")
        and words[2] in inputs
        and not any(word.startswith(devices) or word.startswith("runs/") for word in words)
    )


RUN = [command for command in TYPED if runs_here(command)]


def test_every_readme_of_the_house_is_among_them() -> None:
    found = {str(path.relative_to(ROOT)) for folder in ("rt", "train", "engines", "tests")
             for path in (ROOT / folder).rglob("README.md")} | {"README.md"}  # fmt: skip
    assert found - {"rt/demo/README.md"} == set(NAMES)
    assert len(CURLED) == 5
    assert len(TYPED) > 40
    assert len(RUN) > 8
    for folder in NAMES[:5]:
        assert any(command.where.startswith(f"{folder}:") for command in TYPED), folder


@pytest.mark.parametrize("program", CLIS)
def test_every_command_shown_is_one_that_can_be_typed(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in TYPED:
        if command.words[0] != program:
            continue
        try:
            parsed = parse(command, monkeypatch)
        except SystemExit as ended:
            pytest.fail(f"{command} is refused with status {ended.code}")
        if isinstance(parsed, Run | Studio):
            assert parsed.fault() is None, str(command)


def test_the_commands_that_need_files_alone_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_clip(tmp_path / "holiday.mp4", frames=3)
    (tmp_path / "photo.jpg").write_bytes(jpeg(drawn_image(48, 64)))
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(jpeg(drawn_image(48, 64)))
    for words in sorted({command.words[1:] for command in RUN}):
        more = () if words[0] == "styles" or "--overwrite" in words else ("--overwrite",)
        assert rt.cli.main([*words, *more]) == 0, (words, capsys.readouterr().err)
        for output in words[2:]:
            if words[0] == "run" and output.rstrip("/").endswith(("mp4", "mkv", "jpg", "-photos")):
                assert (tmp_path / output).exists(), words


def test_the_requests_to_the_studio_are_answered(
    own_styles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(jpeg(drawn_image(48, 64)))
    with running(style="winter") as studio, httpx.Client(timeout=60) as client:
        for command in CURLED:
            curl = argparse.ArgumentParser(exit_on_error=False)
            curl.add_argument("-H", action="append", default=[])
            curl.add_argument("--data-binary")
            curl.add_argument("-o")
            curl.add_argument("address")
            typed = curl.parse_args(command.words[1:])
            headers = dict(line.replace("TOKEN", studio.token).split(": ", 1) for line in typed.H)
            address = typed.address.replace("127.0.0.1:8765", f"127.0.0.1:{studio.port}")
            if typed.data_binary is None:
                answer = client.get(address, headers=headers)
            else:
                content = Path(typed.data_binary.removeprefix("@")).read_bytes()
                answer = client.post(address, headers=headers, content=content)
            assert answer.status_code == 200, (str(command), answer.text)
            if typed.o:
                png = typed.o.endswith(".png")
                assert answer.headers["content-type"] == ("image/png" if png else "image/jpeg")
                assert image(answer.content).shape == (48, 64, 3)
    assert find_style("winter").name == "winter"
