"""Going on with a run from its last checkpoint: what may differ, what must not, and how its state is put back."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import RunConfig, from_json
from proximax.envs import HostEnv, JaxEnv, env_seeds
from proximax.errors import CheckpointError, UsageError
from proximax.policy import Policy
from proximax.ppo import reset_host_envs
from proximax.runs import (
    POLICY,
    STATE,
    Checkpoint,
    RunProgress,
    check_no_extra_arrays,
    check_size,
    find_checkpoint,
    progress_of,
    restore_tree,
)
from proximax.runtime import proximax_version
from proximax.types import PyTree, RewardScale, TrainState

# What a run may be continued with: how long, how it is logged, saved and evaluated, not how it learns.
MAY_CHANGE = (
    *("steps", "checkpoint_every", "keep_checkpoints", "video_every", "env_restarts", "env_timeout"),
    *("eval_every", "eval_episodes", "eval_stochastic", "stop_at_return"),
)


class ResumePoint(NamedTuple):
    """What a run goes on from."""

    path: Path
    manifest: dict[str, Any]
    tensors: dict[str, np.ndarray]
    progress: RunProgress
    environment: PyTree | None  # the state of host environments, where it could be had


def load_resume_point(run_dir: Path, config: RunConfig) -> ResumePoint:
    """The newest whole checkpoint of a run, if it can go on with ``config``. Damaged ones are set aside."""
    checkpoint, tensors = find_checkpoint(run_dir, read=(POLICY, STATE), set_aside=True)
    different = differences(saved_config(checkpoint), config)
    if different:
        raise CheckpointError(
            f"{checkpoint.path} is of a run with other settings: {'; '.join(different)}. "
            f"Only these may change: {', '.join(MAY_CHANGE)}"
        )
    if checkpoint.manifest["update"] > config.updates:
        steps = checkpoint.manifest["steps"]
        raise CheckpointError(f"steps = {config.steps:,}, but {checkpoint.path} has {steps:,} already: give more")
    if config.num_envs * config.seeds > sum(x.size for x in tensors.values()):  # before as many are made
        raise CheckpointError(f"{checkpoint.path} holds less than a number for each of {config.num_envs} environments")
    tree, environment = progress_of(checkpoint, tensors)
    progress = RunProgress.from_tree(tree, range(config.seed, config.seed + config.seeds), checkpoint.path)
    update, steps = checkpoint.manifest["update"], checkpoint.manifest["steps"]
    if progress.update != update or update * config.batch_size != steps:
        raise CheckpointError(
            f"{checkpoint.path}: cannot resume: it has {steps:,} steps and {update:,} updates, "
            f"its logs have {progress.update:,} updates"
        )
    return ResumePoint(checkpoint.path, checkpoint.manifest, tensors, progress, environment)


def saved_config(checkpoint: Checkpoint) -> RunConfig:
    """The settings that a checkpoint was made with."""
    try:
        config = from_json(checkpoint.manifest["config"])
        config.check()
    except UsageError as error:
        by = f"made by proximax {checkpoint.manifest['version']!r}, this is {proximax_version()}"
        raise CheckpointError(f"{checkpoint.path} has settings that cannot be read: {error} ({by})") from error
    return config


def differences(saved: RunConfig, asked: RunConfig) -> list[str]:
    """The fields that differ and must not, a text each."""
    before, after = (
        flatten_dict(json.loads(json.dumps(config.to_json()))) for config in (saved, asked)
    )  # tuples are lists
    return [
        f"{name} = {before.get(name)!r} there, {after.get(name)!r} asked for"
        for name in before | after
        if before.get(name) != after.get(name) and name not in MAY_CHANGE
    ]


def flatten_dict(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flatten_dict(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def check_same(
    found: ResumePoint, header: dict[str, Any], observation_space: spaces.Space[Any], config: RunConfig
) -> None:
    """Refuse an environment or a network that is not the one of the checkpoint."""
    for name in ("observation_space", "action_space"):
        saved, made = flatten_dict(found.manifest[name]), flatten_dict(header[name])
        odd = [f"{k}: {saved.get(k)} there, {made.get(k)} here" for k in saved | made if saved.get(k) != made.get(k)]
        if odd:
            raise CheckpointError(f"{found.path} is of another environment: its {name} has {'; '.join(odd)}")
    if found.manifest["network"] != header["network"]:
        kinds = f"{found.manifest['network']!r} there, {header['network']!r} here"
        raise CheckpointError(f"{found.path} is of another network: {kinds}. Pass the network it was trained with")
    if header["network"] == "built-in":
        check_size(observation_space, config, sum(x.size for x in found.tensors.values()), found.path)


def restore(
    found: ResumePoint, env: JaxEnv | HostEnv, policy: Policy, config: RunConfig, start: TrainState
) -> tuple[TrainState, str]:
    """(the state to go on from, how it was got); ``start`` is the run's first one, for structure and placement."""
    state: TrainState = restore_tree(start, found.tensors, found.path)
    check_no_extra_arrays(found.tensors, found.path)
    where = f"resumed at {found.manifest['steps']:,} steps"
    if isinstance(env, JaxEnv):
        placed = jax.tree.map(lambda x, old: jax.device_put(x, old.sharding), state, start)
        return placed, f"{where}, exactly"
    if found.environment is not None:
        env.set_state(found.environment)
        return state, f"{where}, exactly"
    names = range(config.seed, config.seed + config.seeds)
    update = found.manifest["update"]
    rollout = reset_host_envs(env, policy, [env_seeds([name, update], config.num_envs) for name in names])
    state = state._replace(
        rollout=rollout, reward_scale=RewardScale(jnp.zeros(rollout.first.shape), state.reward_scale.moments)
    )
    return state, f"{where}; the state of the environments could not be had: their episodes start afresh"
