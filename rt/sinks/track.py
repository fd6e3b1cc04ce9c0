"""The video stream of a file being written: frames at exact times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.packet
from av.video.reformatter import VideoReformatter

from rt.captions import Captions
from rt.frame import Frame
from rt.hdr import merged
from rt.media import (
    ACCURATE_ROUNDING,
    BILINEAR,
    RANGE_LIMITED,
    Colour,
    Orientation,
    VideoFacts,
    known_matrix,
    rational,
)
from rt.planes import FORMAT, Planes
from rt.sinks.encoder import Encoder

_log = logging.getLogger(__name__)

LIVE_UNIT = Fraction(1, 90000)
"""Seconds per tick of the clock of frames that come from no file."""
CONSTANT = {"bf": "0"}
"""No B-frames: where a fragment ends between them, the mp4 muxer loses times and the last frame."""
_TAGS = {"hevc": "hvc1"}
"""Codec → the tag in mp4 without which Apple's players do not show it."""
_CAPTIONED: dict[str, dict[str, str]] = {
    "libx264": {},
    "libx265": {"a53cc": "1"},
    "h264_nvenc": {},
    "hevc_nvenc": {},
}
"""Encoders that code closed captions, and what they must be told for it."""
_SCALING = BILINEAR | ACCURATE_ROUNDING
_KEYFRAME_INTERVAL_S = 2
_MAX_KEYFRAME_INTERVAL = 250


def plain_facts(path: Path, size: tuple[int, int]) -> VideoFacts:
    """Return how frames of `size` = (height, width) are stored that come from no file."""
    return VideoFacts(path, LIVE_UNIT, 0, None, None, None, Colour(known_matrix(0, size[0])))


