"""The studio's page Batch: over real sockets, and in a real browser."""

from __future__ import annotations

import io
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from rt.batch.plan import make_plan
from rt.batch.work import work
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.image import write_image
from rt.web.batches import Batches
from tests.e2e.conftest import draw_clip
from tests.support.batches import carried_here
from tests.support.browser import NO_CAMERA, WAIT_MS, Studio, chromium_path, launch, studio, wait_until
from tests.support.onnx_styles import drawn_image, make_style, save_negative
from tests.support.studio import WAIT_S, Running, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What a visitor has: a clip, a photo, and one that is none."""
    folder = tmp_path / "files"
    folder.mkdir()
    draw_clip(folder / "clip.mp4", frames=5)
    write_image(drawn_image(48, 64), folder / "photo.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


class Client:
    """A program, or the page, that has a batch."""

    def __init__(self, studio: Running) -> None:
        self.http = httpx.Client(base_url=studio.base, timeout=WAIT_S, headers=studio.bearer)
        self.path = f"/api/batches/{self.ask('POST', '/api/batches', status=201).json()['id']}"

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> httpx.Response:
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer

    def upload(self, path: Path, name: str = "", status: int = 201) -> Any:
        sent = {"name": name or path.name}
        return self.ask("POST", f"{self.path}/files", status, params=sent, content=path.read_bytes()).json()

    def ended(self) -> Any:
        until_s = time.monotonic() + WAIT_S
        while (said := self.ask("GET", self.path).json())["state"] != "ended":
            assert time.monotonic() < until_s, said
            time.sleep(0.02)
        return said


@pytest.fixture
def visit() -> Iterator[Callable[[Running], Client]]:
    """Begins batches; their connections are closed at the end."""
    found: list[Client] = []

    def begin(studio: Running) -> Client:
        found.append(Client(studio))
        return found[-1]

    yield begin
    for client in found:
        client.http.close()


@pytest.fixture
def served(styles: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A studio whose batches are translated in this process."""
    monkeypatch.setattr("rt.batch.driver.carry", carried_here)
    with running(style="drawn", batch_files=3, batch_gb=0.001) as found:
        yield found


def alone(files: Path, out: Path, styles: Path) -> dict[str, bytes]:
    """Return what `videobrush batch` makes of the files."""
    chosen = (str(styles / "drawn"), str(styles / "negative"))
    template = "{dir}/{stem}-{style}{suffix}"
    asked = Batch((str(files),), out, chosen, template, strength=0.5, backend="onnxruntime")
    made = {}
    for item in make_plan(asked).items:
        if work(item).status == "done":
            made[item.name] = item.output.read_bytes()
    return made


