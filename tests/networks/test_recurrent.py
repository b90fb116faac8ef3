"""Recurrent cells: their equations, one step and many, memory that ends with the episode. Trap 31."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import proximax
from proximax.networks.dense import mlp_torso
from proximax.networks.recurrent import CELLS, Cell, recurrent

T, B, INPUTS, UNITS = 7, 3, 4, 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(p, h, x):
    w, u = (np.split(np.float64(p[k]["w"]), 3, axis=1) for k in ("input", "memory"))
    b, c = (np.split(np.float64(p[k]["b"]), 3) for k in ("input", "memory"))
    r = sigmoid(x @ w[0] + b[0] + h @ u[0] + c[0])
    z = sigmoid(x @ w[1] + b[1] + h @ u[1] + c[1])
    h = (1 - z) * np.tanh(x @ w[2] + b[2] + r * (h @ u[2] + c[2])) + z * h
    return h, h


def lstm_step(p, carry, x):
    h, c = carry
    total = x @ np.float64(p["input"]["w"]) + p["input"]["b"] + h @ np.float64(p["memory"]["w"]) + p["memory"]["b"]
    i, f, o, g = np.split(total, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h, c), h


def min_gru_step(p, h, x):
    z, candidate = np.split(x @ np.float64(p["w"]) + p["b"], 2, axis=1)
    h = (1 - sigmoid(z)) * h + sigmoid(z) * np.tanh(candidate)
    return h, h


STEPS = {"gru": gru_step, "lstm": lstm_step, "mingru": min_gru_step}


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    first = np.zeros((T, B), bool)
    first[0], first[3, 1], first[5, 2] = True, True, True
    return rng.standard_normal((T, B, INPUTS)).astype(np.float32), first


def params_of(cell):
    """Parameters away from 0, also the biases."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: x + 0.3 * rng.standard_normal(x.shape).astype(np.float32), cell.init(rng, INPUTS))


@pytest.mark.trap(31)
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_computes_its_equations_and_forgets_where_an_episode_opens(name):
    cell, (x, first) = CELLS[name](UNITS), inputs()
    params = params_of(cell)
    zero = jax.tree.map(np.float64, cell.initial_carry(B))
    carry, theirs = cell.initial_carry(B), zero
    for t in range(T):
        carry, output = cell.step(params, carry, (x[t], jnp.asarray(first[t])))
        theirs = jax.tree.map(lambda memory, t=t: np.where(first[t][:, None], 0.0, memory), theirs)
        theirs, expected = STEPS[name](params, theirs, np.float64(x[t]))
        np.testing.assert_allclose(output, expected, atol=2e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), carry, theirs)
    assert cell.units == UNITS == output.shape[1]


def network_of(name, shared=False, cells=2, outputs=3):
    return recurrent(outputs, mlp_torso((6,), "tanh"), [CELLS[name](UNITS)] * cells, shared)


def unrolled_and_stepped(network, x, first):
    params = network.init(jax.random.key(0), x[0, :1])
    carry, unroll, apply = network.initial_carry(B), jax.jit(network.unroll), jax.jit(network.apply)
    steps = []
    for t in range(T):
        out, value, carry = apply(params, carry, x[t], first[t])
        steps.append((out, value, carry))
    return unroll(params, network.initial_carry(B), x, first), jax.tree.map(lambda *parts: np.stack(parts), *steps)


@pytest.mark.trap(31)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_over_time_a_network_is_what_it_is_step_by_step(name, shared):
    whole, steps = unrolled_and_stepped(network_of(name, shared), *inputs())
    assert jax.tree.structure(whole) == jax.tree.structure(steps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-7), whole, steps)
    assert whole[0].shape == (T, B, 3)
    assert whole[1].shape == (T, B)
    assert len(jax.tree.leaves(whole[2])) == (1 if shared else 2) * 2 * (2 if name == "lstm" else 1)


@pytest.mark.trap(31)
@pytest.mark.parametrize("name", CELLS)
def test_nothing_after_an_episodes_start_depends_on_what_was_before_it(name):
    network, (x, first) = network_of(name), inputs()
    params = network.init(jax.random.key(0), x[0, :1])

    def later(x, carry, env):
        out, value, _ = network.unroll(params, carry, x, first)
        return jnp.sum(out[3:, env]) + jnp.sum(value[3:, env])

    gradients = jax.jit(jax.grad(later, argnums=(0, 1)))
    by_input, by_carry = gradients(x, network.initial_carry(B), 1)
    assert (np.asarray(by_input)[:3] == 0).all()
    assert np.abs(by_input[3:, 1]).min() > 0
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(by_carry))
    by_input, _ = gradients(x, network.initial_carry(B), 0)  # whose episode goes on
    assert np.abs(by_input[:3, 0]).min() > 0


@pytest.mark.slow
def test_a_cell_of_ones_own_needs_only_its_step():
    def step(params, carry, inputs):  # an average that forgets
        x, first = inputs
        carry = jnp.where(first[:, None], 0.0, carry)
        carry = params["decay"] * carry + x
        return carry, carry

    cell = Cell(lambda rng, inputs: {"decay": np.float32(0.5)}, lambda batch: jnp.zeros((batch, 6)), step, units=6)
    network = recurrent(2, mlp_torso((6,), "tanh"), [cell])
    whole, steps = unrolled_and_stepped(network, *inputs())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-7), whole, steps)
    result = proximax.train(
        "probe:matching", network=network._replace(), steps=64, num_envs=2, num_steps=16, minibatch_size=16,
        epochs=1, eval_episodes=2, quiet=True,
    )  # fmt: skip
    assert result.history[0]["first_ratio_error"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 30, 32), (30, 32, 3)])
def test_below_the_memory_images_have_convolutions(shape):
    from gymnasium import spaces

    from proximax.config.ppo_config import PPOConfig
    from proximax.policy.policy import make_policy

    space = spaces.Box(0, 255, shape, np.uint8)
    policy = make_policy(space, spaces.Discrete(4), PPOConfig(recurrent_units=8), "gru")
    params = policy.init(jax.random.key(0))
    obs = np.random.default_rng(0).integers(0, 256, (T * B, *shape), np.uint8)
    _, first = inputs()
    dist, value, carries = policy.unroll(params, policy.initial_carry(B), policy.encode(None, obs), first)
    assert (dist.logits.shape, value.shape) == ((T * B, 4), (T * B,))
    carry = policy.initial_carry(B)
    for t in range(2):
        rows = obs.reshape(T, B, *shape)[t]
        _, v, carry = policy.apply(params, carry, policy.encode(None, rows), first[t])
        np.testing.assert_allclose(v, value.reshape(T, B)[t], atol=2e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, atol=2e-6), carries, carry)
