"""What becomes of the files people have: `python -m tools.bench.containers`.

Draws clips with ffmpeg's lavfi in some 500 combinations of container, codecs, frame rate, first time, size,
rotation, colour tags and output, runs each through this program without a network, and checks the output with
ffprobe: frames, times, audio (how loud it is and where it begins), default stream, rotation, colour tags and
the image itself. A refusal counts as right where the name it offers works. Prints a table, then one JSON
object as the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import collections
import json
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import numpy as np

from rt.commands import Codec, Run
from rt.errors import VideobrushError
from rt.job import run_job
from rt.pipeline import Stop
from tools.bench.result import facts, finish, parser, table

ONSET_S = 0.3
"""The drawn audio is silent before this time, then a tone."""
LENGTH_S = 0.8
MIN_PSNR_DB = 22.0
"""Of drawn edges in 4:4:4 against 4:2:0; a wrong matrix, range or frame is below 20."""
OUTPUTS = (".mp4", ".mov", ".mkv")


@dataclass(frozen=True)
class Combination:
    """One clip and the output asked for."""

    suffix: str
    video: str
    audio: str = ""
    rate: str = "25"
    start_s: float = 0.0
    output: str = ".mp4"
    turn: int = 0
    colour: str = ""
    size: str = "64x48"
    flags: tuple[str, ...] = ()
    """More words for ffmpeg."""
    kind: str = ""
    """What the flags mean."""

    @property
    def name(self) -> str:
        """What it is called in tables and tests."""
        turn = f"turned-{self.turn}" if self.turn else ""
        start = f"from-{self.start_s:g}" if self.start_s else ""
        parts = (
            self.suffix[1:],
            self.video,
            self.audio,
            self.rate.replace("/", "-"),
            start,
            turn,
            self.colour,
            self.kind,
        )
        return "_".join(filter(None, (*parts, f"to-{self.output[1:]}")))

    @property
    def clip(self) -> Combination:
        """The same for every output."""
        return replace(self, output="")


VIDEO: dict[str, tuple[str, ...]] = {
    ".mp4": ("libx264", "libx265", "mpeg4", "mjpeg", "libvpx-vp9", "libaom-av1"),
    ".mov": ("libx264", "prores_ks", "mjpeg", "qtrle", "png", "mpeg4"),
    ".mkv": ("libx264", "libx265", "libvpx", "libvpx-vp9", "ffv1", "mpeg2video", "libtheora", "mjpeg"),
    ".webm": ("libvpx", "libvpx-vp9", "libaom-av1"),
    ".m4v": ("libx264", "mpeg4"),
    ".avi": ("mpeg4", "msmpeg4", "mjpeg", "huffyuv", "libx264", "ffv1", "dvvideo"),
    ".ts": ("libx264", "mpeg2video", "libx265"),
    ".m2ts": ("libx264",),
    ".mts": ("libx264",),
    ".mpg": ("mpeg2video", "mpeg1video"),
    ".vob": ("mpeg2video",),
    ".flv": ("flv", "libx264"),
    ".wmv": ("wmv2", "wmv1", "msmpeg4"),
    ".asf": ("msmpeg4",),
    ".ogv": ("libtheora",),
    ".3gp": ("mpeg4", "h263"),
    ".3g2": ("mpeg4",),
    ".nut": ("ffv1", "mpeg4"),
    ".dv": ("dvvideo",),
    ".mxf": ("mpeg2video",),
    ".wtv": ("mpeg2video",),
    ".rm": ("rv20",),
    ".ivf": ("libvpx-vp9", "libaom-av1"),
    ".y4m": ("wrapped_avframe",),
    ".h264": ("libx264",),
    ".hevc": ("libx265",),
    ".mjpg": ("mjpeg",),
}
"""Suffix → codecs of video in such files."""
AUDIO: dict[str, tuple[str, ...]] = {
    ".mp4": ("aac", "libmp3lame", "ac3", "alac", "flac", "libopus"),
    ".mov": ("aac", "pcm_s16le", "pcm_s24le", "pcm_alaw", "alac", "adpcm_ima_qt"),
    ".mkv": (
        "aac",
        "libmp3lame",
        "ac3",
        "eac3",
        "flac",
        "libvorbis",
        "libopus",
        "pcm_s16le",
        "dca",
        "wavpack",
        "tta",
    ),
    ".webm": ("libvorbis", "libopus"),
    ".m4v": ("aac", "ac3"),
    ".avi": ("libmp3lame", "pcm_s16le", "pcm_u8", "adpcm_ima_wav", "adpcm_ms", "ac3"),
    ".ts": ("aac", "mp2", "ac3", "libmp3lame"),
    ".m2ts": ("pcm_bluray", "ac3"),
    ".mts": ("ac3", "pcm_bluray"),
    ".mpg": ("mp2",),
    ".vob": ("ac3", "mp2", "pcm_dvd"),
    ".flv": ("libmp3lame", "aac", "adpcm_swf", "nellymoser"),
    ".wmv": ("wmav1", "wmav2"),
    ".asf": ("libmp3lame",),
    ".ogv": ("libvorbis", "flac", "libspeex"),
    ".3gp": ("aac",),
    ".3g2": ("aac",),
    ".nut": ("pcm_s16le", "flac"),
    ".dv": ("pcm_s16le",),
    ".mxf": ("pcm_s16le",),
    ".wtv": ("mp2",),
    ".rm": ("ac3",),
    ".ivf": ("",),
    ".y4m": ("",),
    ".h264": ("",),
    ".hevc": ("",),
    ".mjpg": ("",),
}
"""Suffix → codecs of audio in such files."""
RARE = frozenset(
    (".asf", ".3g2", ".mts", ".dv", ".mxf", ".wtv", ".rm", ".ivf", ".y4m", ".h264", ".hevc", ".mjpg")
)
"""Inputs that are tried with fewer outputs."""
WRITTEN_SO: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "fragmented": ((".mp4", ".mov"), "", ("-movflags", "+frag_keyframe+empty_moov")),
    "faststart": ((".mp4", ".m4v"), "", ("-movflags", "+faststart")),
    "live": ((".mkv", ".webm"), "", ("-live", "1")),
    "b-frames": ((".avi", ".mp4", ".ts"), "libx264", ("-bf", "3", "-b_strategy", "0")),
    "b-frames-of-mpeg-4": ((".avi", ".mp4"), "mpeg4", ("-bf", "2")),
    "frames-left-out": (
        (".mp4", ".mkv", ".mov", ".webm", ".flv"),
        "",
        ("-vf", "select='not(eq(mod(n,5),3))'", "-vsync", "vfr"),
    ),
}
"""How it is written → into what, with which codec (the container's first), by which words."""
RATES = ("24000/1001", "30000/1001", "12", "50", "60000/1001")
STARTS_S = (1.4, 3601.5, 50000.0)
TURNS = (90, 180, 270)
COLOURS = {
    "bt709": ("bt709", "bt709", "bt709"),
    "smpte170m": ("smpte170m", "smpte170m", "smpte170m"),
    "bt2020": ("bt2020nc", "bt2020", "smpte2084"),
}
"""Name → matrix, primaries and transfer."""
_MONO = frozenset(("nellymoser", "libspeex"))
_FIXED_SIZES = {"dvvideo": "720x576", "h263": "176x144"}
_NAMED_FORMATS = {".mjpg": ("-f", "mjpeg")}
_PIXELS = {
    "mjpeg": "yuvj420p",
    "dvvideo": "yuv420p",
    **dict.fromkeys(("libx264", "libx265", "ffv1", "wrapped_avframe"), "yuv420p"),
}
_AUDIO_RATES = {"adpcm_swf": 22050, "nellymoser": 22050, "libspeex": 16000, "pcm_alaw": 8000, "flac": 48000}


def combinations() -> Iterator[Combination]:
    """Yield every combination, each once."""
    seen = set()
    for each in _all():
        if each not in seen:
            seen.add(each)
            yield each


def _all() -> Iterator[Combination]:
    for suffix, codecs in VIDEO.items():
        for output in OUTPUTS if suffix not in RARE else OUTPUTS[::2]:
            for video in codecs:
                yield Combination(suffix, video, AUDIO[suffix][0], output=output)
            for audio in AUDIO[suffix]:
                yield Combination(suffix, codecs[0], audio, output=output)
    for suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".wmv"):
        for rate in RATES if suffix != ".wmv" else ("30000/1001",):
            for output in OUTPUTS:
                yield Combination(suffix, VIDEO[suffix][0], AUDIO[suffix][0], rate, output=output)
    for suffix in (".ts", ".m2ts", ".mkv", ".vob", ".mp4", ".flv", ".webm"):
        for start_s in STARTS_S:
            for output in OUTPUTS:
                yield Combination(suffix, VIDEO[suffix][0], AUDIO[suffix][0], start_s=start_s, output=output)
    for suffix in (".mp4", ".mov"):
        for turn in TURNS:
            for output in OUTPUTS:
                yield Combination(suffix, "libx264", "aac", turn=turn, output=output)
    for colour in COLOURS:
        for suffix in (".mp4", ".mkv"):
            for output in OUTPUTS:
                yield Combination(suffix, "libx264", "", colour=colour, output=output)
    for suffix in (".mp4", ".mkv", ".ts", ".mov", ".avi"):
        for size in ("66x50", "64x46", "480x270", "320x180", "62x34"):
            for output in OUTPUTS:
                yield Combination(suffix, VIDEO[suffix][0], AUDIO[suffix][0], size=size, output=output)
    for kind, (suffixes, video, flags) in WRITTEN_SO.items():
        for suffix in suffixes:
            for output in OUTPUTS:
                coded = video or VIDEO[suffix][0]
                yield Combination(suffix, coded, AUDIO[suffix][0], output=output, flags=flags, kind=kind)
    for suffix in (".webm", ".mp4", ".mkv", ".mov", ".avi", ".ts", ".wmv"):
        for audio in AUDIO[suffix][:3]:
            yield Combination(suffix, VIDEO[suffix][0], audio, output=".webm")
    for video in VIDEO[".webm"]:
        yield Combination(".webm", video, AUDIO[".webm"][0], output=".webm")


