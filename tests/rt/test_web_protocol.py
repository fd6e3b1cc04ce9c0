"""What is said over the WebSocket, and what is refused before it is decoded."""

from __future__ import annotations

import json
import struct

import cv2
import numpy as np
import pytest

from rt.web.jpeg import decode, encode_jpeg, encode_png, image_size
from rt.web.protocol import PIXELS, ControlsUpdate, Header, Refused, read_message, read_text
from tests.support.onnx_styles import drawn_image


def test_a_message_is_a_little_endian_header_and_a_jpeg() -> None:
    message = bytes.fromhex("0700000000000000") + struct.pack("<d", 12.5) + b"jpeg"
    assert read_message(message) == (Header(7, 0, 12.5), b"jpeg")
    assert Header(7, 3, 12.5).pack() == bytes.fromhex("0700000003000000") + struct.pack("<d", 12.5)
    assert read_message(message[:16]) == (Header(7, 0, 12.5), b"")


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (b"", "message of 0 bytes: needed is a header of 16"),
        (bytes(15), "message of 15 bytes"),
        (struct.pack("<IId", 1, 5, 0.0), "second number is not 0"),
        (struct.pack("<IId", 1, 0, float("nan")), "time is not a number"),
        (struct.pack("<IId", 1, 0, float("inf")), "time is not a number"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(message: bytes, fault: str) -> None:
    with pytest.raises(Refused, match=fault):
        read_message(message)


def test_controls_are_read_and_what_is_not_named_stays() -> None:
    assert read_text('{"type": "controls"}') == ControlsUpdate()
    everything = {"type": "controls", "style": "monet", "strength": 0.5, "steady": 1, "size": 160}
    assert read_text(json.dumps({**everything, "detail": "network"})) == ControlsUpdate(
        "monet", 0.5, 1.0, 160, True, "network"
    )
    assert read_text('{"type": "controls", "number": 7}') == ControlsUpdate(number=7)
    assert read_text('{"type": "controls", "size": null, "steady": null}') == ControlsUpdate(
        steady=0.0, size=None, size_given=True
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not JSON"),
        ("[" * 3000, "not JSON"),
        ("[]", 'not an object with "type"'),
        ('{"type": "status"}', 'not an object with "type"'),
        ('{"type": "offer", "sdp": "v=0"}', 'not an object with "type"'),
        ('{"type": "controls", "path": "/etc/passwd"}', "unknown control 'path'"),
        ('{"type": "controls", "strength": 1.5}', "strength is not within 0..1"),
        ('{"type": "controls", "strength": true}', "strength is not within 0..1"),
        ('{"type": "controls", "strength": NaN}', "strength is not within 0..1"),
        ('{"type": "controls", "steady": "a"}', "steady is not within 0..1"),
        ('{"type": "controls", "size": 161}', "size is not one of 96, 128"),
        ('{"type": "controls", "size": true}', "size is not one of"),
        ('{"type": "controls", "size": 128.0}', "size is not one of"),
        ('{"type": "controls", "style": 1}', "style is not a name"),
        ('{"type": "controls", "detail": "all"}', "detail is not keep or network"),
        ('{"type": "controls", "number": -1}', "number is not within 0..2\\^53-1"),
        ('{"type": "controls", "number": true}', "number is not within 0..2\\^53-1"),
        ('{"type": "controls", "number": 9007199254740992}', "number is not within 0..2\\^53-1"),
        ('{"type": "controls", "style": "' + "x" * 17000 + '"}', "text of more than 4096 bytes"),
    ],
)
def test_controls_out_of_range_are_refused(text: str, fault: str) -> None:
    with pytest.raises(Refused, match=fault):
        read_text(text)


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]], ids=["baseline", "progressive"])
def test_the_size_of_a_jpeg_is_read_from_its_header(options: list[int]) -> None:
    done, content = cv2.imencode(".jpg", drawn_image(37, 50), options)
    assert done
    assert image_size(content.tobytes()) == (37, 50)
    # Application data and filling bytes in front of the frame, as cameras write them.
    padded = b"\xff\xd8\xff\xe1\x00\x06abcd\xff\xff" + content.tobytes()[3:]
    assert image_size(padded) == (37, 50)


