"""The commands of `videobrush`, a frozen dataclass each; docstrings are the help."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from rt.backends import BACKEND_HELP, BackendName, PrecisionName
from rt.sinks import help_text as output_help
from rt.sources import help_text

Backend = Annotated[BackendName, arg(help=BACKEND_HELP)]
Codec = Literal["h264", "hevc", "av1"]
Detail = Literal["auto", "keep", "network"]
View = Literal["auto", "image", "gray", "edges"]
BROWSER = "browser"
"""The studio's source that is every visitor's own camera."""


@dataclass(frozen=True, kw_only=True)
class _Talk:
    """What every command that opens a style or a device takes."""

    verbose: Annotated[bool, arg(aliases=["-v"])] = False
    """Say more: what was tried and could not be used."""
    device: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the first)")] = None
    """The NVIDIA GPU to use, as nvidia-smi numbers them."""


@dataclass(frozen=True)
class Demo(_Talk):
    """Translate the bundled clip into four styles: writes demo.mp4 with its audio, and demo.png, a sheet."""

    out_dir: Annotated[Path, arg(metavar="DIR")] = Path()
    """Folder for the results."""
    style: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: four)")] = None
    """Name or folder of one style for all of it; `videobrush styles` lists them."""
    backend: Backend = "auto"
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: the style's)")] = None
    """Short side of the network's image in pixels."""
    overwrite: bool = False
    """Replace results that exist already."""


@dataclass(frozen=True)
class _Ways:
    """What a run reads and writes."""

    input: Positional[Annotated[str, arg(metavar="INPUT", help=help_text())]]
    style: Annotated[str, arg(metavar="NAME")]
    """Name or folder of a style, or two of them: monet+wave; `videobrush styles` lists them."""
    output: Positional[
        Annotated[
            tuple[str, ...],
            arg(
                metavar="[OUTPUT ...]",
                help=f"{output_help()}; several at once.",
                help_behavior_hint="(default: a window)",
            ),
        ]
    ] = ()
    record: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Beside a live view, write what is shown to this video file."""
    microphone: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: none)")] = None
    """Beside a camera or screen, hear this one, or `default`; `videobrush doctor` lists them."""


@dataclass(frozen=True, kw_only=True)
class _Translation(_Talk):
    """How frames are read, translated and coded."""

    backend: Backend = "auto"
    precision: PrecisionName = "auto"
    """What the network is computed in. auto: the quickest here, measured once where the CPU does not tell;
    bf16 and int8+bf16 are OpenVINO's."""
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: the style's)")] = None
    """Short side of the network's image in pixels; more is finer and slower."""
    strength: Annotated[float, arg(metavar="0..1")] = 1.0
    """How much of the residual is applied to the frame."""
    steady: Annotated[Literal["off"] | float, arg(metavar="off|0..1")] = "off"
    """Temporal smoothing (deflicker) of the residual, with --detail network of the whole image; costs some
    sharpness."""
    still: Literal["auto", "on", "off"] = "auto"
    """Keep the residual of before while nothing moves, and the CPU rests; auto: for live sources."""
    detail: Detail = "auto"
    """keep: the frame's own fine detail stays. network: the network's image, large. auto: the style's."""
    view: View = "auto"
    """What of a frame the network looks at. auto: the style's. image: for a camera that films a drawing."""
    fit: Literal["auto", "cpu", "gpu"] = "auto"
    """Where frames are shrunk for the network and its residual is applied. gpu: beside a TensorRT engine;
    auto: there where that can be."""
    compare: bool = False
    """Before and after side by side."""
    fps: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: the source's)")] = None
    """Frames per second of a camera, pattern, screen or of images."""
    width: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: the source's)")] = None
    """Width asked of a camera, pattern or screen."""
    height: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: the source's)")] = None
    """Height asked of a camera, pattern or screen."""
    loop: bool = False
    """Begin again at the end of the input."""
    start: Annotated[float, arg(metavar="S")] = 0.0
    """Seconds to leave out at the beginning."""
    duration: Annotated[float | None, arg(metavar="S", help_behavior_hint="(default: all)")] = None
    """Seconds to translate."""
    keep_clock: bool = False
    """Keep the times of a file whose clock does not begin at zero, to cut or join it later."""
    interlaced: Literal["deinterlace", "keep"] = "deinterlace"
    """What becomes of interlaced video. keep: as it is, combed where something moves."""
    fields: bool = False
    """Both fields of an interlaced file become frames: twice the frame rate."""
    codec: Codec = "h264"
    """How video files and streams are coded."""
    encoder: Annotated[str, arg(metavar="NAME")] = "auto"
    """What codes them: x264, x265, svtav1, nvenc, ...; auto takes NVENC where it works."""
    crf: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the encoder's)")] = None
    """Quality on the encoder's scale; lower is better and larger."""
    preset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the encoder's)")] = None
    """The encoder's word for speed against size: veryfast, slow, p4, 8, ..."""
    audio: Literal["copy", "aac", "none"] = "copy"
    """copy: as it is, or AAC where the output cannot hold it or the source is live. none: left out."""
    other_videos: Literal["drop", "keep"] = "drop"
    """Further videos in a file, beside the translated one; cover images are kept."""
    overwrite: bool = False
    """Replace outputs that exist already."""

    @property
    def steadiness(self) -> float:
        """`steady` as a number; 0 is off."""
        return 0.0 if self.steady == "off" else self.steady

    def fault(self) -> str | None:
        """Return what is wrong with what was typed; None where nothing is."""
        steady = self.steadiness
        if not 0 <= self.start < math.inf:
            return f"--start is {self.start}, not 0 or more"
        if self.fields and self.interlaced == "keep":
            return "--fields and --interlaced keep exclude each other: what is kept is not split"
        if self.fit == "gpu" and steady > 0:
            return "--fit gpu and --steady exclude each other: frames are steadied on the CPU"
        if self.fit == "gpu" and self.detail == "network":
            return "--fit gpu applies the residual to the frame: --detail network needs --fit cpu"
        return _not_a_share({"strength": self.strength, "steady": steady}) or _not_above_0(
            {"fps": self.fps, "duration": self.duration, "width": self.width, "height": self.height}
        )


