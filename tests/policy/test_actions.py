"""What goes out to the environment: distributions, bounds, exact types; what is refused. Traps 12, 16-18, 32; faults 3,
4, 10.
"""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from proximax.config.ppo_config import PPOConfig
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.errors import UsageError
from proximax.maths.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Gaussian,
    Joint,
    MultiCategorical,
    SquashedGaussian,
)
from proximax.policy.actions import (
    LOG_STD_RANGE,
    action_distribution,
    check_box_distribution,
    env_action,
    fraction_at_bounds,
    num_log_stds,
    num_outputs,
    sampled_action,
)
from proximax.runtime.prng import key_from_data
from tests.support.toy_envs import vector
from tests.support.toy_gym import ACTIONS, BOUNDED, UNBOUNDED, Lawful, at, options, places

INF = np.inf
KEY = key_from_data(np.array([0, 5], np.uint32))
GAUSSIAN, SQUASHED, BETA = (PPOConfig(box_distribution=kind) for kind in ("gaussian", "squashed_gaussian", "beta"))
BINS = PPOConfig(box_distribution="binned", bins=5)
STATE_STD, SQUASHED_STATE_STD = (
    PPOConfig(box_distribution=kind, state_dependent_std=True, log_std_init=-0.5)
    for kind in ("gaussian", "squashed_gaussian")
)
CONFIGS = {
    "gaussian": GAUSSIAN,
    "squashed": SQUASHED,
    "beta": BETA,
    "state std": STATE_STD,
    "squashed state std": SQUASHED_STATE_STD,
}


def box(low, high, dtype=np.float32):
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


def sent(space, raw, config=GAUSSIAN):
    """The environment's actions for raw samples, as an environment gets them."""
    return np.asarray(env_action(space, config, np.asarray(raw, np.float32))).astype(space.dtype)


def outputs(space, config, rows=200, scale=2.0):
    """(network outputs, free log σ) drawn at random."""
    rng = np.random.default_rng(0)
    out = scale * rng.standard_normal((rows, num_outputs(space, config)))
    return jnp.asarray(out, jnp.float32), jnp.asarray(rng.normal(-0.5, 0.5, num_log_stds(space, config)), jnp.float32)


def distribution(space, config, rows=200, scale=2.0, allowed=None):
    out, log_std = outputs(space, config, rows, scale)
    return action_distribution(space, config, out, log_std, allowed)


# ---------------------------------------------------------------- bounds


@pytest.mark.trap(17)
def test_bounded_dimensions_map_minus_one_to_one_onto_the_bounds_and_clip():
    space = box([-2, 0, 10], [2, 1, 30])
    raw = [[-1] * 3, [1] * 3, [0] * 3, [0.5] * 3, [9] * 3, [-9] * 3]
    expected = [[-2, 0, 10], [2, 1, 30], [0, 0.5, 20], [1, 0.75, 25], [2, 1, 30], [-2, 0, 10]]
    np.testing.assert_array_equal(sent(space, raw), np.array(expected, np.float32))


@pytest.mark.trap(17)
def test_each_dimension_follows_its_own_bounds():
    space = box([0, -INF, 0, -INF], [4, INF, INF, 2])  # both, none, below only, above only
    raw = [[0, 123.5, -3, -50], [0.5, -123.5, 5, 7], [-7, 0, 0, 2]]
    expected = [[2, 123.5, 0, -50], [3, -123.5, 5, 2], [0, 0, 0, 2]]
    np.testing.assert_array_equal(sent(space, raw), np.array(expected, np.float32))


@pytest.mark.trap(17)
def test_shapes_of_any_rank_take_their_bounds_elementwise():
    space = box([[0, 0], [0, -1]], [[1, 2], [4, 1]])
    assert num_outputs(space, GAUSSIAN) == 4
    ends = np.stack([-np.ones(4), np.ones(4), np.zeros(4)])
    np.testing.assert_array_equal(sent(space, ends), np.stack([space.low, space.high, [[0.5, 1], [2, 0]]]))
    rollout = np.broadcast_to(ends[:, None], (3, 2, 4))  # [T, N, A]
    assert sent(space, rollout).shape == (3, 2, 2, 2)
    np.testing.assert_array_equal(sent(space, rollout)[:, 1], sent(space, ends))
    scalar = spaces.Box(-2.0, 6.0, ())
    np.testing.assert_array_equal(sent(scalar, [[-1], [0], [5]]), [-2, 2, 6])


