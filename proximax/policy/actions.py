"""Between the network's outputs and an environment's actions: distributions, masks, bounds.

Each leaf of the action space has a distribution; that of a nested space (``Dict``, ``Tuple``) is the ``Joint`` of its
leaves, whose actions are a tuple. Network outputs, log σ and masks are those of the leaves, concatenated.

    Discrete        Categorical         n logits                       mask of n
    MultiDiscrete   MultiCategorical    Σ nvec logits                  mask of Σ nvec
    MultiBinary     Bernoulli           n logits                       mask of 2 n: (0 allowed, 1 allowed) of each bit
    Box             Gaussian, SquashedGaussian   A means, and A log σ if they depend on the state
                    Beta                A α and A β, as 1 + softplus
                    MultiCategorical    K logits for each of A, of bins between the bounds (binned, ordinal)
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import PPOConfig
from proximax.errors import UsageError
from proximax.maths import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Gaussian,
    Joint,
    MultiCategorical,
    SquashedGaussian,
    bin_centre,
    nearest_bin,
    ordinal_logits,
)
from proximax.spaces import Space, choices_per_component, describe_leaf, flatten, leaves, paths, unflatten
from proximax.types import PyTree

# log σ is held here: below, a density overflows float32; above, actions are noise (TRPO and SAC codes use like bounds).
LOG_STD_RANGE = (-10.0, 2.0)
GAUSSIANS, BINNED = ("gaussian", "squashed_gaussian"), ("binned", "ordinal")  # box distributions with σ, with bins
SQUASH_EDGE = 1e-6  # an action is held this far from the bounds before it goes back through tanh
AT_BOUND = 0.999  # for ``fraction_at_bounds``: this fraction of the way from the centre to a bound counts as at it


def check_box_distribution(space: Space, config: PPOConfig) -> None:
    """Refuse a bounded distribution for a Box without bounds."""
    for leaf, path in zip(leaves(space), paths(space)):
        if isinstance(leaf, spaces.Box) and config.box_distribution != "gaussian" and not action_bounds(leaf)[0].all():
            raise UsageError(
                f"box_distribution = {config.box_distribution} needs an action space with finite bounds; "
                f"{describe_leaf('action', path)}, {leaf}, has infinite ones. Use gaussian"
            )


def size(leaf: Space) -> int:
    """The number of components of an action."""
    return int(np.prod(leaf.shape or ()))


def leaf_outputs(leaf: Space, config: PPOConfig) -> int:
    """The number of network outputs that belong to a leaf."""
    if isinstance(leaf, spaces.Box):
        if config.box_distribution in BINNED:
            return size(leaf) * config.bins
        return size(leaf) * (2 if config.box_distribution == "beta" or config.state_dependent_std else 1)
    return size(leaf) if isinstance(leaf, spaces.MultiBinary) else sum(choices_per_component(leaf))


def leaf_log_stds(leaf: Space, config: PPOConfig) -> int:
    """The number of log σ of a leaf that are free parameters, not outputs of the network."""
    free = config.box_distribution in GAUSSIANS and not config.state_dependent_std
    return size(leaf) if isinstance(leaf, spaces.Box) and free else 0


def num_outputs(space: Space, config: PPOConfig) -> int:
    """The number of outputs that the policy network needs."""
    return sum(leaf_outputs(leaf, config) for leaf in leaves(space))


def num_log_stds(space: Space, config: PPOConfig) -> int:
    """The number of log σ that are free parameters, not outputs of the network."""
    return sum(leaf_log_stds(leaf, config) for leaf in leaves(space))


def action_distribution(
    space: Space, config: PPOConfig, out: jax.Array, log_std: jax.Array | None, allowed: jax.Array | None
) -> Distribution:
    """The distribution for network outputs ``[B, outputs]``, free log σ ``[log_stds]`` and mask ``[B, choices]``."""
    space_leaves = leaves(space)
    outs = _split(out, [leaf_outputs(leaf, config) for leaf in space_leaves])
    stds = _split(log_std, [leaf_log_stds(leaf, config) for leaf in space_leaves])
    masks = _split(allowed, [sum(choices_per_component(leaf)) for leaf in space_leaves])
    parts = tuple(_leaf_distribution(leaf, config, *inputs) for leaf, *inputs in zip(space_leaves, outs, stds, masks))
    joint: Any = Joint(parts)
    return joint if isinstance(space, (spaces.Dict, spaces.Tuple)) else parts[0]


def _split(x: jax.Array | None, sizes: list[int]) -> list[Any]:
    """``x`` split along its last axis; None for each part if ``x`` is None."""
    return [None] * len(sizes) if x is None else jnp.split(x, np.cumsum(sizes)[:-1], axis=-1)


def _leaf_distribution(leaf: Space, config: PPOConfig, out: Any, free: Any, allowed: Any) -> Distribution:
    if isinstance(leaf, spaces.Discrete):
        return Categorical(masked(out, allowed, (int(leaf.n),)))
    if isinstance(leaf, spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in leaf.nvec.ravel())
        return MultiCategorical(masked(out, allowed, sizes), sizes)
    if isinstance(leaf, spaces.MultiBinary):
        return Bernoulli(masked_bits(out, allowed))
    if config.box_distribution in BINNED:
        logits = ordinal_logits(out, config.bins) if config.box_distribution == "ordinal" else out
        return MultiCategorical(logits, (config.bins,) * size(leaf))
    if config.box_distribution == "beta":
        alpha, beta = jnp.split(1.0 + jax.nn.softplus(out), 2, axis=-1)
        return Beta(alpha, beta)
    mean = out
    if config.state_dependent_std:
        mean, free = jnp.split(out, 2, axis=-1)
        free = free + config.log_std_init
    else:
        free = jnp.broadcast_to(free[None], out.shape)
    # The gradient ignores the bounds, so that a parameter beyond them can return.
    log_std = free + jax.lax.stop_gradient(jnp.clip(free, *LOG_STD_RANGE) - free)
    return Gaussian(mean, log_std) if config.box_distribution == "gaussian" else SquashedGaussian(mean, log_std)


def masked(logits: jax.Array, allowed: jax.Array | None, sizes: tuple[int, ...]) -> jax.Array:
    """Logits with -inf for masked choices. If all are masked, none is: ``no_action_allowed`` reports such masks."""
    if allowed is None:
        return logits
    parts = jnp.split(allowed, np.cumsum(sizes)[:-1], axis=-1)
    usable = jnp.concatenate([part | ~jnp.any(part, axis=-1, keepdims=True) for part in parts], axis=-1)
    return jnp.where(usable, logits, -jnp.inf)


def masked_bits(logits: jax.Array, allowed: jax.Array | None) -> jax.Array:
    """Logits of bits, ±inf where only one value is allowed; ``allowed`` are pairs ``[B, 2 n]``."""
    if allowed is None:
        return logits
    zero, one = allowed[..., 0::2], allowed[..., 1::2]
    return jnp.where(one & ~zero, jnp.inf, jnp.where(zero & ~one, -jnp.inf, logits))


def env_action(space: Space, config: PPOConfig, action: PyTree) -> PyTree:
    """The environment's action for a sampled one; log-probabilities are always of the sample itself."""
    if not isinstance(space, (spaces.Dict, spaces.Tuple)):
        return _leaf_env_action(space, config, action)
    parts = [_leaf_env_action(leaf, config, part) for leaf, part in zip(leaves(space), action)]
    return unflatten(space, iter(parts))


