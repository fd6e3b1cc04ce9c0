"""The studio's page in a real browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from rt.frame import Rgb
from tests.support.browser import (
    ALLOWED,
    NO_CAMERA,
    WAIT_MS,
    Studio,
    apart,
    camera_flags,
    canvas,
    chromium_path,
    launch,
    png,
    studio,
    visit,
    wait_for_image,
    wait_until,
    wait_until_shown,
    write_camera,
)
from tests.support.onnx_styles import make_style, save_negative
from tests.support.studio import SHIPPED, exactly

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, WebSocketRoute

pytestmark = pytest.mark.slow
HEIGHT, WIDTH = 240, 320
CLOSE = 6.0
"""Mean levels that two JPEGs of quality 85 may take an image away from itself."""
CODED = 9.0
"""Mean levels that VP9 and its colours may take it away further."""
FAR = 40.0
"""Mean levels that images of different content are apart at least."""


def scene() -> Rgb:
    """An image that no turning and no mirroring leaves as it is; smooth, so that JPEG keeps it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack([230 * x / WIDTH, 30 + 90 * y / HEIGHT, 40 + 60 * (x + y) / (WIDTH + HEIGHT)], axis=-1)
    rgb[40:100, 30:110] = (240, 220, 60)
    return rgb.astype(np.uint8)


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two styles: `drawn`, and `negative`, which turns white to black."""
    folder = tmp_path_factory.mktemp("page")
    made = folder / "styles"
    make_style(made)
    make_style(made, "negative", save_negative(folder / "negative.onnx"))
    return made


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rgb]:
    """The clip that the camera shows, and the image in it."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    return path, write_camera(path, scene())


@pytest.fixture(scope="module")
def seen(camera: tuple[Path, Rgb]) -> Rgb:
    """What the camera sees."""
    return camera[1]


@pytest.fixture(scope="module")
def browser(playwright: Playwright, camera: tuple[Path, Rgb]) -> Iterator[Browser]:
    found = launch(playwright, ALLOWED, *camera_flags(camera[0]))
    yield found
    found.close()


@pytest.fixture(scope="module")
def server(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory, styles: Path
) -> Iterator[Studio]:
    with studio(tmp_path_factory.mktemp("server"), styles, "--style", "negative") as found:
        yield found


@pytest.fixture
def fresh(browser: Browser) -> Iterator[Page]:
    """A page that was never anywhere; errors that it logs fail the test."""
    yield from unharmed(browser)


@pytest.fixture
def page(fresh: Page, server: Studio) -> Page:
    """The studio's page, with images, not mirrored."""
    visit(fresh, server)
    wait_for_image(fresh)
    fresh.keyboard.press("m")
    return fresh


def unharmed(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 800}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.extend([message.text] * (message.type == "error")))
    yield page
    context.close()
    # What a browser says of a server that is gone is no fault of the page.
    assert [fault for fault in faults if "net::ERR_" not in fault] == []


def halves(before: Rgb, after: Rgb, at: float) -> Rgb:
    """Return before left of the split, after right of it."""
    edge = round(WIDTH * at)
    return np.concatenate([before[:, :edge], after[:, edge:]], axis=1)


def test_the_image_comes_back_translated(page: Page, styles: Path, seen: Rgb) -> None:
    negative = exactly(styles / "negative", seen)
    page.keyboard.press("Space")  # after alone
    assert apart(canvas(page), negative) < CLOSE
    assert apart(canvas(page), seen) > FAR
    page.keyboard.press("Space")
    assert apart(canvas(page), halves(seen, negative, 0.5)) < CLOSE
    page.keyboard.press("m")
    mirrored = halves(seen[:, ::-1], negative[:, ::-1], 0.5)
    assert apart(canvas(page), mirrored) < CLOSE


def test_another_style_shows_within_a_second_of_being_loaded(page: Page, styles: Path, seen: Rgb) -> None:
    page.keyboard.press("Space")
    page.keyboard.press(str(2 + sorted(["drawn", *SHIPPED]).index("drawn")))  # behind the style of the start
    page.wait_for_selector("#styles [data-id=drawn][aria-checked=true]")
    drawn, negative = (exactly(styles / name, seen) for name in ("drawn", "negative"))
    wait_until_shown(page, drawn, CLOSE)
    # Both are loaded now. Top left the negative is bright and `drawn` is not.
    assert negative[5, 5].sum() - int(drawn[5, 5].sum()) > 200
    level = (int(negative[5, 5].sum()) + int(drawn[5, 5].sum())) // 2
    waited_ms = page.evaluate(
        """(level) => new Promise((resolve) => {
            const pen = document.getElementById("view").getContext("2d");
            const began = performance.now();
            document.querySelector("#styles [data-id=negative]").click();
            const look = () => {
                const [red, green, blue] = pen.getImageData(5, 5, 1, 1).data;
                if (red + green + blue > level) resolve(performance.now() - began);
                else requestAnimationFrame(look);
            };
            look();
        })""",
        level,
    )
    assert waited_ms < 1000
    assert apart(canvas(page), negative) < CLOSE
    assert page.inner_text("#tag-after") == "negative"


