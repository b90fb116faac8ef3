"""Modules of other libraries as ``Network``, and their recurrent cells as ``Cell``: Flax linen, Flax nnx, Equinox.

In all three the module maps observations to a pair (policy outputs, value): logits for Discrete actions, means for
Box actions, and V(s). Only trainable parameters are allowed: with running statistics or dropout in the network, acting
and learning would use different policies.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import shown
from proximax.errors import DependencyError, UsageError
from proximax.networks.base import Network
from proximax.networks.recurrent import Cell, Inputs
from proximax.types import Key, Params, PyTree


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


def cell_from_linen(module: Any) -> Cell:
    """A ``flax.linen`` cell, as ``nn.GRUCell(features=64)``: ``module(carry, x)`` gives (carry, output)."""
    if isinstance(module, type) or not hasattr(module, "initialize_carry"):
        raise UsageError(f"module = {shown(module)}: must be a flax.linen cell, an object and not its class")

    def init(rng: np.random.Generator, inputs: int) -> Params:
        return module.init(random_key(rng), initial_carry(1), jnp.zeros((1, inputs)))["params"]

    def initial_carry(batch: int) -> PyTree:
        return module.initialize_carry(jax.random.key(0), (batch, 1))

    def step(params: Params, carry: PyTree, x: jax.Array) -> tuple[PyTree, jax.Array]:
        return module.apply({"params": params}, carry, x)

    return adapted_cell(init, initial_carry, step, module.features)


def cell_from_nnx(make: Callable[[int, Any], Any]) -> Cell:
    """A ``flax.nnx`` cell, given as ``make(inputs, rngs)``: called with (carry, x), it gives (carry, output)."""
    try:
        from flax import nnx
    except ImportError as error:
        raise DependencyError('cell_from_nnx needs Flax: pip install "proximax[flax]"') from error
    check_maker(make, nnx.Module, "inputs, rngs")

    def init(rng: np.random.Generator, inputs: int) -> Params:
        return nnx.to_pure_dict(nnx.state(make(inputs, nnx.Rngs(random_key(rng))), nnx.Param))

    def initial_carry(batch: int) -> PyTree:
        return make(1, nnx.Rngs(0)).initialize_carry((batch, 1), nnx.Rngs(0))

    def step(params: Params, carry: PyTree, x: jax.Array) -> tuple[PyTree, jax.Array]:
        # A cell keeps the state of its random numbers too, which no step uses.
        structure, like, other = nnx.split(make(x.shape[-1], nnx.Rngs(0)), nnx.Param, ...)
        state = jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(params))
        return nnx.merge(structure, state, other)(carry, x)

    return adapted_cell(init, initial_carry, step, make(1, nnx.Rngs(0)).hidden_features)


def cell_from_equinox(make: Callable[[int, Key], Any]) -> Cell:
    """An Equinox cell, given as ``make(inputs, key)``: called with one (x, carry), it gives the carry.

    Of ``eqx.nn.LSTMCell`` the carry is two arrays of ``hidden_size``, of others one. The output is the first.
    """
    try:
        import equinox as eqx
    except ImportError as error:
        raise DependencyError('cell_from_equinox needs Equinox: pip install "proximax[equinox]"') from error
    check_maker(make, eqx.Module, "inputs, key")
    example = make(1, jax.random.key(0))
    units = example.hidden_size

    def init(rng: np.random.Generator, inputs: int) -> Params:
        return eqx.partition(make(inputs, random_key(rng)), eqx.is_array)[0]

    def initial_carry(batch: int) -> PyTree:
        zeros = jnp.zeros((batch, units))
        return (zeros, zeros) if isinstance(example, eqx.nn.LSTMCell) else zeros

    def step(params: Params, carry: PyTree, x: jax.Array) -> tuple[PyTree, jax.Array]:
        _, static = eqx.partition(make(x.shape[-1], jax.random.key(0)), eqx.is_array)
        carry = jax.vmap(eqx.combine(params, static))(x, carry)
        return carry, jax.tree.leaves(carry)[0]

    return adapted_cell(init, initial_carry, step, units)


def adapted_cell(
    init: Callable[[np.random.Generator, int], Params],
    initial_carry: Callable[[int], PyTree],
    step: Callable[[Params, PyTree, jax.Array], tuple[PyTree, jax.Array]],
    units: int,
) -> Cell:
    """A ``Cell`` from a ``step`` that knows nothing of episodes: the carry is set back before it."""

    def reset_and_step(params: Params, carry: PyTree, inputs: Inputs) -> tuple[PyTree, jax.Array]:
        x, first = inputs
        begin = initial_carry(len(x))
        carry = jax.tree.map(lambda a, b: jnp.where(first.reshape(-1, *[1] * (b.ndim - 1)), a, b), begin, carry)
        return step(params, carry, x)

    return Cell(init, initial_carry, reset_and_step, units)


def random_key(rng: np.random.Generator) -> Key:
    """A key drawn with ``rng``."""
    return jax.random.key(int(rng.integers(2**31)))