@dataclass(frozen=True)
class Run(_Translation, _Ways):
    """Translate a video file, a camera, a stream or images into files, a window or streams."""

    mix: Annotated[float, arg(metavar="0..1")] = 0.5
    """Of two styles, `--style monet+wave`, how much of the second one is shown."""
    fade: Annotated[float, arg(metavar="S")] = 0.0
    """Seconds over which one style turns into another where a viewer switches."""
    osc: Annotated[str | None, arg(metavar="PORT|ADDRESS:PORT", help_behavior_hint="(default: none)")] = None
    """Obey Open Sound Control on this port of this machine, or of an address that others reach: /style, /mix,
    /strength, /steady, /snapshot, /record."""
    hotkeys: bool = False
    """Obey the window's keys typed in the terminal, for runs without a window."""

    def fault(self) -> str | None:
        """Return what is wrong with what was typed; None where nothing is."""
        if not 0 <= self.fade < math.inf:
            return f"--fade is {self.fade}, not 0 or more"
        if fault := _not_a_share({"mix": self.mix}):
            return fault
        if self.osc is not None and not _is_port(self.osc):
            return f"--osc {self.osc} is no port: type for example --osc 9000, or --osc 0.0.0.0:9000"
        if self.microphone is not None and self.audio == "none":
            return "--microphone and --audio none exclude each other: leave one of them out"
        return super().fault()