def test_a_squashed_action_is_the_tanh_of_the_sample_stretched_to_the_bounds():
    space = box([-2, 10], [2, 30])
    raw = np.array([[0, 0], [np.arctanh(0.5), np.arctanh(-0.5)], [50, -50]])
    np.testing.assert_allclose(sent(space, raw, SQUASHED), [[0, 20], [1, 15], [2, 10]], rtol=1e-6)


def test_a_beta_action_is_the_sample_stretched_from_0_and_1_to_the_bounds():
    space = box([-2, 10], [2, 30])
    np.testing.assert_allclose(
        sent(space, [[0, 0], [0.25, 0.75], [0.5, 0.5], [1, 1]], BETA), [[-2, 10], [-1, 25], [0, 20], [2, 30]], rtol=1e-6
    )


@pytest.mark.trap(17)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("config", [GAUSSIAN, SQUASHED, BETA], ids=["gaussian", "squashed", "beta"])
def test_no_action_leaves_its_space_by_rounding(dtype, config):
    low, high = [-0.1, 0.1, -1e-8, -0.7, 1e5 / 3], [0.1, 0.7, 1e-7, 0.3, 1e6 / 3]
    if config is GAUSSIAN:
        high[3] = INF
    space = box(low, high, dtype)
    raw = np.random.default_rng(0).normal(size=(500, 5)) * 2
    raw = np.concatenate([raw, -np.ones((1, 5)), np.ones((1, 5)), np.full((1, 5), 50), np.full((1, 5), -50)])
    raw = np.clip(raw, 0, 1) if config is BETA else raw
    assert all(space.contains(action) for action in sent(space, raw, config))


@pytest.mark.trap(17)
def test_the_largest_finite_bounds_give_finite_actions():
    most = np.finfo(np.float32).max
    actions = sent(box([-most], [most]), [[-1.0], [0.0], [1.0]])
    assert np.isfinite(actions).all()
    assert actions[1] == 0


# ---------------------------------------------------------------- every kind of action

KINDS = {
    "Discrete": (spaces.Discrete(3), "gaussian"),
    "Discrete start": (spaces.Discrete(5, start=-2), "gaussian"),
    "MultiDiscrete": (spaces.MultiDiscrete([2, 3, 1]), "gaussian"),
    "MultiDiscrete start": (spaces.MultiDiscrete([2, 3], start=[10, -5]), "gaussian"),
    "MultiDiscrete 2-d": (spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[1, 0], [-3, 7]]), "gaussian"),
    "MultiDiscrete int32": (spaces.MultiDiscrete([2, 3], dtype=np.int32), "gaussian"),
    "MultiBinary": (spaces.MultiBinary(4), "gaussian"),
    "MultiBinary 2-d": (spaces.MultiBinary([2, 3]), "gaussian"),
    "Box float32": (BOUNDED, "gaussian"),
    "Box float64": (box([-0.1, 1e5 / 3], [0.7, 1e6 / 3], np.float64), "gaussian"),
    "Box without bounds": (spaces.Box(-INF, INF, (2,)), "gaussian"),
    "Box with bounds on one side": (box([0, -INF, -1], [INF, 2, 1]), "gaussian"),
    "Box scalar": (spaces.Box(-2.0, 6.0, ()), "gaussian"),
    "Box 2-d": (spaces.Box(-2.0, 6.0, (2, 3)), "gaussian"),
    "squashed float32": (BOUNDED, "squashed"),
    "squashed float64": (box([-0.1, 1e5 / 3], [0.7, 1e6 / 3], np.float64), "squashed"),
    "squashed 2-d": (spaces.Box(-2.0, 6.0, (2, 3)), "squashed"),
    "beta float32": (BOUNDED, "beta"),
    "beta float64": (box([-0.1, 1e5 / 3], [0.7, 1e6 / 3], np.float64), "beta"),
    "beta scalar": (spaces.Box(-2.0, 6.0, ()), "beta"),
    "state std": (UNBOUNDED, "state std"),
    "squashed state std": (BOUNDED, "squashed state std"),
    "nested gaussian": (ACTIONS["nested"], "gaussian"),
    "nested beta": (ACTIONS["nested"], "beta"),
    "nested state std": (ACTIONS["nested"], "state std"),
    "Tuple": (spaces.Tuple((spaces.Discrete(2), BOUNDED)), "squashed"),
    "Dict of one": (spaces.Dict(only=spaces.Discrete(3, start=1)), "gaussian"),
}


