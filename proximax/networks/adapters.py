"""Modules of other libraries as ``Network``: Flax linen, Flax nnx, Equinox.

In all three the module maps observations to a pair (policy outputs, value): logits for Discrete actions, means for
Box actions, and V(s). Only trainable parameters are allowed: with running statistics or dropout in the network, acting
and learning would use different policies.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from proximax.config import shown
from proximax.errors import DependencyError, UsageError
from proximax.networks.base import Network
from proximax.types import Key, Params


def from_linen(module: Any) -> Network:
    """A ``flax.linen`` module whose ``__call__(obs [B, ...])`` returns (outputs ``[B, outputs]``, values ``[B]``)."""
    if isinstance(module, type) or not (hasattr(module, "init") and hasattr(module, "apply")):
        raise UsageError(f"module = {shown(module)}: must be a flax.linen module, an object and not its class")

    def init(key: Key, obs: jax.Array) -> Params:
        variables = module.init(key, obs)
        if set(variables) != {"params"}:
            raise UsageError(
                f"the module has variables besides 'params': {', '.join(sorted(set(variables) - {'params'}))}"
            )
        return variables["params"]

    def apply(params: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return module.apply({"params": params}, obs)

    return Network(init, apply)


def check_maker(make: Any, module: type, argument: str) -> None:
    """Refuse a module where a function belongs that makes one."""
    if isinstance(make, module) or not callable(make):
        raise UsageError(f"make = {shown(make)}: must be a function make({argument}) that creates the module")


def from_nnx(make: Callable[[Any], Any]) -> Network:
    """A ``flax.nnx`` module, given as ``make(rngs)``; called with ``[B, ...]``, returns (``[B, outputs]``, ``[B]``)."""
    try:
        from flax import nnx
    except ImportError as error:
        raise DependencyError('from_nnx needs Flax: pip install "proximax[flax]"') from error
    check_maker(make, nnx.Module, "rngs")
    structure, params_like, other = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)
    if jax.tree.leaves(other):
        raise UsageError(f"the module has state besides nnx.Param: {other}")

    def init(key: Key, obs: jax.Array) -> Params:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        state = jax.tree.unflatten(jax.tree.structure(params_like), jax.tree.leaves(params))
        return nnx.merge(structure, state)(obs)

    return Network(init, apply)


def from_equinox(make: Callable[[Key], Any]) -> Network:
    """An Equinox module, given as ``make(key)``; called with one observation, returns (``[outputs]``, a scalar)."""
    try:
        import equinox as eqx
    except ImportError as error:
        raise DependencyError('from_equinox needs Equinox: pip install "proximax[equinox]"') from error
    check_maker(make, eqx.Module, "key")
    # The static part (sizes, activations) is the same for every key; ``init`` creates the arrays.
    _, static = eqx.partition(make(jax.random.key(0)), eqx.is_array)

    def init(key: Key, obs: jax.Array) -> Params:
        params, _ = eqx.partition(make(key), eqx.is_array)
        if not all(np.issubdtype(x.dtype, np.floating) for x in jax.tree.leaves(params)):
            raise UsageError("the module has arrays that are not of floats, which cannot be trained")
        return params

    def apply(params: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.vmap(eqx.combine(params, static))(obs)

    return Network(init, apply)
