"""One engine for each size, or one with an optimization profile: `python -m tools.bench.profiles`.

On paper, for TensorRT for RTX builds without a GPU and its plans can be read: size, time of the build, and
how many operations the plan holds. Prints a table, then one JSON object as the last line; `--save` also
writes it to tools/bench/results.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from engines.compile import typed_model
from engines.inspection import plan_lines
from engines.onnx_model import with_fixed_shape
from rt.backends.tensorrt_runtime import load_runtime, logger_of, runtime_name, start
from rt.errors import VideobrushError
from rt.styles import find_style
from tools.bench.result import facts, finish, parser, table

SIZES = ((256, 448), (256, 336))
"""(height, width) of the network's image for frames of 16:9 and 4:3."""
LEAST, MOST = (256, 256), (448, 608)
"""What the one profile spans."""
_OPERATION = re.compile(r"\w+=\{.*input=")
Shape = tuple[int, int, int, int]


def main() -> int:
    """Build, print, and save where asked."""
    made = parser(__doc__)
    made.add_argument("--styles", nargs="+", default=["winter", "wave"])
    made.add_argument("--target", default="sm89")
    given = made.parse_args()
    try:
        trt = load_runtime("tensorrt-rtx")
        rows = [row for name in given.styles for row in measure(trt, name, given.target)]
    except VideobrushError as error:
        print(f"profiles: nothing measured: {error}", file=sys.stderr)
        return 1
    result = {**facts("profiles"), "runtime": runtime_name(trt), "target": given.target, "rows": rows}
    headings = ("style", "way", "plan MB", "build s", "operations")
    keys = ("style", "way", "plan_mb", "build_s", "operations")
    shown = table(
        f"{result['runtime']}, fp16, {given.target}", headings, [[r[k] for k in keys] for r in rows]
    )
    finish(result, shown, given.save)
    return 0


def measure(trt: Any, name: str, target: str) -> list[dict[str, Any]]:
    """Return a row for each way to serve both sizes."""
    typed, _ = typed_model(find_style(name), "fp16")
    whole, shapes = typed.SerializeToString(), [_shape(size) for size in SIZES]
    rows = []
    for size in SIZES:
        fixed = with_fixed_shape(typed, 1, size).SerializeToString()
        rows.append(build(trt, target, fixed, [], f"fixed {size[1]}x{size[0]}"))
    span = (_shape(LEAST), shapes[0], _shape(MOST))
    rows.append(build(trt, target, whole, [span], "one profile"))
    rows.append(build(trt, target, whole, [(shape,) * 3 for shape in shapes], "a profile for each size"))
    return [{"style": name, **row} for row in rows]


def _shape(size: tuple[int, int]) -> Shape:
    return 1, *size, 3


def build(
    trt: Any, target: str, model: bytes, profiles: Sequence[tuple[Shape, Shape, Shape]], way: str
) -> dict[str, Any]:
    """Build a network and return what its plan holds.

    Raises:
        VideobrushError: TensorRT for RTX refuses it.
    """
    logger, builder = logger_of(trt), start(trt, "Builder")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if not trt.OnnxParser(network, logger).parse(model):
        raise VideobrushError(f"{way}: {logger.reason()}")
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.__members__[target.upper()], 0)
    for least, usual, most in profiles:
        profile = builder.create_optimization_profile()
        profile.set_shape(network.get_input(0).name, least, usual, most)
        config.add_optimization_profile(profile)
    began = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise VideobrushError(f"{way}: {logger.reason()}")
    content = bytes(plan)
    return {
        "way": way,
        "plan_mb": round(len(content) / 1e6, 2),
        "build_s": round(time.perf_counter() - began, 2),
        "operations": sum(1 for line in plan_lines(content) if _OPERATION.match(line)),
    }


if __name__ == "__main__":
    sys.exit(main())
