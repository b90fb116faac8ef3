"""Each frame stored once: what is read of the store, and learned of it, is what plain arrays of stacks hold."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from proximax.config.ppo_config import PPOConfig
from proximax.envs.env_groups import DoubleBufferedEnvs, EnvGroups
from proximax.maths import init_moments, update_moments
from proximax.policy.observations import update_obs_moments, update_stack_moments
from proximax.policy.policy import make_policy
from proximax.ppo.values import add_values, bootstrap_values_of_frames, evaluate_policy
from proximax.runtime.prng import seed_key
from proximax.spaces.frame_stack import FrameStore, Stacked, is_stacked, observations_at, take_observations, take_stacks
from tests.support.toy_envs import Screens, collected, host_learner

MODES = pytest.mark.parametrize("next_step", [False, True], ids=["same_step", "next_step"])
PPO = PPOConfig(num_steps=16, minibatch_size=32, epochs=2, hidden=(8, 8), normalise_pixels=True)


def unstacked(x, newest, rows):
    """The stacks ``[R, S, N, ...]`` of rows ``[R]`` of one rollout, read one by one."""
    depth, (_, seeds, envs) = len(x.ages), newest.shape
    read = [
        [
            [[x.frames[newest[t, s, n] - age, s, n] for age in range(depth - 1, -1, -1)] for n in range(envs)]
            for s in range(seeds)
        ]
        for t in rows
    ]
    return np.array(read)


def both(make, seeds, steps=40, rollouts=3):
    """(with stacked observations, with plain ones) rollouts of the same games."""
    actions = np.zeros(steps, int)
    return zip(*(collected(make(), seeds, actions, stacked, rollouts) for stacked in (True, False)), strict=True)


@MODES
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("lengths", [(1, 1), (1, 4), (5, 90)], ids=["shortest", "short", "long"])
def test_the_store_holds_what_plain_arrays_hold(next_step, depth, lengths):
    """Rollout after rollout, also of games so short that the store must grow."""
    make = partial(Screens, 6, next_step, depth, lengths)
    for (ours, episodes, state), (plain, same_episodes, same_state) in both(make, np.arange(6).reshape(2, 3)):
        assert is_stacked(ours.obs)
        assert ours.final_obs is None
        assert plain.obs.shape == (40, 2, 3, depth, 4, 3)
        np.testing.assert_array_equal(unstacked(ours.obs, ours.obs.newest, range(40)), plain.obs)
        reached = unstacked(ours.obs, ours.obs.final, range(40))
        valid = plain.valid > 0
        assert valid.all() != next_step or lengths == (5, 90)
        np.testing.assert_array_equal(reached[valid], plain.final_obs[valid])
        rest = [r._replace(obs=None, final_obs=None) for r in (ours, plain)]
        jax.tree.map(np.testing.assert_array_equal, *rest)
        jax.tree.map(np.testing.assert_array_equal, (episodes, state), (same_episodes, same_state))


def test_rollouts_of_one_step():
    for (ours, *_), (plain, *_) in both(partial(Screens, 4, False), np.arange(4)[None], 1, 6):
        np.testing.assert_array_equal(unstacked(ours.obs, ours.obs.newest, [0]), plain.obs)
        np.testing.assert_array_equal(unstacked(ours.obs, ours.obs.final, [0]), plain.final_obs)


@MODES
@pytest.mark.parametrize("lengths", [(1, 2), (3, 30)])
def test_a_store_filled_in_columns_is_the_same(next_step, lengths):
    """Two groups of each of two seeds' environments take turns."""
    seeds = np.arange(8).reshape(2, 4)
    at_once = collected(Screens(8, next_step, 3, lengths), seeds, np.zeros(40, int), True, 2)
    env = DoubleBufferedEnvs([Screens(4, next_step, 3, lengths) for _ in range(2)], 2)
    assert env.stacked
    assert EnvGroups(env.envs).stacked
    for one, other in zip(at_once, collected(env, seeds, np.zeros(40, int), True, 2), strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def one_seed(next_step=False, lengths=(1, 9), envs=4, steps=30):
    """(stacked, plain) rollouts ``[T, N, ...]`` of one seed, the second of two."""
    pairs = list(both(partial(Screens, envs, next_step, 3, lengths), np.arange(envs)[None], steps, 2))
    rollouts = [r for r, *_ in pairs[1]]
    return [jax.tree.map(lambda x: jnp.asarray(np.squeeze(x, 1)), r) for r in rollouts]


@MODES
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_rows_are_read_in_any_order_and_more_than_once(next_step, transform):
    ours, plain = one_seed(next_step)
    rows = np.random.default_rng(0).integers(0, 120, 50)
    read = transform(take_observations)({"a": ours.obs, "b": (plain.obs,)}, rows)
    np.testing.assert_array_equal(read["a"], plain.obs.reshape(120, 3, 4, 3)[rows])
    np.testing.assert_array_equal(read["b"][0], plain.obs.reshape(120, 3, 4, 3)[rows])
    assert read["a"].dtype == np.uint8


def test_by_hand():
    """Two environments, depth 2, two steps; the first one's game ends with step 0."""
    stack = lambda *frames: np.array(frames, np.uint8).reshape(len(frames), 1, 1)  # noqa: E731
    grouped = lambda *stacks: np.stack(stacks)[None]  # noqa: E731
    store = FrameStore(2, np.zeros((1, 2, 2, 1, 1), np.uint8))
    store.begin(slice(None), grouped(stack(1, 2), stack(11, 12)))
    fresh = np.array([[True, False]])
    store.add(0, slice(None), grouped(stack(2, 3), stack(12, 13)), grouped(stack(0, 4), stack(12, 13)), fresh)
    store.add(1, slice(None), grouped(stack(4, 5), stack(13, 14)), grouped(stack(4, 5), stack(13, 14)), ~fresh & fresh)
    x = store.stacked()
    np.testing.assert_array_equal(x.frames[:6, 0, 0].ravel(), [1, 2, 3, 0, 4, 5])
    np.testing.assert_array_equal(x.frames[:4, 0, 1].ravel(), [11, 12, 13, 14])
    np.testing.assert_array_equal(x.newest[:, 0], [[1, 1], [4, 2]])
    np.testing.assert_array_equal(x.final[:, 0], [[2, 2], [5, 3]])
    np.testing.assert_array_equal(x.ages[:, 0], [1, 0])
    one = Stacked(*(np.squeeze(leaf, 1) for leaf in x))
    np.testing.assert_array_equal(
        take_stacks(one, one.newest, np.arange(4)).reshape(4, 2), [[1, 2], [11, 12], [0, 4], [12, 13]]
    )
    np.testing.assert_array_equal(
        take_stacks(one, one.final, np.arange(4)).reshape(4, 2), [[2, 3], [12, 13], [4, 5], [13, 14]]
    )


@pytest.mark.parametrize(("steps", "seeds", "envs", "shape"), [(128, 1, 8, (4, 84, 84)), (16, 2, 3, (2, 5, 7, 3))])
def test_memory_is_a_frame_a_step_and_some_room(steps, seeds, envs, shape):
    store = FrameStore(steps, np.zeros((seeds, envs, *shape), np.uint8))
    depth, frame = shape[0], int(np.prod(shape[1:]))
    room = depth * (1 + max(2, steps // 32))
    x = store.stacked()
    assert x.frames.nbytes == seeds * envs * (steps + room) * frame
    assert x.newest.nbytes == x.final.nbytes == 4 * steps * seeds * envs
    assert x.frames.base is None  # the store itself
    plain = 2 * steps * seeds * envs * depth * frame  # obs and final_obs
    if steps == 128:
        assert sum(leaf.nbytes for leaf in x) * 6.9 < plain


# ---------------------------------------------------------------- learning


def policy_of(env, ppo):
    """A policy, its parameters and moments of something."""
    policy = make_policy(env.observation_space, env.action_space, ppo, "mlp")
    rng = np.random.default_rng(0)
    moments = init_moments(env.observation_space.shape)
    moments = update_moments(moments, jnp.asarray(rng.uniform(0, 1, (9, *env.observation_space.shape)), jnp.float32))
    return policy, policy.init(seed_key(0)), moments


@pytest.mark.slow
@pytest.mark.trap(2)
@MODES
@pytest.mark.parametrize("lengths", [(1, 1), (1, 3), (4, 9), (500, 500)])
def test_values_reached_are_those_of_one_pass_over_the_final_observations(next_step, lengths):
    """However many rows there are that V(s_{t+1}) cannot answer for."""
    ours, plain = one_seed(next_step, lengths)
    policy, params, moments = policy_of(Screens(1, next_step), PPO)
    rows = np.arange(120)
    _, expected = evaluate_policy(policy, params, moments, plain._replace(obs=plain.final_obs), rows)
    _, value = evaluate_policy(policy, params, moments, ours, rows)
    valid = plain.valid.ravel() > 0
    for transform in (lambda f: f, jax.jit):
        found = transform(partial(bootstrap_values_of_frames, policy))(params, moments, ours, value)
        assert found.shape == (120,)
        np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-5, atol=1e-6)
    follows = np.append(plain.obs[1:] == plain.final_obs[:-1], np.zeros((1, 4, 3, 4, 3), bool), axis=0)
    assert not follows.all()  # so it is not V(s_{t+1}) alone


@MODES
def test_rollouts_are_valued_alike(next_step):
    ours, plain = one_seed(next_step)
    policy, params, moments = policy_of(Screens(1, next_step), PPO)
    a, b = (jax.jit(partial(add_values, policy))(params, moments, r) for r in (ours, plain))
    valid = plain.valid > 0
    for name in ("value", "next_value"):
        np.testing.assert_allclose(getattr(a, name)[valid], getattr(b, name)[valid], rtol=1e-5, atol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), a.dist, b.dist)


def test_values_are_found_in_parts_where_there_are_many_rows(monkeypatch):
    ours, plain = one_seed()
    policy, params, moments = policy_of(Screens(1, False), PPO)
    whole = evaluate_policy(policy, params, moments, plain, np.arange(120))
    for most in (1, 7, 50, 120):
        monkeypatch.setattr("proximax.ppo.values.IMAGES_PER_CHUNK", most)
        parts = evaluate_policy(policy, params, moments, ours, np.arange(120))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), parts, whole)


