"""Trained policies on disk: safetensors and JSON, written whole or not at all.

No pickle on any path; every file is checked before it is used.
"""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
from gymnasium import spaces
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from proximax.agent import Agent, split_agents
from proximax.config import RunConfig, from_json
from proximax.errors import CheckpointError, StorageError
from proximax.networks import Network
from proximax.observations import init_obs_moments
from proximax.policy import is_mlp, make_policy
from proximax.types import Params, PyTree

FORMAT = 1
MOST_ELEMENTS = 2**26  # of a space that is read
_BAD_SPACE = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    MemoryError,
    AssertionError,
    RecursionError,
)


def load(run_dir: str | Path, *, seed: int | None = None, network: Network | None = None) -> Agent:
    """The trained policy of a run: that of ``seed``, by default the seed with the best final evaluation.

    ``network``: needed for a policy trained with a network of your own. Raises ``CheckpointError`` for anything that is
    not what training saved.
    """
    return load_agent(run_dir, seed, network)[0]


def load_agent(
    run_dir: str | Path, seed: int | None = None, network: Network | None = None
) -> tuple[Agent, RunConfig, int]:
    """As ``load``; with the run's config and the seed whose policy it is."""
    agents, config = load_agents(run_dir, network)
    if seed is None:
        seed = config.seed + _best(Path(run_dir) / "result.json")
    if not config.seed <= seed < config.seed + config.seeds:
        raise CheckpointError(f"{run_dir} has no seed {seed}; it has {config.seed} to {config.seed + config.seeds - 1}")
    return agents[seed - config.seed], config, seed


def load_config(run_dir: str | Path) -> RunConfig:
    """The settings of a run."""
    return from_json(read_json(Path(run_dir) / "config.json"))


def _best(result: Path) -> int:
    """Which seed has the best final evaluation; the first one for a run that was cut short."""
    returns = read_json(result).get("returns", []) if result.exists() else []
    try:
        return int(np.argmax([-np.inf if r is None else float(r) for r in returns] or [0.0]))
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{result} cannot be read: returns = {returns!r}") from error


def load_agents(run_dir: str | Path, network: Network | None = None) -> tuple[list[Agent], RunConfig]:
    """The policies of all seeds of a run, and its config."""
    directory = Path(run_dir)
    config = load_config(directory)
    config.check()
    manifest = read_json(directory / "checkpoints" / "policy.json")
    path = directory / "checkpoints" / "policy.safetensors"
    tensors = _read_tensors(path, manifest)
    if manifest["network"] != "built-in" and network is None:
        raise CheckpointError(f"{directory} was trained with a network of your own: pass it as network=...")
    # The built-in network has a weight at least for each, so that no file makes arrays much larger than itself.
    elements = sum(x.size for x in tensors.values())
    most = MOST_ELEMENTS if network is not None else min(MOST_ELEMENTS, elements)
    observation_space, action_space = (make_space(manifest[k], most) for k in ("observation_space", "action_space"))
    if network is None and is_mlp(config.network, observation_space) and weights(config.ppo.hidden) > elements:
        raise CheckpointError(f"{path} is smaller than the network of the config, hidden = {config.ppo.hidden}")
    policy = make_policy(observation_space, action_space, config.ppo, network or config.network)
    # The structure comes from the config, never from the file.
    like = (policy.init(jax.random.key(0)), init_obs_moments(observation_space, config.ppo))
    params, moments = _rebuild(like, tensors, config.seeds, path)
    return split_agents(policy, params, moments, observation_space, action_space), config


def weights(hidden: Sequence[int]) -> int:
    """How many weights stand between these layers, at least."""
    return sum(hidden) + sum(rows * columns for rows, columns in pairwise(hidden))