def draw(wanted: Combination, folder: Path) -> Path:
    """Draw the clip of a combination, unless it is there already."""
    clip = wanted.clip
    path = folder / f"{clip.name}{clip.size}{clip.suffix}"
    if not path.exists():
        made = path.with_name(f"upright-{path.name}") if clip.turn else path
        subprocess.run(_drawing(clip, made), check=True, capture_output=True)
        if clip.turn:
            turned = ("ffmpeg", "-nostdin", "-v", "error", "-y", "-i", made, "-c", "copy")
            subprocess.run((*turned, "-metadata:s:v", f"rotate={clip.turn}", path), check=True)
    return path


def _drawing(clip: Combination, path: Path) -> list[str]:
    rate = _AUDIO_RATES.get(clip.audio, 48000)
    tone = f"aevalsrc=0.5*sin(2*PI*440*t)*gte(t\\,{ONSET_S}):s={rate}:d={LENGTH_S}"
    words = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi"]
    size = _FIXED_SIZES.get(clip.video, clip.size)
    words += ["-i", f"testsrc2=s={size}:r={clip.rate}:d={LENGTH_S}"]
    words += ["-f", "lavfi", "-i", tone] if clip.audio else []
    words += ["-c:v", clip.video, "-b:v", "2M", "-g", "12"]
    words += ["-preset", "ultrafast", "-crf", "12"] if clip.video in ("libx264", "libx265") else []
    words += ["-cpu-used", "8"] if clip.video in ("libvpx", "libvpx-vp9", "libaom-av1") else []
    words += ["-x265-params", "log-level=none"] if clip.video == "libx265" else []
    words += ["-pix_fmt", _PIXELS[clip.video]] if clip.video in _PIXELS else []
    if clip.colour:
        matrix, primaries, transfer = COLOURS[clip.colour]
        words += ["-colorspace", matrix, "-color_primaries", primaries, "-color_trc", transfer]
    if clip.audio:
        words += ["-c:a", clip.audio, "-ac", "1" if clip.audio in _MONO else "2", "-strict", "-2"]
    words += ["-muxdelay", "0", "-output_ts_offset", str(clip.start_s)] if clip.start_s else []
    return [*words, *clip.flags, *_NAMED_FORMATS.get(clip.suffix, ()), str(path)]


