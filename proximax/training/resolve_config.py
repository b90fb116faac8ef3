"""From what a user says (environment, preset, overrides) to the complete configuration."""

from dataclasses import fields, replace
from typing import Any

from proximax.config import (
    CUSTOM,
    AtariConfig,
    PPOConfig,
    RunConfig,
    check_names,
    current_names,
    find_preset,
    preset_settings,
)
from proximax.envs import EnvLike, Game, ale_id, atari_id, env_name
from proximax.errors import UsageError
from proximax.ppo import Algorithm


def resolve(env: EnvLike, preset: str | None, overrides: dict[str, Any]) -> tuple[RunConfig, Algorithm | None]:
    """The complete configuration: defaults, then what preset and algorithm set, then the overrides.

    And the algorithm, where ``overrides["algo"]`` is one of the user's own.
    """
    overrides, preset = current_names(overrides), current_names({"preset": preset})["preset"]
    check_names(overrides, RunConfig, PPOConfig, AtariConfig)
    if "ppo" in overrides:
        raise UsageError("ppo: give its settings by their own names, as learning_rate=1e-3")
    name, algo = env_name(env), overrides.get("algo", "clip")
    if not isinstance(algo, (str, Algorithm)):
        raise UsageError(f"algo = {algo!r}: must be a name or an Algorithm")
    own = algo if isinstance(algo, Algorithm) else None
    if own is not None:
        overrides = overrides | {"algo": CUSTOM + own.name}
    settings, ppo = preset_settings(find_preset(ale_id(name), preset), overrides.get("algo", "clip"))
    ppo_names, atari_names = ({f.name for f in fields(record)} for record in (PPOConfig, AtariConfig))
    ppo = replace(ppo, **{k: v for k, v in overrides.items() if k in ppo_names})
    shown = {k: v for k, v in overrides.items() if k in atari_names or (k == "atari" and v is not None)}
    run_fields = settings | {k: v for k, v in overrides.items() if k not in ppo_names | atari_names}
    run_fields |= {"atari": atari_settings(env, name, settings.get("atari"), shown)}
    if isinstance(num_envs := getattr(env, "num_envs", None), int):
        total, seeds = num_envs, max(run_fields.get("seeds", 1), 1)  # fewer than one is for ``check`` to refuse
        if total % seeds:
            raise UsageError(
                f"the vector environment has {total} environments, which {seeds} seeds cannot share equally"
            )
        run_fields["num_envs"] = total // seeds
    return RunConfig(**{"env": name, **run_fields, "ppo": ppo}), own


def atari_settings(env: EnvLike, name: str, known: AtariConfig | None, overrides: dict[str, Any]) -> AtariConfig | None:
    """How the game is shown, of what ``env``, the preset and the overrides say; None where it is not an Atari game."""
    if isinstance(env, Game):
        known = env.config
    elif not (isinstance(env, str) and atari_id(name)):
        if overrides:
            raise UsageError(f"{', '.join(overrides)}: only for Atari games by their id; {name} is not one")
        return None
    whole = overrides.get("atari", known or AtariConfig())
    if not isinstance(whole, AtariConfig):
        raise UsageError(f"atari = {whole!r}: must be an AtariConfig or None")
    return replace(whole, **{k: v for k, v in overrides.items() if k != "atari"})