def save_agents(
    directory: Path,
    params: Params,
    obs_moments: PyTree,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    network: str,
) -> None:
    """Write the policies of all seeds (leading axis S) to ``directory/checkpoints``."""
    data = save_tensors({name: np.ascontiguousarray(x) for name, x in _named((params, obs_moments)).items()})
    manifest = {
        "format": FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "network": network,
        "observation_space": describe_space(observation_space),
        "action_space": describe_space(action_space),
    }
    try:
        (directory / "checkpoints").mkdir(exist_ok=True)
        write_atomically(directory / "checkpoints" / "policy.safetensors", data)
        write_json(directory / "checkpoints" / "policy.json", manifest)
    except OSError as error:
        raise StorageError(f"could not save the policy in {directory}: {error}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file or the one that was there before, also if the machine stops in between."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Strict JSON (no NaN), atomically."""
    write_atomically(path, (json.dumps(values, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object that one of a run's files holds, or a ``CheckpointError``."""
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: {path.parent} is not the directory of a finished run") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return values


def _read_tensors(path: Path, manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {manifest.get('format')!r}; this version reads {FORMAT}")
    missing = {"sha256", "network", "observation_space", "action_space"} - set(manifest)
    if missing:
        raise CheckpointError(f"{path.with_suffix('.json')} lacks {', '.join(sorted(missing))}")
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
            raise CheckpointError(f"{path} is damaged: its sha256 is not the one in policy.json")
        return load_tensors(data)
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _named(tree: PyTree) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _rebuild(like: PyTree, tensors: dict[str, np.ndarray], seeds: int, path: Path) -> PyTree:
    """The tree ``like`` with the file's arrays, each ``[S, ...]``, finite, and none left over."""
    named = _named(like)
    if set(named) != set(tensors):
        odd = sorted(set(named) ^ set(tensors))
        raise CheckpointError(f"{path} does not fit this network: {', '.join(odd[:4])} only on one side")
    for name, leaf in named.items():
        if tensors[name].shape != (seeds, *leaf.shape):
            raise CheckpointError(
                f"{path}: {name} is {tensors[name].shape}, the config makes it {(seeds, *leaf.shape)}"
            )
        if tensors[name].dtype != jax.dtypes.canonicalize_dtype(leaf.dtype):
            raise CheckpointError(f"{path}: {name} holds {tensors[name].dtype}, the network makes it {leaf.dtype}")
        if not np.isfinite(tensors[name]).all():
            raise CheckpointError(f"{path}: {name} holds values that are not finite")
    return jax.tree.unflatten(jax.tree.structure(like), [tensors[name] for name in named])


def describe_space(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space as plain JSON values."""
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": {key: describe_space(part) for key, part in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"kind": "Tuple", "spaces": [describe_space(part) for part in space.spaces]}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "shape": [int(space.n)], "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        numbers = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"kind": "MultiDiscrete", **numbers, "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):  # MultiBinary(3) and MultiBinary([3]) are not equal
        return {"kind": "MultiBinary", "shape": space.n if isinstance(space.n, int) else list(space.n)}
    assert isinstance(space, spaces.Box)
    bounds = {side: _plain(getattr(space, side)) for side in ("low", "high")}
    return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}


def _plain(bound: np.ndarray) -> list[str] | str:
    """Bounds as text, since JSON has no infinity; one value where all are equal."""
    exact = bound if np.issubdtype(bound.dtype, np.integer) else np.asarray(bound, np.float64)
    flat: Sequence[str] = [repr(x) for x in exact.ravel().tolist()]
    return flat[0] if flat and all(x == flat[0] for x in flat) else list(flat)


def make_space(values: dict[str, Any], most: int = MOST_ELEMENTS) -> spaces.Space[Any]:
    """The space that ``describe_space`` described, if it has at most ``most`` elements."""
    try:
        elements = _elements(values)
        if elements > most:
            raise CheckpointError(f"policy.json describes a space of {elements:.4g} elements; at most {most} are read")
        return _make_space(values)
    except _BAD_SPACE as error:
        raise CheckpointError(f"policy.json describes no space proximax knows: {error}") from error


def _elements(values: dict[str, Any]) -> int:
    """How many numbers a value of a described space has, and options its choices; makes nothing of that size."""
    kind = values["kind"]
    if kind in ("Dict", "Tuple"):
        return sum(_elements(part) for part in (values["spaces"].values() if kind == "Dict" else values["spaces"]))
    if kind == "MultiDiscrete":
        return sum(abs(int(n)) for n in np.array(values["nvec"], object).ravel())
    shape = values["shape"]
    return math.prod(abs(int(n)) for n in (shape if isinstance(shape, list) else [shape]))


def _make_space(values: dict[str, Any]) -> spaces.Space[Any]:
    kind, integers = values["kind"], values.get("dtype", "int64")  # older files do not say which of Discrete kinds
    if kind == "Dict":
        return spaces.Dict({key: _make_space(part) for key, part in values["spaces"].items()})
    if kind == "Tuple":
        return spaces.Tuple([_make_space(part) for part in values["spaces"]])
    if kind == "Discrete":
        return spaces.Discrete(values["shape"][0], start=values["start"], dtype=integers)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(np.array(values["nvec"]), start=np.array(values["start"]), dtype=integers)
    if kind == "MultiBinary":
        return spaces.MultiBinary(values["shape"])
    dtype = np.dtype(values["dtype"])
    number = int if np.issubdtype(dtype, np.integer) else float  # an int64 does not fit a float
    low, high = (
        np.broadcast_to(np.array(number(values[side]), dtype), values["shape"])
        if isinstance(values[side], str)
        else np.array([number(x) for x in values[side]], dtype).reshape(values["shape"])
        for side in ("low", "high")
    )
    return spaces.Box(low, high, dtype=dtype.type)