def _leaf_env_action(leaf: Space, config: PPOConfig, action: jax.Array) -> jax.Array:
    """Discrete spaces: shifted by ``start``. Box: a bounded dimension is sampled in units with bounds -1 and 1.

    A Gaussian sample is clipped to [-1, 1], a squashed one passes through tanh, a Beta's is stretched from (0, 1), a
    bin becomes its centre; then it is mapped to [low, high]. An unbounded dimension is clipped to the one bound it may
    have.
    """
    if isinstance(leaf, spaces.Discrete):
        return action + int(leaf.start)
    assert leaf.shape is not None
    shaped = action.reshape(action.shape[:-1] + leaf.shape)
    if isinstance(leaf, spaces.MultiDiscrete):
        return shaped + jnp.asarray(leaf.start, action.dtype).reshape((1,) * (action.ndim - 1) + leaf.shape)
    if not isinstance(leaf, spaces.Box):
        return shaped
    lead = (1,) * (action.ndim - 1)
    bounded, centre, half, floor, ceiling = (part.reshape((*lead, -1)) for part in action_bounds(leaf))
    if config.box_distribution in BINNED:
        unit = bin_centre(jnp.asarray(action), config.bins)
    elif config.box_distribution == "gaussian":
        unit = jnp.clip(action, -1.0, 1.0)
    else:
        unit = jnp.tanh(action) if config.box_distribution == "squashed_gaussian" else 2.0 * action - 1.0
    mapped = jnp.where(bounded, unit * half + centre, action)
    # This clip catches the rounding of the mapping and holds one-sided bounds.
    return jnp.clip(mapped, floor, ceiling).reshape(shaped.shape)


