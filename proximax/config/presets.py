"""Tuned settings, each trained to its end at least once: ``presets.md`` and ``atari.md`` in ``benchmarks``.

Only one was not: ``atari``, for games without a preset of their own, is as published.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, NamedTuple

from proximax.config.atari_config import AtariConfig
from proximax.config.ppo_config import PPOConfig
from proximax.errors import UsageError


class Preset(NamedTuple):
    """Settings for one environment, and what to expect of them."""

    env: str  # source:name; a pattern where it is for many environments
    steps: int
    num_envs: int
    ppo: PPOConfig
    # Mean return of 100 evaluation episodes over seeds, as recorded in benchmarks/learning.
    expected: str
    source: str
    algos: Mapping[str, dict[str, Any]] = MappingProxyType({})  # what other algorithms than clip set differently
    run: Mapping[str, Any] = MappingProxyType({})  # further fields of ``RunConfig``


# What an algorithm sets by itself, over the defaults and over a preset, which are those of clip.
ALGORITHM_SETTINGS: dict[str, dict[str, Any]] = {
    "reinforce": {"advantage": "to-go"},
    "a2c": {"epochs": 1, "minibatch_size": None},
    "penalty": {"target_kl": 0.01, "kl_control": "beta"},
}
_ZOO = "RL Baselines3 Zoo"
_MUJOCO = PPOConfig(recompute_advantage=True, log_std_init=-0.5)
_MUJOCO_SOURCE = "Huang et al. 2022; advantages recomputed and log σ from -0.5 as Tianshou"
_ATARI = PPOConfig(
    num_steps=128,
    minibatch_size=256,
    epochs=4,
    learning_rate=2.5e-4,
    epsilon=0.1,
    entropy_coef=0.01,
    scale_reward=False,
)
_PONG = dataclasses.replace(
    _ATARI, minibatch_size=64, learning_rate=5e-4, epsilon=0.2, normalise_pixels=True, recompute_advantage=True
)
# A game's most likely actions may lead nowhere, as where nobody presses fire: published scores sample actions.
_GAMES = {"eval_stochastic": True, "eval_episodes": 30, "atari": AtariConfig()}
PRESETS: dict[str, Preset] = {
    "cartpole": Preset(
        env="gymnasium:CartPole-v1",
        steps=100_000,
        num_envs=8,
        ppo=PPOConfig(
            num_steps=32,
            minibatch_size=256,
            epochs=20,
            learning_rate=1e-3,
            anneal=("learning_rate", "epsilon"),
            normalise_obs=False,
            scale_reward=False,
        ),
        expected="500",
        source=f"{_ZOO}, longer horizon (γ and λ)",
        algos={
            "a2c": {"num_steps": 16, "learning_rate": 3e-3, "lam": 1.0},
            "npg": {"num_steps": 128},
            "trpo": {"num_steps": 128},
            "penalty": {"num_steps": 128},
        },
    ),
    "acrobot": Preset(
        env="gymnasium:Acrobot-v1",
        steps=300_000,
        num_envs=16,
        ppo=PPOConfig(num_steps=128, minibatch_size=256, epochs=4, learning_rate=1e-3, lam=0.94),
        expected="-84",
        source="RL Baselines3 Zoo, larger learning rate",
    ),
    "pendulum": Preset(
        env="gymnasium:Pendulum-v1",
        steps=500_000,
        num_envs=8,
        ppo=PPOConfig(num_steps=200, learning_rate=1e-3, gamma=0.95, lam=0.9, log_std_init=-0.5, normalise_obs=False),
        expected="-168",
        source="own search",
    ),
    "mountain-car-continuous": Preset(
        env="gymnasium:MountainCarContinuous-v0",
        steps=300_000,
        num_envs=16,
        ppo=PPOConfig(num_steps=256, minibatch_size=256, epochs=10, gamma=0.999, lam=0.95),
        expected="94",
        source="own search",
    ),
    "lunar-lander": Preset(
        env="gymnasium:LunarLander-v3",
        steps=1_000_000,
        num_envs=16,
        ppo=PPOConfig(num_steps=1024, minibatch_size=64, epochs=4, gamma=0.999, lam=0.98, entropy_coef=0.01),
        expected="270",
        source=_ZOO,
    ),
    "half-cheetah": Preset(
        env="gymnasium:HalfCheetah-v5",
        steps=1_000_000,
        num_envs=8,
        ppo=dataclasses.replace(_MUJOCO, hidden=(128, 128)),
        expected="5900",
        source=f"{_MUJOCO_SOURCE}; wider network",
    ),
    "hopper": Preset("gymnasium:Hopper-v5", 1_000_000, 8, _MUJOCO, "3450", _MUJOCO_SOURCE),
    "walker2d": Preset("gymnasium:Walker2d-v5", 1_000_000, 8, _MUJOCO, "4100", _MUJOCO_SOURCE),
    "minatar-breakout": Preset(
        env="gymnax:Breakout-MinAtar",
        steps=10_000_000,
        num_envs=64,
        ppo=PPOConfig(
            num_steps=128,
            minibatch_size=1024,
            epochs=4,
            learning_rate=5e-3,
            entropy_coef=0.01,
            normalise_obs=False,
            scale_reward=False,
            activation="relu",
        ),
        expected="55",
        source="PureJaxRL's MinAtar settings",
    ),
    "atari": Preset(
        env="gymnasium:ALE/*",
        steps=10_000_000,
        num_envs=8,
        ppo=_ATARI,
        expected="",
        source="Huang et al. 2022, Atari details",
        run=_GAMES,
    ),
    "pong": Preset(
        env="gymnasium:ALE/Pong-v5",
        steps=1_000_000,
        num_envs=8,
        ppo=_PONG,
        expected="20",
        source="own search: benchmarks/learning/atari.md",
        run=_GAMES | {"atari": AtariConfig(height=84, width=42, stack=2)},
    ),
    "pong-reinforce": Preset(
        env="gymnasium:ALE/Pong-v5",
        steps=1_000_000,
        num_envs=16,
        ppo=dataclasses.replace(
            _ATARI,
            minibatch_size=128,
            epochs=1,
            learning_rate=5e-4,
            epsilon=0.2,
            entropy_coef=0.001,
            advantage="to-go",
            baseline=False,
            standardise_advantage=False,
            standardise_across_envs=True,
            normalise_pixels=True,
        ),
        expected="4",
        source="as it is often taught: returns alone, standardised over the games; minibatches, pixels' moments: ours",
        # The four passes are of the critic, which only measures here; the run that is recorded had them.
        algos={"reinforce": {"epochs": 4, "learning_rate": 2e-3, "entropy_coef": 0.01}},
        run=_GAMES | {"network": "pong-small", "atari": AtariConfig(height=80, width=80, stack=2, actions=(4, 5))},
    ),
    "breakout": Preset(
        env="gymnasium:ALE/Breakout-v5",
        steps=2_000_000,
        num_envs=8,
        ppo=dataclasses.replace(_PONG, minibatch_size=128, epsilon=0.1, lam=0.9, learning_rate=4e-4, anneal_start=0.75),
        expected="65",
        source="own search: benchmarks/learning/atari.md",
        run=_GAMES | {"atari": AtariConfig(stack=2)},
    ),
}


def find_preset(env: str | None, name: str | None) -> str | None:
    """The preset called ``name``, or without one the preset tuned for ``env`` (``source:id``); "none": no preset."""
    if name == "none":
        return None
    if name is None:
        return default_preset_for(env)
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"no preset {name!r}{hint} Presets: {', '.join(PRESETS)}, or none")
    return name


def default_preset_for(env: str | None) -> str | None:
    """The preset tuned for ``env``; an Atari game without one has that of all games."""
    tuned = (name for name, preset in PRESETS.items() if preset.env == env)
    for_many = (name for name, preset in PRESETS.items() if fnmatchcase(env or "", preset.env))
    return next(tuned, None) or next(for_many, None)


def preset_settings(name: str | None, algo: str = "clip") -> tuple[dict[str, Any], PPOConfig]:
    """(fields of ``RunConfig``, ``PPOConfig``) that preset and algorithm set; nothing and the defaults for None."""
    own = ALGORITHM_SETTINGS.get(algo, {})
    if name is None:
        return {}, dataclasses.replace(PPOConfig(), **own)
    preset = PRESETS[name]
    ppo = dataclasses.replace(preset.ppo, **own | preset.algos.get(algo, {}))
    return {"preset": name, "steps": preset.steps, "num_envs": preset.num_envs, **preset.run}, ppo
