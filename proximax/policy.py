"""A policy: the network, the action distribution on top of it, and what lies between both and an environment."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import PPOConfig
from proximax.errors import UsageError
from proximax.maths.distributions import Categorical, Gaussian
from proximax.networks import Network, mlp
from proximax.spaces import (
    check_action_space,
    check_observation_space,
    encode_obs,
    env_action,
    num_outputs,
    obs_shape,
)
from proximax.types import Array, Key, Moments, Params, PyTree

Dist = Categorical | Gaussian
# log σ is held here: below, a density overflows float32; above, actions are noise (TRPO and SAC codes use like bounds).
LOG_STD_RANGE = (-10.0, 2.0)


class Policy(NamedTuple):
    """π(a|s) and V(s) as pure functions. ``obs`` is encoded (``encode``), with one batch axis ``B``.

    ``apply(params, carry, obs, first)`` gives the distribution over actions, the value ``[B]`` and the next carry.
    A recurrent policy resets its carry where ``first`` is true; for a feed-forward one ``carry`` is ``()``.
    """

    init: Callable[[Key], Params]
    initial_carry: Callable[[int], PyTree]
    apply: Callable[[Params, PyTree, jax.Array, Array], tuple[Dist, jax.Array, PyTree]]
    encode: Callable[[Moments | None, Array], jax.Array]
    env_action: Callable[[jax.Array], jax.Array]


def make_policy(
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    config: PPOConfig,
    network: Network | None = None,
) -> Policy:
    """The policy for these spaces: Categorical for Discrete actions, Gaussian with a state-independent log σ for Box.

    Without ``network`` the built-in perceptron is used. Raises ``UsageError`` for spaces or a network that do not fit.
    """
    check_observation_space(observation_space)
    check_action_space(action_space)
    outputs = num_outputs(action_space)
    network = network or mlp(outputs, config.hidden, config.activation, config.shared_torso)
    discrete = isinstance(action_space, spaces.Discrete)

    def init(key: Key) -> Params:
        example = jnp.zeros((1, *obs_shape(observation_space)))
        params = {"network": network.init(key, example)}
        if not discrete:
            params["log_std"] = np.full(outputs, config.log_std_init, np.float32)
        check_parameters(params)
        check_outputs(network, params["network"], example, action_space)
        return params

    def apply(params: Params, carry: PyTree, obs: jax.Array, first: Array) -> tuple[Dist, jax.Array, PyTree]:
        out, value = network.apply(params["network"], obs)
        if discrete:
            return Categorical(out), value, carry
        # The gradient passes the bounds, so that a parameter that overshot them can come back.
        free = params["log_std"]
        log_std = free + jax.lax.stop_gradient(jnp.clip(free, *LOG_STD_RANGE) - free)
        return Gaussian(out, jnp.broadcast_to(log_std[None], out.shape)), value, carry

    return Policy(
        init=init,
        initial_carry=lambda batch: (),
        apply=apply,
        encode=lambda moments, obs: encode_obs(observation_space, moments, obs),
        env_action=lambda action: env_action(action_space, action),
    )


def choose(
    policy: Policy,
    sample: bool,
    params: Params,
    moments: Moments | None,
    carry: PyTree,
    obs: Array,
    first: Array,
    key: Key,
) -> tuple[jax.Array, PyTree]:
    """The environment's actions for observations ``[B, ...]``, the mode or a sample; and the next carry."""
    dist, _, carry = policy.apply(params, carry, policy.encode(moments, obs), first)
    return policy.env_action(dist.sample(key) if sample else dist.mode()), carry


def check_parameters(params: Params) -> None:
    """Refuse parameters that are not float32: the optimiser works on one float32 vector of them all."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if leaf.dtype != np.float32:
            raise UsageError(f"parameter {jax.tree_util.keystr(path)} is of {leaf.dtype}; parameters must be float32")


def check_outputs(network: Network, params: Params, example: jax.Array, action_space: spaces.Space[Any]) -> None:
    """Refuse a network whose output shapes do not fit the action space."""
    out, value = jax.eval_shape(network.apply, params, example)
    wanted = (example.shape[0], num_outputs(action_space))
    if out.shape != wanted:
        raise UsageError(
            f"the network's policy output has shape {out.shape}; the action space {action_space} needs {wanted}"
        )
    if value.shape != wanted[:1]:
        raise UsageError(
            f"the network's value has shape {value.shape}; it must be {wanted[:1]}, one number per observation"
        )
