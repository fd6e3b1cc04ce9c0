"""Make styles smaller, faster and ready for NVIDIA GPUs, and hold what comes out to its gate."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rt.cuda.driver import choose_gpu
from rt.errors import VideobrushError
from rt.install import install_hint
from rt.log import LOG
from rt.terminal import VERBOSE_HELP, phases, print_results, printing, run_command, table, take_verbose
from rt.text import megabytes

if TYPE_CHECKING:
    from engines.sensitivity import Sensitivity
    from rt.card import Card
    from rt.styles import Style

try:
    import onnx  # noqa: F401  the extra is checked once, here
    import tyro
    from tyro.conf import Positional, arg
except ModuleNotFoundError as error:
    sys.exit(f"error: videobrush-engines needs {error.name}; type: {install_hint('engines')}")

_Gate = Annotated[float | None, arg(metavar="DB", help_behavior_hint="(default: 35 for int8, else 50)")]
_Frames = Annotated[tuple[str, ...], arg(metavar="CLIP [CLIP ...]")]


@dataclass(frozen=True)
class Quantize:
    """Make a style's INT8 or FP16 model; it is written where it holds its gate on held-out frames."""

    style: Positional[Annotated[str, arg(metavar="STYLE")]]
    """Name or folder of a style."""
    frames: _Frames
    """Clips, images or folders of them to calibrate with; the last third of each clip is held out."""
    held_out: _Frames = ()
    """Clips, images or folders to compare with, instead of those last thirds."""
    precision: Literal["int8", "fp16"] = "int8"
    """int8: convolutions in INT8. fp16: everything but pixels and their scaling in FP16."""
    gate: _Gate = None
    """Least PSNR against FP32."""
    percentile: Annotated[float, arg(metavar="0..100")] = 99.99
    """Percent of a tensor's values that its INT8 range holds; the rest saturates."""
    count: Annotated[int, arg(metavar="N")] = 16
    """Frames taken of each clip, evenly spread."""
    overwrite: bool = False
    """Replace such a model that the style has already."""


@dataclass(frozen=True)
class Verify:
    """Compare a style's INT8 or FP16 model and its engines with FP32; exits 1 below the gate."""

    style: Positional[Annotated[str, arg(metavar="STYLE")]]
    """Name or folder of a style."""
    frames: _Frames
    """Clips, images or folders of them."""
    precision: Literal["fp32", "fp16", "int8"] = "int8"
    """The model to compare."""
    gate: _Gate = None
    """Least PSNR against FP32."""
    count: Annotated[int, arg(metavar="N")] = 16
    """Frames taken of each clip, evenly spread."""
    device: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the first)")] = None
    """The GPU that runs the engines, as nvidia-smi numbers them."""


@dataclass(frozen=True)
class Build:
    """Compile a style into engines for NVIDIA GPUs; `videobrush run --backend tensorrt` runs them."""

    style: Positional[Annotated[str | None, arg(metavar="STYLE", help_behavior_hint="")]] = None
    """Name or folder of a style."""
    all_styles: bool = False
    """Every style that is bundled or installed, instead of one."""
    target: Annotated[str, arg(metavar="auto|SM[,SM...]")] = "auto"
    """The GPU of this machine, or compute capabilities such as sm86,sm89,sm120 (TensorRT for RTX)."""
    precision: Literal["fp32", "fp16", "int8"] = "fp16"
    """int8 needs a style with an INT8 model: see quantize."""
    frames: Annotated[str, arg(name="for", metavar="WxH[,WxH...]")] = "1920x1080,640x480"
    """Frame sizes, as `videobrush run` prints them; frames of one aspect share an engine."""
    network: Annotated[str | None, arg(metavar="WxH[,WxH...]", help_behavior_hint="(default: by --for)")] = (
        None
    )
    """Width and height of the network's image, instead of frame sizes."""
    workspace: Annotated[int | None, arg(metavar="MB", help_behavior_hint="(default: all there is)")] = None
    """GPU memory that TensorRT may use while it builds and measures a layer."""
    runtime: Annotated[
        Literal["tensorrt", "tensorrt-rtx"] | None, arg(help_behavior_hint="(default: the first installed)")
    ] = None
    """tensorrt: data-centre GPUs and Jetson, built there. tensorrt-rtx: GeForce and RTX, built anywhere."""
    device: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the first)")] = None
    """The GPU to build on and for, as nvidia-smi numbers them."""
    rebuild: bool = False
    """Build also what is there already."""


