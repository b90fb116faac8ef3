"""An agent's policy to a file: made, checked against the agent, and then written."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from proximax.config import COUNT, choice_problem, path_problem, range_problem, refuse
from proximax.errors import UsageError
from proximax.exporting.checking import check_policy
from proximax.exporting.contract import Output
from proximax.exporting.numpy_file import npz_bytes, numpy_arrays
from proximax.exporting.onnx_file import model_bytes, onnx_model
from proximax.exporting.reading import SUFFIXES, load_bytes, zeros
from proximax.policy import Agent
from proximax.runtime import proximax_version, storing, write_atomically
from proximax.spaces import describe_space

Format = Literal["onnx", "npz"]
FORMAT_NUMBER = 1
CHECKED = 10_000  # observations


def export_agent(
    agent: Agent,
    path: str | Path,
    *,
    format: Format | None = None,
    output: Output = "action",
    about: dict[str, Any] | None = None,
    check: int = CHECKED,
) -> Path:
    """Write an agent's policy to a file; see ``export``. ``about``: plain JSON values to keep in it."""
    problems = [
        path_problem("path", path),
        choice_problem("format", format, Format) if format is not None else "",
        choice_problem("output", output, Output),
        range_problem("check", check, COUNT),
    ]
    refuse(problems)
    path = Path(path)
    chosen = format_of(path, format)
    if agent.policy.choose_outside is not None:
        raise UsageError("this policy comes from an exported file: copy that file, or export the run it came from")
    if chosen == "npz" and output != "action":
        raise UsageError("output = parameters: only for ONNX files; format = npz gives actions")
    facts = described(agent) | {"output": output} | (about or {})
    if chosen == "npz":
        arrays = numpy_arrays(agent, facts)
        data = npz_bytes(arrays)
    else:
        model, contents = onnx_model(agent, output, facts)
        data = model_bytes(model, contents.about)
    check_bytes(agent, data, path.with_suffix(f".{chosen}"), check)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    return path


def format_of(path: Path, given: Format | None) -> Format:
    """The format that a file's name and the argument say."""
    ending = path.suffix.lower()
    if ending not in SUFFIXES:
        raise UsageError(f"{path}: the name of an exported file ends in {' or '.join(SUFFIXES)}")
    if given is not None and ending != f".{given}":
        raise UsageError(f"format = {given}: {path} ends in {ending}")
    return "npz" if ending == ".npz" else "onnx"


def described(agent: Agent) -> dict[str, Any]:
    """What every file says of itself."""
    return {
        "format": FORMAT_NUMBER,
        "proximax": proximax_version(),
        "versions": {name: text for name in ("jax", "numpy", "onnx") if (text := version_of(name))},
        "observation_space": describe_space(agent.observation_space),
        "action_space": describe_space(agent.action_space),
    }


def version_of(package: str) -> str:
    """The version of an installed package; "" without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def check_bytes(agent: Agent, data: bytes, where: Path, count: int) -> None:
    """Run the content of a file beside the agent. Raises ``NumericalError`` where they differ."""
    loaded = load_bytes(data, where)
    space = agent.observation_space

    def play(obs: Any, memory: Any, first: np.ndarray) -> Any:
        carry = zeros(loaded.carry, len(first)) if memory is None else memory
        return loaded.play(space, carry, obs, first)

    check_policy(agent, play, count)
