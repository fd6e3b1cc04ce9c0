"""`-v` on all three command lines: what does not matter is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import engines.cli
import train.cli
from rt.log import LOG
from rt.terminal import take_verbose
from tests.support.drawings import make_domains


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    before = LOG.level
    yield
    LOG.setLevel(before)


@pytest.mark.parametrize(
    ("typed", "words", "verbose"),
    [
        (["build", "winter"], ["build", "winter"], False),
        (["-v", "build", "winter"], ["build", "winter"], True),
        (["build", "--verbose", "winter"], ["build", "winter"], True),
        (["build", "winter", "-v", "-v"], ["build", "winter"], True),
    ],
)
def test_verbose_may_stand_anywhere(typed: list[str], words: list[str], verbose: bool) -> None:
    assert take_verbose(typed) == words
    assert LOG.isEnabledFor(logging.DEBUG) is verbose


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("command", ["engines", "train"])
def test_training_and_engines_take_it(
    command: str, verbose: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOBRUSH_ENGINES", str(tmp_path))
    typed = ["list"] if command == "engines" else ["check", str(make_domains(tmp_path / "data", 2))]
    monkeypatch.setattr("sys.argv", [command, *typed, *(["-v"] if verbose else [])])
    (engines.cli.main if command == "engines" else train.cli.main)()
    assert LOG.isEnabledFor(logging.DEBUG) is verbose


@pytest.mark.parametrize("main", [engines.cli.main, train.cli.main])
def test_the_help_says_so(
    main: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["it", "--help"])
    assert callable(main)
    with pytest.raises(SystemExit):
        main()
    assert "`-v`, at any place" in " ".join(capsys.readouterr().out.split())
