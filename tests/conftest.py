from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rt.cuda.nvrtc import load_compiler
from rt.errors import BackendError
from rt.log import LOG
from tests.support import signals
from tests.support.forms import keep_forms

_ignored = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Let no child of a test ignore the signals that our parent ignores."""
    signals.ignore(getattr(config, "workerinput", {}).get("ignored", []))
    config.stash[_ignored] = signals.stop_passing_on()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let the processes of pytest-xdist ignore what we do."""
    node.workerinput["ignored"] = node.config.stash[_ignored]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under pytest-xdist: slow tests come first and go where there is room, the others of a file together.

    Tests that share what is made once for their file share a process.
    """
    if not hasattr(config, "workerinput"):
        return
    shared: dict[Path, list[set[str]]] = {}
    for item in items:
        if names := _made_once(item):
            known = shared.setdefault(item.path, [])
            together = [found for found in known if found & names]
            shared[item.path] = [found for found in known if not found & names] + [names.union(*together)]
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        group = str(item.path.relative_to(config.rootpath))
        if names := _made_once(item):
            group += " " + min(next(found for found in shared[item.path] if found & names))
        elif _is_slow(item):
            continue
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not _is_slow(item))


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _made_once(item: Any) -> set[str]:
    """Return the names of the fixtures of a test that are made once for its file."""
    return {name for name, made in item._fixtureinfo.name2fixturedefs.items() if made[-1].scope == "module"}


@dataclass(frozen=True)
class Screen:
    """A virtual screen: its address, and the file that holds what it shows (XWD, 24 bits deep)."""

    display: str
    framebuffer: Path


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    """A virtual screen of 640x480 of our own; the user's own display is left alone."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs a virtual screen; type: apt-get install xvfb")
    folder = tmp_path_factory.mktemp("screen")
    told, tells = os.pipe()
    arguments = ["-displayfd", str(tells), "-screen", "0", "640x480x24", "-fbdir", str(folder)]
    arguments += ["-nolisten", "tcp", "-noreset", "-nocursor"]  # no pointer in the images
    arguments += ["-s", "0"]  # nor a screen saver, which blanks everything after ten minutes
    server = subprocess.Popen(["Xvfb", *arguments], pass_fds=[tells], stderr=subprocess.DEVNULL)
    os.close(tells)
    with os.fdopen(told) as number:
        display = f":{number.readline().strip()}"
    try:
        yield Screen(display, folder / "Xvfb_screen0")
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(autouse=True)
def own_styles(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder instead of the user's own styles."""
    folder = tmp_path_factory.mktemp("styles")
    monkeypatch.setenv("VIDEOBRUSH_STYLES", str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_engines(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engines folder that nobody else has, and that is made when the first engine is written."""
    folder = tmp_path_factory.mktemp("cache") / "engines"
    monkeypatch.setenv("VIDEOBRUSH_ENGINES", str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what the program remembers that nobody else has."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def plain_forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which this CPU is known to compute each style quickest as its file reads."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VIDEOBRUSH_CACHE", str(folder))
        keep_forms(
            {
                "fp32 bf16": {"fp32": 1.0},
                "int8 int8+bf16 bf16": {"int8": 1.0},
                "int8 int8+bf16": {"int8": 1.0},
            }
        )
    return folder


@pytest.fixture(autouse=True)
def own_cache(plain_forms: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What tests compare is computed in the precision of the file, in this process and in others."""
    monkeypatch.setenv("VIDEOBRUSH_CACHE", str(plain_forms))
    return plain_forms


@pytest.fixture(autouse=True)
def untouched_log() -> None:
    """The log as it is before a command line sets it up, whatever ran before in this process."""
    LOG.handlers.clear()
    LOG.propagate = True
    LOG.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def compiler() -> None:
    """NVRTC, which compiles the kernels for a GPU."""
    try:
        load_compiler()
    except BackendError as error:
        pytest.skip(str(error))