def outcome(wanted: Combination, source: Path, folder: Path) -> tuple[str, list[str]]:
    """Run a combination; return how it ended (`copied`, `encoded`, `refused`, ...) and what is wrong."""
    target = folder / f"out{wanted.output}"
    target.unlink(missing_ok=True)
    try:
        _run(source, target)
    except VideobrushError as error:
        better = re.search(r"type (\S+) instead", str(error))
        if better is None:
            return "failed", [str(error)]
        target = Path(better[1])
        _run(source, target)
        ended, wrong = _compared(source, target)
        target.unlink()
        return "refused", wrong
    ended, wrong = _compared(source, target)
    return ended, wrong


def _run(source: Path, target: Path) -> None:
    codec: Codec = "av1" if target.suffix == ".webm" else "h264"
    run_job(Run(str(source), "winter", (str(target),), backend="identity", codec=codec), Stop())


def _compared(source: Path, target: Path) -> tuple[str, list[str]]:
    before, after = probe(source), probe(target)
    before["times"] = _true_times(source, before)
    ended, wrong = "copied" if "audio" in before else "silent", []
    step_s = (
        0.0011 if target.suffix == ".mkv" or source.suffix in (".mkv", ".webm", ".flv", ".wmv") else 0.0002
    )
    times = [np.array(each["times"]) for each in (before, after)]
    if before["frames"] != after["frames"]:
        wrong.append(f"{after['frames']} frames of {before['frames']}")
    elif len(times[0]) != len(times[1]):  # ffprobe does not know the time of each
        times[1] = times[1][: len(times[0])]
    elif (off := float(np.abs((times[0] - times[0][0]) - (times[1] - times[1][0])).max())) > step_s:
        wrong.append(f"a frame is {1000 * off:.1f} ms off")
    if not -0.001 <= times[1][0] < 1.5:
        wrong.append(f"it starts at {times[1][0]:.3f} s")
    if after["defaults"] != 1 or not after["first_is_default"]:
        wrong.append(f"{after['defaults']} default video streams")
    wrong += [
        f"{fact} is {after[fact]}, was {before[fact]}"
        for fact in ("turn", "matrix", "primaries", "transfer")
        if before[fact] and before[fact] != after[fact]
    ]
    if (psnr_db := _psnr_db(source, target)) < MIN_PSNR_DB:
        wrong.append(f"the image is {psnr_db:.1f} dB off")
    if "audio" in before:
        ended, faults = _audio_compared(source, target, before, after)
        wrong += faults
    return ended, wrong


