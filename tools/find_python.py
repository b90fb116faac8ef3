"""Print the latest released Python on this machine of a version in a range: ``find_python.py 3.13``, ``3.11 3.11``.

Looked at are the Python that runs this, ``python3.N`` on PATH, and those that pyenv and uv have installed, on PATH or
not. Exit code 1, with the remedy, if there is none.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ASK = "import sys; v = sys.version_info; print(*v[:3], v.releaselevel)"


def main(lowest: str, highest: str = "3.999") -> int:
    """The exit code."""
    first, last = numbers(lowest), numbers(highest)
    found = [(version(python), python) for python in dict.fromkeys(candidates())]
    fitting = [(number, python) for number, python in found if first <= number[:2] <= last]
    if not fitting:
        wanted = lowest if lowest == highest else f">= {lowest}"
        remedy = f"`uv python install {lowest}` or `pyenv install {lowest}`, or put python{lowest} on PATH"
        print(f"no Python {wanted} found; this is {sys.version.split()[0]}. Try: {remedy}", file=sys.stderr)
        return 1
    latest, python = max(fitting)
    print("Python", ".".join(map(str, latest)), "at", python, file=sys.stderr)
    print(python)
    return 0


def candidates() -> Iterator[str]:
    """Paths that may be those of a Python."""
    yield sys.executable
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from (str(path) for path in Path(folder).glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name))
    for command, inside in ((("pyenv", "root"), "versions/*/bin/python3"), (("uv", "python", "dir"), "*/bin/python3")):
        if root := answer(command):
            yield from map(str, Path(root).glob(inside))


def version(python: str) -> tuple[int, ...]:
    """Of a released Python, else (): also for what does not run, such as pyenv's stand-ins for other versions."""
    *parts, level = (answer((python, "-c", ASK)) or "none").split()
    return tuple(map(int, parts)) if level == "final" else ()


def answer(command: tuple[str, ...]) -> str | None:
    """What the command prints, None if it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def numbers(text: str) -> tuple[int, ...]:
    """``"3.13"`` -> (3, 13)."""
    return tuple(map(int, text.split(".")))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