@pytest.mark.slow
@MODES
def test_gradients_are_those_of_plain_observations(next_step, monkeypatch):
    ours, plain = one_seed(next_step)
    policy, params, moments = policy_of(Screens(1, next_step), PPO)
    rows = np.random.default_rng(1).permutation(120)[:60]

    def loss(params, rollout):
        dist, value = evaluate_policy(policy, params, moments, rollout, rows)
        return jnp.mean(jnp.square(value)) + jnp.mean(dist.entropy())

    expected = jax.grad(loss)(params, plain)
    for most in (256, 20):
        monkeypatch.setattr("proximax.ppo.values.IMAGES_PER_CHUNK", most)
        found = jax.jit(jax.grad(loss))(params, ours)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, expected)


@pytest.mark.trap(30)
@MODES
def test_the_moments_are_those_of_the_plain_observations(next_step):
    ours, plain = one_seed(next_step)
    moments = init_moments((3, 4, 3))
    for _ in range(2):  # of nothing, then of something
        found = jax.jit(partial(update_stack_moments, of_all=lambda x: x))(moments, ours.obs, plain.valid)
        expected = jax.jit(update_obs_moments)(moments, plain.obs, plain.valid)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), found, expected)
        moments = found
    assert found.count == 2 * plain.valid.sum()
    kept = plain.obs[plain.valid > 0] / 255
    np.testing.assert_allclose(found.mean, kept.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found.m2 / found.count, kept.var(0), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("next_step", "seeds", "settings"),
    [(False, 1, {}), (True, 2, {}), (True, 1, {"recompute_advantage": True, "normalise_pixels": False})],
)
def test_learning_from_stored_frames_is_learning_from_plain_observations(next_step, seeds, settings):
    learned = []
    for stacked in (True, False):
        env = Screens(4 * seeds, next_step)
        env.stacked = stacked
        ppo = PPOConfig(**{**PPO.__dict__, **settings})
        learner, state, _ = host_learner(env, ppo, steps=192, seeds=seeds, network="mlp")
        for _ in range(3):
            state, metrics = learner.step(state)
        assert np.all(metrics["first_ratio_error"] < 1e-5)
        learned.append(jax.tree.map(np.asarray, (state.params, state.obs_moments, state.reward_scale, state.rollout)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), *learned)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["a2c", "trpo"])
