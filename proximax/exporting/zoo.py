"""Policies that come with proximax: the presets' for environments that are quickly learned, as exported files.

``zoo:NAME`` names one, NAME being the environment's id; ``proximax/zoo`` holds ``NAME.onnx`` and ``NAME.json``, its
card: what it scores, how it was trained, by which command. ``NAME.safetensors`` in its place is a policy in the middle
of its training, as ``Agent.save`` writes it: to train on from.
"""

import difflib
import json
from pathlib import Path
from typing import Any

from proximax.errors import UsageError

PREFIX = "zoo:"
FOLDER = Path(__file__).resolve().parent.parent / "zoo"


def is_in_zoo(source: object) -> bool:
    """Whether a name is one of the zoo's."""
    return isinstance(source, str) and source.startswith(PREFIX)


def zoo_names() -> list[str]:
    """The environments that have a policy."""
    return sorted(path.stem for path in FOLDER.glob("*.onnx"))


def zoo_starts() -> list[str]:
    """The policies to train on from."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def zoo_file(source: str) -> Path:
    """The file of ``zoo:NAME``. Raises ``UsageError`` for a name that is not there."""
    name, finished = source.removeprefix(PREFIX), zoo_names()
    names = finished + zoo_starts()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean zoo:{near[0]}?" if near else f". There are: {', '.join(names)}"
        raise UsageError(f"no policy {source!r}{hint}")
    return FOLDER / f"{name}.{'onnx' if name in finished else 'safetensors'}"


def zoo_card(name: str) -> dict[str, Any]:
    """What is known of a policy."""
    return json.loads(zoo_file(name).with_suffix(".json").read_text())
