"""From what a user says (environment, preset, overrides) to the complete configuration."""

from dataclasses import fields, replace
from typing import Any

from proximax.config import (
    AtariConfig,
    PPOConfig,
    RunConfig,
    check_names,
    current_names,
    custom_name,
    find_preset,
    preset_settings,
)
from proximax.envs import EnvId, EnvLike, Game, env_id_of
from proximax.errors import UsageError
from proximax.ppo import Algorithm


def resolve(env: EnvLike, preset: str | None, overrides: dict[str, Any]) -> tuple[RunConfig, Algorithm | None]:
    """The complete configuration: defaults, then what preset and algorithm set, then the overrides.

    And the algorithm, where ``overrides["algo"]`` is a custom one. Raises ``UsageError``.
    """
    overrides, preset = current_names(overrides), current_names({"preset": preset})["preset"]
    check_names(overrides, RunConfig, PPOConfig, AtariConfig)
    if "ppo" in overrides:
        raise UsageError("ppo: give its settings by their own names, as learning_rate=1e-3")
    env_id, algo = env_id_of(env), overrides.get("algo", "clip")
    if not isinstance(algo, (str, Algorithm)):
        raise UsageError(f"algo = {algo!r}: must be a name or an Algorithm")
    custom = algo if isinstance(algo, Algorithm) else None
    if custom is not None:
        overrides = overrides | {"algo": custom_name(custom.name)}
    preset_fields, ppo = preset_settings(find_preset(str(env_id.in_ale), preset), overrides.get("algo", "clip"))
    ppo_names, atari_names = ({f.name for f in fields(record)} for record in (PPOConfig, AtariConfig))
    ppo = replace(ppo, **{k: v for k, v in overrides.items() if k in ppo_names})
    atari = {k: v for k, v in overrides.items() if k in atari_names or (k == "atari" and v is not None)}
    run_fields = preset_fields | {k: v for k, v in overrides.items() if k not in ppo_names | atari_names}
    run_fields |= {"atari": atari_settings(env, env_id, preset_fields.get("atari"), atari)}
    if isinstance(total := getattr(env, "num_envs", None), int):
        run_fields["num_envs"] = envs_per_seed(total, run_fields.get("seeds", 1))
    return RunConfig(**{"env": str(env_id), **run_fields, "ppo": ppo}), custom


def envs_per_seed(total: int, seeds: int) -> int:
    """How many of a vector environment's environments each seed gets."""
    seeds = max(seeds, 1)  # fewer than one is for ``RunConfig.check`` to refuse
    if total % seeds:
        raise UsageError(f"the vector environment has {total} environments, which {seeds} seeds cannot share equally")
    return total // seeds


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
