"""From what a user says (environment, preset, overrides) to the complete configuration."""

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from proximax.config import (
    COUNT,
    AtariConfig,
    LibraryName,
    PPOConfig,
    RunConfig,
    check_names,
    choice_problem,
    current_names,
    custom_name,
    find_preset,
    is_settings_file,
    library_settings,
    preset_settings,
    read_preset_file,
    refuse,
    type_problem,
)
from proximax.envs import EnvId, EnvLike, Game, env_id_of
from proximax.errors import UsageError
from proximax.ppo import Algorithm, find_algorithm
from proximax.runtime import show_messages
from proximax.types import RewardHook

logger = logging.getLogger(__name__)
ALGO_TYPES = 'a name or an Algorithm, as proximax.Algorithm("mine", objective)'


def resolve(env: EnvLike, preset: str | None, overrides: dict[str, Any]) -> tuple[RunConfig, Algorithm | None]:
    """The complete configuration: defaults, then what preset and algorithm set, then the overrides.

    And the algorithm, where ``overrides["algo"]`` is a custom one. A preset in a file, as ``best.toml``, stands over
    the plain defaults. Raises ``UsageError``.
    """
    overrides, preset = current_names(overrides), current_names({"preset": preset})["preset"]
    if is_settings_file(preset):
        own = {"preset": preset}  # what the run's config says of where its settings are from
        return resolve(env, "none", own | current_names(read_preset_file(str(preset))) | overrides)
    check_names(overrides, RunConfig, PPOConfig, AtariConfig)
    if "ppo" in overrides:
        raise UsageError("ppo: give its settings by their own names, as learning_rate=1e-3")
    env_id, algo = env_id_of(env), overrides.get("algo", "clip")
    refuse(
        [
            type_problem("algo", algo, (str, Algorithm), ALGO_TYPES),
            type_problem("preset", preset, (str, type(None)), "a name or None"),
        ]
    )
    custom = algo if isinstance(algo, Algorithm) else None
    if custom is not None:
        overrides = overrides | {"algo": custom_name(custom.name)}
    preset_fields, ppo = starting_settings(env_id, preset, overrides)
    ppo_names, atari_names = ({f.name for f in fields(record)} for record in (PPOConfig, AtariConfig))
    ppo = replace(ppo, **{k: v for k, v in overrides.items() if k in ppo_names})
    atari = {k: v for k, v in overrides.items() if k in atari_names or (k == "atari" and v is not None)}
    run_fields = preset_fields | {k: v for k, v in overrides.items() if k not in ppo_names | atari_names}
    run_fields |= {"atari": atari_settings(env, env_id, preset_fields.get("atari"), atari)}
    if isinstance(total := getattr(env, "num_envs", None), (int, np.integer)) and COUNT.allows(
        seeds := run_fields.get("seeds", 1)
    ):
        run_fields["num_envs"] = envs_per_seed(int(total), seeds)
        note_other_size(overrides.get("num_envs"), run_fields["num_envs"])
    return RunConfig(**{"env": str(env_id), **run_fields, "ppo": ppo}), custom


def starting_settings(env_id: EnvId, preset: str | None, overrides: dict[str, Any]) -> tuple[dict[str, Any], PPOConfig]:
    """(fields of ``RunConfig``, ``PPOConfig``) before the overrides: of a preset, or of the library to be like."""
    algo, like = overrides.get("algo", "clip"), overrides.get("like")
    if like is None:
        return preset_settings(find_preset(str(env_id.in_ale), preset), algo)
    refuse(
        [
            choice_problem("like", like, LibraryName),
            f"like = {like!r}: what it sets is of PPO; leave algo = {algo!r} out" if algo != "clip" else "",
            f"like = {like!r}: takes the place of a preset; leave preset = {preset!r} out"
            if preset not in (None, "none")
            else "",
        ]
    )
    return library_settings(like)


def with_reward_hook(config: RunConfig, algorithm: Algorithm | None, hook: RewardHook) -> tuple[RunConfig, Algorithm]:
    """The config and algorithm of a run that learns from the hook's rewards: a custom algorithm ``ALGO+HOOK``."""
    config.check()  # while the algorithm is still known by its name
    if config.shards > 1:
        raise UsageError(
            f"reward_hook: a hook learns from whole rollouts, and each of {config.shards} shards has a part of one; "
            "leave shards out"
        )
    algorithm = find_algorithm(config.algo, algorithm)
    algorithm = algorithm._replace(name=f"{algorithm.name}+{hook.name}", reward_hook=hook)
    return replace(config, algo=custom_name(algorithm.name)), algorithm


def without_anneal(config: RunConfig, names: Sequence[str]) -> RunConfig:
    """The config without these settings in ``anneal``."""
    if not set(names) & set(config.ppo.anneal):
        return config
    return replace(config, ppo=replace(config.ppo, anneal=tuple(x for x in config.ppo.anneal if x not in names)))


def envs_per_seed(total: int, seeds: int) -> int:
    """How many of a vector environment's environments each seed gets."""
    if total % seeds:
        raise UsageError(f"the vector environment has {total} environments, which {seeds} seeds cannot share equally")
    return total // seeds


def note_other_size(asked: object, num_envs: int) -> None:
    """Tell who asked for another number than a vector environment has."""
    if asked not in (None, num_envs):
        with show_messages():
            logger.warning(f"num_envs = {asked} is not used: the vector environment has {num_envs} for each seed")


def atari_settings(
    env: EnvLike, env_id: EnvId, from_preset: AtariConfig | None, overrides: dict[str, Any]
) -> AtariConfig | None:
    """Preprocessing by ``env``, the preset and the overrides; None where it is not an Atari game."""
    settings = from_preset or AtariConfig()
    if isinstance(env, Game):
        settings = env.config
    elif not (isinstance(env, str) and env_id.is_atari):
        if overrides:
            raise UsageError(f"{', '.join(overrides)}: only for Atari games by their id; {env_id} is not one")
        return None
    settings = overrides.get("atari", settings)
    if not isinstance(settings, AtariConfig):
        raise UsageError(f"atari = {settings!r}: must be an AtariConfig or None")
    return replace(settings, **{k: v for k, v in overrides.items() if k != "atari"})
