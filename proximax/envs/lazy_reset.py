"""Fresh starts of many JAX environments, computed only in steps in which an episode ended."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from proximax.envs.base import auto_reset
from proximax.types import Array, Key, PyTree

Choice = Callable[[Array, Key, PyTree], PyTree]


def reset_where_ended(reset: Callable[[Key], PyTree]) -> Choice:
    """``(last, key, reached) -> auto_reset(last, reset(key), reached)`` for one environment, cheap under ``vmap``.

    ``vmap`` turns a condition of each environment into a choice between two values that are always both computed: a
    fresh start for every environment in every step. This has a rule of its own, one condition for all environments of
    all seeds: ``reset`` is computed if any episode ended, for all of them, else not at all. The values are the same.
    """

    def choose(last: Array, key: Key, reached: PyTree) -> PyTree:
        return auto_reset(last, reset(key), reached)

    one: Any = custom_vmap(choose)
    batch: Any = custom_vmap(partial(_choose_if_any, jax.vmap(choose)))
    one.def_vmap(partial(_of_batch, batch))
    batch.def_vmap(partial(_of_flat_batch, batch))
    return one


def _choose_if_any(choose: Choice, last: Array, key: Key, reached: PyTree) -> PyTree:
    return jax.lax.cond(jnp.any(last), choose, lambda last, key, reached: reached, last, key, reached)


def _of_batch(batch: Choice, size: int, mapped: Any, *arguments: Any) -> tuple[PyTree, PyTree]:
    """The rule of ``vmap`` for one environment: arguments ``[N, ...]``."""
    chosen = batch(*_with_axis(size, mapped, arguments))
    return chosen, jax.tree.map(lambda _: True, chosen)


def _of_flat_batch(batch: Choice, size: int, mapped: Any, *arguments: Any) -> tuple[PyTree, PyTree]:
    """The rule of ``vmap`` for a batch of them: ``[S, N, ...]`` as one batch of S N."""
    arguments = _with_axis(size, mapped, arguments)
    inner = arguments[0].shape[1]
    flat = jax.tree.map(lambda x: x.reshape(size * inner, *x.shape[2:]), arguments)
    chosen = jax.tree.map(lambda x: x.reshape(size, inner, *x.shape[1:]), batch(*flat))
    return chosen, jax.tree.map(lambda _: True, chosen)


def _with_axis(size: int, mapped: Any, arguments: Any) -> Any:
    """Arguments that all have the axis ``vmap`` maps over, those without it ``size`` times."""
    return jax.tree.map(lambda has, x: x if has else jnp.broadcast_to(x, (size, *x.shape)), tuple(mapped), arguments)