@dataclass(frozen=True)
class _Many:
    """What a batch reads and writes."""

    inputs: Positional[
        Annotated[tuple[str, ...], arg(metavar="IN [IN ...]", help_behavior_hint="(or --from LIST)")]
    ] = ()
    """Videos, images, folders of them (with all below, mirrored), patterns; or `status DIR`: how far the
    batch of that --out is."""
    out: Annotated[Path, arg(metavar="DIR", help_behavior_hint="(required)")] = Path()
    """Folder of the outputs; made where it is missing."""
    style: UseAppendAction[
        Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(required)")]
    ] = ()
    """Name or folder of a style; several: one --style for each."""
    name: Annotated[str | None, arg(metavar="TEMPLATE", help_behavior_hint="(default: the input's)")] = None
    """Names of the outputs, of {dir} {stem} {style} {suffix} {index}."""
    list_file: Annotated[
        Path | None, arg(name="from", metavar="LIST.jsonl", help_behavior_hint="(default: none)")
    ] = None
    """More inputs, a line each: {"input": "a.mp4", "style": "winter", "output": "b.mp4"}; the last two as
    they are needed."""
    workers: Annotated[int, arg(metavar="N")] = 1
    """Processes that translate at once; on a CPU one fills the cores already."""
    chunk: Annotated[Literal["off"] | float, arg(metavar="off|S")] = 300.0
    """Long videos are translated in chunks of about so many seconds, each kept once it is done."""
    shard: Annotated[str | None, arg(metavar="I/N", help_behavior_hint="(default: all)")] = None
    """Translate the I-th of N shares alone, from 0: one command for each machine, over a shared --out."""
    ray: Annotated[str | None, arg(metavar="auto|ADDRESS", help_behavior_hint="(default: this machine)")] = (
        None
    )
    """Have a Ray cluster translate, over folders that all its machines see: auto, or HOST:PORT."""
    task_cpus: Annotated[float, arg(metavar="N")] = 1.0
    """CPUs that a task takes of the cluster."""
    task_gpus: Annotated[float, arg(metavar="N")] = 0.0
    """GPUs that a task takes of the cluster; 0.5: two share one."""
    dry_run: bool = False
    """Print what would be done, and do nothing."""
    retry_failed: bool = False
    """Translate again what failed before, and nothing else."""
    watch: bool = False
    """Go on: translate what comes into the folders, once it has settled; Ctrl-C ends it."""
    report: Annotated[
        Path | None, arg(metavar="FILE.{json,csv,html}", help_behavior_hint="(default: none)")
    ] = None
    """Write how each input ended; .html shows before and after."""


@dataclass(frozen=True)
class Batch(_Translation, _Many):
    """Translate many videos and images into a folder; what is done is not done again.

    The same command continues what was interrupted. Each output is whole or not there.
    """

    @property
    def share(self) -> tuple[int, int]:
        """`shard` as (its number from 0, how many)."""
        number, _, count = (self.shard or "0/1").partition("/")
        return int(number), int(count)

    @property
    def status_of(self) -> Path | None:
        """The --out whose status is asked for; None where none is."""
        return Path(self.inputs[1]) if len(self.inputs) == 2 and self.inputs[0] == "status" else None

    def fault(self) -> str | None:
        """Return what is wrong with what was typed; None where nothing is."""
        if self.status_of is not None:
            return None
        if self.out == Path():
            return "batch needs a folder for its outputs: type --out DIR"
        if not self.style:
            return "batch needs a style: type --style NAME; `videobrush styles` lists them"
        if self.workers < 1:
            return f"--workers is {self.workers}, at least 1 is needed"
        if self.chunk != "off" and not 0 < self.chunk < math.inf:
            return f"--chunk is {self.chunk}, not off or seconds above 0"
        if self.shard is not None and not _is_share(self.shard):
            return f"--shard {self.shard} is no share: type for example --shard 0/4, the first of four"
        if self.ray is None and (self.task_cpus != 1 or self.task_gpus != 0):
            return "--task-cpus and --task-gpus are taken of a cluster: type --ray auto or --ray HOST:PORT"
        if self.ray is not None and (self.workers != 1 or self.shard is not None):
            return "--ray gives the work out itself: leave out --workers and --shard"
        if not (0 < self.task_cpus < math.inf and 0 <= self.task_gpus < math.inf):
            return "--task-cpus is a number above 0, --task-gpus one of 0 or more"
        if self.watch and (self.dry_run or self.retry_failed):
            return "--watch goes on for ever: leave out --dry-run and --retry-failed"
        return super().fault()


def _is_port(text: str) -> bool:
    port = text.rpartition(":")[2]
    return port.isdecimal() and int(port) <= 65535


def _is_share(text: str) -> bool:
    number, _, count = text.partition("/")
    return number.isdecimal() and count.isdecimal() and int(number) < int(count)


