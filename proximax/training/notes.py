"""What a run says at its start, besides the settings: where it does not do quite what one might expect."""

from dataclasses import fields

from proximax.config import LIBRARIES, PPOConfig, RunConfig, library_settings
from proximax.envs import EnvPoolEnv, HostEnv, JaxEnv, env_seeds, ignores_seed, unchanged
from proximax.policy import Policy
from proximax.runtime import plural


def rounding_notes(config: RunConfig) -> list[str]:
    """What is trained where ``steps`` are not whole rollouts; nothing where they are."""
    trained = config.updates * config.batch_size
    if trained == config.steps:
        return []
    rollout = f"rollouts of num_steps x num_envs = {config.batch_size:,}"
    return [f"steps = {config.steps:,} is not a multiple of {rollout}: {trained:,} steps are trained"]


def library_notes(config: RunConfig) -> list[str]:
    """What the library's settings change in this run, and what that library does otherwise all the same."""
    if config.like is None:
        return []
    library, default, theirs = LIBRARIES[config.like], PPOConfig(), library_settings(config.like)[1]
    rows = [(f.name, *(getattr(ppo, f.name) for ppo in (config.ppo, theirs, default))) for f in fields(PPOConfig)]
    rows.insert(0, ("num_envs", config.num_envs, library.num_envs, RunConfig.num_envs))
    changed = ", ".join(
        f"{name} = {text(value)} (by default {text(usual)})"
        for name, value, of_library, usual in rows
        if value == of_library != usual
    )
    return [
        f"like {config.like} ({library.source}): {changed}",
        f"not like {config.like} all the same: {'; '.join(library.remains)}",
    ]


def text(value: object) -> str:
    """A setting as one writes it on the command line."""
    return (" ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def environment_notes(env: JaxEnv | HostEnv, config: RunConfig) -> list[str]:
    """What the user should know about these environments."""
    if isinstance(env, JaxEnv) or isinstance(unchanged(env), EnvPoolEnv):
        return []
    if ignores_seed(env, env_seeds(config.seed, env.num_envs)):
        return [*env.notes, "the environment ignores its seed: this run cannot be repeated exactly"]
    return [*env.notes]


def sequence_notes(config: RunConfig, policy: Policy) -> list[str]:
    """How far gradients go back where a policy with memory does not learn from whole rollouts."""
    length, steps = config.sequence_length, config.ppo.num_steps
    if policy.unroll is None or length == steps:
        return []
    size = config.ppo.minibatch_size or config.batch_size
    return [
        f"memory: gradients go back {length:,} of a rollout's {steps:,} steps (sequence_length); minibatches of "
        f"{size:,} hold {plural(size // length, 'sequence')} each"
    ]