@dataclass(frozen=True)
class Adopt:
    """Turn a foreign image-to-image ONNX into a style; what is not told is guessed, and said."""

    file: Positional[Annotated[Path, arg(metavar="FILE.onnx")]]
    """The network: one image in (float32, float16 or uint8), one of the same size out."""
    layout: Annotated[Literal["nchw", "nhwc"] | None, arg(help_behavior_hint="(default: guessed)")] = None
    """Whether the channels stand before or behind height and width."""
    range: Annotated[
        Literal["0..1", "-1..1", "0..255"] | None, arg(help_behavior_hint="(default: guessed)")
    ] = None
    """The values of black and white."""
    layout_out: Annotated[
        Literal["nchw", "nhwc"] | None, arg(help_behavior_hint="(default: guessed, else as --layout)")
    ] = None
    """The layout of the output, where it is another than the input's."""
    range_out: Annotated[
        Literal["0..1", "-1..1", "0..255"] | None, arg(help_behavior_hint="(default: as --range)")
    ] = None
    """The range of the output, where it is another than the input's."""
    channels: Annotated[Literal["rgb", "bgr"] | None, arg(help_behavior_hint="(default: rgb)")] = None
    """The order of the colours."""
    name: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the file's)")] = None
    """The style's name."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: among your styles)")] = None
    """The style's folder; it must not exist."""
    title: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="(default: the file's name)")] = None
    """What the style does, in one line."""
    size: Annotated[int, arg(metavar="PX")] = 256
    """Short side of the network's image, where it takes several sizes."""


@dataclass(frozen=True)
class List:
    """List the engines that were built, and whether each is whole."""


@dataclass(frozen=True)
class Inspect:
    """Show what is inside a style's networks and its engines."""

    style: Positional[Annotated[str, arg(metavar="STYLE|FILE")]]
    """Name or folder of a style, or an .onnx or .engine file."""
    profile: bool = False
    """Run the engines that are for this GPU, and show what each layer takes."""
    device: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the first)")] = None
    """The GPU that runs them, as nvidia-smi numbers them."""


Command = Quantize | Verify | Build | Adopt | List | Inspect


def main() -> int:
    """Run the command line; a user's mistake is one line on stderr and exit 1."""
    return run_command(lambda: _run(_read()), "interrupted: what was begun is not written")


def _read() -> Command:
    typed = take_verbose(sys.argv[1:])
    _refuse_old(typed)
    with printing():
        return tyro.cli(
            Command,
            prog="videobrush-engines",
            description=f"{__doc__}\n\n{VERBOSE_HELP}",
            args=_joined(typed),
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
        )


def _refuse_old(typed: Sequence[str]) -> None:
    """Say what replaces an option that is gone; the old one may not be misread.

    Raises:
        VideobrushError: there is one.
    """
    command, *options = typed or [""]
    for number, option in enumerate(options):
        name, _, value = option.partition("=")
        new = _GONE.get((command, name.replace("_", "-")))
        if new is not None:
            height, cross, width = (value or "".join(options[number + 1 : number + 2])).partition("x")
            swapped = f"{width}x{height}" if cross else "448x256"
            raise VideobrushError(f"{name} is no option of {command} any more: {new.format(swapped)}")


_NEW_SIZE = "sizes are width x height now; type: --network {}, or --for with the size of your frames"
_GONE = {
    ("build", "--size"): _NEW_SIZE,
    ("build", "--batch"): "every engine takes one image at a time; leave it away",
    ("quantize", "--held-back"): "type: --held-out",
}
"""Options of earlier versions, by command, and what to type instead."""