MIDI = """
    window.midi = { id: "desk" };
    navigator.requestMIDIAccess = async () => ({ inputs: new Map([["desk", window.midi]]) });
"""
"""A MIDI controller of which a test presses pads and turns knobs."""


def test_a_midi_controller_chooses_styles_and_turns_the_sliders(fresh: Page, server: Studio) -> None:
    fresh.add_init_script(MIDI)
    visit(fresh, server)
    wait_for_image(fresh)
    if fresh.is_visible("#midi"):  # else the browser allowed it before
        fresh.click("#midi")
    wait_until(fresh, "Boolean(window.midi.onmidimessage)")

    def send(*data: int) -> None:
        fresh.evaluate("(data) => window.midi.onmidimessage({ data: new Uint8Array(data) })", list(data))

    number = 1 + sorted(["drawn", *SHIPPED]).index("drawn")  # behind the style of the start
    send(0x93, 36 + number, 90)
    fresh.wait_for_selector("#styles [data-id=drawn][aria-checked=true]")
    send(0xC0, 0)
    fresh.wait_for_selector("#styles [data-id=negative][aria-checked=true]")
    for knob, slider in ((1, "mix"), (7, "strength"), (74, "steady")):
        for value, expected in ((127, "1"), (0, "0"), (64, "0.5")):
            send(0xB0, knob, value)
            assert fresh.input_value(f"#{slider}") == expected
    with fresh.expect_download() as snapshot:
        send(0x90, 24, 1)
    assert snapshot.value.suggested_filename.endswith(".png")
    before = fresh.inner_text("#tag-after")
    for nothing in ((0x80, 36, 90), (0x90, 36 + number, 0), (0x90, 3, 90), (0xB0, 99, 9), (0xF8,)):
        send(*nothing)
    send(0xB0, 7, 127)
    assert (fresh.inner_text("#tag-after"), fresh.input_value("#strength")) == (before, "1")


def test_the_view_shows_the_translated_image_alone_on_a_transparent_page(
    page: Page, browser: Browser, server: Studio, styles: Path, seen: Rgb
) -> None:
    page.keyboard.press("Space")
    negative = exactly(styles / "negative", seen)
    wait_until_shown(page, negative, CLOSE)
    context = browser.new_context(viewport={"width": WIDTH, "height": 2 * HEIGHT})
    try:
        view = context.new_page()
        view.set_default_timeout(WAIT_MS)
        view.goto(server.address.replace("/?token=", "/view?token="))
        view.wait_for_url("**/view")
        wait_until(view, f"document.getElementById('view').width === {WIDTH}")
        wait_until_shown(view, negative, CLOSE)
        shown = png(view.screenshot(omit_background=True))
        middle = shown[HEIGHT // 2 : HEIGHT // 2 + HEIGHT]
        assert apart(middle, negative) < CLOSE
        session = context.new_cdp_session(view)
        session.send(
            "Emulation.setDefaultBackgroundColorOverride", {"color": {"r": 0, "g": 255, "b": 0, "a": 1}}
        )
        around = png(view.screenshot())[: HEIGHT // 2 - 2]
        assert np.all(around == (0, 255, 0)), "what stands behind the page is seen"
        page.fill("#strength", "0")
        wait_until_shown(view, seen, CLOSE)
        page.goto("about:blank")
        wait_until(
            view, "document.getElementById('view').getContext('2d').getImageData(5, 5, 1, 1).data[3] === 0"
        )
        away = context.browser.new_context() if context.browser else context
        stranger = away.new_page()
        assert stranger.goto(server.address.split("?")[0] + "view").status == 401  # type: ignore[union-attr]
        assert stranger.goto(server.address.split("?")[0] + "view?token=x").status == 403  # type: ignore[union-attr]
        away.close()
    finally:
        context.close()


def test_two_styles_are_mixed_by_the_slider_and_one_alone_is_chosen_again(
    page: Page, styles: Path, seen: Rgb
) -> None:
    page.keyboard.press("Space")
    assert page.is_hidden("#mix")
    drawn, negative = (exactly(styles / name, seen).astype(float) for name in ("drawn", "negative"))
    page.select_option("#second", "drawn")
    page.wait_for_selector("#mix", state="visible")
    assert page.inner_text("#tag-after") == "negative+drawn"
    wait_until_shown(page, ((drawn + negative) / 2).round().astype(np.uint8), CLOSE)
    for mix, expected in ((1, drawn), (0, negative)):
        page.fill("#mix", str(mix))
        wait_until_shown(page, expected.astype(np.uint8), CLOSE)
    assert page.get_attribute("#styles [data-id=negative]", "aria-checked") == "true"
    page.fill("#mix", "0.5")
    page.select_option("#second", "")
    wait_until_shown(page, negative.astype(np.uint8), CLOSE)
    assert (page.is_hidden("#mix"), page.inner_text("#tag-after")) == (True, "negative")


def test_the_split_is_dragged_and_moved_by_keys(page: Page, styles: Path, seen: Rgb) -> None:
    negative = exactly(styles / "negative", seen)
    box = page.locator("#view").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=3)
    assert apart(canvas(page), halves(seen, negative, 0.25)) < CLOSE
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle)
    assert page.get_attribute("#split", "aria-valuenow") == "25"
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#split", "aria-valuetext") == "30 % before"
    assert apart(canvas(page), halves(seen, negative, 0.3)) < CLOSE
    page.keyboard.press("End")
    assert apart(canvas(page), seen) < CLOSE


