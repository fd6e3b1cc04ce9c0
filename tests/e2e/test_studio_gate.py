"""Who gets into the studio, and what ends a connection."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from rt.web.protocol import MESSAGE_BYTES, MESSAGES_PER_S
from tests.support.studio import (
    FRAME,
    Page,
    Running,
    handshake,
    image,
    jpeg,
    running,
)


@pytest.fixture(scope="module")
def studio(shared_studio: Running) -> Running:
    """One studio for all: who is refused leaves nothing behind."""
    return shared_studio


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"}, "DNS rebinding"),
        ({"Host": "localhost"}, "another port"),
        ({"Origin": "http://evil.example"}, "a page of another site"),
        ({"Origin": "http://127.0.0.1:{port}.evil.example"}, "a name that begins like ours"),
        ({"Origin": "null"}, "a sandboxed frame"),
        ({"Origin": None}, "no browser"),
        ({"Cookie": None}, "not signed in"),
        ({"Cookie": "videobrush_{port}=0"}, "a cookie that is not ours"),
    ],
)
@pytest.mark.parametrize("path", ["/ws", "/ws/view"])
def test_a_handshake_that_is_not_of_our_page_is_refused(
    path: str, studio: Running, headers: dict[str, str | None], why: str
) -> None:
    sent = {name: value and value.format(port=studio.port) for name, value in headers.items()}
    assert handshake(studio, path) == 101
    assert handshake(studio, path, **sent) == 403, why


def test_the_page_is_given_to_who_has_the_token_and_then_by_the_cookie(studio: Running) -> None:
    with httpx.Client(base_url=studio.base) as client:
        assert client.get("/").status_code == 401
        wrong = client.get("/", params={"token": studio.token[:-1]})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
        right = client.get("/", params={"token": studio.token})
        assert right.headers["set-cookie"].endswith("HttpOnly; SameSite=Strict; Max-Age=31536000")
        page = client.get("/")
        assert (page.status_code, "<canvas" in page.text) == (200, True)
        assert 'content="0;url=/"' in right.text
        other = client.get("/", params={"token": studio.token, "transport": '"><script>'})
        assert 'content="0;url=/"' in other.text
        assert studio.token not in page.text
        for answer in (wrong, right, page, client.get("/nothing"), client.get("/static/studio.js")):
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in answer.headers
        evil = client.get("/", headers={"Host": f"evil.example:{studio.port}"})
        assert (evil.status_code, "set-cookie" in evil.headers) == (403, False)


def test_the_view_is_given_as_the_page_is(studio: Running) -> None:
    with httpx.Client(base_url=studio.base) as client:
        assert client.get("/view").status_code == 401
        assert client.get("/view", params={"token": studio.token[:-1]}).status_code == 403
        right = client.get("/view", params={"token": studio.token})
        assert (right.status_code, 'content="0;url=/view"' in right.text) == (200, True)
        found = client.get("/view")
        assert (found.status_code, "<canvas" in found.text, "<button" in found.text) == (200, True, False)


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../server.py", "/static/%2e%2e%2fserver.py", "/static/..%5cserver.py", "/static/"),
        *("/previews/..%2f..%2fcard.json", "/previews/nobody", "/previews/drawn", "/static/__init__.py"),
    ],
)
def test_names_are_ids_and_never_paths(studio: Running, path: str) -> None:
    lines = f"GET {path} HTTP/1.1\r\nHost: localhost:{studio.port}\r\nCookie: {studio.cookie}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", studio.port)) as connection:
        connection.sendall(lines.encode())
        assert b" 404 " in connection.recv(100)


def test_previews_are_shown_to_who_signed_in(studio: Running) -> None:
    assert httpx.get(f"{studio.base}/previews/winter").status_code == 401
    found = httpx.get(f"{studio.base}/previews/winter", headers=studio.bearer)
    assert (found.status_code, found.headers["content-type"]) == (200, "image/jpeg")
    assert min(image(found.content).shape[:2]) > 64


def test_a_full_house_is_refused_politely_and_has_room_again(styles: Path) -> None:
    with running(style="drawn", visitors=2) as studio:
        with Page(studio) as first, Page(studio) as second:
            for page in (first, second):
                page.text("welcome")
            third = Page(studio)
            with pytest.raises(ConnectionClosed) as refused:
                third.text("welcome")
            assert refused.value.rcvd is not None
            assert refused.value.rcvd.code == 4003
            assert refused.value.rcvd.reason == (
                "2 visitors are connected, the limit of this studio; try again later"
            )
        with Page(studio) as fourth:
            fourth.text("welcome")


def pour(page: Page) -> None:
    """Send far more frames than are taken, and read what comes."""
    for _ in range(20 * MESSAGES_PER_S):
        page.send(jpeg(FRAME))
        with suppress(TimeoutError):
            page.socket.recv(timeout=0)
    while True:
        page.image()


def test_a_flood_is_cut_off_and_others_are_served(studio: Running) -> None:
    with Page(studio) as flood, Page(studio) as calm:
        with pytest.raises(ConnectionClosed) as refused:
            pour(flood)
        assert refused.value.rcvd is not None
        assert (refused.value.rcvd.code, refused.value.rcvd.reason) == (
            1008,
            f"more than {MESSAGES_PER_S} messages a second",
        )
        number = calm.send(jpeg(FRAME))
        assert calm.image()[0] == number


def test_a_message_against_the_rules_ends_the_connection(studio: Running) -> None:
    with Page(studio) as page:
        page.text("welcome")
        with pytest.raises(ConnectionClosed) as refused:
            page.speak(bytes(5))
    assert refused.value.rcvd is not None
    assert refused.value.rcvd.code == 1008
    assert refused.value.rcvd.reason == "message of 5 bytes: needed is a header of 16 bytes"


def test_a_message_that_says_it_is_too_long_ends_the_connection_before_it_is_read(studio: Running) -> None:
    with Page(studio) as page:
        page.text("welcome")
        # No byte of the message itself: what a server has not read when it closes takes its last words along.
        page.socket.socket.sendall(b"\x82\xff" + struct.pack(">QI", MESSAGE_BYTES + 1, 0))
        with pytest.raises(ConnectionClosed) as refused:
            page.image()
    assert refused.value.rcvd is not None
    assert refused.value.rcvd.code == 1009
