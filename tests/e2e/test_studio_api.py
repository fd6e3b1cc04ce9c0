"""The studio's interface for programs."""

from __future__ import annotations

import socket

import httpx
import numpy as np
import pytest

from rt.web.protocol import MESSAGE_BYTES
from tests.support.studio import (
    FRAME,
    STYLES,
    Running,
    exactly,
    image,
    jpeg,
    translated,
)


def test_the_interface_for_programs_translates_a_image(studio: Running) -> None:
    content = jpeg(FRAME)
    with httpx.Client(base_url=studio.base, headers=studio.bearer, timeout=60) as client:
        answer = client.post(
            "/api/translate",
            params={"style": "negative", "size": 48, "strength": 0.5},
            content=content,
            headers={"Accept": "image/png"},
        )
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert np.array_equal(image(answer.content), exactly("negative", image(content), 48, strength=0.5))
        answer = client.post("/api/translate", content=content)
        assert answer.headers["content-type"] == "image/jpeg"
        assert np.array_equal(image(answer.content), translated("drawn", image(content)))
        listed = client.get("/api/styles").json()["styles"]
        assert [style["id"] for style in listed] == STYLES
        assert (listed[-1]["preview"], listed[-1]["precisions"]) == ("/previews/winter", ["fp32", "int8"])
        counted = client.get("/metrics").text
        assert "\nvideobrush_images_total 2\n" in counted
        assert "\nvideobrush_networks_loaded_total 3\n" in counted  # the first at the start, for 720p
    assert httpx.get(f"{studio.base}/api/health").json() == {"status": "ok"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "content", "status", "fault"),
    [
        ({"style": "../drawn"}, b"", 400, f"there is no style '../drawn'; known: {', '.join(STYLES)}"),
        ({"size": "big"}, b"", 400, "size or strength is not a number"),
        ({"size": "8"}, jpeg(FRAME), 400, "style drawn cannot work at --size 8: it needs at least 16"),
        ({"strength": "2"}, b"", 400, "strength is 2.0, not within 0..1"),
        ({"strength": "nan"}, b"", 400, "strength is nan, not within 0..1"),
        ({"detail": "x"}, b"", 400, "detail is not keep or network"),
        ({"path": "/etc"}, b"", 400, "unknown parameter 'path'"),
        ({}, b"", 400, "no image: needed is a JPEG, PNG or WebP"),
        ({}, bytes(MESSAGE_BYTES + 1), 413, f"body larger than {MESSAGE_BYTES} bytes"),
    ],
)
def test_what_a_program_asks_wrongly_is_said(
    shared_studio: Running, query: dict[str, str], content: bytes, status: int, fault: str
) -> None:
    answer = httpx.post(
        f"{shared_studio.base}/api/translate",
        params=query,
        content=content,
        headers=shared_studio.bearer,
        timeout=60,
    )
    assert answer.status_code == status
    assert answer.json()["error"].startswith(fault)


def test_programs_need_the_token_and_pages_of_others_cannot_use_the_cookie(studio: Running) -> None:
    address = f"{studio.base}/api/translate"
    assert httpx.post(address, content=b"").status_code == 401
    for path in ("/api/styles", "/metrics"):
        assert httpx.get(studio.base + path).status_code == 401
    cookie = {"Cookie": studio.cookie}
    for origin in ("http://evil.example", "null", None):
        sent = {**cookie, **({"Origin": origin} if origin else {})}
        assert httpx.post(address, content=jpeg(FRAME), headers=sent).status_code == 403
    ours = {**cookie, "Origin": studio.base}
    assert httpx.post(address, content=jpeg(FRAME), headers=ours, timeout=60).status_code == 200


def test_every_fault_of_the_interface_is_json(studio: Running) -> None:
    for method, path, status in (("GET", "/api/translate", 405), ("GET", "/api/nothing", 404)):
        answer = httpx.request(method, studio.base + path, headers=studio.bearer)
        assert answer.status_code == status
        assert answer.json()["error"].startswith(f"{method} {path}: ")


def test_a_program_that_never_sends_its_image_is_given_up(
    studio: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.web.api.BODY_TIMEOUT_S", 0.05)
    head = f"POST /api/translate HTTP/1.1\r\nHost: localhost:{studio.port}\r\nContent-Length: 99\r\n"
    with socket.create_connection(("127.0.0.1", studio.port), 30) as connection:
        connection.sendall(f"{head}Authorization: Bearer {studio.token}\r\n\r\n".encode())
        assert b" 408 " in connection.recv(100)