def test_a_snapshot_is_a_png_of_what_is_seen(page: Page, styles: Path, seen: Rgb) -> None:
    with page.expect_download() as saved:
        page.click("#snapshot")
    assert saved.value.suggested_filename.startswith("videobrush-negative-")
    content = Path(saved.value.path()).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert apart(png(content), halves(seen, exactly(styles / "negative", seen), 0.5)) < CLOSE
    page.wait_for_selector(f"text=saved {saved.value.suggested_filename}")


def test_a_recording_is_a_video_of_what_is_seen(page: Page, styles: Path, seen: Rgb, tmp_path: Path) -> None:
    negative = exactly(styles / "negative", seen)
    page.keyboard.press("r")
    assert page.inner_text("#record") == "Stop"
    wait_until(page, "document.getElementById('recorded').textContent === '0:01'")
    page.keyboard.press("Space")  # after alone, from here on
    wait_until(page, "document.getElementById('recorded').textContent >= '0:03'")
    with page.expect_download() as saved:
        page.keyboard.press("r")
    assert saved.value.suggested_filename.endswith(".webm")
    saved.value.save_as(tmp_path / "recording.webm")
    with av.open(str(tmp_path / "recording.webm")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert {frame.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    first, last = (frame.astype(np.uint8) for frame in (frames[0], frames[-1]))
    assert apart(first, halves(seen, negative, 0.5)) < CODED
    assert apart(last, negative) < CODED
    assert page.get_attribute("#record", "aria-pressed") == "false"


@pytest.fixture
def few_styles(fresh: Page) -> int:
    """How many styles the page is told of: fewer than there are keys."""

    def between(page_side: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            if isinstance(message, str) and "styles" in (said := json.loads(message)):
                message = json.dumps({**said, "styles": said["styles"][:3]})
            page_side.send(message)

        page_side.connect_to_server().on_message(answer)

    fresh.route_web_socket("**/ws", between)
    return 3


def test_the_keys_of_the_window_work(few_styles: int, page: Page, styles: Path, seen: Rgb) -> None:
    page.keyboard.press("h")
    assert page.is_visible("#help")
    page.keyboard.press("Space")  # the dialog has the keyboard
    page.wait_for_selector("#help", state="hidden")
    assert page.get_attribute("#compare", "aria-pressed") == "true"
    page.keyboard.press("Space")
    assert (page.get_attribute("#compare", "aria-pressed"), page.is_visible("#split")) == ("false", False)
    for _ in range(5):
        page.keyboard.press("-")
    assert page.text_content("#toast") == "strength 50 %"
    wait_until_shown(page, exactly(styles / "negative", seen, strength=0.5), CLOSE)
    assert page.input_value("#strength") == "0.5"
    for _ in range(7):
        page.keyboard.press("+")
    assert page.inner_text("#strength-out") == "100 %"
    page.keyboard.press("9")
    assert page.text_content("#toast") == f"there is no style 9: {few_styles} can be chosen"
    page.keyboard.press("f")
    wait_until(page, "document.fullscreenElement?.id === 'viewer'")
    page.keyboard.press("f")
    wait_until(page, "document.fullscreenElement === null")


@pytest.fixture
def held_answers(fresh: Page) -> tuple[list[str], list[WebSocketRoute]]:
    """The server's answers to changed controls, kept from the page, and the connections to the page."""
    held: list[str] = []
    pages: list[WebSocketRoute] = []

    def between(page_side: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            if isinstance(message, str) and json.loads(message)["type"] == "controls" and "number" in message:
                held.append(message)
            else:
                page_side.send(message)

        pages.append(page_side)
        page_side.connect_to_server().on_message(answer)

    fresh.route_web_socket("**/ws", between)
    return held, pages


def test_an_answer_to_an_older_change_undoes_no_newer_one(
    held_answers: tuple[list[str], list[WebSocketRoute]], page: Page
) -> None:
    held, pages = held_answers
    held.clear()
    page.keyboard.press("-")
    for _ in range(WAIT_MS // 20):
        if not held:
            page.wait_for_timeout(20)
    page.keyboard.press("-")
    assert json.loads(held[0])["strength"] == 0.9
    pages[-1].send(held[0])
    page.keyboard.press("-")
    assert page.text_content("#toast") == "strength 70 %"
    page.wait_for_timeout(100)
    assert page.input_value("#strength") == "0.7"


def test_a_click_leaves_the_keyboard_to_the_page(page: Page) -> None:
    page.click("#mirror")
    page.keyboard.press("Space")
    assert page.get_attribute("#mirror", "aria-pressed") == "true"
    assert page.get_attribute("#compare", "aria-pressed") == "false"


def test_the_figures_are_shown(page: Page) -> None:
    wait_until(page, "Number(document.getElementById('fps').textContent) > 0")
    assert page.inner_text("#camera-fps") == "of 30"
    assert float(page.inner_text("#latency")) > 0
    assert page.inner_text("#dropped").replace(",", "").isdigit()
    assert page.inner_text("#network") == "44×32"
    assert page.inner_text("#backend") == "ONNX Runtime FP32"
    assert page.input_value("#size") == ""
    page.select_option("#size", "96")
    wait_until(page, "document.getElementById('network').textContent === '128×96'")


def test_bitmaps_and_addresses_are_given_back(fresh: Page, server: Studio) -> None:
    fresh.add_init_script(
        """let open = globalThis.open_bitmaps = { now: 0, made: 0 };
        const make = createImageBitmap, close = ImageBitmap.prototype.close;
        globalThis.createImageBitmap = async (...from) => {
            const bitmap = await make(...from);
            open.now += 1; open.made += 1;
            return bitmap;
        };
        ImageBitmap.prototype.close = function () { open.now -= 1; close.call(this); };"""
    )
    visit(fresh, server)
    wait_for_image(fresh)
    wait_until(fresh, "open_bitmaps.made > 100")
    assert fresh.evaluate("open_bitmaps.now") <= 5  # shown, on its way, being decoded


def test_everything_has_its_room_on_screens_of_any_width(page: Page) -> None:
    for width in (360, 800, 1021, 1180, 1400):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate("document.getElementById('pill').textContent = 'slower than camera'")
        assert (
            page.evaluate("(({ right }) => right)(document.getElementById('pill').getBoundingClientRect())")
            < width
        )
        bar, viewer = (page.locator(name).bounding_box() for name in (".bar", "#viewer"))
        assert bar is not None
        assert viewer is not None
        assert viewer["x"] <= bar["x"], width
        assert bar["x"] + bar["width"] <= viewer["x"] + viewer["width"], width
        assert bar["y"] + bar["height"] <= 740, width


def test_a_camera_that_is_refused_is_said(
    playwright: Playwright, camera: tuple[Path, Rgb], server: Studio
) -> None:
    browser = launch(playwright, *camera_flags(camera[0]))  # nobody says yes
    for page in unharmed(browser):
        visit(page, server)
        page.wait_for_selector("#notice[role=alert]")
        assert page.inner_text("#notice-title") == "Camera access was denied"
        assert page.inner_text("#pill") == "no camera"
        page.context.grant_permissions(["camera"])
        wait_until(page, "document.getElementById('notice').role !== 'alert'")  # it is told
        wait_for_image(page)
    browser.close()


def test_a_machine_without_a_camera_is_said(playwright: Playwright, server: Studio) -> None:
    browser = launch(playwright, ALLOWED, NO_CAMERA)
    for page in unharmed(browser):
        visit(page, server)
        page.wait_for_selector("#notice[role=alert]")
        assert page.inner_text("#notice-title") == "No camera was found"
        assert page.is_visible("#notice-button")
        assert page.input_value("#camera") == ""
    browser.close()


@pytest.mark.parametrize(
    ("script", "title"),
    [
        (
            """navigator.mediaDevices.getUserMedia = async () => {
                throw new DOMException("", "NotReadableError");
            }""",
            "The camera is in use",
        ),
        (
            "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })",
            "No camera on this address",
        ),
    ],
    ids=["in use", "neither https nor localhost"],
)
def test_other_faults_of_cameras_are_said(fresh: Page, server: Studio, script: str, title: str) -> None:
    fresh.add_init_script(script)  # what browsers do then
    visit(fresh, server)
    fresh.wait_for_selector("#notice[role=alert]")
    assert fresh.inner_text("#notice-title") == title


def test_a_camera_that_is_unplugged_is_said_and_opened_again(fresh: Page, server: Studio) -> None:
    fresh.add_init_script(
        """const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
        media.getUserMedia = async (constraints) => (globalThis.stream = await open(constraints));"""
    )
    visit(fresh, server)
    wait_for_image(fresh)
    # What browsers tell a page then:
    fresh.evaluate("stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    assert fresh.inner_text("#notice-title") == "The camera is gone"
    fresh.evaluate("navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
    wait_for_image(fresh)


def test_a_model_slower_than_the_camera_is_said(fresh: Page, server: Studio) -> None:
    def between(page_side: WebSocketRoute) -> None:
        """Let every second image go lost, and make the network say that it takes 90 ms."""
        server_side = page_side.connect_to_server()
        images = 0

        def answer(message: str | bytes) -> None:
            nonlocal images
            if isinstance(message, bytes):
                images += 1
                if images % 2 == 0:
                    return
            elif (said := json.loads(message))["type"] == "status":
                message = json.dumps({**said, "translate_ms": 90})
            page_side.send(message)

        server_side.on_message(answer)

    fresh.route_web_socket("**/ws", between)
    visit(fresh, server)
    wait_for_image(fresh)
    wait_until(fresh, "document.getElementById('pill').textContent === 'slower than camera'")
    assert fresh.inner_text("#hint") == (
        "The network takes 90 ms a frame, longer than the camera's 33 ms. A smaller network size is faster."
    )
    wait_until(fresh, "Number(document.getElementById('dropped').textContent) > 0")


def test_a_restarted_server_is_found_again_and_a_full_one_is_said(
    fresh: Page, browser: Browser, styles: Path, tmp_path: Path, seen: Rgb
) -> None:
    with studio(tmp_path, styles, "--style", "negative", "--visitors", "1") as server:
        visit(fresh, server)
        wait_for_image(fresh)
        fresh.keyboard.press("m")
        fresh.keyboard.press("Space")
        for _ in range(5):
            fresh.keyboard.press("-")
        server.kill()
        wait_until(fresh, "document.getElementById('notice-title').textContent === 'Server not reachable'")
        assert fresh.inner_text("#pill") == "disconnected"
        server.start()
        wait_for_image(fresh)  # the notice goes with the first image
        assert fresh.inner_text("#pill") in ("live", "slower than camera")
        # The knobs stand as before.
        wait_until_shown(fresh, exactly(styles / "negative", seen, strength=0.5), CLOSE)
        for other in unharmed(browser):
            visit(other, server)
            other.wait_for_selector("#notice[role=alert]")
            assert other.inner_text("#notice-title") == "The studio is full"
            assert other.inner_text("#notice-text").startswith(
                "1 visitors are connected, the limit of this studio"
            )
            assert other.inner_text("#pill") == "full"
            fresh.goto("about:blank")
            other.click("#notice-button")
            wait_for_image(other)


def test_the_servers_own_source_is_shown_before_and_after(fresh: Page, styles: Path, tmp_path: Path) -> None:
    with studio(tmp_path, styles, "--style", "negative", "--source", "pattern://") as server:
        visit(fresh, server)
        wait_for_image(fresh)
        assert not fresh.is_visible("#camera")
        assert fresh.get_attribute("#mirror", "aria-pressed") == "false"
        assert fresh.evaluate("document.getElementById('view').width") == 640
        before, after = (
            png(base64.b64decode(address.partition(",")[2]))
            for address in fresh.evaluate(  # of one moment: no image comes while a script runs
                """() => ["End", "Home"].map((key) => {
                    document.getElementById("split").dispatchEvent(new KeyboardEvent("keydown", { key }));
                    return document.getElementById("view").toDataURL();
                })"""
            )
        )
        assert apart(before, after) > FAR
        assert apart(after, exactly(styles / "negative", before)) < CLOSE