class VideoTrack:
    """Encodes frames into one stream of a container and muxes them.

    Args:
        container: the file; its header is not written yet.
        video: how the source stored its frames: orientation, colour, pixel shape.
        size: (height, width) of the upright frames.
        frame_rate: mean frames per second.
        unit: seconds per tick of the stream's clock.
        encoder: what codes them.
        mux: takes the packets in place of the container.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        video: VideoFacts,
        size: tuple[int, int],
        frame_rate: Fraction,
        unit: Fraction,
        encoder: Encoder,
        mux: Callable[[av.packet.Packet[Any]], None] | None = None,
    ) -> None:
        self._put = mux or container.mux_one
        self._encoding = False
        self._orientation = Orientation.from_matrix(video.display_matrix)
        self._colour = video.colour
        self._unit = unit
        self._step = max(1, round(1 / frame_rate / unit))
        self._reformatter = VideoReformatter()
        self._carrying = VideoReformatter()
        self._encoder_name = encoder.name
        self.without_captions = 0
        """Frames whose closed captions could not be coded."""
        self._last_pts: int | None = None
        self.moved = 0
        """Frames that could not keep their time."""
        interval = min(_MAX_KEYFRAME_INTERVAL, max(1, round(frame_rate * _KEYFRAME_INTERVAL_S)))
        options = {**encoder.options, **CONSTANT, **_CAPTIONED.get(encoder.name, {}), "g": str(interval)}
        self.lost_hdr = ""
        """What of the source's HDR metadata is not written, in words."""
        if video.hdr is not None:
            self.lost_hdr = video.hdr.lost(encoder.name, video.colour.transfer)
            options = merged(options, video.hdr.options(encoder.name, video.colour.transfer))
        stream = container.add_stream(encoder.name, rate=frame_rate, options=options)
        assert isinstance(stream, av.VideoStream)
        self.stream = stream
        self.stream.pix_fmt = encoder.pixels
        if container.format.name in ("mp4", "mov") and encoder.codec in _TAGS:
            self.stream.codec_context.codec_tag = _TAGS[encoder.codec]
        self._describe(video, size)

    @property
    def empty(self) -> bool:
        """True before the first frame."""
        return self._last_pts is None

    def write(self, frame: Frame, shift_s: Fraction) -> Fraction | None:
        """Encode a frame, `shift_s` later than it says; return up to what time the file is written."""
        image = self._captioned(frame, self._stored(frame))
        image.color_range = RANGE_LIMITED
        image.color_primaries, image.color_trc = self._colour.primaries, self._colour.transfer
        image.pts, image.time_base = self._place(frame, shift_s), self._unit
        image.duration = self._step
        self._encoding = True
        return self._mux(self.stream.encode(image))

    def copy(self, packet: av.packet.Packet[Any]) -> Fraction | None:
        """Write a packet that was encoded before; return up to what time the file is written.

        Raises:
            ValueError: it is no later than the packet before.
        """
        if packet.pts is None or (self._last_pts is not None and packet.pts <= self._last_pts):
            raise ValueError(f"a frame at {packet.pts} follows one at {self._last_pts}")
        self._last_pts = packet.pts
        packet.stream = self.stream
        return self._mux([packet])

    def finish(self) -> Fraction:
        """Write what the encoder still holds; return the end of the last frame in seconds."""
        if self._encoding:
            self._mux(self.stream.encode(None))
        return ((self._last_pts or 0) + self._step) * self._unit

    def warn(self, path: Path) -> None:
        """Say in the log how many frames could not keep their time."""
        if self.moved:
            _log.warning("%s: %d frames were closer than its clock and were moved", path, self.moved)
        if self.without_captions:
            _log.warning("%s: closed captions are left out: %s cannot code them", path, self._encoder_name)

    def _captioned(self, frame: Frame, image: av.VideoFrame) -> av.VideoFrame:
        """Return the frame with the closed captions of the frame beside it, where they can be coded."""
        if not isinstance(frame.captions, Captions):
            return image
        if self._encoder_name not in _CAPTIONED:
            self.without_captions += 1
            return image
        return frame.captions.beside(image, self._carrying)

    def _stored(self, frame: Frame) -> av.VideoFrame:
        """Return the frame in the encoder's pixel format: as it came where it came so."""
        plain = self._orientation == Orientation() and self.stream.pix_fmt == FORMAT
        if plain and isinstance(frame.image, Planes) and frame.image.matrix == self._colour.matrix:
            return frame.image.encodable()
        # Copied: libswscale may read some bytes past the end, which arrays of NumPy do not have.
        image = av.VideoFrame.from_ndarray(self._orientation.stored(frame.rgb), "rgb24")
        image.colorspace = self._colour.matrix  # what the conversion is to compute with
        return self._reformatter.reformat(
            image,
            format=self.stream.pix_fmt,
            dst_color_range=RANGE_LIMITED,
            interpolation=_SCALING,
        )

    def _describe(self, video: VideoFacts, size: tuple[int, int]) -> None:
        height, width = self._orientation.stored_size(*size)
        stream, context = self.stream, self.stream.codec_context
        stream.width, stream.height = width, height
        context.time_base = stream.time_base = self._unit
        context.colorspace, context.color_range = self._colour.matrix, RANGE_LIMITED
        context.color_primaries, context.color_trc = self._colour.primaries, self._colour.transfer
        if video.sample_aspect_ratio:
            context.sample_aspect_ratio = video.sample_aspect_ratio
        if video.display_matrix is not None:
            plain = self._orientation == Orientation()
            stream.set_display_matrix(video.display_matrix if plain else self._orientation.matrix(*size))

    def _place(self, frame: Frame, shift_s: Fraction) -> int:
        """Return the frame's pts in the stream's ticks, later than the frame before."""
        pts = round((frame.pts * frame.time_base + shift_s) / self._unit)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
            self.moved += 1
        self._last_pts = pts
        return pts

    def _mux(self, packets: Sequence[av.packet.Packet[Any]]) -> Fraction | None:
        """Mux the packets; return the time of the last one in seconds."""
        written_s = None
        for packet in packets:
            self._put(packet)
            if packet.dts is not None:
                written_s = packet.dts * (rational(packet.time_base) or self._unit)
        return written_s