def test_what_is_uploaded_comes_back_as_batch_makes_it(
    served: Running, visit: Callable[[Running], Client], files: Path, styles: Path, tmp_path: Path
) -> None:
    client = visit(served)
    assert client.ask("GET", client.path).json()["state"] == "new"
    for name in ("clip.mp4", "photo.png", "broken.jpg"):
        said = client.upload(files / name)
        assert (said["name"], said["bytes"]) == (name, (files / name).stat().st_size)
    for path in ("results.zip", "results/1", "thumbnails/1"):
        client.ask("GET", f"{client.path}/{path}", 404)
    asked = {"styles": ["drawn", "negative", "drawn"], "strength": 0.5}
    client.ask("POST", f"{client.path}/start", 202, json=asked)
    said = client.ended()
    ends = {item["name"]: item for item in said["items"]}
    expected = alone(files, tmp_path / "alone", styles)
    assert set(expected) == {f"{name}-{style}.{kind}" for name, kind in (("clip", "mp4"), ("photo", "png"))
                             for style in ("drawn", "negative")}  # fmt: skip
    assert {name for name, item in ends.items() if item["state"] == "done"} == set(expected)
    for name in ("broken-drawn.jpg", "broken-negative.jpg"):
        assert (ends[name]["state"], "broken.jpg" in ends[name]["message"]) == ("failed", True)
    with zipfile.ZipFile(io.BytesIO(client.ask("GET", f"{client.path}/results.zip").content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == expected
    for name, content in expected.items():
        answer = client.ask("GET", f"{client.path}/results/{ends[name]['item']}")
        assert answer.content == content
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        thumbnail = client.ask("GET", f"{client.path}/thumbnails/{ends[name]['item']}")
        assert thumbnail.content[:3] == b"\xff\xd8\xff"
    client.ask("DELETE", client.path, 204)
    client.ask("GET", f"{client.path}/results.zip", 404)


def test_what_is_no_batch_is_refused_in_one_line(
    served: Running, visit: Callable[[Running], Client], files: Path
) -> None:
    client = visit(served)
    photo = files / "photo.png"
    fault = client.upload(photo, "notes.txt", 400)
    assert fault == {"error": "'notes.txt' is the name of no video or image"}
    for name in ("a.png", "b.png", "c.png"):
        client.upload(photo, name)
    assert client.upload(photo, "d.png", 413) == {"error": "a batch takes 3 files"}
    for body, fault in (
        (b"", "the request is not JSON"),
        (b"[]", "the request is no JSON object"),
        (b'{"styles": "drawn"}', "styles is no list of names"),
        (b'{"styles": []}', "choose a style"),
        (b'{"styles": ["nix"]}', "there is no style 'nix'; known: drawn"),
        (b'{"styles": ["drawn"], "strength": 2}', "strength is not within 0..1"),
        (b'{"styles": ["drawn"], "steady": true}', "steady is not within 0..1"),
        (b'{"styles": ["drawn"], "sharp": 1}', "unknown parameter 'sharp'; known: styles, strength, steady"),
        (b"[" * 4000, "the request is not JSON"),
        (b" " * 4097, "more than 4096 bytes"),
    ):
        said = client.ask("POST", f"{client.path}/start", 400, content=body).json()["error"]
        assert said.startswith(fault), body
    client.ask("DELETE", f"{client.path}/files/1", 204)
    client.ask("DELETE", f"{client.path}/files/1", 404)
    other = visit(served)
    said = other.ask("POST", f"{other.path}/start", 400, json={"styles": ["drawn"]}).json()
    assert said == {"error": "there is nothing to translate: upload a file first"}


def test_an_upload_that_stops_or_lies_leaves_nothing(
    served: Running, visit: Callable[[Running], Client], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.web.batch_api.IDLE_S", 0.05)
    client = visit(served)
    head = f"POST {client.path}/files?name=a.png HTTP/1.1\r\nHost: localhost:{served.port}\r\n"
    signed = f"{head}Authorization: Bearer {served.token}\r\n"
    for length, status in (("Content-Length: 9", 408), ("Transfer-Encoding: chunked", 400),
                           ("Content-Length: 1000001", 413)):  # fmt: skip
        with socket.create_connection(("127.0.0.1", served.port), WAIT_S) as connection:
            connection.sendall(f"{signed}{length}\r\n\r\n".encode())
            assert f" {status} ".encode() in connection.recv(100)
    assert client.ask("GET", client.path).json()["files"] == []
    assert client.upload(files / "photo.png", "a.png")["name"] == "a.png"


def test_nobody_but_the_visitor_gets_in(
    served: Running, visit: Callable[[Running], Client], files: Path
) -> None:
    client = visit(served)
    client.upload(files / "photo.png")
    ours = {"Cookie": served.cookie, "Origin": served.base}
    foreign = {"Cookie": served.cookie, "Origin": "http://evil.example"}
    one = client.path
    for method, path, good in (
        ("POST", "/api/batches", 201),
        ("GET", one, 200),
        ("POST", f"{one}/files?name=b.png", 400),
        ("DELETE", f"{one}/files/9", 404),
        ("POST", f"{one}/start", 400),
        ("POST", f"{one}/stop", 200),
        ("GET", f"{one}/results/1", 404),
        ("GET", f"{one}/thumbnails/1", 404),
        ("GET", f"{one}/results.zip", 404),
        ("POST", f"{one}/leave", 204),
        ("POST", f"{one}/stay", 200),
        ("DELETE", one, 204),
    ):
        assert httpx.request(method, served.base + path).status_code == 401, path
        if method != "GET":
            assert httpx.request(method, served.base + path, headers=foreign).status_code == 403, path
        assert httpx.request(method, served.base + path, headers=ours).status_code == good, path
        elsewhere = {**ours, "Host": f"evil.example:{served.port}"}
        assert httpx.request(method, served.base + path, headers=elsewhere).status_code == 403, path
    assert httpx.get(f"{served.base}/batch").status_code == 401
    page = httpx.get(f"{served.base}/batch", headers={"Cookie": served.cookie})
    assert (page.status_code, "Drop videos and photos here" in page.text) == (200, True)
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_studio_that_ends_deletes_what_was_uploaded(
    styles: Path, visit: Callable[[Running], Client], files: Path, own_state: Path
) -> None:
    with running(style="drawn") as found:
        visit(found).upload(files / "photo.png")
        assert [path.name for path in own_state.rglob("*.png")] == ["photo.png"]
    assert not list(own_state.rglob("*.png"))


def test_a_studio_with_too_many_batches_says_so(
    styles: Path, visit: Callable[[Running], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(style="drawn", visitors=1) as found:
        client = visit(found)
        assert "limit of this studio" in client.ask("POST", "/api/batches", 503).text

        def broken(*_: object) -> None:
            raise VideobrushError("cannot make the folder")

        monkeypatch.setattr(Batches, "get", broken)
        assert client.ask("GET", client.path, 500).json() == {"error": "cannot make the folder"}


# ---- in the browser ----


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = launch(playwright, NO_CAMERA)
        yield found
        found.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("batch")
    make_style(folder / "styles")
    make_style(folder / "styles", "negative", save_negative(folder / "negative.onnx"))
    chromium_path()
    with studio(folder, folder / "styles", "--style", "drawn", "--batch-files", "4") as found:
        yield found


@pytest.fixture
def page(browser: Browser, server: Studio) -> Iterator[Page]:
    """The page, opened by its link on the studio's first one; errors that it logs fail the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    found = context.new_page()
    faults: list[str] = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("console", lambda message: faults.extend([message.text] * (message.type == "error")))
    found.goto(server.address)
    found.click("nav a[href='/batch']")
    found.wait_for_selector("#styles button[aria-checked=true]")
    yield found
    context.close()
    answers = ("net::ERR_", "status of 4")  # a browser's words for a server that is gone, or refuses
    assert [fault for fault in faults if not any(known in fault for known in answers)] == []


def add(page: Page, files: list[Path]) -> None:
    """Choose files, and wait until each is uploaded or refused."""
    page.set_input_files("#input", files)
    rows = f"document.querySelectorAll('.uploads li').length == {len(files)}"
    wait_until(page, f"{rows} && !document.querySelector('.uploads .meter:not([hidden])')")


def uploads(server: Studio) -> list[str]:
    return sorted(path.name for path in server.folder.glob("videobrush/studio-batches/*/*/in/**/*.*"))


@pytest.mark.slow
def test_files_are_uploaded_translated_looked_at_and_downloaded(
    page: Page, server: Studio, files: Path, tmp_path: Path
) -> None:
    names = ["broken.jpg", "clip.mp4", "photo.png"]
    assert page.is_disabled("#start")
    add(page, [files / name for name in names])
    assert [row.inner_text() for row in page.locator(".uploads strong").all()] == names
    assert page.locator(".thumb canvas").count() == 1
    page.click("#styles button[data-id=negative]")
    assert page.inner_text("#start") == "Translate 3 files into 2 styles"
    page.click("#start")
    page.wait_for_selector("#overall-title:has-text('4 done, 2 failed')")
    states = [tile.get_attribute("data-state") for tile in page.locator(".result").all()]
    assert states == ["failed"] * 2 + ["done"] * 4
    assert "broken.jpg" in page.inner_text("li[data-state=failed] small")
    wait_until(page, "[...document.querySelectorAll('.result img')].filter(i => i.naturalWidth).length == 4")

    page.locator(".result[data-state=done]").last.click()
    assert page.inner_text("#preview-title") == "photo-negative.png"
    with page.expect_download() as one:
        page.click("#preview-link")
    one.value.save_as(tmp_path / "one.png")
    page.click("#preview button")
    page.wait_for_selector("#preview", state="hidden")
    with page.expect_download() as whole:
        page.click("#zip")
    whole.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert sorted(archive.namelist()) == [
            *("clip-drawn.mp4", "clip-negative.mp4", "photo-drawn.png", "photo-negative.png")
        ]
        assert archive.read("photo-negative.png") == (tmp_path / "one.png").read_bytes()

    # Loaded again, and by way of the other page, everything is still there.
    page.reload()
    page.wait_for_selector("#overall-title:has-text('4 done, 2 failed')")
    page.click("nav a[href='/']")
    page.click("nav a[href='/batch']")
    page.wait_for_selector("#overall-title:has-text('4 done, 2 failed')")
    assert page.locator("#styles button[aria-checked=true]").count() == 2
    page.click("li[data-state=failed] .remove")
    page.wait_for_selector("#overall-title:has-text('All 4 done')")
    assert uploads(server) == names[1:]
    page.click("#clear")
    page.wait_for_selector("#overall", state="hidden")
    assert uploads(server) == []


@pytest.mark.slow
def test_what_is_refused_or_lost_is_said(page: Page, server: Studio, files: Path) -> None:
    (files / "notes.txt").write_text("no image")
    many = [files / "notes.txt", files / "photo.png", files / "broken.jpg", files / "clip.mp4"]
    add(page, [*many, *many[1:3]])
    said = [row.inner_text() for row in page.locator("li[data-state=failed] small").all()]
    assert said == ["'notes.txt' is the name of no video or image", "a batch takes 4 files"]
    assert uploads(server) == ["broken.jpg", "clip.mp4", "photo (2).png", "photo.png"]
    assert page.inner_text("#start") == "Translate 4 files"

    base, _, token = server.address.partition("?token=")
    name = page.evaluate("sessionStorage.getItem('videobrush-batch')")
    address = f"{base}api/batches/{name}"
    bearer = {"Authorization": f"Bearer {token}"}

    def wait_for_leaving(leaving: bool) -> None:
        until_s = time.monotonic() + WAIT_S
        while httpx.get(address, headers=bearer).json()["leaving"] is not leaving:
            assert time.monotonic() < until_s
            time.sleep(0.02)

    wait_for_leaving(False)
    page.goto("about:blank")
    wait_for_leaving(True)
    page.go_back()
    page.wait_for_selector("#overall-title:has-text('4 files')")
    wait_for_leaving(False)
    server.kill()
    server.start()
    page.wait_for_selector("#fault:has-text('The files were deleted')")
    assert page.locator(".uploads li").count() == 0
    assert uploads(server) == []


@pytest.mark.slow
def test_everything_has_its_room_on_screens_of_any_width(page: Page, files: Path) -> None:
    named = files / f"{'a long name of many words ' * 4}.png"
    named.write_bytes((files / "photo.png").read_bytes())
    add(page, [named])
    for width in range(320, 1601, 80):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        box = page.locator("#start").bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
