"""Networks with memory: a torso, a recurrent cell, and a policy and a value head.

A cell is one step, ``carry, output = step(params, carry, (input, first))``, for a batch ``[B, ...]``. Where ``first``
is true an episode opens: the step sets the carry back before it uses it, so acting and learning cannot differ in that.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from proximax.networks.base import RecurrentNetwork, Torso, affine, apply_heads, init_heads, orthogonal
from proximax.networks.recurrence import Update, advance, recur, reset
from proximax.types import Array, Key, Params, PyTree

Inputs = tuple[jax.Array, jax.Array]  # features [B, inputs], first [B]
TorsoFn = Callable[[Params, PyTree], jax.Array]
CellFn = Callable[["Cell", Params, PyTree, Inputs], tuple[PyTree, jax.Array]]


class Cell(NamedTuple):
    """A recurrent cell.

    ``init(rng, inputs)`` draws the parameters for so many input features; ``initial_carry(batch)`` is the carry of an
    episode's start; ``step`` as above. ``unroll(params, carry, (inputs [T, B, inputs], first [T, B]))`` gives (carries
    ``[T, B, ...]`` after each step, outputs ``[T, B, units]``), the same as T steps; None: a ``lax.scan`` of ``step``.
    """

    init: Callable[[np.random.Generator, int], Params]
    initial_carry: Callable[[int], PyTree]
    step: Callable[[Params, PyTree, Inputs], tuple[PyTree, jax.Array]]
    units: int
    unroll: Callable[[Params, PyTree, Inputs], tuple[PyTree, jax.Array]] | None = None


def recurrent(outputs: int, torso: Torso, cells: Sequence[Cell], shared: bool = False) -> RecurrentNetwork:
    """A torso, cells one on top of the other, and heads; separate ones for actor and critic unless ``shared``."""
    trunks = ("both",) if shared else ("actor", "critic")

    def init(key: Key, obs: PyTree) -> Params:
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))  # NumPy: see ``dense.mlp``
        params, widths = {}, list[int]()
        for name in trunks:
            torso_params, width = torso.init(rng, obs)
            widths = [width, *(cell.units for cell in cells)]
            cell_params = [cell.init(rng, inputs) for cell, inputs in zip(cells, widths)]
            params[name] = {"torso": torso_params, "cells": cell_params}
        return params | init_heads(rng, widths[-1], outputs)

    def initial_carry(batch: int) -> PyTree:
        return {name: [cell.initial_carry(batch) for cell in cells] for name in trunks}

    def run(
        torso_fn: TorsoFn, cell_fn: CellFn, params: Params, carry: PyTree, obs: PyTree, first: Array
    ) -> tuple[jax.Array, jax.Array, PyTree]:
        features, after = dict[str, jax.Array](), dict[str, list[PyTree]]()
        for name in trunks:
            x, after[name] = torso_fn(params[name]["torso"], obs), []
            for cell, weights, memory in zip(cells, params[name]["cells"], carry[name], strict=True):
                memory, x = cell_fn(cell, weights, memory, (x, jnp.asarray(first)))
                after[name].append(memory)
            features[name] = x.reshape(-1, x.shape[-1])
        out, value = apply_heads(params, features[trunks[0]], features[trunks[-1]])
        return out.reshape(*first.shape, outputs), value.reshape(first.shape), after

    apply, unroll = partial(run, torso.apply, step_cell), partial(run, partial(torso_over_time, torso), unroll_cell)
    return RecurrentNetwork(init, initial_carry, apply, unroll)


def torso_over_time(torso: Torso, params: Params, obs: PyTree) -> jax.Array:
    """The features ``[T, B, width]`` of ``[T, B, ...]``: of vectors all at once, of images a step at a time."""
    if torso.of_images:  # all at once they would not fit the caches, nor perhaps the memory
        return jax.lax.map(lambda x: torso.apply(params, x), obs)
    times, batch = jax.tree.leaves(obs)[0].shape[:2]
    features = torso.apply(params, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), obs))
    return features.reshape(times, batch, -1)


def step_cell(cell: Cell, params: Params, carry: PyTree, inputs: Inputs) -> tuple[PyTree, jax.Array]:
    """(the next carry, output) for inputs ``[B, ...]``."""
    return cell.step(params, carry, inputs)


def unroll_cell(cell: Cell, params: Params, carry: PyTree, inputs: Inputs) -> tuple[PyTree, jax.Array]:
    """(carries after each step, outputs) for inputs ``[T, B, ...]``."""
    if cell.unroll is not None:
        return cell.unroll(params, carry, inputs)

    def step(carry: PyTree, inputs: Inputs) -> tuple[PyTree, tuple[PyTree, jax.Array]]:
        carry, output = cell.step(params, carry, inputs)
        return carry, (carry, output)

    return jax.lax.scan(step, carry, inputs)[1]


def gru(units: int) -> Cell:
    """Gated recurrent unit.

        r = σ(W_r x + U_r h),  z = σ(W_z x + U_z h),  n = tanh(W_n x + r (U_n h)),  h' = (1 - z) n + z h

    with a bias in each product. Source: Cho et al. 2014 (arXiv 1406.1078), in the form of cuDNN, whose reset gate is
    applied after the product.
    """

    def update(x: jax.Array, product: jax.Array, h: jax.Array) -> jax.Array:
        (xr, xz, xn), (hr, hz, hn) = jnp.split(x, 3, axis=-1), jnp.split(product, 3, axis=-1)
        z = jax.nn.sigmoid(xz + hz)
        return (1.0 - z) * jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn) + z * h

    def init(rng: np.random.Generator, inputs: int) -> Params:
        return {"input": gates(rng, inputs, units, 3), "memory": gates(rng, units, units, 3)}

    return gated(init, update, lambda batch: jnp.zeros((batch, units)), units)


def lstm(units: int) -> Cell:
    """Long short-term memory.

        i, f, o = σ(W x + U h),  g = tanh(W_g x + U_g h),  c' = f c + i g,  h' = o tanh(c')

    The bias of f starts at 1. Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000 (f); Jozefowicz et al. 2015 (its
    bias).
    """

    def update(x: jax.Array, product: jax.Array, carry: PyTree) -> PyTree:
        total = x + product
        i, f, o = jnp.split(jax.nn.sigmoid(total[:, : 3 * units]), 3, axis=-1)  # split before, it is half as fast
        c = f * carry[1] + i * jnp.tanh(total[:, 3 * units :])
        return o * jnp.tanh(c), c

    def init(rng: np.random.Generator, inputs: int) -> Params:
        params = {"input": gates(rng, inputs, units, 4), "memory": gates(rng, units, units, 4)}
        params["input"]["b"][units : 2 * units] = 1.0
        return params

    return gated(init, update, lambda batch: (jnp.zeros((batch, units)), jnp.zeros((batch, units))), units)


def gated(
    init: Callable[[np.random.Generator, int], Params],
    update: Update,
    initial_carry: Callable[[int], PyTree],
    units: int,
) -> Cell:
    """A cell whose gates are affine in its input and in its memory's first array; ``update`` as in ``recurrence``."""

    def step(params: Params, memory: PyTree, inputs: Inputs) -> tuple[PyTree, jax.Array]:
        x, first = inputs
        weights = params["memory"]["w"], params["memory"]["b"]
        memory, _ = advance(update, *weights, memory, (affine(x, **params["input"]), first))
        return memory, jax.tree.leaves(memory)[0]

    def unroll(params: Params, memory: PyTree, inputs: Inputs) -> tuple[PyTree, jax.Array]:
        x, first = inputs
        from_input = affine(x.reshape(-1, x.shape[-1]), **params["input"]).reshape(*x.shape[:2], -1)
        memories = recur(update, params["memory"]["w"], params["memory"]["b"], memory, from_input, first)
        return memories, jax.tree.leaves(memories)[0]

    return Cell(init, initial_carry, step, units, unroll)


def min_gru(units: int) -> Cell:
    """A GRU whose gates depend on the input alone, so that its matrix products run over all of T at once.

        z = σ(W_z x),  h' = (1 - z) h + z tanh(W_h x)

    Source: Feng et al. 2024 (arXiv 2410.01201), minGRU; with tanh for bounded memory.
    """

    def init(rng: np.random.Generator, inputs: int) -> Params:
        return gates(rng, inputs, units, 2)

    def gate(params: Params, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        z, candidate = jnp.split(affine(x, **params), 2, axis=-1)
        z = jax.nn.sigmoid(z)
        return z, z * jnp.tanh(candidate)

    def update(h: jax.Array, gated: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        z, added, first = gated
        h = (1.0 - z) * reset(h, first) + added
        return h, h

    def step(params: Params, h: jax.Array, inputs: Inputs) -> tuple[jax.Array, jax.Array]:
        x, first = inputs
        return update(h, (*gate(params, x), first))

    def unroll(params: Params, h: jax.Array, inputs: Inputs) -> tuple[jax.Array, jax.Array]:
        x, first = inputs
        gated = (part.reshape(*x.shape[:2], units) for part in gate(params, x.reshape(-1, x.shape[-1])))
        _, outputs = jax.lax.scan(update, h, (*gated, first))
        return outputs, outputs

    return Cell(init, lambda batch: jnp.zeros((batch, units)), step, units, unroll)


CELLS: dict[str, Callable[[int], Cell]] = {"gru": gru, "lstm": lstm, "mingru": min_gru}


def gates(rng: np.random.Generator, rows: int, units: int, count: int) -> PyTree:
    """An affine map to ``count`` gates of ``units`` each, every gate's matrix orthogonal."""
    w = np.concatenate([orthogonal(rng, rows, units, 1.0) for _ in range(count)], axis=1)
    return {"w": w, "b": np.zeros(count * units, np.float32)}