def _true_times(source: Path, found: dict[str, Any]) -> list[float]:
    """Return when the frames of a drawn clip are shown, where ffprobe does not know it."""
    if not found["times"]:  # raw video: no clock at all
        return [frame / 25 for frame in range(found["frames"])]
    first_s = found["times"][0] if source.suffix == ".avi" else 0.0  # decoded then, shown at once
    return [time_s - first_s for time_s in found["times"]]


def _audio_compared(
    source: Path, target: Path, before: dict[str, Any], after: dict[str, Any]
) -> tuple[str, list[str]]:
    if "audio" not in after:
        return "lost", ["its audio is lost"]
    ended = "copied" if before["audio"] == after["audio"] else "encoded"
    heard = [_heard(path) for path in (source, target)]
    offsets = [onset_s - each["times"][0] for (_, onset_s), each in zip(heard, (before, after), strict=True)]
    wrong = []
    if abs(heard[1][0] / heard[0][0] - 1) > 0.1:
        wrong.append(f"its audio is {heard[1][0] / heard[0][0]:.2f} times as loud")
    if abs(offsets[0] - offsets[1]) > 0.02:
        wrong.append(f"its audio begins {1000 * (offsets[1] - offsets[0]):.0f} ms late")
    return ended, wrong


def probe(path: Path) -> dict[str, Any]:
    """Return what ffprobe says of a file's video and audio."""
    fields = (
        "stream=index,codec_type,codec_name,color_space,color_primaries,color_transfer:stream_disposition=default,"
        "attached_pic:stream_side_data=rotation:frame=stream_index,best_effort_timestamp_time"
    )
    words = ("ffprobe", "-v", "error", "-show_frames", "-show_entries", fields, "-of", "json", str(path))
    found = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    videos = [each for each in found["streams"] if each["codec_type"] == "video"]
    video = next(each for each in videos if not each["disposition"]["attached_pic"])
    turns = [data["rotation"] for data in video.get("side_data_list", ()) if "rotation" in data]
    frames = [frame for frame in found["frames"] if int(frame.get("stream_index", -1)) == video["index"]]
    audio = [each["codec_name"] for each in found["streams"] if each["codec_type"] == "audio"]
    return {
        "frames": len(frames),
        "times": sorted(
            float(frame["best_effort_timestamp_time"])
            for frame in frames
            if "best_effort_timestamp_time" in frame
        ),
        "defaults": sum(each["disposition"]["default"] for each in videos),
        "first_is_default": bool(videos[0]["disposition"]["default"]),
        "turn": (turns or [0])[0],
        "matrix": _stated(video.get("color_space")),
        "primaries": _stated(video.get("color_primaries")),
        "transfer": _stated(video.get("color_transfer")),
        **({"audio": audio[0]} if audio else {}),
    }