def _joined(typed: Sequence[str]) -> list[str]:
    """Return the arguments with `--range -1..1` as one word: its value begins as an option does."""
    joined: list[str] = []
    for argument in typed:
        if joined and joined[-1] in ("--range", "--range-out", "--range_out"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _run(command: Command) -> int:
    if isinstance(command, Build | Verify | Inspect) and command.device is not None:
        choose_gpu(command.device)
    if isinstance(command, Quantize):
        return _quantize(command)
    if isinstance(command, Verify):
        return _verify(command)
    if isinstance(command, Build):
        return _build(command)
    if isinstance(command, Adopt):
        return _adopt(command)
    return _list() if isinstance(command, List) else _inspect(command)


def _quantize(command: Quantize) -> int:
    from engines.quantize import Frames, make_fp16, make_int8
    from rt.styles import find_style

    style = find_style(command.style)
    frames = Frames(command.frames, command.held_out, _at_least_one("--count", command.count))
    if not 0 < command.percentile <= 100:
        raise VideobrushError(f"--percentile is {command.percentile:g}, not within 0..100")
    if command.precision in style.card.models and not command.overwrite:
        raise VideobrushError(
            f"style {style.name} has a model in {command.precision}: {style.model(command.precision)}; "
            "add --overwrite to replace it"
        )
    if command.precision == "fp16":
        comparison = make_fp16(style, frames, command.gate)
    else:
        found = make_int8(style, frames, command.percentile, command.gate)
        print_results(*table(list(_layer_rows(found.layers))))
        comparison = found.comparison
    print_results(f"{style.folder / f'model.{command.precision}.onnx'}: {comparison}: ok")
    return 0


def _layer_rows(layers: tuple[Sensitivity, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the sensitivity of every layer as rows, the most sensitive first."""
    yield "layer", "of all MACs", "alone in INT8", "becomes"
    for entry in sorted(layers, key=lambda entry: entry.alone_db):
        becomes = "int8" if entry.int8 else "float"
        yield (
            entry.layer.name,
            f"{100 * entry.macs_share:.1f} %".rjust(11),
            f"{entry.alone_db:.1f} dB".rjust(13),
            becomes,
        )


def _verify(command: Verify) -> int:
    from engines.verify import verify
    from rt.styles import find_style

    style = find_style(command.style)
    count = _at_least_one("--count", command.count)
    holds = True
    for verdict in verify(style, command.precision, command.frames, count, command.gate):
        print_results(f"{verdict}")
        holds = holds and verdict.holds
    return 0 if holds else 1


def _build(command: Build) -> int:
    from engines.compile import Order, build_engines

    workspace = None if command.workspace is None else _at_least_one("--workspace", command.workspace) << 20
    for style in _styles_to_build(command):
        for size in _network_sizes(command, style.card):
            order = Order(
                command.precision, size, command.target, command.runtime, command.rebuild, workspace
            )
            for made in build_engines(style, order, phases):
                facts = made.facts
                how = "was there already" if made.was_there else f"built in {facts.build_s:.1f} s"
                found = f"{megabytes(facts.plan_bytes)}, {how}{_convolutions(facts.precisions)}"
                print_results(f"{made.path}: {found}")
    return 0


def _styles_to_build(command: Build) -> list[Style]:
    """Return the styles that are asked for; of all, those that have the precision."""
    from rt.engine_file import source_model
    from rt.errors import EngineError
    from rt.styles import find_style, list_styles

    if command.all_styles == (command.style is not None):
        raise VideobrushError(
            "one style is needed, or all; type: videobrush-engines build STYLE, or --all-styles"
        )
    if command.style is not None:
        return [find_style(command.style)]
    found = []
    for listed in list_styles():
        if listed.style is None:
            continue
        try:
            source_model(listed.style.card, command.precision)
        except EngineError as error:
            LOG.warning("passed over: %s", error)
        else:
            found.append(listed.style)
    return found


def _convolutions(precisions: Mapping[str, int]) -> str:
    found = ", ".join(f"{count} {precision}" for precision, count in precisions.items())
    return f", convolutions: {found}" if found else ""


def _network_sizes(command: Build, card: Card) -> list[tuple[int, int]]:
    """Return the (height, width) of the networks to build, each once."""
    from rt.fit import style_size

    if command.network is not None:
        sizes = _read_sizes("--network", command.network)
    else:
        sizes = [style_size(card, *size) for size in _read_sizes("--for", command.frames)]
    return list(dict.fromkeys(sizes))


def _read_sizes(option: str, text: str) -> list[tuple[int, int]]:
    """Return the (height, width) of each of `640x480,1280x720`."""
    sizes = []
    for size in text.lower().replace("×", "x").split(","):
        width, cross, height = size.strip().partition("x")
        if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            raise VideobrushError(
                f"{option} {text} is no list of widths and heights; type for example: {option} 640x480"
            )
        sizes.append((int(height), int(width)))
    return sizes


def _adopt(command: Adopt) -> int:
    from engines.adopt import Adoption, adopt

    adoption = Adoption(
        file=command.file,
        layout=command.layout,
        range=command.range,
        layout_out=command.layout_out,
        range_out=command.range_out,
        channels=command.channels,
        name=command.name,
        out=command.out,
        title=command.title,
        size_px=_at_least_one("--size", command.size),
    )
    print_results(f"{adopt(adoption, LOG.info)}")
    return 0


def _list() -> int:
    from engines.inspection import engine_rows
    from rt.engine_file import engines_folder

    rows = list(engine_rows())
    if not rows:
        raise VideobrushError(
            f"there are no engines in {engines_folder()}; type: videobrush-engines build STYLE"
        )
    print_results(*table(rows))
    return 0


def _inspect(command: Inspect) -> int:
    from engines.inspection import describe

    print_results(*describe(command.style))
    if command.profile:
        _profile(command.style)
    return 0


def _profile(name: str) -> None:
    """Show what the layers of an engine take, or of each engine of a style that runs here."""
    from engines.inspection import engines_of
    from engines.profile import profile_lines
    from rt.errors import BackendError

    if Path(name).suffix == ".engine":
        print_results(*profile_lines(Path(name)))
        return
    faults = []
    for path in engines_of(name):
        try:
            print_results(*profile_lines(path))
        except BackendError as error:
            faults.append(f"{path.name}: {error}")
    for fault in faults:
        LOG.warning("not profiled: %s", fault)
    if not engines_of(name):
        raise VideobrushError(f"there is no engine of {name}; type: videobrush-engines build {name}")


def _at_least_one(option: str, number: int) -> int:
    if number < 1:
        raise VideobrushError(f"{option} is {number}, at least 1 is needed")
    return number