def test_steps_on_the_whole_rollout_and_of_the_critic_alone_learn_from_stored_frames_too(algo):
    learned = []
    for stacked in (True, False):
        env = Screens(4, False)
        env.stacked = stacked
        own = {"epochs": 1, "minibatch_size": None} if algo == "a2c" else {}
        learner, state, _ = host_learner(env, PPOConfig(**{**PPO.__dict__, **own}), steps=128, algo=algo, network="mlp")
        learned.append(jax.tree.map(np.asarray, learner.step(state)[0].params))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), *learned)


def test_only_a_store_stands_for_an_array():
    assert not is_stacked(np.zeros(3))
    assert not is_stacked((np.zeros(3), None))
    assert Screens.stacked
    assert isinstance(Screens(1, True).observation_space, spaces.Box)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.data())
def test_any_games_are_read_back_as_plain_arrays_have_them(depth, seeds, envs, steps, data):
    """Whatever ends when, in one store for two rollouts, filled at once or in two groups of columns."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    draw = lambda *shape: rng.integers(0, 256, (*shape, 2, 2), np.uint8)  # noqa: E731
    obs = draw(seeds, envs, depth)
    store, cut = FrameStore(steps, obs), data.draw(st.integers(0, envs))
    groups = [slice(0, cut), slice(cut, envs)] if 0 < cut < envs else [slice(None)]
    chance = data.draw(st.sampled_from([0.0, 0.2, 1.0]))
    for _ in range(2):
        plain, finals = [], []
        for columns in groups:
            store.begin(columns, obs[:, columns])
        for t in range(steps):
            plain.append(obs)
            reached = np.concatenate([obs[:, :, 1:], draw(seeds, envs, 1)], axis=2)
            fresh = rng.random((seeds, envs)) < chance
            obs = np.where(fresh[..., None, None, None], draw(seeds, envs, depth), reached)
            finals.append(reached)
            for columns in groups:
                store.add(t, columns, reached[:, columns], obs[:, columns], fresh[:, columns])
        kept = store.stacked()
        for t in range(steps):
            np.testing.assert_array_equal(observations_at(kept, t), plain[t])
            np.testing.assert_array_equal(observations_at(kept._replace(newest=kept.final), t), finals[t])