def _stated(code: str | None) -> str:
    return "" if code in (None, "unknown", "reserved", "gbr") else str(code)


def _heard(path: Path) -> tuple[float, float]:
    """Return loudness of the tone, and the time at which it begins."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", 48000)
        times, levels, next_s = [np.zeros(0)], [np.zeros(0)], 0.0
        for block in _decoded(container, stream):
            if block.pts is not None and block.time_base is not None:
                next_s = float(block.pts * block.time_base)
            samples = np.concatenate(
                [np.abs(even.to_ndarray()[0]) for even in resampler.resample(block)] or [np.zeros(0)]
            )
            times.append(next_s + np.arange(samples.size) / 48000)
            levels.append(samples)
            next_s += block.samples / block.sample_rate
    level, time_s = np.concatenate(levels), np.concatenate(times)
    loud = time_s[level > 0.1]
    onset_s = float(loud[0]) if loud.size else float("nan")
    tone = level[(time_s > onset_s + 0.1) & (time_s < onset_s + 0.4)]
    return (float(np.sqrt((tone**2).mean())) if tone.size else float("nan")), onset_s


def _decoded(container: av.container.InputContainer, stream: Any) -> Iterator[Any]:
    """Yield what can be decoded of a stream."""
    for packet in container.demux(stream):
        with suppress(av.error.FFmpegError):
            yield from stream.decode(packet)


def _psnr_db(source: Path, target: Path) -> float:
    """Return the PSNR of the first and the last frame, the lesser one."""
    frames = []
    for path in (source, target):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames.append([frame.to_ndarray(format="rgb24") for frame in _decoded(container, stream)])
    pairs = [(frames[0][at].astype(float), frames[1][at].astype(float)) for at in (0, -1)]
    if any(before.shape != after.shape for before, after in pairs):
        return 0.0
    errors = [float(((before - after) ** 2).mean()) for before, after in pairs]
    return float(10 * np.log10(255**2 / max(max(errors), 1e-6)))


def main() -> int:
    """Run everything, print, and save where asked; exit 1 where something is wrong."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", default="", help="part of the names of the combinations to run")
    typed = arguments.parse_args()
    logging.getLogger("rt").setLevel(logging.ERROR)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    faults: dict[str, list[str]] = {}
    wanted = [each for each in combinations() if typed.only in each.name]
    with tempfile.TemporaryDirectory() as folder:
        for each in wanted:
            source = draw(each, Path(folder))
            ended, wrong = outcome(each, source, Path(folder))
            counts[each.suffix, ended] += 1
            if wrong:
                faults[f"{each.name} {each.size}"] = wrong
                print(f"{each.name}: {'; '.join(wrong)}", file=sys.stderr)
    kinds = sorted({kind for _, kind in counts})
    suffixes = sorted({suffix for suffix, _ in counts})
    rows = [[suffix, *(counts[suffix, kind] for kind in kinds)] for suffix in suffixes]
    result = {
        **facts("containers"),
        "combinations": len(wanted),
        "right": len(wanted) - len(faults),
        "audio": {kind: sum(counts[suffix, kind] for suffix in suffixes) for kind in kinds},
        "faults": faults,
    }
    title = f"{result['right']} of {len(wanted)} combinations are right; their audio"
    finish(result, table(title, ("input", *kinds), rows), typed.save)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