def sampled_action(space: Space, config: PPOConfig, action: PyTree) -> tuple[PyTree, jax.Array]:
    """The inverse of ``env_action``: the sampled action for the environment's, and log |d environment / d sample|.

    log π of the environment's action is that of the sample less this; it is 0 for what is not a Box. An action beyond
    the bounds counts as at the bound, where a Gaussian is clipped: there it is the density of a sample at the bound.
    Bins have probabilities: of an action it is that of the nearest bin.
    """
    parts = flatten(space, action)
    inverted = [_leaf_sampled_action(leaf, config, jnp.asarray(part)) for leaf, part in zip(leaves(space), parts)]
    samples, volumes = zip(*inverted)
    nested = isinstance(space, (spaces.Dict, spaces.Tuple))
    return samples if nested else samples[0], sum(volumes, start=jnp.zeros(()))


def _leaf_sampled_action(leaf: Space, config: PPOConfig, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    zero = jnp.zeros(())
    if isinstance(leaf, spaces.Discrete):
        return action - int(leaf.start), zero
    flat = action.reshape(action.shape[0], -1)
    if isinstance(leaf, spaces.MultiDiscrete):
        return flat - jnp.asarray(leaf.start.ravel(), flat.dtype)[None], zero
    if not isinstance(leaf, spaces.Box):
        return flat, zero
    bounded, centre, half, floor, ceiling = (part.reshape(1, -1) for part in action_bounds(leaf))
    unit = (jnp.clip(flat, floor, ceiling) - centre) / half
    if config.box_distribution in BINNED:
        return nearest_bin(unit, config.bins), zero
    volume = jnp.sum(jnp.where(bounded, jnp.log(half), 0.0))
    if config.box_distribution == "beta":
        return (unit + 1.0) / 2.0, volume + unit.shape[-1] * math.log(2.0)
    if config.box_distribution == "squashed_gaussian":
        return jnp.arctanh(jnp.clip(unit, -1.0 + SQUASH_EDGE, 1.0 - SQUASH_EDGE)), volume
    return jnp.where(bounded, unit, flat), volume


def has_bounds(space: Space) -> bool:
    """Whether a component of an action is mapped to finite bounds."""
    return any(isinstance(leaf, spaces.Box) and action_bounds(leaf)[0].any() for leaf in leaves(space))


def fraction_at_bounds(space: Space, config: PPOConfig, action: PyTree) -> jax.Array:
    """The fraction ``[B]`` of the bounded components of sampled actions that are at a bound in the environment."""
    parts = action if isinstance(space, (spaces.Dict, spaces.Tuple)) else (action,)
    at_bound: list[jax.Array] = []
    for leaf, part in zip(leaves(space), parts):
        if isinstance(leaf, spaces.Box):
            bounded, centre, half, _, _ = (x.reshape(1, -1) for x in action_bounds(leaf))
            unit = (_leaf_env_action(leaf, config, part).reshape(len(part), -1) - centre) / half
            at_bound.append((jnp.abs(unit) > AT_BOUND)[:, bounded[0]])
    return jnp.mean(jnp.concatenate(at_bound, axis=-1).astype(jnp.float32), axis=-1)


def action_bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(which dimensions are mapped, their centre, half their width, floor, ceiling), in float32.

    Floor and ceiling are rounded inward, so that no action leaves a float64 space. A dimension whose width overflows
    float32 is unbounded.
    """
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        floor, ceiling, width = (np.asarray(part).astype(np.float32) for part in (low, high, high - low))
    bounded = np.isfinite(width)
    floor = np.where(floor < low, np.nextafter(floor, np.float32(np.inf)), floor)
    ceiling = np.where(ceiling > high, np.nextafter(ceiling, np.float32(-np.inf)), ceiling)
    low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    return bounded, ((high + low) / 2).astype(np.float32), ((high - low) / 2).astype(np.float32), floor, ceiling
