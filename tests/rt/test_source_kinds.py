from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rt.errors import SourceError
from rt.sources import KINDS, Kind, SourceOptions, help_text, open_source
from rt.sources import _kind_of as kind_of

EVERY = [(kind, example) for kind in KINDS for example in kind.examples]
DOCS = [Path(__file__).parents[2] / name for name in ("README.md", "rt/README.md")]


@pytest.mark.parametrize(("kind", "example"), EVERY, ids=[example for _, example in EVERY])
def test_every_example_is_of_its_kind_and_stands_in_help_and_docs(
    kind: Kind, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    still = Image.new("RGB", (8, 8))
    still.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
    if example != "/dev/stdin":  # what that is depends on who runs the tests
        assert kind_of(example) is kind
    assert example in help_text()
    form = example.removesuffix("...")
    assert any(form in path.read_text(encoding="utf-8") for path in DOCS if path.exists())


def test_every_scheme_belongs_to_one_kind() -> None:
    schemes = [scheme for kind in KINDS for scheme in kind.schemes]
    assert len(schemes) == len(set(schemes))
    for kind in KINDS:
        for scheme in kind.schemes:
            assert kind_of(f"{scheme}://x") is kind
            assert kind_of(f"{scheme.upper()}://x") is kind


def test_the_refusal_of_an_unknown_scheme_names_every_known_one() -> None:
    with pytest.raises(SourceError) as raised:
        open_source("nothing://here", SourceOptions())
    for kind in KINDS:
        for scheme in kind.schemes:
            assert f"{scheme}://" in str(raised.value)
