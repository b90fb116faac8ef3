"""An exported policy as an ``Agent``: it acts, by onnxruntime or NumPy, and knows what the file says of itself."""

import io
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from proximax.errors import CheckpointError, UsageError
from proximax.exporting.contract import CARRY_IN, CARRY_OUT, FIRST, action_ports, observation_arrays
from proximax.exporting.numpy_policy import NumpyPolicy
from proximax.exporting.onnx_file import Contents, read_contents
from proximax.exporting.sessions import Run, session
from proximax.policy import Agent, Policy, PolicyDiagnostics
from proximax.runtime import open_plain
from proximax.spaces import MASK, has_mask, make_space, mask_of, no_action_allowed, unflatten
from proximax.types import PyTree

SUFFIXES = (".onnx", ".npz")
SAMPLE = "an exported policy has the most likely actions alone: leave sample (--stochastic) out, or use the run"
ACTS_ALONE = "an exported policy acts, and no more: for values, distributions or training use the run it came from"

Shapes = list[tuple[tuple[int, ...], str]]


class ExportedAgent(Agent):
    """The policy in an exported file. ``about``: what the file says, as the run's settings and environment."""

    def __init__(self, policy: Policy, about: dict[str, Any], spaces: tuple[Any, Any]) -> None:
        super().__init__(policy, {}, None, *spaces)
        self.about = about

    def __repr__(self) -> str:
        return f"Exported{super().__repr__().partition(';')[0]})"


def is_exported(path: Path) -> bool:
    """Whether a path is named as an exported file is."""
    return path.suffix.lower() in SUFFIXES


def read_exported(path: str | Path) -> ExportedAgent:
    """The policy of a file that ``export`` wrote. Raises ``CheckpointError`` for any other."""
    path = Path(path)
    try:
        with open_plain(path) as file:
            loaded = load_bytes(file.read(), path)
        observed, acted = (make_space(loaded.about[name]) for name in ("observation_space", "action_space"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except KeyError as error:
        raise CheckpointError(f"{path} was not written by proximax.export: it has no {error}") from error
    names = [port.name for port in action_ports(acted)]

    def choose(sample: bool, params: Any, moments: Any, carry: PyTree, obs: PyTree, first: Any, key: Any) -> Any:
        if sample:
            raise UsageError(SAMPLE)
        outputs, carry = loaded.play(observed, carry, obs, np.asarray(first))
        return unflatten(acted, iter([outputs[name] for name in names])), carry

    masked = has_mask(observed)
    policy = Policy(
        init=refuse,
        initial_carry=partial(zeros, loaded.carry),
        apply=refuse,
        encode=refuse,
        env_action=refuse,
        diagnostics=PolicyDiagnostics(all_masked=partial(all_masked, observed, acted) if masked else None),
        unroll=refuse if loaded.carry else None,
        choose_outside=choose,
    )
    return ExportedAgent(policy, loaded.about, (observed, acted))


def refuse(*_: Any) -> Any:
    """What an exported policy cannot do."""
    raise UsageError(ACTS_ALONE)


def zeros(carry: Shapes, batch: int) -> list[np.ndarray]:
    """A memory before the first step; the policy itself sets it where ``first`` is true."""
    return [np.zeros((batch, *shape), dtype) for shape, dtype in carry]


def all_masked(observation_space: Any, action_space: Any, obs: PyTree) -> jax.Array:
    """``[B]``: whether the mask allows no action."""
    return no_action_allowed(action_space, mask_of(observation_space, obs))


class Loaded(NamedTuple):
    """A file's content, ready to run.

    ``play(space, carry, obs, first)``, of observations ``[B, ...]``, gives (outputs by name, the next memory).
    ``carry``: (shape, dtype) of each array of the memory.
    """

    about: dict[str, Any]
    play: Callable[[Any, list[np.ndarray], PyTree, np.ndarray], tuple[dict[str, np.ndarray], list[np.ndarray]]]
    carry: Shapes


def load_bytes(data: bytes, where: Path) -> Loaded:
    """What ``export`` wrote, by the ending of the file ``where``. Raises ``CheckpointError`` for anything else."""
    return (load_npz if where.suffix.lower() == ".npz" else load_onnx)(data, where)


def load_onnx(data: bytes, where: Path) -> Loaded:
    """An ONNX file."""
    contents = read_contents(data, where)
    carry = [(port.shape, port.dtype) for port in contents.inputs if port.name.startswith(f"{CARRY_IN}.")]
    return Loaded(contents.about, partial(play_onnx, session(data, where), contents), carry)


def play_onnx(run: Run, contents: Contents, space: Any, carry: list[np.ndarray], obs: PyTree, first: np.ndarray) -> Any:
    """(outputs, the next memory) of observations ``[B, ...]``."""
    inputs = observation_arrays(space, obs)
    if carry:
        inputs |= {f"{CARRY_IN}.{i}": x for i, x in enumerate(carry)} | {FIRST: first}
    outputs = run(inputs)
    return outputs, [outputs[port.name] for port in contents.outputs if port.name.startswith(f"{CARRY_OUT}.")]


def load_npz(data: bytes, where: Path) -> Loaded:
    """A file of NumPy arrays."""
    try:
        reader = NumpyPolicy(io.BytesIO(data))
        carry: Shapes = [((int(units),), "float32") for units in reader.about["units"] for _ in range(2)]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{where} cannot be read as an exported policy: {error}") from error
    return Loaded(reader.about, partial(play_npz, reader), carry)


def play_npz(reader: NumpyPolicy, space: Any, carry: list[np.ndarray], obs: PyTree, first: np.ndarray) -> Any:
    """(the action, the next memory) of observations ``[B, ...]``."""
    mask: Any = True
    if has_mask(space):
        mask = np.asarray(mask_of(space, obs))
        (obs,) = (x for key, x in obs.items() if key != MASK)
    memory = [np.where(first[:, None], np.float32(0), x) for x in carry]
    reader.memory = [list(pair) for pair in zip(memory[::2], memory[1::2])]
    action = reader.act(obs, mask)
    return {"action": action}, [np.broadcast_to(x, y.shape) for pair in reader.memory for x, y in zip(pair, memory)]
