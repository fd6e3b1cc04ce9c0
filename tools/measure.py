"""Measure the house: rooms, arrows between them, sizes: `python -m tools.measure [CHECKOUT]`.

A room is what lies directly in rt, train or engines: a folder or a module. An arrow is one room that imports
another. An upward arrow is a module that imports the `__init__` of its own package where that is a roof,
which imports the module: `sources`, `backends` and `sinks` have a factory there.
Prints a table, then one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

PRODUCT = ("rt", "train", "engines", "videobrush")
ROOFS = ("rt.sources", "rt.backends", "rt.sinks")


@dataclass
class House:
    """What is measured."""

    rooms: int = 0
    arrows: int = 0
    imports: int = 0
    upward: dict[str, int] = field(default_factory=dict)
    product_files: int = 0
    product_lines: int = 0
    test_lines: int = 0
    tool_lines: int = 0
    median_file: float = 0
    longest_file: tuple[int, str] = (0, "")
    median_function: float = 0
    longest_function: tuple[int, str] = (0, "")


def measure(root: Path) -> House:
    """Return the measures of a checkout."""
    modules = {module_name(path, root): path for path in python_files(root, PRODUCT)}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    imports = {
        (name, found)
        for name, tree in trees.items()
        for found in imported(name, modules[name].name == "__init__.py", tree, set(modules))
        if found != name
    }
    rooms = {room(name) for name in modules if "." in name}
    files = {name: line_count(path) for name, path in modules.items()}
    functions = {key: size for name, tree in trees.items() for key, size in function_sizes(name, tree)}
    return House(
        rooms=len(rooms),
        arrows=len({(room(a), room(b)) for a, b in imports if room(a) != room(b)}),
        imports=len(imports),
        upward={
            roof: sum(found == roof and name.startswith(f"{roof}.") for name, found in imports)
            for roof in ROOFS
        },
        product_files=len(files),
        product_lines=sum(files.values()),
        test_lines=sum(map(line_count, python_files(root, ("tests",)))),
        tool_lines=sum(map(line_count, python_files(root, ("tools",)))),
        median_file=median(files.values()),
        longest_file=max((size, name) for name, size in files.items()),
        median_function=median(functions.values()),
        longest_function=max((size, name) for name, size in functions.items()),
    )


def python_files(root: Path, folders: tuple[str, ...]) -> list[Path]:
    """Return the Python files of some folders that exist."""
    return [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]


def module_name(path: Path, root: Path) -> str:
    """Return a file's dotted name; a package's is that of its folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """Return the room that a module is in."""
    return ".".join(name.split(".")[:2])


def imported(name: str, is_package: bool, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Yield the modules of ours that a module imports, wherever in it."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if whole in known:
                    yield whole
                elif base in known:
                    yield base


def function_sizes(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each function by its place, with its lines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{name}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def line_count(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    """Print the measures of this checkout, or of another one."""
    parser = argparse.ArgumentParser(description="Measure the house: rooms, arrows, sizes.")
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("checkout", type=Path, nargs="?", default=here, help="default: this one")
    house = asdict(measure(parser.parse_args().checkout))
    for name, value in house.items():
        print(f"{name.replace('_', ' '):17} {value}")
    print(json.dumps(house))


if __name__ == "__main__":
    main()