@pytest.mark.trap(32)
@pytest.mark.parametrize("kind", KINDS)
def test_every_sampled_action_is_contained_in_its_space(kind):
    space, config = KINDS[kind][0], CONFIGS[KINDS[kind][1]]
    dist = distribution(space, config)

    def go(dist):
        drawn = dist.sample(KEY)
        return dist.log_prob(drawn), env_action(space, config, drawn), env_action(space, config, dist.mode())

    log_prob, *both = jax.jit(go)(dist)
    assert log_prob.shape == (200,)
    assert np.isfinite(log_prob).all()
    for path, leaf in places(space):
        for action in both:
            cast = np.asarray(at(action, path)).astype(leaf.dtype)
            assert cast.shape == (200, *leaf.shape)
            assert all(leaf.contains(np.asarray(x)) for x in cast)
        drawn = np.asarray(at(both[0], path)).reshape(200, -1)
        if isinstance(leaf, spaces.Box):
            assert (np.ptp(drawn, axis=0) > 0).all()
        else:  # every option comes up
            assert [len(set(column.tolist())) for column in drawn.T] == options(leaf)


@pytest.mark.parametrize(
    ("space", "config", "kind", "outs", "stds"),
    [
        (spaces.Discrete(3, start=4), GAUSSIAN, Categorical, 3, 0),
        (spaces.MultiDiscrete([[2], [5]]), GAUSSIAN, MultiCategorical, 7, 0),
        (spaces.MultiBinary([2, 3]), GAUSSIAN, Bernoulli, 6, 0),
        (spaces.Box(-1.0, 1.0, (2, 2)), GAUSSIAN, Gaussian, 4, 4),
        (spaces.Box(-1.0, 1.0, ()), GAUSSIAN, Gaussian, 1, 1),
        (BOUNDED, STATE_STD, Gaussian, 4, 0),
        (BOUNDED, SQUASHED, SquashedGaussian, 2, 2),
        (BOUNDED, SQUASHED_STATE_STD, SquashedGaussian, 4, 0),
        (BOUNDED, BETA, Beta, 4, 0),
        (BOUNDED, PPOConfig(box_distribution="beta", state_dependent_std=True), Beta, 4, 0),
        (BOUNDED, BINS, MultiCategorical, 10, 0),
        (BOUNDED, replace(BINS, box_distribution="ordinal", state_dependent_std=True), MultiCategorical, 10, 0),
        (spaces.Tuple((BOUNDED, spaces.Discrete(3), BOUNDED)), GAUSSIAN, Joint, 7, 4),
        (ACTIONS["nested"], GAUSSIAN, Joint, 5 + 2 + 2 + 4, 2),
        (ACTIONS["nested"], BETA, Joint, 5 + 4 + 2 + 4, 0),
        (ACTIONS["nested"], BINS, Joint, 5 + 10 + 2 + 4, 0),
    ],
)
def test_every_kind_has_its_distribution_and_number_of_outputs(space, config, kind, outs, stds):
    assert (num_outputs(space, config), num_log_stds(space, config)) == (outs, stds)
    dist = distribution(space, config, rows=6)
    assert type(dist) is kind
    assert dist.entropy().shape == dist.kl(dist).shape == (6,)


def test_a_joint_log_prob_is_the_sum_of_its_parts_over_the_leaves_in_order():
    space = ACTIONS["nested"]  # aim [2, 3], arm (Box of 2, two bits), turn of 4
    out, log_std = (np.asarray(x) for x in outputs(space, GAUSSIAN, rows=6))
    dist = action_distribution(space, GAUSSIAN, jnp.asarray(out), jnp.asarray(log_std), None)
    aim, box_, bits, turn = drawn = [np.asarray(x) for x in dist.sample(KEY)]
    row = np.arange(6)
    log_softmax = lambda x: x - np.log(np.exp(x).sum(axis=-1, keepdims=True))  # noqa: E731
    hand = log_softmax(out[:, 0:2])[row, aim[:, 0]] + log_softmax(out[:, 2:5])[row, aim[:, 1]]
    hand += scipy.stats.norm(out[:, 5:7], np.exp(log_std)).logpdf(box_).sum(axis=-1)
    hand += np.where(bits == 1, -np.log1p(np.exp(-out[:, 7:9])), -np.log1p(np.exp(out[:, 7:9]))).sum(axis=-1)
    hand += log_softmax(out[:, 9:13])[row, turn]
    np.testing.assert_allclose(dist.log_prob(tuple(map(jnp.asarray, drawn))), hand, rtol=1e-4, atol=1e-4)
    env = env_action(space, GAUSSIAN, tuple(drawn))
    assert list(env) == ["aim", "arm", "turn"]
    np.testing.assert_array_equal(env["aim"], aim.reshape(6, 2, 1) + np.array([[[3], [1]]]))
    np.testing.assert_array_equal(env["turn"], turn - 1)
    np.testing.assert_array_equal(env["arm"][1], bits)
    np.testing.assert_array_equal(env["arm"][0], sent(BOUNDED, box_))


