"""A policy in one file of its own: parameters and normaliser as safetensors, spaces and settings in its header.

For what training code does not save: the agent of a custom training loop, or the one policy to be carried elsewhere. No
pickle: arrays are read as arrays, and the structure of what is read comes from the settings.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as tensors_to_bytes

from proximax.config import PPOConfig, check_names, refuse
from proximax.errors import CheckpointError, UsageError
from proximax.networks import AnyNetwork
from proximax.policy.observations import init_obs_moments
from proximax.policy.policy import Policy, check_size, make_policy
from proximax.runtime import (
    check_no_extra_arrays,
    named_leaves,
    proximax_version,
    regular_size,
    restore_tree,
    storing,
    write_atomically,
)
from proximax.spaces import Space, describe_space, make_space
from proximax.types import Params, PyTree

HEADER, FORMAT, CUSTOM = "proximax", 1, "own"


def write_agent(path: Path, policy: Policy, params: Params, moments: PyTree, spaces_of: tuple[Space, Space]) -> None:
    """Write the file whole or not at all; one that is there is replaced. ``spaces_of``: observations, actions."""
    if policy.settings is None:
        raise UsageError("save: this policy was not made by make_policy, so its settings are not known")
    header = {
        "format": FORMAT,
        "version": proximax_version(),
        "network": policy.settings.network or CUSTOM,
        "ppo": asdict(policy.settings.config),
        "observation_space": describe_space(spaces_of[0]),
        "action_space": describe_space(spaces_of[1]),
    }
    named = named_leaves({"params": params, "obs_moments": moments})
    arrays = {name: np.asarray(x, order="C") for name, x in named.items()}
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, tensors_to_bytes(arrays, metadata={HEADER: json.dumps(header, allow_nan=False)}))


class SavedAgent(NamedTuple):
    """What a file holds: the arguments of ``Agent``."""

    policy: Policy
    params: Params
    obs_moments: PyTree
    observation_space: Space
    action_space: Space


def read_agent(path: Path, network: AnyNetwork | None) -> SavedAgent:
    """What ``write_agent`` wrote; ``network``: the custom network of a policy that has one.

    Raises ``CheckpointError`` for anything that it did not write.
    """
    header, arrays = read_file(path)
    if header["network"] == CUSTOM and network is None:
        raise CheckpointError(f"{path} is of a policy with a custom network: pass it as network=...")
    numbers = sum(x.size for x in arrays.values())
    observed, acted = (make_space(header[name], numbers) for name in ("observation_space", "action_space"))
    config, name = ppo_config(path, header["ppo"]), header["network"]
    try:
        if network is None:
            check_size(observed, name, config, numbers, path)
        policy = make_policy(observed, acted, config, network or name)
    except UsageError as error:
        raise CheckpointError(f"{path}: {error}") from error
    example = {"params": policy.init(jax.random.key(0)), "obs_moments": init_obs_moments(observed, config)}
    tree = restore_tree(example, arrays, path)
    check_no_extra_arrays(arrays, path)
    return SavedAgent(policy, tree["params"], tree["obs_moments"], observed, acted)


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(the header, the arrays) of a file, which may be anybody's."""
    try:
        regular_size(path)
        with safe_open(path, "np") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as a saved agent: {error}") from error
    kinds = {"format": int, "network": str, "ppo": dict, "observation_space": dict, "action_space": dict}
    if not isinstance(header, dict) or any(not isinstance(header.get(name), kind) for name, kind in kinds.items()):
        raise CheckpointError(f"{path} was not written by Agent.save")
    if header["format"] > FORMAT:
        raise CheckpointError(f"{path} was written by a later version ({header.get('version')}) of proximax")
    return header, arrays


def ppo_config(path: Path, values: dict[str, Any]) -> PPOConfig:
    """The settings in a header."""
    try:
        check_names(values, PPOConfig)
        settings: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in values.items()}
        config = PPOConfig(**settings)
        refuse(config.problems())
    except (UsageError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return config