def test_the_size_of_a_png_is_read_from_its_header() -> None:
    assert image_size(encode_png(drawn_image(37, 50))) == (37, 50)


def test_a_image_comes_through_its_bytes() -> None:
    rgb = drawn_image(40, 48)
    assert np.array_equal(decode(encode_png(rgb)), rgb)
    assert np.abs(decode(encode_jpeg(np.full((40, 48, 3), 90, np.uint8))).astype(int) - 90).max() <= 1


def _with_size(content: bytes, height: int, width: int) -> bytes:
    """Let a JPEG claim another size."""
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def test_a_bomb_is_refused_by_what_its_header_claims() -> None:
    bomb = _with_size(encode_jpeg(drawn_image(40, 48)), 65000, 65000)
    with pytest.raises(Refused, match=f"an image of 65000x65000: at most {PIXELS} pixels"):
        decode(bomb)
    png = bytearray(encode_png(drawn_image(40, 48)))
    png[16:24] = struct.pack(">II", 50000, 50000)
    with pytest.raises(Refused, match="an image of 50000x50000"):
        decode(bytes(png))


def _bomb_behind_a_small_size() -> bytes:
    """A JPEG of 20000x20000 for decoders, which pass over FF 00; as a marker it says 40x48."""
    content = encode_jpeg(drawn_image(40, 48))
    at = content.index(b"\xff\xc0")
    end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    small, large = content[at:end], _with_size(content, 20000, 20000)[at:end]
    hidden = content[2:at] + large + b"\xff\xe1" + struct.pack(">H", 2 + len(small))
    return b"\xff\xd8\xff\x00" + struct.pack(">H", 2 + len(hidden)) + hidden + small + content[end:]


def test_a_bomb_is_not_hidden_by_what_decoders_pass_over() -> None:
    with pytest.raises(Refused, match="a marker is missing in its header"):
        decode(_bomb_behind_a_small_size())


@pytest.mark.parametrize(
    ("quality", "channels"), [(80, 3), (101, 3), (80, 4)], ids=["lossy", "lossless", "with alpha"]
)
def test_the_size_of_a_webp_is_read_from_its_header(quality: int, channels: int) -> None:
    rgb = drawn_image(37, 50)
    image = np.dstack([rgb, np.full((37, 50, channels - 3), 200, np.uint8)])
    done, content = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert done
    assert image_size(content.tobytes()) == (37, 50)
    assert decode(content.tobytes()).shape == (37, 50, 3)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "needed is a JPEG, PNG or WebP"),
        (b"GIF89a" + bytes(60), "needed is a JPEG, PNG or WebP"),
        (b"\xff\xd8", "its header ends early"),
        (b"\xff\xd8\xff\xe0\xff\xff", "its header ends early"),
        (b"\xff\xd8" + bytes(40), "a marker is missing"),
        (b"\xff\xd8\xff\x00" + bytes(40), "a marker is missing"),
        (encode_jpeg(drawn_image(40, 48))[:-200], "it cannot be decoded"),
        (b"RIFF\x00\x00\x00\x00WEBPANIM" + bytes(40), "its first part is of no known kind"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(8), "its header ends early"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00", "its header ends early"),
        (encode_png(drawn_image(40, 48))[:90], "it cannot be decoded"),
    ],
)
def test_what_is_no_image_or_damaged_is_refused(content: bytes, fault: str) -> None:
    with pytest.raises(Refused, match=fault):
        decode(content)


def test_a_image_without_height_or_longer_than_any_jpeg_is_refused() -> None:
    with pytest.raises(Refused, match="an image of 48x0: at least 1x1 is needed"):
        decode(_with_size(encode_jpeg(drawn_image(40, 48)), 0, 48))
    with pytest.raises(Refused, match="an image of 65536x2: at most 65535 pixels a side are taken"):
        decode(encode_png(np.zeros((2, 65536, 3), np.uint8)))


def test_a_header_that_loops_for_ever_ends() -> None:
    with pytest.raises(Refused):
        image_size(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 100_000)
