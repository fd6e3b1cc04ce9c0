"""The runtime under a name that no `rt.py` of a program shadows.

A program's folder stands first on `sys.path`: an `rt.py` there is what `import rt` finds. So the modules of
the package `rt` are loaded as `videobrush._rt`, and an `import rt.card` within them means
`videobrush._rt.card`. A program's own `rt` is neither used nor replaced.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = f"{__package__}._rt"
_HERE = Path(__file__).resolve().parent


def runtime(module: str) -> Any:
    """Import a module of the runtime: `runtime("card")` is `rt.card`."""
    return importlib.import_module(f"{NAME}.{module}")


def _folder() -> Path:
    """Return the folder of the package `rt`: beside this one where installed, above it in a checkout."""
    return _HERE.parent if _HERE.name == "public" else _HERE.parent / "rt"


class _Finder(MetaPathFinder):
    """Finds the modules of the runtime under `NAME`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == NAME:
            file = _folder() / "__init__.py"
            return spec_from_file_location(fullname, file, loader=_Loader(fullname, str(file)))
        if not fullname.startswith(f"{NAME}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module with an `import` of its own."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """Import as ever, but `rt` is the runtime."""
    if level or name.partition(".")[0] != "rt":
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    found = builtins.__import__(NAME + name[2:], globals, locals, fromlist or (), 0)
    return found if fromlist else sys.modules[NAME]


if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder())
