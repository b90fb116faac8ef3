"""Between network and environment: distributions, log σ's bounds, nested inputs, masks, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from proximax.config.ppo_config import PPOConfig
from proximax.errors import UsageError
from proximax.maths.distributions import Categorical, Gaussian, Joint
from proximax.networks.base import Network
from proximax.policy.actions import LOG_STD_RANGE
from proximax.policy.policy import choose, make_policy, policy_parameters
from proximax.runtime.prng import key_from_data
from proximax.types import Moments
from tests.support.toy_gym import ACTIONS, NESTED_OBS, at, places, view

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
ROWS = 3 * np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
FIRST = np.zeros(6, bool)
KEY = key_from_data(np.array([0, 5], np.uint32))


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


@pytest.mark.trap(18)
def test_log_std_has_a_floor_and_a_ceiling_and_stays_finite():
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


@pytest.mark.slow
@pytest.mark.trap(17)
def test_the_log_prob_is_of_the_raw_sample_and_the_environment_gets_the_clipped_one():
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
    assert one_hot.init(KEY)["network"]["actor"][0][0]["w"].shape == (3, 64)


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


def first_kernel(shape, name):
    space = spaces.Box(0, 255, shape, np.uint8)
    params = make_policy(space, spaces.Discrete(4), PPOConfig(), name).init(KEY)["network"]
    if "stages" in params:
        return params["stages"][0]["first"]["w"].shape
    return params["convolutions"][0]["w"].shape if "convolutions" in params else None


@pytest.mark.slow
def test_images_get_the_network_that_is_named():
    assert first_kernel((4, 84, 84), "nature") == (8, 8, 4, 32)
    assert first_kernel((4, 84, 84), "impala") == (3, 3, 4, 16)
    assert first_kernel((2, 80, 80), "pong-small") == (6, 6, 2, 4)
    assert first_kernel((4, 84, 84), "mlp") is None
    for shape, kernel in (((4, 84, 84), (12, 12, 4, 16)), ((2, 84, 42), (12, 6, 2, 16)), ((3, 50, 60), (6, 8, 3, 16))):
        assert first_kernel(shape, "patch-cnn") == kernel
        assert first_kernel(shape, "auto") == kernel
    assert "actor" in make_policy(OBS, BOX, PPOConfig(), "auto").init(KEY)["network"]
    for name in ("patch-cnn", "nature", "impala", "pong-small"):
        with pytest.raises(UsageError, match=f"network = {name} takes images"):
            make_policy(OBS, BOX, PPOConfig(), name)


def test_outputs_of_the_wrong_shape_are_refused_in_words():
    wrong_policy = make_policy(OBS, spaces.Discrete(4), PPOConfig(), own(3))
    with pytest.raises(UsageError, match=r"policy output has shape \(1, 3\); the action space Discrete\(4\) needs \(1"):
        wrong_policy.init(KEY)
    wrong_value = make_policy(OBS, BOX, PPOConfig(), own(2, (1,)))
    with pytest.raises(UsageError, match=r"value has shape \(1, 1\); it must be \(1,\), one number per observation"):
        wrong_value.init(KEY)


@pytest.mark.parametrize(("observation", "action"), [(spaces.Text(3), BOX), (OBS, spaces.Tuple((BOX, spaces.Text(3))))])
def test_spaces_without_support_are_refused_before_any_network_is_made(observation, action):
    def never(*_):
        raise AssertionError("a network was made")

    with pytest.raises(UsageError, match=r"(observation space|action space at action\[1\]) is a Text"):
        make_policy(observation, action, PPOConfig(), Network(never, never))
    with pytest.raises(UsageError, match="box_distribution = beta needs an action space with finite bounds"):
        make_policy(OBS, spaces.Box(0.0, np.inf, (1,)), PPOConfig(box_distribution="beta"), Network(never, never))
    masked = spaces.Dict(action_mask=spaces.MultiBinary(2), x=OBS)
    with pytest.raises(UsageError, match=r"action_mask has 2 entries; the action space Discrete\(3\) needs 3"):
        make_policy(masked, spaces.Discrete(3), PPOConfig(), Network(never, never))


# ---------------------------------------------------------------- nested spaces

SCRIPTS = np.array([[0, 1, 0.3], [2, 4, -0.7], [1, 6, 0.1]])
NESTED_ROWS = jax.tree.map(lambda *x: np.stack(x), *map(view, SCRIPTS))
WIDTHS = {"bits": 2, "dial": 4 + 9, "eye image": 4, "eye place": 8, "script": 3}  # in the order of the leaves
MASKED = spaces.Dict(action_mask=spaces.MultiBinary(13), obs=NESTED_OBS)
TURN = ACTIONS["nested"]  # its masks: aim 2 + 3, two bits 2 x 2, turn 4


def shapes(layers):
    return [layer["w"].shape for layer in layers]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_a_nested_observation_is_one_vector_or_a_torso_for_each_leaf(shared):
    def layers(branch_torsos):
        config = PPOConfig(hidden=(5, 7), branch_torsos=branch_torsos, shared_torso=shared)
        policy = make_policy(NESTED_OBS, TURN, config)
        params = policy.init(KEY)
        dist, value, _ = policy.apply(params, (), policy.encode(None, NESTED_ROWS), np.ones(3, bool))
        assert isinstance(dist, Joint)
        assert [x.shape for x in dist.mode()] == [(3, 2), (3, 2), (3, 2), (3,)]
        assert value.shape == (3,)
        assert params["log_std"].shape == (2,)
        return params["network"]

    flat = layers(False)
    assert [shapes(torso) for torso in flat["actor"]] == [[(sum(WIDTHS.values()), 5), (5, 7)]]
    assert flat["policy_head"]["w"].shape == (7, 5 + 2 + 2 + 4)
    apart = layers(True)
    assert [shapes(torso) for torso in apart["actor"]] == [[(width, 5), (5, 7)] for width in WIDTHS.values()]
    assert apart["policy_head"]["w"].shape == (5 * 7, 13)
    assert apart["value_head"]["w"].shape == (5 * 7, 1)
    for network in (flat, apart):
        critic = [] if shared else [shapes(torso) for torso in network["actor"]]
        assert [shapes(torso) for torso in network["critic"]] == critic


@pytest.mark.slow
def test_branch_torsos_see_one_leaf_each_and_change_nothing_for_a_flat_observation():
    config = PPOConfig(hidden=(4,), branch_torsos=True)
    policy = make_policy(NESTED_OBS, spaces.Discrete(2), config)
    params = policy.init(KEY)

    def value(params, obs):
        return policy.apply(params, (), obs, np.ones(3, bool))[1].sum()

    encoded = policy.encode(None, NESTED_ROWS)
    blind = {**encoded, "eye": jax.tree.map(jnp.zeros_like, encoded["eye"])}
    gradient = jax.jit(jax.grad(value))(params, blind)["network"]["critic"]
    assert [bool(np.abs(torso[0]["w"]).max() > 0) for torso in gradient] == [True, True, False, False, True]
    one = make_policy(OBS, BOX, PPOConfig(hidden=(4,)))
    other = make_policy(OBS, BOX, PPOConfig(hidden=(4,), branch_torsos=True))
    jax.tree.map(np.testing.assert_array_equal, one.init(KEY), other.init(KEY))


def spying(outputs, seen):
    """A network of ones own that notes what it was given."""

    def init(key, obs):
        seen.append(jax.tree.map(lambda x: x.shape, obs))
        return {"w": np.zeros((1, outputs), np.float32)}

    def apply(params, obs):
        seen.append(jax.tree.map(lambda x: x.shape, obs))
        first = jax.tree.leaves(obs)[0]
        return jnp.zeros((first.shape[0], 1)) @ params["w"], jnp.zeros(first.shape[0])

    return Network(init, apply)


def given(rows):
    """What a network is given of ``NESTED_OBS``, as shapes."""
    leaf = {"bits": (rows, 2), "dial": (rows, 13), "script": (rows, 3)}
    return {**leaf, "eye": ((rows, 2, 2, 1), (rows, 8))}


def test_a_network_of_ones_own_is_given_the_nested_tree():
    seen = []
    policy = make_policy(NESTED_OBS, TURN, PPOConfig(), spying(13, seen))
    policy.apply(policy.init(KEY), (), policy.encode(None, NESTED_ROWS), np.ones(3, bool))
    assert seen == [given(1), given(1), given(3)]  # made, checked, used


@pytest.mark.parametrize(("space", "shape"), [(NESTED_OBS, given), (OBS, lambda rows: (rows, 3))])
def test_a_lone_entry_beside_the_mask_reaches_the_network_by_itself(space, shape):
    seen = []
    masked = spaces.Dict(action_mask=spaces.MultiBinary(13), only=space)
    policy = make_policy(masked, TURN, PPOConfig(), spying(13, seen))
    obs = {"action_mask": np.ones((3, 13), np.int8), "only": NESTED_ROWS if space is NESTED_OBS else ROWS[:3]}
    policy.apply(policy.init(KEY), (), policy.encode(None, obs), np.ones(3, bool))
    assert seen == [shape(1), shape(1), shape(3)]
    two = spaces.Dict(action_mask=spaces.MultiBinary(13), a=OBS, b=OBS)
    make_policy(two, TURN, PPOConfig(), spying(13, seen)).init(KEY)
    assert seen[-1] == {"a": (1, 3), "b": (1, 3)}


@pytest.mark.slow
def test_masks_of_nested_actions_forbid_the_right_leaf():
    policy = make_policy(MASKED, TURN, PPOConfig(hidden=(4,)))
    params = policy.init(KEY)
    # aim: only 4, only 3 (start 3 and 1); bits: only 1, only 0; turn: only 2 (start -1)
    only = np.array([0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1], np.int8)
    obs = {"action_mask": np.tile(only, (3, 1)), "obs": NESTED_ROWS}
    for sample in (False, True):
        action, _ = choose(policy, sample, params, None, (), obs, np.ones(3, bool), KEY)
        np.testing.assert_array_equal(action["aim"], np.tile([[4], [3]], (3, 1, 1)))
        np.testing.assert_array_equal(action["arm"][1], np.tile([1, 0], (3, 1)))
        np.testing.assert_array_equal(action["turn"], [2, 2, 2])
    assert policy.diagnostics.all_masked is not None
    np.testing.assert_array_equal(policy.diagnostics.all_masked(obs), [False] * 3)
    obs["action_mask"][1, 12] = 0
    np.testing.assert_array_equal(policy.diagnostics.all_masked(obs), [False, True, False])
    assert make_policy(NESTED_OBS, TURN, PPOConfig()).diagnostics.all_masked is None


@pytest.mark.slow
def test_actions_of_every_leaf_have_the_spaces_form():
    for name, space in ACTIONS.items():
        policy = make_policy(OBS, space, PPOConfig(hidden=(4,)))
        action, _ = choose(policy, True, policy.init(KEY), None, (), ROWS, FIRST, KEY)
        for path, leaf in places(space):
            assert at(action, path).shape == (6, *leaf.shape), name


def test_the_policys_parameters_are_told_from_the_critics_in_nested_spaces_too():
    policy = make_policy(MASKED, TURN, PPOConfig(hidden=(4,), branch_torsos=True))
    params = policy.init(KEY)
    obs = {"action_mask": np.ones((3, 13), np.int8), "obs": NESTED_ROWS}
    used = policy_parameters(policy, params, None, obs, np.ones(3, bool))
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    assert used == [not ("critic" in name or "value_head" in name) for name in names]
