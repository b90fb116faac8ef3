"""Who imports whom in proximax, read from the source: for the architecture test and the picture in the docs."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.support import ROOT

PACKAGE = ROOT / "proximax"
# From bottom to top: a package imports only from lines above its own.
ROOMS: list[tuple[str, ...]] = [
    ("types", "errors"),
    ("runtime", "maths"),
    ("config", "spaces", "distributed"),
    ("networks",),
    ("policy", "envs"),
    ("ppo", "exporting"),
    ("runs", "profiling"),
    ("evaluation", "doctor"),
    ("loggers", "web"),
    ("training",),
    ("reports",),
    ("tuning",),
    ("cli",),
]


def module_name(path: Path) -> str:
    """``proximax/ppo/update.py`` -> ``ppo.update``; of a package's face the package; "" for proximax itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: dict[str, Path] = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FACES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def room(module: str) -> str:
    """The package of the top level that a module belongs to, or the module itself."""
    return module.partition(".")[0]


def level(module: str) -> int:
    """How far up a module is; proximax itself, which imports what users see, is above everything."""
    levels = {name: number for number, names in enumerate(ROOMS) for name in names} | {"": len(ROOMS) + 1}
    return levels.get(room(module), len(ROOMS))


@cache
def imports(module: str) -> tuple[tuple[str, str], ...]:
    """(imported module, name) of each ``from proximax.x import name`` in a module."""
    return tuple(imports_of(MODULES[module]))


def imports_of(path: Path) -> list[tuple[str, str]]:
    """The same of any file."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "proximax":
            source = (node.module or "").partition(".")[2]
            for alias in node.names:
                inside = f"{source}.{alias.name}".lstrip(".")
                found.append(
                    (inside, "") if inside in MODULES and alias.name not in exports(source) else (source, alias.name)
                )
        elif isinstance(node, ast.Import):
            found += [(a.name.partition(".")[2], "") for a in node.names if a.name.split(".")[0] == "proximax"]
    return found


@cache
def exports(face: str) -> dict[str, str]:
    """The names that a package's face takes from its modules: name -> module."""
    names: dict[str, str] = {}
    if face in FACES:
        for node in ast.parse(MODULES[face].read_text()).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("proximax."):
                source = (node.module or "").partition(".")[2]
                names |= {a.asname or a.name: source for a in node.names if f"{source}.{a.name}" not in MODULES}
    return names


@cache
def used(module: str) -> frozenset[str]:
    """The modules that define what a module imports: a name that comes through a face is its defining module's."""
    return frozenset(definers(imports(module)) - {module})


def definers(imported: Iterable[tuple[str, str]]) -> set[str]:
    """The modules that define what is imported."""
    found: set[str] = set()
    for source, name in imported:
        while name and source in FACES and name in exports(source):
            source = exports(source)[name]
        found.add(source)
    return found


@cache
def reached(module: str) -> frozenset[str]:
    """All modules that a module uses, directly or through others."""
    found, todo = set[str](), [module]
    while todo:
        for other in used(todo.pop()):
            if other not in found:
                found.add(other)
                todo.append(other)
    return frozenset(found)


def arrows() -> set[tuple[str, str]]:
    """(package, package it imports from) for all pairs of different ones."""
    pairs = {(room(module), room(other)) for module in MODULES if room(module) for other in used(module) if room(other)}
    return {(a, b) for a, b in pairs if a != b and a != "__main__"}