@pytest.mark.trap(32)
def test_discrete_actions_honour_start():
    space = spaces.Discrete(3, start=-1)
    actions = np.asarray(env_action(space, GAUSSIAN, np.array([0, 1, 2])))
    np.testing.assert_array_equal(actions, [-1, 0, 1])
    assert np.issubdtype(actions.dtype, np.integer)
    table = spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[1, 0], [-3, 7]])
    actions = np.asarray(env_action(table, GAUSSIAN, np.array([[0, 0, 0, 0], [1, 2, 3, 0]], np.int32)))
    np.testing.assert_array_equal(actions, [[[1, 0], [-3, 7]], [[2, 2], [0, 7]]])
    assert np.issubdtype(actions.dtype, np.integer)
    rollout = np.zeros((3, 2, 4), np.int32)  # [T, N, D]
    assert env_action(table, GAUSSIAN, rollout).shape == (3, 2, 2, 2)


@pytest.mark.parametrize("kind", ["binned", "ordinal"])
def test_bins_are_sent_as_their_places_between_the_bounds_and_found_again(kind):
    space = box([-2.0, 0.0], [2.0, 8.0])
    config = replace(BINS, box_distribution=kind)
    action = np.array([[0, 4], [2, 1], [4, 0]])
    sent_actions = np.asarray(env_action(space, config, action))
    np.testing.assert_allclose(sent_actions, [[-2, 8], [0, 2], [2, 0]], atol=1e-6)
    assert sent_actions.dtype == np.float32
    found, volume = sampled_action(space, config, sent_actions + np.float32([[0.3, -0.8]]))
    np.testing.assert_array_equal(found, action)
    assert volume == 0
    np.testing.assert_array_equal(fraction_at_bounds(space, config, jnp.asarray(action)), [1, 0, 1])


def test_ordinal_bins_are_the_running_sums_of_the_outputs_and_the_mode_is_the_likeliest_bin():
    out = jnp.array([[0.0, 1.0, 1.0, -5.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0]])
    plain, ordinal = (
        action_distribution(box([-1, -1], [1, 1]), replace(BINS, box_distribution=kind), out, None, None)
        for kind in ("binned", "ordinal")
    )
    np.testing.assert_array_equal(plain.logits, out)
    np.testing.assert_allclose(ordinal.logits, [[0, 1, 2, -3, -3, 0, -1, -2, -3, -4]])
    assert ordinal.mode().tolist() == [[2, 0]]


# ---------------------------------------------------------------- the sample and what is sent


@pytest.mark.trap(17)
def test_the_environment_gets_the_clipped_action_and_the_log_prob_is_of_the_raw_sample():
    zeros = jnp.zeros((1, 2))
    dist = action_distribution(BOUNDED, GAUSSIAN, zeros, jnp.zeros(2), None)
    raw = jnp.full((1, 2), 3.0)
    # 2 (-½ 3² - ½ log 2π) = -10.837877; that of the clipped (1, 1) would be -2.837877
    np.testing.assert_allclose(dist.log_prob(raw), [-10.837877], rtol=1e-6)
    np.testing.assert_array_equal(sent(BOUNDED, raw), [[1, 4]])


@pytest.mark.trap(16)
def test_a_squashed_log_prob_is_of_the_tanh_of_the_sample():
    dist = action_distribution(BOUNDED, SQUASHED, jnp.zeros((1, 2)), jnp.zeros(2), None)
    raw = jnp.array([[0.5, -1.0]])
    hand = scipy.stats.norm.logpdf([0.5, -1.0]).sum() - np.log(1 - np.tanh([0.5, -1.0]) ** 2).sum()
    np.testing.assert_allclose(dist.log_prob(raw), [hand], rtol=1e-5)
    # Over the unit interval: the density of the actions integrates to 1.
    unit = np.linspace(-1, 1, 20003)[1:-1]
    wide = SquashedGaussian(jnp.full((20001, 1), 0.3), jnp.full((20001, 1), -0.5))
    assert np.exp(wide.log_prob(jnp.asarray(np.arctanh(unit), jnp.float32)[:, None])).mean() * 2 == pytest.approx(
        1, abs=1e-3
    )


