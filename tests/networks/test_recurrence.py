"""A gated recurrence over time is its steps, bit for bit, and has their gradient. Trap 31."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.networks.recurrent import CELLS, unroll_cell

T, B, INPUTS, UNITS = 7, 3, 4, 5


def example(name):
    """(cell, parameters away from 0, (inputs [T, B, INPUTS], first [T, B]), carry of an episode under way)."""
    rng, cell = np.random.default_rng(0), CELLS[name](UNITS)
    first = np.zeros((T, B), bool)
    first[0, 0], first[3, 1], first[5, 2] = True, True, True
    params = jax.tree.map(lambda x: x + 0.3 * rng.standard_normal(x.shape).astype(np.float32), cell.init(rng, INPUTS))
    carry = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), cell.initial_carry(B))
    return cell, params, (rng.standard_normal((T, B, INPUTS)).astype(np.float32), first), carry


@pytest.mark.trap(31)
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_over_time_is_bit_for_bit_its_steps(name):
    cell, params, (x, first), carry = example(name)
    carries, outputs = jax.jit(partial(unroll_cell, cell))(params, carry, (x, first))
    step = jax.jit(cell.step)
    for t in range(T):
        carry, output = step(params, carry, (x[t], first[t]))
        np.testing.assert_array_equal(outputs[t], output)
        jax.tree.map(lambda a, b, t=t: np.testing.assert_array_equal(a[t], b), carries, carry)


@pytest.mark.trap(31)
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_the_gradient_of_a_cell_over_time_is_that_of_its_steps(name):
    cell, params, (x, first), begin = example(name)
    rng = np.random.default_rng(2)
    weights = jax.tree.map(lambda x: rng.standard_normal((T, *x.shape)).astype(np.float32), begin)

    def loss(cell, params, begin, x):
        carries, _ = unroll_cell(cell, params, begin, (x, first))  # every part of every carry counts
        return sum(jnp.sum(w * c) for w, c in zip(jax.tree.leaves(weights), jax.tree.leaves(carries)))

    ours, steps = (
        jax.jit(jax.grad(partial(loss, c), argnums=(0, 1, 2)))(params, begin, x)
        for c in (cell, cell._replace(unroll=None))
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(steps), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
