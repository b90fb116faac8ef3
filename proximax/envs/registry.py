"""Looking ids up where they come from: the packages they import, and suggestions for unknown ones."""

import difflib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from proximax.envs.atari.games import games_like
from proximax.envs.gymnax_env import gymnax_ids
from proximax.envs.ids import SOURCES
from proximax.errors import ENV_ERRORS, DependencyError, EnvError, UsageError, describe


def find_spec(name: str) -> Any:
    """Gymnasium's entry of the id ``name``; for ``package:Env-v0`` and ``package:Class`` the package is imported first.

    A class needs no entry, unless the package registers it under some version: then its id has more to say.
    """
    package, colon, rest = name.rpartition(":")
    if colon and package not in sys.modules:  # one that the caller has imported is not looked for: it may have no file
        import_package(package, name)
    try:
        return gymnasium.spec(rest)
    except gymnasium.error.Error as error:
        known = list(gymnasium.registry)
        own = getattr(sys.modules[package], rest, None) if colon else None
        if isinstance(own, type) and issubclass(own, gymnasium.Env):
            if versions := [known_id for known_id in known if known_id.startswith(f"{rest}-v")]:
                raise UsageError(f"{name}: is registered as {versions[-1]}; give {package}:{versions[-1]}") from error
            return EnvSpec(rest, entry_point=f"{package}:{rest}")
        if callable(own):
            raise not_registered(package, rest) from error
        if near := difflib.get_close_matches(rest, env_classes(package), n=1) if colon else []:
            raise UsageError(f"{package!r} has no environment {rest!r}. Did you mean {package}:{near[0]}?") from error
        raise unknown_id(rest, known, "Gymnasium") from error


def env_classes(package: str) -> list[str]:
    """The names of the classes of environments that an imported package has."""
    return [
        name for name, x in vars(sys.modules[package]).items() if isinstance(x, type) and issubclass(x, gymnasium.Env)
    ]


def import_package(package: str, name: str) -> None:
    """Import the package of the id ``name``, which registers its environments."""
    if not all(part.isidentifier() for part in package.split(".")):
        hint = f"; of a file give its name alone, {Path(package).stem}:Env-v0" if package.endswith(".py") else ""
        raise UsageError(f"{name}: {package!r} is not the name of a package; an id is package:Env-v0{hint}")
    if importlib.util.find_spec(package.partition(".")[0]) is None:
        raise DependencyError(f"{name} needs the package {package!r}, {where_it_is(package)}")
    try:
        importlib.import_module(package)
    except ENV_ERRORS as error:
        truncated = ". Python's compiled copy of it is incomplete, as after a full disk: delete its __pycache__"
        hint = truncated if isinstance(error, EOFError) else ""
        raise EnvError(f"importing {package!r} raised {describe(error)}{hint}") from error


def where_it_is(package: str) -> str:
    """What to do about a package that Python does not find. Never to install whatever has its name on an index."""
    top = Path(package.partition(".")[0])
    if top.with_suffix(".py").exists() or top.is_dir():
        return (
            "which lies in this folder, where Python does not look: set PYTHONPATH=. or install it (pip install -e .)"
        )
    return (
        "which Python does not find. A module of your own: run this in its folder with PYTHONPATH=. set. Another's: "
        "install the package that its documentation names"
    )


def check_known(name: str, known: list[str], source: str) -> None:
    """Refuse a name that ``source`` does not have."""
    if name not in known:
        raise unknown_id(name, known, source)


def unknown_id(name: str, known: list[str], source: str) -> UsageError:
    """The error for an id that ``source`` does not have: the nearest names, and the other sources that do have it."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    elsewhere = [f"gymnax:{name}"] if source != "gymnax" and name in gymnax_ids() else []
    elsewhere += games_like(name) if source == "Gymnasium" else []
    hint = f" Did you mean {', '.join(elsewhere + near)}?" if near or elsewhere else ""
    if Path(name, "config.json").exists():
        hint = " It is a run: --resume continues one, and --init-from starts from its policy."
    return UsageError(
        f"{source} has no environment {name!r}.{hint} Other sources: "
        f"{', '.join(s + ':' for s in SOURCES)} or package:Env-v0 for a package of your own"
    )


def not_registered(package: str, name: str) -> UsageError:
    """The error for a function, or a class of something else, in the place of an id: the line that makes it one."""
    return UsageError(
        f"{package}:{name} is neither an id nor a class of gymnasium.Env. Register it in {package!r}: "
        f'gymnasium.register("{name}-v0", {name}), then give {package}:{name}-v0'
    )


def missing_dependency(name: str, error: BaseException) -> DependencyError:
    """The install line for what an environment could not import."""
    text, extras = str(error).lower(), {"mujoco": "mujoco", "box2d": "box2d", "pygame": "video"}
    extra = next((extra for word, extra in extras.items() if word in text), None)
    line = f'pip install "proximax[{extra}]"' if extra else f"its message: {error}"
    return DependencyError(f"{name} needs a package that is not installed: {line}")