@pytest.mark.trap(17)
def test_a_beta_log_prob_is_of_the_sample_between_0_and_1():
    out = jnp.array([[0.3, -1.0, 2.0, 0.7]])  # α of both, then β of both
    dist = action_distribution(BOUNDED, BETA, out, None, None)
    alpha, beta = np.split(1 + np.log1p(np.exp([0.3, -1.0, 2.0, 0.7])), 2)
    x = np.array([0.2, 0.9])
    np.testing.assert_allclose(
        dist.log_prob(jnp.asarray(x, jnp.float32)[None]), [scipy.stats.beta(alpha, beta).logpdf(x).sum()], rtol=1e-4
    )
    assert (dist.alpha > 1).all()  # one peak, and a density that is finite at the bounds
    assert (dist.beta > 1).all()


@pytest.mark.trap(18)
def test_a_state_dependent_log_std_starts_from_the_configs_and_has_a_floor_and_a_ceiling():
    assert LOG_STD_RANGE == (-10.0, 2.0)
    for config in (STATE_STD, SQUASHED_STATE_STD):
        out = jnp.array([[0.3, -0.3, 0.25, 0.0], [0.0, 0.0, -40.0, 40.0]])  # two means, then two log σ
        dist = action_distribution(BOUNDED, config, out, None, None)
        np.testing.assert_allclose(dist.log_std, [[-0.25, -0.5], [-10, 2]])
        np.testing.assert_array_equal(dist.mean, out[:, :2])

        def total(out, config=config):
            dist = action_distribution(BOUNDED, config, out, None, None)
            return jnp.mean(dist.log_prob(dist.mean + 0.5) + dist.entropy())

        value, gradient = jax.jit(jax.value_and_grad(total))(out)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert (gradient[:, 2:] != 0).all()  # one beyond its bounds can come back


# ---------------------------------------------------------------- what an environment gets


class Wide(Lawful):
    """Every kind and width of action at once."""

    space: ClassVar = spaces.Dict(
        narrow=spaces.Discrete(3, start=2, dtype=np.int32),
        table=spaces.MultiDiscrete([[2, 3]], start=[[1, 0]], dtype=np.int16),
        bits=spaces.MultiBinary([2, 2]),
        boxes=spaces.Tuple((box([-1], [1], np.float64), spaces.Box(-1.0, 1.0, (2, 2)), spaces.Box(0.0, 1.0, ()))),
    )

    def __init__(self):
        super().__init__(self.space)


@pytest.mark.slow
@pytest.mark.trap(32)
def test_actions_reach_the_environment_in_its_own_types():
    env = GymnasiumEnv(vector(Wide, 3, AutoresetMode.SAME_STEP))  # raises for any other type
    env.reset([1, 2, 3])
    dist = distribution(Wide.space, GAUSSIAN, rows=3)
    for i in range(20):
        drawn = dist.sample(key_from_data(np.array([0, i], np.uint32)))
        step = env.step(jax.tree.map(np.array, env_action(Wide.space, GAUSSIAN, drawn)))
        assert step.valid.all()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "config", [SQUASHED, BETA, SQUASHED_STATE_STD, BINS], ids=["squashed", "beta", "squashed state std", "binned"]
)
@pytest.mark.parametrize(
    "leaf", [box([-1, -INF], [1, INF]), box([0], [INF]), box([-INF], [0]), spaces.Box(-INF, INF, ())]
)
def test_a_bounded_distribution_is_refused_for_a_box_without_bounds(config, leaf):
    nested = spaces.Dict(a=spaces.Discrete(2), b=spaces.Tuple((BOUNDED, leaf)))
    for space, where in ((leaf, "; action space, "), (nested, "; action space at action['b'][1], ")):
        with pytest.raises(
            UsageError, match=f"box_distribution = {config.box_distribution} needs .*finite bounds"
        ) as e:
            check_box_distribution(space, config)
        assert f"{where}{leaf}" in str(e.value)
        check_box_distribution(space, GAUSSIAN)
    check_box_distribution(BOUNDED, config)
    check_box_distribution(spaces.Discrete(2), config)


BOX = spaces.Box(-1.0, 1.0, (2,))
