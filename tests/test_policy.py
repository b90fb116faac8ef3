"""Between network and environment: distributions, log σ's bounds, raw and clipped actions, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from proximax.config import PPOConfig
from proximax.errors import UsageError
from proximax.maths.distributions import Categorical, Gaussian
from proximax.networks import Network
from proximax.policy import LOG_STD_RANGE, make_policy
from proximax.types import Moments, host_key

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
ROWS = 3 * np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
FIRST = np.zeros(6, bool)
KEY = host_key(np.array([0, 5], np.uint32))


def made(action_space, **settings):
    policy = make_policy(OBS, action_space, PPOConfig(hidden=(8,), **settings))
    return policy, policy.init(KEY)


def test_discrete_actions_are_categorical_and_start_out_near_uniform():
    policy, params = made(spaces.Discrete(5))
    dist, value, carry = policy.apply(params, (), ROWS, FIRST)
    assert isinstance(dist, Categorical)
    assert dist.logits.shape == (6, 5)
    assert value.shape == (6,)
    assert carry == ()
    assert "log_std" not in params
    np.testing.assert_allclose(dist.entropy(), np.log(5), atol=1e-3)  # the policy head's gain is 0.01


def test_box_actions_are_gaussian_with_the_initial_log_std_of_the_config():
    policy, params = made(BOX, log_std_init=-0.5)
    dist, _, _ = policy.apply(params, (), ROWS, FIRST)
    assert isinstance(dist, Gaussian)
    np.testing.assert_array_equal(dist.log_std, np.full((6, 2), -0.5, np.float32))  # one for all states
    assert np.abs(dist.mean).max() < 0.05


def test_scalar_and_matrix_boxes_have_as_many_means_as_elements():
    for shape, outputs in (((), 1), ((2, 3), 6)):
        policy, params = made(spaces.Box(-1.0, 1.0, shape))
        dist, _, _ = policy.apply(params, (), ROWS, FIRST)
        assert dist.mean.shape == (6, outputs)
        assert policy.env_action(dist.mode()).shape == (6, *shape)


def test_trap_18_log_std_has_a_floor_and_a_ceiling_and_stays_finite():
    assert LOG_STD_RANGE == (-10.0, 2.0)
    policy, params = made(BOX)

    def total(log_std):
        dist, _, _ = policy.apply({**params, "log_std": log_std}, (), ROWS, FIRST)
        return jnp.mean(dist.log_prob(dist.mean + 1.0) + dist.entropy()), dist.log_std

    learn = jax.jit(jax.value_and_grad(total, has_aux=True))
    for log_std, held in ((-40.0, -10.0), (40.0, 2.0), (-10.0, -10.0), (1.5, 1.5)):
        (value, used), gradient = learn(np.full(2, log_std, np.float32))
        np.testing.assert_array_equal(used, np.full((6, 2), held, np.float32))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert (gradient != 0).all()  # a parameter beyond its bounds can come back


def test_trap_17_the_log_prob_is_of_the_raw_sample_and_the_environment_gets_the_clipped_one():
    policy, params = made(BOX)
    params["network"]["policy_head"]["w"] = np.zeros((8, 2), np.float32)  # mean 0, σ 1
    dist, _, _ = policy.apply(params, (), ROWS, FIRST)
    raw = jnp.full((6, 2), 3.0)
    # 2 (-½ 3² - ½ log 2π) = -10.837877; that of the clipped (1, 1) would be -2.837877
    np.testing.assert_allclose(dist.log_prob(raw), -10.837877, rtol=1e-6)
    np.testing.assert_array_equal(policy.env_action(raw), np.tile(BOX.high, (6, 1)))
    assert (np.abs(dist.sample(KEY)) > 1).any()  # nothing before env_action clips
    samples = np.random.default_rng(0).standard_normal((500, 2)).astype(np.float32)
    assert all(BOX.contains(action) for action in np.asarray(policy.env_action(samples)))


def test_encode_uses_the_spaces_rules():
    policy, _ = made(BOX)
    moments = Moments(np.float32(4), np.array([1, 1, 1], np.float32), np.full(3, 16, np.float32))
    np.testing.assert_allclose(policy.encode(moments, np.array([[3, 1, 1e9]], np.float32)), [[1, 0, 10]], atol=1e-6)
    image = spaces.Box(0, 255, (2,), np.uint8)
    scaled = make_policy(image, BOX, PPOConfig()).encode(None, np.array([[255, 0]], np.uint8))
    np.testing.assert_array_equal(scaled, [[1, 0]])
    one_hot = make_policy(spaces.Discrete(3, start=1), BOX, PPOConfig())
    np.testing.assert_array_equal(one_hot.encode(None, np.array([1, 3])), [[1, 0, 0], [0, 0, 1]])
    assert one_hot.init(KEY)["network"]["actor"][0]["w"].shape == (3, 64)


def own(outputs, value_shape=()):
    """A network with ``outputs`` columns and values ``[B, *value_shape]``."""
    return Network(
        init=lambda key, obs: {"w": np.zeros((3, outputs), np.float32)},
        apply=lambda params, obs: (obs @ params["w"], jnp.zeros((obs.shape[0], *value_shape))),
    )


def test_a_network_of_ones_own_that_fits_is_taken():
    policy = make_policy(OBS, spaces.Discrete(4), PPOConfig(), own(4))
    dist, value, _ = policy.apply(policy.init(KEY), (), ROWS, FIRST)
    np.testing.assert_allclose(dist.entropy(), np.log(4), rtol=1e-6)
    np.testing.assert_array_equal(value, np.zeros(6))


def test_outputs_of_the_wrong_shape_are_refused_in_words():
    wrong_policy = make_policy(OBS, spaces.Discrete(4), PPOConfig(), own(3))
    with pytest.raises(UsageError, match=r"policy output has shape \(1, 3\); the action space Discrete\(4\) needs \(1"):
        wrong_policy.init(KEY)
    wrong_value = make_policy(OBS, BOX, PPOConfig(), own(2, (1,)))
    with pytest.raises(UsageError, match=r"value has shape \(1, 1\); it must be \(1,\), one number per observation"):
        wrong_value.init(KEY)


def test_spaces_without_support_are_refused_before_any_network_is_made():
    with pytest.raises(UsageError, match="observation space obs is a MultiBinary"):
        make_policy(spaces.MultiBinary(3), BOX, PPOConfig())
    with pytest.raises(UsageError, match="action space is a MultiDiscrete"):
        make_policy(OBS, spaces.MultiDiscrete([2, 2]), PPOConfig())
