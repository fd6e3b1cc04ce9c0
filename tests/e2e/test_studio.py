"""The studio's server, over real sockets: who gets in, what comes back, what it survives."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from rt.backends import open_backend
from rt.controls import Controls
from rt.errors import FrameshiftError
from rt.fit import style_size
from rt.frame import Frame, Rgb
from rt.styles import find_style
from rt.translator import Translator
from rt.web.jpeg import encode_jpeg
from rt.web.protocol import MESSAGE_BYTES, MESSAGES_PER_S
from tests.support.cli import environment
from tests.support.onnx_styles import drawn_picture, make_style, save_negative
from tests.support.studio import (
    Page,
    Running,
    handshake,
    handshake_lines,
    jpeg,
    open_sockets,
    picture,
    running,
)

FRAME = drawn_picture(48, 64)


@pytest.fixture
def styles(own_styles: Path, tmp_path: Path) -> Path:
    """Two styles of the user: `drawn`, and `negative`, which turns white to black."""
    make_style(own_styles)
    make_style(own_styles, "negative", save_negative(tmp_path / "negative.onnx"))
    return own_styles


@pytest.fixture
def studio(styles: Path) -> Iterator[Running]:
    with running(style="drawn") as found:
        yield found


def translated(style: str, rgb: Rgb, size_px: int | None = None, **knobs: float) -> Rgb:
    """Return what the runtime makes of a picture, as it looks after a JPEG."""
    return picture(encode_jpeg(exactly(style, rgb, size_px, **knobs)))


def exactly(style: str, rgb: Rgb, size_px: int | None = None, **knobs: float) -> Rgb:
    """Return what the runtime makes of a picture."""
    card = find_style(style).card
    size = style_size(card, rgb.shape[0], rgb.shape[1], size_px)
    backend = open_backend("onnxruntime", find_style(style), size).backend
    translator = Translator(backend, Controls(**knobs))  # type: ignore[arg-type]
    found = translator.translate(Frame(rgb, 0, Fraction(1, 25), 0)).rgb
    translator.close()
    return found


def test_a_page_gets_its_frame_back_translated(studio: Running) -> None:
    with Page(studio) as page:
        welcome = page.text("welcome")
        assert [style["id"] for style in welcome["styles"]] == ["drawn", "negative", "winter"]
        assert welcome["source"] == "browser"
        assert welcome["controls"] == {
            **{"type": "controls", "style": "drawn", "strength": 1.0, "steady": None},
            **{"size": None, "detail": "keep"},
        }
        content = jpeg(FRAME)
        number = page.send(content, captured_ms=1234.5)
        answered, before, after, captured_ms = page.picture()
        assert (answered, before, captured_ms) == (number, b"", 1234.5)
        assert np.array_equal(picture(after), translated("drawn", picture(content)))
        status = page.text("status")
        assert (status["backend"], status["precision"], status["size"]) == ("onnxruntime", "fp32", [32, 44])
        assert (status["dropped"], status["visitors"], status["loading"]) == (0, 1, None)


def test_the_knobs_are_each_visitors_own(studio: Running) -> None:
    content = jpeg(FRAME)
    seen = picture(content)
    with Page(studio) as one, Page(studio) as other:
        one.controls(style="negative", strength=0.5, size=96, steady=0.5)
        assert one.text("controls")["style"] == "negative"
        for page in (one, other):
            page.send(content)
            page.picture()
        one.controls(steady=None)
        assert one.text("controls")["steady"] is None
        one.send(content)
        while one.texts[-1].get("size") != 96:
            one.text("controls")
        assert np.array_equal(picture(one.picture()[2]), translated("negative", seen, 96, strength=0.5))
        other.send(content)
        assert np.array_equal(picture(other.picture()[2]), translated("drawn", seen))


def test_the_style_before_goes_on_until_the_next_is_there(
    studio: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def slow(name: str, style: object, size: tuple[int, int], precision: str) -> object:
        assert release.wait(30)
        return open_backend(name, style, size, precision)  # type: ignore[arg-type]

    content = jpeg(FRAME)
    seen = picture(content)
    with Page(studio) as page:
        page.send(content)
        page.picture()
        monkeypatch.setattr("rt.web.studio.open_backend", slow)
        page.controls(style="negative")
        for _ in range(3):
            page.send(content)
            assert np.array_equal(picture(page.picture()[2]), translated("drawn", seen))
        assert page.text("status")["loading"] == "negative"
        release.set()
        for _ in range(200):
            page.send(content)
            if np.array_equal(picture(page.picture()[2]), translated("negative", seen)):
                break
        else:
            raise AssertionError("the next style never came")
        page.texts.clear()
        assert page.text("status")["loading"] is None


def test_a_style_asked_for_no_more_is_not_taken_and_its_loading_forgotten(
    studio: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def slow(name: str, style: object, size: tuple[int, int], precision: str) -> object:
        assert release.wait(30)
        return open_backend(name, style, size, precision)  # type: ignore[arg-type]

    content = jpeg(FRAME)
    with Page(studio) as page:
        page.send(content)
        page.picture()
        monkeypatch.setattr("rt.web.studio.open_backend", slow)
        page.controls(style="negative")
        page.send(content)
        page.picture()
        page.controls(style="drawn")
        page.send(content)
        page.picture()
        page.texts.clear()
        assert page.text("status")["loading"] is None
        release.set()
        page.send(content)
        assert np.array_equal(picture(page.picture()[2]), translated("drawn", picture(content)))


def test_a_style_that_cannot_be_loaded_is_said_and_the_one_before_stays(
    studio: Running, styles: Path
) -> None:
    content = jpeg(FRAME)
    with Page(studio) as page:
        page.send(content)
        page.picture()
        (styles / "negative" / "model.onnx").write_bytes(b"damaged")
        page.controls(style="negative")
        while not any(text["type"] == "error" for text in page.texts):
            page.send(content)
            assert np.array_equal(picture(page.picture()[2]), translated("drawn", picture(content)))
        assert "is damaged: 7 bytes found" in next(t for t in page.texts if t["type"] == "error")["message"]
        page.send(content)
        page.picture()
        assert [text["style"] for text in page.texts if text["type"] == "controls"][-1] == "drawn"


def test_a_first_style_that_cannot_be_loaded_is_said_for_each_frame(studio: Running, styles: Path) -> None:
    (styles / "drawn" / "model.onnx").write_bytes(b"damaged")
    with Page(studio) as page:
        for _ in range(2):
            page.send(jpeg(FRAME))
            assert "is damaged" in page.text("error")["message"]
        page.controls(style="negative")
        page.send(jpeg(FRAME))
        assert page.picture()[0] == 3


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"no picture", "needed is a JPEG, PNG or WebP"),
        (jpeg(FRAME)[:60], "its header ends early"),
        (jpeg(FRAME).replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65000, 65000), 1), "at most"),
        (jpeg(drawn_picture(8, 64)), "at least 16x16"),
    ],
    ids=["text", "cut", "bomb", "tiny"],
)
def test_a_frame_that_is_no_picture_is_said_and_the_page_goes_on(
    studio: Running, content: bytes, fault: str
) -> None:
    with Page(studio) as page:
        page.send(content)
        assert fault in page.text("error")["message"]
        number = page.send(jpeg(FRAME))
        assert page.picture()[0] == number


def test_frames_of_another_size_go_on_with_a_network_of_theirs(studio: Running) -> None:
    with Page(studio) as page:
        for size in ((48, 64), (64, 48), (90, 40)):
            page.send(jpeg(drawn_picture(*size)))
            assert picture(page.picture()[2]).shape[:2] == size


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
        ({"Cookie": "frameshift_{port}=0"}, "a cookie that is not ours"),
    ],
)
def test_a_handshake_that_is_not_of_our_page_is_refused(
    studio: Running, headers: dict[str, str | None], why: str
) -> None:
    sent = {name: value and value.format(port=studio.port) for name, value in headers.items()}
    assert handshake(studio) == 101
    assert handshake(studio, **sent) == 403, why


def test_the_page_is_given_to_who_has_the_token_and_then_by_the_cookie(studio: Running) -> None:
    with httpx.Client(base_url=studio.base) as client:
        assert client.get("/").status_code == 401
        wrong = client.get("/", params={"token": studio.token[:-1]})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
        right = client.get("/", params={"token": studio.token})
        assert right.headers["set-cookie"].endswith("HttpOnly; SameSite=Strict; Max-Age=31536000")
        page = client.get("/")
        assert (page.status_code, "<canvas" in page.text) == (200, True)
        assert studio.token not in page.text
        for answer in (wrong, right, page, client.get("/nothing"), client.get("/static/studio.js")):
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in answer.headers
        evil = client.get("/", headers={"Host": f"evil.example:{studio.port}"})
        assert (evil.status_code, "set-cookie" in evil.headers) == (403, False)


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
    assert min(picture(found.content).shape[:2]) > 64


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
                "2 visitors are here, as many as this studio takes; try again later"
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
        page.picture()


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
        assert calm.picture()[0] == number


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
            page.picture()
    assert refused.value.rcvd is not None
    assert refused.value.rcvd.code == 1009


def test_a_control_that_is_unknown_is_said_and_changes_nothing(studio: Running) -> None:
    with Page(studio) as page:
        page.controls(style="../winter")
        assert page.text("error")["message"] == "there is no style '../winter'"
        assert page.text("controls")["style"] == "drawn"


def test_of_frames_that_wait_the_newest_wins(studio: Running) -> None:
    with Page(studio) as page:
        page.send(jpeg(FRAME))
        page.picture()
        numbers = [page.send(jpeg(drawn_picture(720, 1280))) for _ in range(12)]
        answered = [page.picture()[0]]
        while answered[-1] != numbers[-1]:
            answered.append(page.picture()[0])
        assert answered == sorted(answered)
        page.texts.clear()
        assert page.text("status")["dropped"] == len(numbers) - len(answered)


def test_visitors_are_served_in_turn(studio: Running) -> None:
    """Three pages that always have a frame waiting get as many pictures as each other."""
    pages = [Page(studio) for _ in range(3)]
    counts = [0, 0, 0]
    over = threading.Event()

    def visit(number: int) -> None:
        while not over.is_set():
            pages[number].send(jpeg(FRAME))
            pages[number].picture()
            counts[number] += 1
            if counts[number] == 25:
                over.set()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(3)]
    for page in pages:  # the network is there, and the first picture of each
        page.send(jpeg(FRAME))
        page.picture()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for page in pages:
        page.socket.close()
    assert max(counts) == 25
    assert min(counts) >= 12


def test_the_servers_own_source_is_shown_before_and_after(styles: Path) -> None:
    with running(style="negative", source="pattern://") as studio, Page(studio) as page:
        assert page.text("welcome")["source"] == "server"
        numbers = []
        for _ in range(3):
            numbers.append(page.send(b"", captured_ms=5.0))
            answered, before, after, captured_ms = page.picture()
            assert (answered, captured_ms) == (numbers[-1], 5.0)
            seen = picture(before)
            assert seen.shape == (360, 640, 3)
            difference = np.abs(picture(after).astype(int) - exactly("negative", seen))
            assert difference.mean() < 4  # `before` went through a JPEG, what was translated did not


def test_a_source_that_ends_is_said(styles: Path, tmp_path: Path) -> None:
    from tests.support.media import Clip, cut_short, write_clip

    clip = cut_short(write_clip(tmp_path / "clip.mkv", Clip(frames=20)), 0.6)
    with running(style="negative", source=str(clip)) as studio, Page(studio) as page:
        page.send(b"")
        assert page.text("error")["message"].startswith("no more pictures: ")


def test_the_interface_for_programs_translates_a_picture(studio: Running) -> None:
    content = jpeg(FRAME)
    with httpx.Client(base_url=studio.base, headers=studio.bearer, timeout=60) as client:
        answer = client.post(
            "/api/translate",
            params={"style": "negative", "size": 48, "strength": 0.5},
            content=content,
            headers={"Accept": "image/png"},
        )
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert np.array_equal(
            picture(answer.content), exactly("negative", picture(content), 48, strength=0.5)
        )
        answer = client.post("/api/translate", content=content)
        assert answer.headers["content-type"] == "image/jpeg"
        assert np.array_equal(picture(answer.content), translated("drawn", picture(content)))
        listed = client.get("/api/styles").json()["styles"]
        assert [style["id"] for style in listed] == ["drawn", "negative", "winter"]
        assert (listed[2]["preview"], listed[2]["precisions"]) == ("/previews/winter", ["fp32", "int8"])
        counted = client.get("/metrics").text
        assert "\nframeshift_pictures_total 2\n" in counted
        assert "\nframeshift_networks_loaded_total 3\n" in counted  # the first at the start, for 720p
    assert httpx.get(f"{studio.base}/api/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("query", "content", "status", "fault"),
    [
        ({"style": "../drawn"}, b"", 400, "there is no style '../drawn'; known: drawn, negative, winter"),
        ({"size": "big"}, b"", 400, "size or strength is no number"),
        ({"size": "8"}, jpeg(FRAME), 400, "style drawn cannot work at --size 8: it needs at least 16"),
        ({"strength": "2"}, b"", 400, "strength is 2.0, not within 0..1"),
        ({"strength": "nan"}, b"", 400, "strength is nan, not within 0..1"),
        ({"detail": "x"}, b"", 400, "detail is not keep or network"),
        ({"path": "/etc"}, b"", 400, "unknown parameter 'path'"),
        ({}, b"", 400, "no picture: needed is a JPEG, PNG or WebP"),
        ({}, bytes(MESSAGE_BYTES + 1), 413, f"a body of more than {MESSAGE_BYTES} bytes"),
    ],
)
def test_what_a_program_asks_wrongly_is_said(
    studio: Running, query: dict[str, str], content: bytes, status: int, fault: str
) -> None:
    answer = httpx.post(
        f"{studio.base}/api/translate", params=query, content=content, headers=studio.bearer, timeout=60
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


def test_a_program_that_never_sends_its_picture_is_given_up(
    studio: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.web.api.BODY_S", 0.05)
    head = f"POST /api/translate HTTP/1.1\r\nHost: localhost:{studio.port}\r\nContent-Length: 99\r\n"
    with socket.create_connection(("127.0.0.1", studio.port), 30) as connection:
        connection.sendall(f"{head}Authorization: Bearer {studio.token}\r\n\r\n".encode())
        assert b" 408 " in connection.recv(100)


def test_a_fault_of_ours_ends_the_studio_with_it_and_nobody_waits(
    styles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    def ask() -> None:
        with running(style="drawn") as studio, suppress(httpx.RemoteProtocolError):
            # The end may be quicker than the answer.
            address = f"{studio.base}/api/translate"
            answer = httpx.post(address, content=jpeg(FRAME), headers=studio.bearer, timeout=60)
            assert answer.status_code == 500

    monkeypatch.setattr(Translator, "translate", fail)
    with pytest.raises(ZeroDivisionError, match="ours"):
        ask()


def test_a_backend_that_cannot_be_had_is_said_before_anybody_comes(styles: Path) -> None:
    (styles / "drawn" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(FrameshiftError, match="is damaged: 7 bytes found"), running(style="drawn"):
        pass


def test_what_it_means_to_listen_everywhere_is_said_and_the_token_is_needed(
    styles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(style="drawn", host="0") as studio:  # another way to write 0.0.0.0
        said = caplog.text
        assert httpx.get(studio.base).status_code == 401
        assert handshake(studio) == 101
        assert handshake(studio, Host=f"evil.example:{studio.port}") == 403
    assert "every machine that reaches this one can ask for the page" in said
    assert "browsers give their camera to https:// and localhost alone" in said


def test_a_folder_of_pictures_is_shown_over_and_over(styles: Path, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(FRAME))
    with running(style="negative", source=str(tmp_path)) as studio, Page(studio) as page:
        for _ in range(5):
            page.send(b"")
            assert picture(page.picture()[1]).shape == FRAME.shape


def test_pages_are_told_that_the_server_ends(styles: Path) -> None:
    with running(style="drawn") as studio:
        page = Page(studio)
        page.send(jpeg(FRAME))
        page.picture()
    with pytest.raises(ConnectionClosed) as ended:
        page.text("nothing more")
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "the studio ends")
    page.socket.close()


def test_a_port_that_is_taken_is_said(styles: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(
                FrameshiftError, match=rf"cannot listen on 127.0.0.1 port {port}: .*--port {port + 1}"
            ),
            running(style="drawn", port=port),
        ):
            pass


def test_the_command_serves_until_ctrl_c_and_keeps_its_token(styles: Path, own_state: Path) -> None:
    changes = {"FRAMESHIFT_STYLES": str(styles), "XDG_STATE_HOME": str(own_state)}
    command = [sys.executable, "-m", "rt", "studio", "--port", "0", "--style", "drawn"]
    tokens = set()
    for _ in range(2):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**changes)
        ) as process:
            assert process.stdout is not None
            address = process.stdout.readline()
            assert address.startswith("studio: open http://127.0.0.1:")
            tokens.add(address.strip().partition("?token=")[2])
            process.send_signal(2)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 130
            assert "Traceback" not in said
            assert max(tokens) not in said
            assert said.startswith(
                "style drawn: "
            )  # backend, device, precision, size and why, before anybody comes
    assert len(tokens) == 1
    assert len(tokens.pop()) == 43


@pytest.mark.skipif(sys.platform != "linux", reason="counts sockets in /proc")
def test_a_page_that_reads_nothing_gives_its_place_and_its_socket_back(
    styles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.web.talk.SEND_S", 0.5)
    monkeypatch.setattr("rt.web.server.UNANSWERED_S", 1)
    over = threading.Event()
    content = jpeg(np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8))
    with running(style="drawn") as studio, socket.socket() as stalled, httpx.Client() as client:

        def metrics() -> str:
            return client.get(f"{studio.base}/metrics", headers=studio.bearer).text

        def pour() -> None:
            message = struct.pack("<IId", 1, 0, 0.0) + content
            with suppress(OSError):  # cut off, as it must be
                while not over.is_set():
                    stalled.sendall(b"\x82\xff" + struct.pack(">QI", len(message), 0) + message)
                    over.wait(0.03)

        metrics()
        sockets = open_sockets()
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", studio.port))
        stalled.sendall(handshake_lines(studio))
        assert b" 101 " in stalled.recv(16)
        pouring = threading.Thread(target=pour)
        pouring.start()
        until_s = time.monotonic() + 60
        while "\nframeshift_visitors 0\n" not in metrics() or open_sockets() > sockets:
            assert time.monotonic() < until_s, "the socket of a page that reads nothing is still open"
        over.set()
        pouring.join()


@pytest.mark.slow
def test_ten_visitors_and_abrupt_ends_leave_nothing_behind(studio: Running) -> None:
    """Thousands of frames of ten pages, half of which vanish without a word: threads, sockets, memory."""
    content = jpeg(FRAME)

    def visit(frames: int, rudely: bool) -> None:
        page = Page(studio)
        for _ in range(frames):
            page.send(content)
            page.picture()
        if rudely:
            page.send(content)
            linger = struct.pack("ii", 1, 0)  # a reset instead of a farewell
            page.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            page.socket.socket.close()
        page.socket.close()

    def round_of_visits(frames: int) -> None:
        threads = [threading.Thread(target=visit, args=(frames, number % 2 == 0)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        deadline = 200
        while "\nframeshift_visitors 0\n" not in (
            httpx.get(f"{studio.base}/metrics", headers=studio.bearer).text
        ):
            deadline -= 1
            assert deadline

    round_of_visits(30)
    before = _held()
    for _ in range(4):
        round_of_visits(60)
    for _ in range(200):  # the last connections are taken down in the background
        after = _held()
        if after[1] <= before[1]:
            break
        httpx.get(f"{studio.base}/api/health")
    assert after[0] == before[0]
    assert after[1] <= before[1]
    assert after[2] - before[2] < 24 * 2**20


def _held() -> tuple[int, int, int]:
    """Threads, open files and resident bytes of this process, which is the server's too."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return threading.active_count(), len(os.listdir("/proc/self/fd")), resident  # noqa: PTH208
