"""Shards: V parts of a rollout on axes of their own learn what one learner learns from the whole of it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.config import RunConfig
from proximax.maths import batch_moments
from proximax.policy import init_obs_moments
from proximax.ppo import learn_from_rollout
from proximax.ppo.diagnostics import first_index
from proximax.ppo.shards import (
    least_over_shards,
    moments_of_all,
    moments_of_minibatches,
    rollout_specs,
    state_specs,
    sum_over_shards,
)
from proximax.ppo.update import update
from proximax.runtime import SHARDS, environment_keys, shard_key
from proximax.runtime.prng import seed_key
from proximax.types import RewardScale, TrainState
from tests.support.updates import OBS, find, scheduled_values, setup, state_of

pytestmark = pytest.mark.trap(38)
V = 2


def on_shards(function, axes=0, out_axes=0):
    """``function`` on V shards; a test needs no devices for them, since ``vmap`` has the same collectives."""
    return jax.jit(jax.vmap(function, in_axes=axes, out_axes=out_axes, axis_name=SHARDS))


def parts_of(x, axis=0):
    """``x`` in V parts along its axis of environments, ``[V, ...]``."""
    return jax.tree.map(lambda leaf: jnp.stack(jnp.split(leaf, V, axis=axis)), x)


def close(a, b, rtol=2e-5, atol=2e-6):
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=jax.tree_util.keystr(path))


def test_sums_are_of_all_shards_and_the_ratio_error_is_the_largest():
    stats = {"loss": jnp.array([1.0, 2.0]), "ratio_error": jnp.array([0.5, 0.25]), "count": jnp.array([3, 4])}
    whole = on_shards(lambda x: sum_over_shards(x, V))(stats)
    assert {name: x.tolist() for name, x in whole.items()} == {
        "loss": [3.0, 3.0],
        "ratio_error": [0.5, 0.5],
        "count": [7, 7],
    }
    assert on_shards(lambda x: least_over_shards(x, V))(jnp.array([1.0, 0.0])).tolist() == [0.0, 0.0]


def test_one_shard_exchanges_nothing():
    moments = batch_moments(jnp.arange(4.0), ())
    assert sum_over_shards(moments, 1) is moments
    assert moments_of_all(moments, 1) is moments
    assert moments_of_minibatches(jnp.ones((2, 3)), jnp.ones((2, 3)), 1) is None
    key = jax.random.key(0)
    assert shard_key(key, 1) is key
    ours, split = (jax.random.key_data(keys) for keys in (environment_keys(key, 3, 1), jax.random.split(key, 3)))
    np.testing.assert_array_equal(ours, split)


def test_moments_of_all_shards_are_those_of_all_samples():
    rng = np.random.default_rng(0)
    rows = jnp.asarray(rng.normal(100.0, 3.0, (V, 50, 3)), jnp.float32)
    weight = jnp.asarray(rng.integers(0, 2, (V, 50)), jnp.float32).at[1].set(0.0).at[1, 7].set(1.0)
    merged = on_shards(lambda x, w: moments_of_all(batch_moments(x, (3,), w), V))(rows, weight)
    kept = np.asarray(rows, np.float64).reshape(-1, 3)[np.asarray(weight).ravel() > 0]
    for shard in range(V):
        assert merged.count[shard] == len(kept)
        np.testing.assert_allclose(merged.mean[shard], kept.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(merged.m2[shard] / len(kept), kept.var(axis=0), rtol=1e-4)


def test_an_environments_key_follows_from_its_number_among_all():
    key = seed_key(3)
    two = on_shards(lambda _: jax.random.key_data(environment_keys(key, 3, V)))(jnp.arange(2))
    three = on_shards(lambda _: jax.random.key_data(environment_keys(key, 2, 3)))(jnp.arange(3))
    np.testing.assert_array_equal(two.reshape(6, 2), three.reshape(6, 2))
    assert len(np.unique(two.reshape(6, 2), axis=0)) == 6
    minibatch_keys = on_shards(lambda _: jax.random.key_data(shard_key(key, V)))(jnp.arange(V))
    assert len(np.unique(minibatch_keys, axis=0)) == V


@pytest.mark.parametrize(("shard", "t", "n", "index"), [(1, 2, 0, 2 * 4 + 2), (0, 3, 1, 3 * 4 + 1), (None, 0, 0, -1)])
def test_the_first_index_counts_the_environments_of_all_shards(shard, t, n, index):
    flags = np.zeros((V, 5, 2), bool)
    if shard is not None:
        flags[shard, t, n] = flags[1 - shard, 4, 1] = True
    assert on_shards(lambda x: first_index(x, V))(jnp.asarray(flags)).tolist() == [index] * V


CASES = {
    "clip": ("clip", {}),
    "value-clip": ("clip", {"value_epsilon": 0.2, "standardise_advantage": False}),
    "across": ("clip", {"standardise_across_envs": True, "entropy_coef": 0.02}),
    "recompute": (
        "clip",
        {"recompute_advantage": True, "epochs": 3, "normalise_values": True, "box_distribution": "ordinal", "bins": 5},
    ),
    "stop": ("clip", {"target_kl": 0.003, "epochs": 6, "kl_control": "stop"}),
    "penalty": ("penalty", {"beta": 2.0}),
    "a2c": ("a2c", {"epochs": 1}),
    "reinforce": ("reinforce", {"advantage": "to-go"}),
    "npg": ("npg", {}),
    "trpo": ("trpo", {}),
    # The first step of the discrete policy goes too far, by the KL of all shards together, and is halved.
    "trpo-halved": ("trpo", {"conjugate_gradient_steps": 2}),
}
# In the fast lane; the other cases with discrete actions.
OF_CONTINUOUS = {"value-clip", "recompute", "stop", "reinforce", "trpo"}
MORE = (pytest.mark.slow, pytest.mark.exhaustive)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "case"),
    [
        pytest.param(kind, case, marks=() if (case in OF_CONTINUOUS) == (kind == "continuous") else MORE)
        for kind in ("discrete", "continuous")
        for case in CASES
    ],
)
def test_shards_learn_what_one_learner_learns_from_their_whole_rollout(case, kind):
    """Whole rollouts as minibatches, so that the order of the samples changes nothing but rounding."""
    algo, settings = CASES[case]
    ppo, policy, params, rollout = setup(kind, minibatch_size=None, **settings)
    # Of unequal parts: a shard that divided by its own number of samples would count them otherwise.
    valid = rollout.valid.at[:9, 0].set(0.0).at[3:5, 1].set(0.0)
    rollout = rollout._replace(valid=valid, reward=rollout.reward.at[:, 2:].multiply(3.0))
    algorithm, state, key = find(algo), state_of(ppo, params, algo=algo), jax.random.key(1)
    scheduled = scheduled_values(ppo, state, 10)

    def learn(part, shards):
        return update(algorithm, policy, ppo, state, part, scheduled, key, shards)

    alone = jax.jit(lambda part: learn(part, 1))(rollout)
    together = on_shards(lambda part: learn(part, V), 0)(parts_of(rollout, axis=1))
    for shard in range(V):
        mine = jax.tree.map(lambda x, shard=shard: x[shard], together)
        close(mine[0], alone[0])
        close(mine[1], alone[1], atol=1e-5)
        close(mine[2], alone[2], rtol=2e-4, atol=2e-5)
    assert "halved" not in case or kind == "continuous" or alone[2]["line_search_fraction"] == 0.5
    moved = jax.tree.map(lambda new, old: float(jnp.abs(new - old).max()), alone[0], params)
    assert max(jax.tree.leaves(moved)) > 1e-4


@pytest.mark.slow
def test_what_follows_a_rollout_is_of_all_shards_too():
    """The reward's scale, the observations' moments, the diagnostics; minibatches are parts of each shard's rollout."""
    ppo, policy, params, rollout = setup("continuous", minibatch_size=None, scale_reward=True, normalise_obs=True)
    config = RunConfig("test", num_envs=4, steps=64, ppo=replace(ppo, num_steps=16, anneal=()))
    moments = init_obs_moments(OBS, config.ppo)
    rollout = rollout._replace(value=None, next_value=None, dist=None, valid=rollout.valid.at[:9, 0].set(0.0))
    scale = RewardScale(jnp.array([0.5, -1.0, 2.0, 0.0]), batch_moments(jnp.array([1.0, 3.0]), ()))
    state = state_of(ppo, params, moments)._replace(
        reward_scale=scale, hyperparameters={name: jnp.float32(x) for name, x in config.numbers().items()}, rollout=()
    )
    algorithm, key = find("clip"), jax.random.key(1)
    alone = jax.jit(lambda: learn_from_rollout(algorithm, policy, config, state, rollout, key))()
    sharded = replace(config, shards=V)
    sharded.check()
    axes = TrainState(*(None for _ in TrainState._fields))._replace(reward_scale=RewardScale(0, None))
    divided = state._replace(reward_scale=scale._replace(discounted_return=parts_of(scale.discounted_return)))
    after, metrics = on_shards(
        lambda state, part: learn_from_rollout(algorithm, policy, sharded, state, part, key), (axes, 0)
    )(divided, parts_of(rollout, axis=1))
    np.testing.assert_allclose(after.reward_scale.discounted_return.ravel(), alone[0].reward_scale.discounted_return)
    for shard in range(V):
        mine = jax.tree.map(lambda x, shard=shard: x[shard], (after.params, after.obs_moments, metrics))
        close(mine, (alone[0].params, alone[0].obs_moments, alone[1]), rtol=2e-4, atol=2e-5)
        close(after.reward_scale.moments.m2[shard], alone[0].reward_scale.moments.m2)


