"""Flax linen, Flax nnx and Equinox networks and a plain pair of functions, each trained on CartPole."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import proximax
from proximax.errors import CheckpointError, UsageError
from proximax.networks.adapters import (
    cell_from_equinox,
    cell_from_linen,
    cell_from_nnx,
    from_equinox,
    from_linen,
    from_nnx,
)
from proximax.networks.dense import mlp_torso
from proximax.networks.recurrent import recurrent, unroll_cell
from tests.support.toy_envs import lawful_jax
from tests.support.toy_gym import ACTIONS


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.tanh(nn.Dense(64)(nn.tanh(nn.Dense(64)(x))))
        return nn.Dense(2, kernel_init=nn.initializers.orthogonal(0.01))(h), nn.Dense(1)(h)[..., 0]


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.first, self.second = nnx.Linear(4, 64, rngs=rngs), nnx.Linear(64, 64, rngs=rngs)
        self.policy, self.value = nnx.Linear(64, 2, rngs=rngs), nnx.Linear(64, 1, rngs=rngs)

    def __call__(self, x):
        h = nnx.tanh(self.second(nnx.tanh(self.first(x))))
        return self.policy(h), self.value(h)[..., 0]


class Equinox(eqx.Module):
    torso: eqx.nn.MLP
    heads: eqx.nn.Linear

    def __init__(self, key):
        a, b = jax.random.split(key)
        tanh = jax.nn.tanh
        self.torso = eqx.nn.MLP(4, 64, 64, 1, activation=tanh, final_activation=tanh, key=a)
        self.heads = eqx.nn.Linear(64, 3, key=b)

    def __call__(self, x):
        out = self.heads(self.torso(x))
        return out[:2], out[2]


def plain():
    def init(key, obs):
        a, b = jax.random.split(key)
        return {"w": 0.5 * jax.random.normal(a, (4, 64)), "heads": 0.05 * jax.random.normal(b, (64, 3))}

    def apply(params, obs):
        out = jnp.tanh(obs @ params["w"]) @ params["heads"]
        return out[:, :2], out[:, 2]

    return proximax.Network(init, apply)


MORE = pytest.mark.exhaustive  # every library's networks are trained below
NETWORKS = {
    "plain": plain,
    "linen": lambda: from_linen(Linen()),
    "nnx": lambda: from_nnx(Nnx),
    "equinox": lambda: from_equinox(Equinox),
}


@pytest.mark.learning
@pytest.mark.optimised
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "goal"),
    [("plain", 150), ("equinox", 450), pytest.param("linen", 150, marks=MORE), pytest.param("nnx", 150, marks=MORE)],
)
def test_a_network_of_ones_own_learns_cartpole_and_comes_back_from_disk(name, goal, tmp_path):
    """One until it is solved, the others until it is clear that they learn: random actions return 22."""
    network = NETWORKS[name]()
    result = proximax.train("CartPole-v1", network=network, stop_at_return=goal, out=tmp_path / "run", quiet=True)
    assert result.stopped_by == "stop_at"
    errors = [row["first_ratio_error"] for row in result.history]
    assert errors[0] <= 1e-6
    # Acting and learning multiply matrices of other heights; their rounding grows with |log π| (an ulp of 10 is 1e-6)
    assert max(errors) <= 1e-5
    with pytest.raises(CheckpointError, match=r"network=\.\.\."):
        proximax.load(tmp_path / "run")
    again = proximax.load(tmp_path / "run", network=network)
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_array_equal(again.act(obs), result.agent.act(obs))


def test_networks_with_hidden_state_are_refused():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.BatchNorm(use_running_average=False)(x)
            return nn.Dense(2)(h), nn.Dense(1)(h)[..., 0]

    with pytest.raises(UsageError, match="batch_stats"):
        proximax.train("CartPole-v1", network=from_linen(Normed()), quiet=True)

    class NnxNormed(nnx.Module):
        def __init__(self, rngs):
            self.norm = nnx.BatchNorm(4, rngs=rngs)

    with pytest.raises(UsageError, match=r"besides nnx\.Param"):
        from_nnx(NnxNormed)


def test_a_network_that_does_not_fit_the_action_space_is_refused():
    wide = proximax.mlp(outputs=3)
    with pytest.raises(UsageError, match=r"policy output has shape \(1, 3\).*Discrete\(2\).* needs \(1, 2\)"):
        proximax.train("CartPole-v1", network=wide, quiet=True)
    flat = proximax.Network(wide.init, lambda params, obs: (wide.apply(params, obs)[0][:, :2], jnp.zeros((1, 1))))
    with pytest.raises(UsageError, match=r"value has shape \(1, 1\); it must be \(1,\)"):
        proximax.train("CartPole-v1", network=flat, quiet=True)


def test_parameters_that_are_not_float32_are_refused():
    net = plain()
    half = proximax.Network(
        lambda key, obs: jax.tree.map(lambda x: x.astype(jnp.bfloat16), net.init(key, obs)), net.apply
    )
    with pytest.raises(UsageError, match=r"'heads'\] is of bfloat16; parameters must be float32"):
        proximax.train("CartPole-v1", network=half, quiet=True)


# ---------------------------------------------------------------- nested observations


class NestedLinen(nn.Module):
    @nn.compact
    def __call__(self, obs):
        image, _ = obs["eye"]
        h = jnp.concatenate([obs["script"], image.reshape(image.shape[0], -1)], axis=-1)
        return nn.Dense(3)(h), nn.Dense(1)(h)[..., 0]


class NestedNnx(nnx.Module):
    def __init__(self, rngs):
        self.policy, self.value = nnx.Linear(3, 3, rngs=rngs), nnx.Linear(13, 1, rngs=rngs)

    def __call__(self, obs):
        return self.policy(obs["script"]), self.value(obs["dial"])[..., 0]


class NestedEquinox(eqx.Module):
    policy: eqx.nn.Linear
    value: eqx.nn.Linear

    def __init__(self, key):
        a, b = jax.random.split(key)
        self.policy, self.value = eqx.nn.Linear(8, 3, key=a), eqx.nn.Linear(2, 1, key=b)

    def __call__(self, obs):
        _, place = obs["eye"]
        return self.policy(place), self.value(obs["bits"])[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda: from_linen(NestedLinen()), lambda: from_nnx(NestedNnx), lambda: from_equinox(NestedEquinox)]
)
def test_a_network_of_ones_own_sees_the_nested_observation_without_the_mask(make):
    env = lawful_jax(ACTIONS["discrete"], masked=True, nested=True)
    settings = {"steps": 16, "num_steps": 8, "num_envs": 2, "minibatch_size": None, "epochs": 1, "eval_episodes": 2}
    result = proximax.train(env, network=make(), quiet=True, preset="none", **settings)
    assert result.history[0]["finite"] == 1
    assert result.history[0]["first_ratio_error"] <= 1e-6
    np.testing.assert_array_equal(result.evaluation.returns, result.evaluation.lengths)  # nothing forbidden was done


def equinox_step(cell, key):
    def step(params, carry, x):
        carry = jax.vmap(eqx.combine(params, cell(3, key)))(x, carry)
        return carry, carry[0] if isinstance(carry, tuple) else carry

    return step


def nnx_step(make):
    def step(params, carry, x):
        cell = make(3, nnx.Rngs(0))
        nnx.update(cell, params)
        return cell(carry, x)

    return step


KEY = jax.random.key(0)
EQUINOX = {
    kind: (lambda inputs, key, kind=kind: kind(inputs, 5, key=key)) for kind in (eqx.nn.GRUCell, eqx.nn.LSTMCell)
}
NNX = {kind: (lambda inputs, rngs, kind=kind: kind(inputs, 5, rngs=rngs)) for kind in (nnx.GRUCell, nnx.LSTMCell)}
CELLS = {
    **{
        f"linen {kind.__name__}": (
            cell_from_linen(kind(5)),
            lambda p, c, x, kind=kind: kind(5).apply({"params": p}, c, x),
        )
        for kind in (nn.GRUCell, nn.LSTMCell)
    },
    **{f"nnx {kind.__name__}": (cell_from_nnx(make), nnx_step(make)) for kind, make in NNX.items()},
    **{
        f"equinox {kind.__name__}": (cell_from_equinox(make), equinox_step(make, KEY)) for kind, make in EQUINOX.items()
    },
}


@pytest.mark.trap(31)
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_another_library_is_what_it_is_there_and_begins_anew_with_each_episode(name):
    cell, step = CELLS[name]
    rng = np.random.default_rng(0)
    params, x = cell.init(rng, 3), rng.standard_normal((4, 2, 3)).astype(np.float32)
    first = np.array([[True, True], [False, False], [False, True], [False, False]])
    begin = jax.tree.map(lambda a: a + 1.0, cell.initial_carry(2))  # of which nothing must remain
    _, outputs = unroll_cell(cell, params, begin, (x, first))
    assert outputs.shape == (4, 2, cell.units)
    for env, starts in enumerate([[0], [0, 2]]):
        for start in starts:
            carry = cell.initial_carry(1)
            for t in range(start, 4 if start == starts[-1] else 2):
                carry, output = step(params, carry, x[t, env : env + 1])
                np.testing.assert_allclose(outputs[t, env], output[0], atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["nnx LSTMCell", pytest.param("linen GRUCell", marks=MORE), pytest.param("equinox GRUCell", marks=MORE)],
)
def test_a_network_with_a_cell_of_another_library_trains(name):
    network = recurrent(2, mlp_torso((4,), "tanh"), [CELLS[name][0]])
    settings = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 1, "eval_episodes": 2, "quiet": True}
    result = proximax.train("probe:recall", network=network, steps=32, **settings)
    assert result.history[0]["first_ratio_error"] < 1e-5


def test_what_is_no_cell_is_refused():
    with pytest.raises(UsageError, match=r"must be a flax\.linen cell"):
        cell_from_linen(nn.GRUCell)
    with pytest.raises(UsageError, match="must be a function make"):
        cell_from_nnx(nnx.GRUCell(3, 5, rngs=nnx.Rngs(0)))
    with pytest.raises(UsageError, match="must be a function make"):
        cell_from_equinox(eqx.nn.GRUCell(3, 5, key=KEY))
