"""What a built plan of TensorRT for RTX computes in which precision, read from its bytes.

The format is undocumented: a plan holds its kernels as text. What is found here is shown, never relied upon.
"""

from __future__ import annotations

import re
from collections import Counter

_TEXT = re.compile(rb"[\x09\x20-\x7e]{8,}")
_TENSOR = re.compile(r'^tensor=\{.* name="(?P<name>[^"]+)".* type=(?P<type>\w+)')
_CONVOLUTION = re.compile(r"^(?:corrltn|deconvolution)=\{.*?\binput=\{(?P<inputs>[^}]*)\}")
_NAMES = {"half": "fp16", "float": "fp32"}


def convolution_precisions(plan: bytes) -> dict[str, int]:
    """Return how many convolutions have kernels of which type: `{"fp16": 3, "int8": 17}`.

    Empty where the plan is not text of the known kind: of TensorRT proper, or of a later version.
    """
    lines = [match.decode("ascii").strip() for match in _TEXT.findall(plan)]
    types = {match["name"]: match["type"] for line in lines if (match := _TENSOR.search(line))}
    counted: Counter[str] = Counter()
    for line in lines:
        if match := _CONVOLUTION.search(line):
            # The first input is the picture, the second the kernel.
            names = re.findall(r'"([^"]+)"', match["inputs"])
            kind = types.get(names[1]) if len(names) > 1 else None
            if kind is not None:
                counted[_NAMES.get(kind, kind)] += 1
    return dict(sorted(counted.items()))
