"""Resuming a run from its last checkpoint: what may differ, what must not, and how its state is restored."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from proximax.config import RunConfig, flatten_dict, from_json
from proximax.envs import HostEnv, JaxEnv, env_seeds
from proximax.errors import CheckpointError, UsageError
from proximax.policy import check_size
from proximax.ppo import MultiSeedLearner
from proximax.runs import (
    POLICY,
    STATE,
    Checkpoint,
    RunProgress,
    find_checkpoint,
    progress_of,
)
from proximax.runtime import check_no_extra_arrays, named_leaves, proximax_version, restore_tree
from proximax.spaces import Space
from proximax.training.ranks import env_state_of_rank
from proximax.types import PyTree, RewardScale, TrainState

# What may differ when a run is resumed: how long, how it is logged, saved and evaluated, not how it learns.
MAY_CHANGE = (
    *("steps", "checkpoint_every", "keep_checkpoints", "video_every", "env_restarts", "env_timeout"),
    *("eval_every", "eval_episodes", "eval_stochastic", "stop_at_return"),
)


class ResumePoint(NamedTuple):
    """The checkpoint that a run is resumed from."""

    path: Path
    manifest: dict[str, Any]
    tensors: dict[str, np.ndarray]
    progress: RunProgress
    environment: PyTree | None  # the state of host environments, where it was saved


def load_resume_point(run_dir: Path, config: RunConfig) -> ResumePoint:
    """The newest intact checkpoint of a run, if ``config`` can resume it. Damaged ones are quarantined."""
    checkpoint, tensors = find_checkpoint(run_dir, read=(POLICY, STATE), quarantine_damaged=True)
    check_may_change(saved_config(checkpoint), config, checkpoint.path)
    if checkpoint.manifest["update"] > config.updates:
        steps = checkpoint.manifest["steps"]
        raise CheckpointError(f"steps = {config.steps:,}, but {checkpoint.path} has {steps:,} already: give more")
    if config.num_envs * config.seeds > sum(x.size for x in tensors.values()):  # before so many are created
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


def check_may_change(saved: RunConfig, asked: RunConfig, place: object) -> None:
    """Refuse to resume with settings that would learn otherwise: ``CheckpointError``. ``place``: what was saved."""
    if different := differences(saved, asked):
        raise CheckpointError(
            f"{place} is of a run with other settings: {'; '.join(different)}. "
            f"Only these may change: {', '.join(MAY_CHANGE)}"
        )


def saved_config(checkpoint: Checkpoint) -> RunConfig:
    """The settings that a checkpoint was written with."""
    try:
        config = from_json(checkpoint.manifest["config"])
        config.check()
    except UsageError as error:
        by = f"made by proximax {checkpoint.manifest['version']!r}, this is {proximax_version()}"
        raise CheckpointError(f"{checkpoint.path} has settings that cannot be read: {error} ({by})") from error
    return config


def differences(saved: RunConfig, asked: RunConfig) -> list[str]:
    """The settings that differ and must not, a phrase for each."""
    before, after = (
        flatten_dict(json.loads(json.dumps(config.to_json()))) for config in (saved, asked)
    )  # tuples are lists
    return [
        f"{name} = {before.get(name)!r} there, {after.get(name)!r} asked for"
        for name in before | after
        if before.get(name) != after.get(name) and name not in MAY_CHANGE
    ]


def check_same(resume_point: ResumePoint, header: dict[str, Any], observation_space: Space, config: RunConfig) -> None:
    """Refuse an environment or a network that is not the one of the checkpoint."""
    path, manifest = resume_point.path, resume_point.manifest
    for space in ("observation_space", "action_space"):
        saved, current = flatten_dict(manifest[space]), flatten_dict(header[space])
        different = [name for name in saved | current if saved.get(name) != current.get(name)]
        if different:
            details = "; ".join(f"{name}: {saved.get(name)} there, {current.get(name)} here" for name in different)
            raise CheckpointError(f"{path} is of another environment: its {space} has {details}")
    if manifest["network"] != header["network"]:
        kinds = f"{manifest['network']!r} there, {header['network']!r} here"
        raise CheckpointError(f"{path} is of another network: {kinds}. Pass the network it was trained with")
    if header["network"] == "built-in":
        numbers = sum(x.size for x in resume_point.tensors.values())
        check_size(observation_space, config.network, config.ppo, numbers, path)


def restore(
    resume_point: ResumePoint, env: JaxEnv | HostEnv, learner: MultiSeedLearner, config: RunConfig, start: TrainState
) -> tuple[TrainState, str]:
    """(the state to resume from, a note on how exact it is); ``start``: ``learner``'s first one, for its structure."""
    saved = {f".hyperparameters{name}": x for name, x in named_leaves(start.hyperparameters).items()}
    if not saved.keys() & resume_point.tensors.keys():  # saved by an earlier version
        resume_point.tensors.update(saved)
    state: TrainState = restore_tree(start, resume_point.tensors, resume_point.path)
    state.hyperparameters["updates"] = start.hyperparameters["updates"]  # the number of steps may change
    check_no_extra_arrays(resume_point.tensors, resume_point.path)
    place = f"resumed at {resume_point.manifest['steps']:,} steps"
    if resume_point.manifest["update"] == config.updates:
        place = f"nothing left to do, it has all {config.steps:,} steps: {place}"
    if isinstance(env, JaxEnv):
        return state, f"{place}, exactly"
    if resume_point.environment is not None:
        env.set_state(env_state_of_rank(resume_point.environment, config.shards))
        return state, f"{place}, exactly"
    seeds = range(config.seed, config.seed + config.seeds)
    update = resume_point.manifest["update"]
    rollout = learner.reset_envs([env_seeds([seed, update], config.num_envs) for seed in seeds])
    state = state._replace(
        rollout=rollout, reward_scale=RewardScale(jnp.zeros(rollout.first.shape), state.reward_scale.moments)
    )
    return state, f"{place}; the environments' state was not saved: new episodes start"