@pytest.mark.slow
def test_what_is_not_finite_in_one_shard_undoes_the_update_of_all():
    ppo, policy, params, rollout = setup("continuous", minibatch_size=None, normalise_obs=True, scale_reward=False)
    config = RunConfig("test", num_envs=4, steps=64, shards=V, ppo=replace(ppo, num_steps=16, anneal=()))
    state = state_of(ppo, params, init_obs_moments(OBS, config.ppo))._replace(
        hyperparameters={name: jnp.float32(x) for name, x in config.numbers().items()}, rollout=(), reward_scale=()
    )
    rollout = rollout._replace(obs=rollout.obs.at[3, 3].set(1e30))  # of the last shard; its square is no float32
    learn = lambda part: learn_from_rollout(find("clip"), policy, config, state, part, jax.random.key(1))  # noqa: E731
    after, metrics = on_shards(learn)(parts_of(rollout, axis=1))
    assert metrics["finite"].tolist() == [0.0] * V
    for new, old in zip(jax.tree.leaves(after.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(new, jnp.stack([old] * V))


def test_a_minibatch_has_an_equal_part_of_every_shard():
    ppo, policy, params, rollout = setup(minibatch_size=16, epochs=3)
    state = state_of(ppo, params)
    learn = lambda part: update(  # noqa: E731
        find("clip"), policy, ppo, state, part, scheduled_values(ppo, state, 10), jax.random.key(1), V
    )
    params_of_shards, _, metrics = on_shards(learn)(parts_of(rollout, axis=1))
    assert metrics["gradient_steps"].tolist() == [3 * 64 / 16] * V
    assert metrics["steps"].tolist() == [64.0] * V
    assert float(metrics["first_ratio_error"].max()) < 1e-6
    for leaf in jax.tree.leaves(params_of_shards):
        np.testing.assert_array_equal(leaf[0], leaf[1])


def test_only_the_environments_are_divided():
    specs = state_specs()
    divided = [name for name, spec in specs._asdict().items() if SHARDS in str(spec)]
    assert divided == ["reward_scale", "rollout"]
    assert SHARDS not in str(specs.reward_scale.moments)
    stacked = rollout_specs(True)
    assert SHARDS not in str(stacked.obs.ages)
    assert all(SHARDS in str(spec) for spec in (stacked.obs.frames, stacked.reward, rollout_specs(False).obs))
