"""Whether a call fits one of pybind11's signatures: `parse(self: OnnxParser, model: buffer) -> bool`."""

from __future__ import annotations

import re
from typing import Any


def check_arguments(
    module: Any, call: str, signatures: list[str], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Refuse arguments that none of the signatures takes, as pybind11 does.

    Raises:
        TypeError: another number, another name or another type of argument.
    """
    if any(_fits(module, signature, arguments, named) for signature in signatures):
        return
    given = [type(argument).__name__ for argument in arguments]
    given += [f"{name}={type(argument).__name__}" for name, argument in named.items()]
    raise TypeError(
        f"{call}({', '.join(given)}): incompatible function arguments, known: {'; '.join(signatures)}"
    )


def parameters(signature: str) -> list[tuple[str, str, bool]]:
    """Return name, type and whether it may be left out, for each parameter after `self`."""
    match = re.fullmatch(r"\w+\((.*)\)(?: -> .*)?", signature)
    assert match is not None, signature
    found = []
    for parameter in re.findall(r"[^,\[\]]+(?:\[[^\]]*\][^,\[\]]*)*", match[1]):
        name, _, kind = parameter.partition(":")
        kind, default, _ = kind.partition("=")
        if name.strip() != "self":
            found.append((name.strip(), kind.strip(), bool(default)))
    return found


def _fits(module: Any, signature: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    wanted = parameters(signature)
    if len(arguments) > len(wanted):
        return False
    given = dict(zip((name for name, _, _ in wanted), arguments, strict=False))
    if given.keys() & named.keys():
        return False
    given |= named
    if given.keys() - {name for name, _, _ in wanted}:
        return False
    return all(
        _is(module, kind, given[name]) if name in given else optional for name, kind, optional in wanted
    )


def _is(module: Any, kind: str, value: Any) -> bool:
    if kind.endswith(" | None"):
        return value is None or _is(module, kind.removesuffix(" | None"), value)
    if kind.startswith("Sequence["):
        return all(_is(module, kind[len("Sequence[") : -1], item) for item in value)
    if kind == "int":
        return hasattr(value, "__int__") and not isinstance(value, float | str)
    if kind == "buffer":
        try:
            memoryview(value)
        except TypeError:
            return False
        return True
    plain: dict[str, type] = {"str": str, "bool": bool, "float": float}
    if kind in plain:
        return isinstance(value, plain[kind])
    wanted = module
    for part in kind.split("."):
        wanted = getattr(wanted, part)
    return isinstance(value, wanted)
