"""One update of Stable-Baselines3, as ``benchmarks/parity/sb3_update.py`` recorded it, and the same update here."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import PPOConfig, library_settings
from proximax.maths import minibatches
from proximax.policy import make_policy
from proximax.ppo.update import make_batch
from proximax.ppo.values import add_values
from proximax.runtime import as_threefry2x32
from proximax.types import Transition
from tests.support.updates import one_update, state_of

RECORD = Path(__file__).parents[1] / "data" / "sb3_update.npz"
SPACES = {
    "discrete": (spaces.Box(-np.inf, np.inf, (4,)), spaces.Discrete(2)),
    "continuous": (spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-1.0, 1.0, (1,))),
}
STEPS, ENVS, SEED = 32, 4, 7
# What both are told, beside the switches of ``--like sb3``.
TOLD = {"num_steps": STEPS, "minibatch_size": 32, "epochs": 2, "hidden": (16, 16), "learning_rate": 1e-3}
TOLD |= {"epsilon": 0.1, "value_epsilon": 0.05, "entropy_coef": 0.01}
OURS = PPOConfig()
DIFFERENT = {  # the switches of the comparison that are not our defaults, and what those are
    "value_coef": OURS.value_coef,
    "bessel_correction": OURS.bessel_correction,
    "value_clip": OURS.value_clip,
}


def like_sb3() -> PPOConfig:
    """The settings of ``--like sb3`` for the recorded update."""
    return replace(library_settings("sb3")[1], **TOLD)


def order_of_samples() -> np.ndarray:
    """The numbers t N + n of the samples as this update takes them, ``[epochs, T N]``."""
    keys = jax.random.split(as_threefry2x32(jax.random.key(SEED)), TOLD["epochs"])
    order = [minibatches(key, (STEPS, ENVS), TOLD["minibatch_size"]).reshape(-1) for key in keys]
    return np.stack(order)


def read(case: str, path: Path = RECORD) -> dict[str, np.ndarray]:
    """What was recorded of a case."""
    with np.load(path) as arrays:
        return {name.removeprefix(f"{case}/"): arrays[name] for name in arrays.files if name.startswith(f"{case}/")}


def parameters(record: dict[str, np.ndarray], stage: str) -> dict:
    """Their parameters as ours; PyTorch's weights are ``[outputs, inputs]``."""

    def layer(name: str) -> dict[str, jax.Array]:
        return {
            "w": jnp.asarray(record[f"{stage}/{name}.weight"].T),
            "b": jnp.asarray(record[f"{stage}/{name}.bias"]),
        }

    network = {
        "actor": [[layer(f"mlp_extractor.policy_net.{i}") for i in (0, 2)]],
        "critic": [[layer(f"mlp_extractor.value_net.{i}") for i in (0, 2)]],
        "policy_head": layer("action_net"),
        "value_head": layer("value_net"),
    }
    log_std = {"log_std": jnp.asarray(record[name])} if (name := f"{stage}/log_std") in record else {}
    return {"network": network, **log_std}


def update_here(case: str, ppo: PPOConfig, path: Path = RECORD):
    """(advantages ``[T, N]``, parameters) of our update of the recorded parameters on the recorded rollout."""
    record = read(case, path)
    policy = make_policy(*SPACES[case], ppo)
    params = parameters(record, "before")
    obs, final_obs = (jnp.asarray(record[name], jnp.float64) for name in ("obs", "final_obs"))
    action = jnp.asarray(record["action"])
    action = action if case == "discrete" else action.astype(jnp.float32).astype(jnp.float64)
    flat = obs.reshape(-1, obs.shape[-1])
    dist, _, _ = policy.apply(params, (), flat, jnp.zeros(len(flat), bool))
    log_prob = dist.log_prob(action.reshape(-1, *action.shape[2:])).reshape(STEPS, ENVS)
    flags = {name: jnp.asarray(record[name], bool) for name in ("first", "terminated", "truncated")}
    rollout = Transition(
        obs=obs,
        final_obs=final_obs,
        action=action,
        log_prob=log_prob,
        reward=jnp.asarray(record["reward"], jnp.float64),
        valid=jnp.ones((STEPS, ENVS)),
        **flags,
    )
    rollout = add_values(policy, params, None, rollout)
    advantage = make_batch(ppo, rollout).advantage.reshape(STEPS, ENVS)
    state = state_of(ppo, params)
    state = state._replace(opt_state=jax.tree.map(as_double, state.opt_state))
    after, _, _ = one_update(ppo, rollout, policy, params, seed=SEED, state=state)
    return advantage, after


def as_double(x):
    """A float in float64, whatever else as it is."""
    return x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x


def distance(a, b) -> float:
    """The largest difference of two trees' entries."""
    return max(
        float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
    )