@dataclass(frozen=True)
class Styles:
    """List the styles, or show the card of one."""

    name: Positional[Annotated[str | None, arg(metavar="[NAME]", help_behavior_hint="(default: all)")]] = None
    """Name or folder of a style."""
    html: bool = False
    """Write a page of them instead, with their previews: one file for any browser."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: styles.html)")] = None
    """Where the page is written."""
    overwrite: bool = False
    """Replace a page that exists already."""

    def fault(self) -> str | None:
        """Return what is wrong with what was typed; None where nothing is."""
        if not self.html and (self.out is not None or self.overwrite):
            return "--out and --overwrite belong to --html"
        return None


@dataclass(frozen=True)
class Bench(_Talk):
    """Measure a style on this machine: a table, then one JSON object as the last line.

    `speed`: the network alone against the whole pipeline. `steady CLIP`: how much less a style flickers with
    --steady than without, and what sharpness that costs.
    """

    what: Positional[Annotated[Literal["speed", "steady"], arg(metavar="[speed|steady]")]] = "speed"
    """What to measure."""
    clip: Positional[Annotated[str | None, arg(metavar="[CLIP]", help_behavior_hint="")]] = None
    """Video file for `steady`."""
    style: Annotated[str, arg(metavar="NAME")] = "winter"
    """Name or folder of a style; `videobrush styles` lists them."""
    backend: Backend = "auto"
    precision: PrecisionName = "auto"
    """What the network is computed in. auto: the quickest here, measured once where the CPU does not tell;
    bf16 and int8+bf16 are OpenVINO's."""
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: the style's)")] = None
    """Short side of the network's image in pixels."""
    seconds: Annotated[float, arg(metavar="S")] = 10.0
    """Seconds of measuring each side of `speed`."""
    steady: Annotated[float, arg(metavar="0..1")] = 1.0
    """What `steady` compares with off."""

    def fault(self) -> str | None:
        """Return what is wrong with what was typed; None where nothing is."""
        if self.what == "steady" and self.clip is None:
            return "bench steady needs a video file: videobrush bench steady CLIP"
        if self.what == "speed" and self.clip is not None:
            return f"bench speed draws its own frames: leave out {self.clip}"
        if self.what == "speed" and self.steady != 1:
            return "--steady belongs to bench steady CLIP"
        return _not_above_0({"seconds": self.seconds}) or _not_a_share({"steady": self.steady})


def _not_a_share(numbers: Mapping[str, float]) -> str | None:
    """Return what is wrong with the first number that is not within 0..1."""
    wrong = [name for name, number in numbers.items() if not 0 <= number <= 1]
    return f"--{wrong[0]} is {numbers[wrong[0]]}, not within 0..1" if wrong else None


def _not_above_0(numbers: Mapping[str, float | None]) -> str | None:
    """Return what is wrong with the first number that is given and not a positive one."""
    wrong = [name for name, number in numbers.items() if number is not None and not 0 < number < math.inf]
    return f"--{wrong[0]} is {numbers[wrong[0]]}, not above 0" if wrong else None


@dataclass(frozen=True)
class Studio(_Talk):
    """Serve a page in the browser where you see yourself translated; see rt/web/README.md."""

    source: Annotated[str, arg(metavar="browser|INPUT")] = BROWSER
    """browser: every visitor's own camera. Else the server's: 0, a video file, rtsp://..., pattern://."""
    style: Annotated[str, arg(metavar="NAME")] = "winter"
    """Style shown first; the page can switch to all that `videobrush styles` lists."""
    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines open the page with the token."""
    port: int = 8765
    """Port to listen on; 0 takes a free one."""
    open: bool = False
    """Open the page in this machine's browser."""
    visitors: Annotated[int, arg(metavar="N")] = 10
    """Pages served at once, and batches kept; further ones are told that the studio is full."""
    batch_files: Annotated[int, arg(metavar="N")] = 100
    """Most files in one visitor's batch."""
    batch_gb: Annotated[float, arg(metavar="GB")] = 2.0
    """Most bytes of them together, in GB."""
    backend: Backend = "auto"
    precision: PrecisionName = "auto"
    """What the network is computed in. auto: the quickest here, measured once where the CPU does not tell;
    bf16 and int8+bf16 are OpenVINO's."""
    fade: Annotated[float, arg(metavar="S")] = 0.0
    """Seconds over which one style turns into another."""
    allow_host: Annotated[tuple[str, ...], arg(metavar="NAME:PORT")] = ()
    """Further host names the server answers to, exactly as a browser sends them: behind a proxy, say."""
    new_token: bool = False
    """Make a new token: pages opened before must sign in again."""

    def fault(self) -> str | None:
        """Return what is wrong with what was typed; None where nothing is."""
        if not 0 <= self.port <= 65535:
            return f"--port is {self.port}, not within 0..65535"
        if not 0 <= self.fade < math.inf:
            return f"--fade is {self.fade}, not 0 or more"
        return _not_above_0(
            {"visitors": self.visitors, "batch-files": self.batch_files, "batch-gb": self.batch_gb}
        )


@dataclass(frozen=True)
class Doctor(_Talk):
    """Try what the program can use on this machine: backends, encoders, display, GPU."""


Command = Demo | Run | Batch | Studio | Styles | Bench | Doctor
