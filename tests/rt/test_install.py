from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from rt.install import install_hint, version

CHECKOUT = Path(__file__).resolve().parents[2]


class Installed:
    """A distribution with this direct_url.json."""

    def __init__(self, origin: object) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(
    ("origin", "here", "command"),
    [
        (None, "work", 'pip install "videobrush[studio]"'),
        (
            {"url": "file:///tmp/videobrush-0.2.0-py3-none-any.whl", "archive_info": {}},
            "work",
            'pip install "videobrush[studio]"',
        ),
        ("checkout", "my code", 'pip install ".[studio]"'),
        ("checkout", "work", 'pip install "{checkout}[studio]"'),
        ("editable", "my code", 'pip install ".[studio]"'),
        ("editable", "work", 'pip install "{checkout}[studio]"'),
    ],
)
def test_the_hint_is_what_works_where_it_is_typed(
    origin: object, here: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "my code"
    for folder in (checkout, tmp_path / "work"):
        folder.mkdir()
    if isinstance(origin, str):
        origin = {"url": checkout.as_uri(), "dir_info": {"editable": True} if origin == "editable" else {}}
    monkeypatch.chdir(tmp_path / here)
    for others in ([], [Installed(None)]):  # what a build leaves in a checkout
        monkeypatch.setattr(
            importlib.metadata, "distributions", lambda name, o=others: [*o, Installed(origin)]
        )
        assert install_hint("studio") == command.format(checkout=checkout)


def test_a_program_that_is_not_installed_is_installed_from_its_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: [])
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert version() is None
    assert install_hint("train", CHECKOUT) == 'pip install ".[train]"'
    assert install_hint("", CHECKOUT) == 'pip install "."'
    assert install_hint("", CHECKOUT, again=True) == 'pip install --force-reinstall "."'
    assert install_hint("train", tmp_path) == f'pip install "{CHECKOUT}[train]"'
