"""What one page of the studio asks for, without a server."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rt.web.service
from rt.errors import BackendError
from rt.frame import Frame
from rt.styles import find_style
from rt.web.protocol import ControlsUpdate, Header, Refused
from rt.web.service import TranslationService
from tests.support.onnx_styles import make_style


def test_a_network_that_cannot_be_loaded_is_reported_once_for_each_frame_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = find_style(str(make_style(tmp_path / "drawn")))
    service = TranslationService({style.name: style}, style.name)

    def fail(*_: object, **__: object) -> Any:
        raise BackendError("the GPU is out of memory")

    monkeypatch.setattr(rt.web.service, "open_backend", fail)
    said: list[Any] = []
    came = threading.Event()

    def send(message: Any) -> None:
        said.append(message)
        if message["type"] == "error":
            came.set()

    visitor = service.join(send)
    visitor.request(Header(1, 0, 0.0))
    service.show(Frame(np.zeros((48, 64, 3), np.uint8), 0, Fraction(1, 1000), 0))
    assert came.wait(10)
    assert not visitor.ready
    service.close()
    errors = [message["message"] for message in said if message["type"] == "error"]
    assert errors == ["not translated: the GPU is out of memory"]


@pytest.mark.parametrize("style", ["a+b+c", "a+a", "a+nosuch", "+", "a+"])
def test_a_mix_that_is_none_is_refused(style: str, tmp_path: Path) -> None:
    styles = {name: find_style(str(make_style(tmp_path, name))) for name in "abc"}
    service = TranslationService(styles, "a")
    try:
        visitor = service.join(lambda message: None)
        with pytest.raises(Refused):
            visitor.update(ControlsUpdate(style=style))
        assert visitor.controls_message()["style"] == "a"
        visitor.update(ControlsUpdate(style="a+c", mix=0.25))
        assert (visitor.controls_message()["style"], visitor.controls_message()["mix"]) == ("a+c", 0.25)
    finally:
        service.close()


def test_a_view_gets_the_translations_of_who_has_been_here_longest(tmp_path: Path) -> None:
    style = find_style(str(make_style(tmp_path, "drawn")))
    service = TranslationService({"drawn": style}, "drawn", backend="identity")
    shown: list[Any] = []
    pages: tuple[list[Any], list[Any]] = [], []

    def show(message: Any) -> None:
        shown.append(message)

    def take(message: Any) -> None:
        pages[0].append(message)

    def take_too(message: Any) -> None:
        pages[1].append(message)

    try:
        first, second = service.join(take), service.join(take_too)
        service.watch(show)
        assert service.views == 1
        frame = Header(1, 3, 0.0).pack() + b"old"
        first.send(frame + b"first")
        second.send(frame + b"second")
        first.send({"type": "status"})
        assert shown == [b"first"]
        assert pages == ([frame + b"first", {"type": "status"}], [frame + b"second"])
        service.leave(first)
        second.send(frame + b"second")
        assert shown == [b"first", b"second"]
        service.unwatch(show)
        service.unwatch(show)
        second.send(frame + b"again")
        assert (shown, service.views) == ([b"first", b"second"], 0)
    finally:
        service.close()
