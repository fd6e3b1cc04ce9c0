"""A stand-in for TensorRT's Python module, one for each version: `load("10.3.0")`.

Its surface is what NVIDIA's bindings of that version have, of the names this project uses (VERSION.json,
written by tests/support/tensorrt/api.py): an attribute that does not exist there fails, and so does a call
with other arguments. Its networks are ONNX files run by ONNX Runtime, as kernels of the stand-in CUDA driver,
on the addresses and at the time a GPU would.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.tensorrt.behaviour import BEHAVIOUR
from tests.support.tensorrt.building import BUILDING
from tests.support.tensorrt.signatures import check_arguments

VERSIONS = ("10.3.0", "10.9.0.34", "10.13.3.9", "10.16.1.11", "11.4.0.106", "1.7.1.116")
"""Those there is a description of; the last is TensorRT for RTX."""
TYPICAL = "10.13.3.9"
"""The version to take where it does not matter."""


def load(version: str) -> Any:
    """Return what stands in for `import tensorrt` of a version.

    `faults` of it lists what a program did that would go wrong on a GPU without an error. It starts where the
    driver serves CUDA `cuda_major`, which a test may change; `limits` are those of its memory pools;
    `compiled` grows where TensorRT for RTX compiles kernels.
    """
    api = json.loads((Path(__file__).parent / f"{version}.json").read_text(encoding="utf-8"))
    made_for = 12 if version in ("10.3.0", "10.9.0.34") else 13
    module = SimpleNamespace(
        __version__=api["version"], faults=[], cuda_major=made_for, logger=None, limits={}, compiled=[]
    )
    for name, members in sorted(api["classes"].items(), key=lambda item: item[0].count(".")):
        parent: Any = module
        *outer, leaf = name.split(".")
        for part in outer:
            parent = getattr(parent, part)
        setattr(parent, leaf, _make_class(module, name, members))
    return module


def module_name(module: Any) -> str:
    """Return the name that the module is imported by."""
    return "tensorrt_rtx" if hasattr(module, "ComputeCapability") else "tensorrt"


def _make_class(module: Any, name: str, members: dict[str, Any]) -> Any:
    leaf = name.rpartition(".")[2]
    if members and all(isinstance(facts, int) for facts in members.values()):
        # Members have the numbers of their version, which differ: a number written down would show.
        return enum.Enum(leaf, members, type=_Number)
    behaviour: type = (BEHAVIOUR | BUILDING).get(name, _Nothing)
    # Not inherited: what the behaviour can do and this version does not have must not be there.
    content = {
        name: own for name, own in vars(behaviour).items() if name.startswith("_") and name not in _MADE
    }
    content["trt"] = module
    for member, facts in members.items():
        done = getattr(behaviour, member, None)
        if isinstance(facts, str):
            content[member] = _attribute(member, facts, done)
        elif member not in ("__getitem__", "__len__"):
            content[member] = _method(module, name, member, facts, done)
    bases = [base for base in behaviour.__bases__ if base is not object]
    return type(leaf, (_Strict, *bases), content)


class _Nothing:
    """The behaviour of a class that only has to be there."""


_MADE = ("__dict__", "__weakref__")
"""What a class has that Python makes for it."""


class _Number:
    """A member of an enum of TensorRT's: no number, but it can be made one."""

    value: int

    def __int__(self) -> int:
        return self.value


class _Strict:
    """An object that takes no attribute that its class does not have."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


def _attribute(name: str, facts: str, done: Any) -> property:
    def read(self: Any) -> Any:
        return self.__dict__.get(f"_{name}") if done is None else done.__get__(self)

    def write(self: Any, value: object) -> None:
        self.__dict__[f"_{name}"] = value

    return property(read, write if facts == "read and write" else None)


def _method(module: Any, kind: str, name: str, signatures: list[str], done: Any) -> Any:
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        check_arguments(module, f"{kind}.{name}", signatures, arguments, named)
        if done is None or done is object.__init__:
            assert name == "__init__", (
                f"the stand-in for TensorRT has {kind}.{name}, but nothing that does it"
            )
            return None
        return done(self, *arguments, **named)

    return call
