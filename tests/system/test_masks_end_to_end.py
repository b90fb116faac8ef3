"""Action masks: where they come from, what they forbid, what is no mask. Traps 3, 4, 15."""

from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import proximax
from proximax.config.ppo_config import PPOConfig
from proximax.envs import env_seeds
from proximax.envs.env_groups import EnvGroups, vectorise
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.errors import EnvError, UsageError
from proximax.maths.distributions import MultiCategorical
from proximax.policy.policy import make_policy
from proximax.ppo.host_rollout import collect, host_buffers, reset_host_envs
from proximax.ppo.rollout import act, unroll
from proximax.ppo.rollout import reset_envs as start_jax
from proximax.runtime.prng import key_from_data
from proximax.spaces.masks import (
    check_mask,
    choices_per_component,
    flatten_mask,
    flatten_masks,
    has_mask,
    mask_of,
    no_action_allowed,
    sample_allowed_action,
    with_mask,
)
from tests.support.toy_envs import host_learner, lawful_jax, vector
from tests.support.toy_gym import (
    ACTIONS,
    BOUNDED,
    Lawful,
    all_options,
    as_array,
    as_list,
    as_tree,
    as_tuple,
    picks,
    places,
)

NEXT_STEP, SAME_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
MODES = [NEXT_STEP, SAME_STEP, DISABLED]
BOX = spaces.Box(-1.0, 1.0, (2,))
TINY = PPOConfig(hidden=(4,), num_steps=8, epochs=1, minibatch_size=None)
OBJECT = {"steps": 16, "num_steps": 8, "minibatch_size": None, "epochs": 1, "hidden": (4,)}
OBJECT |= {"eval_episodes": 2, "quiet": True, "preset": "none"}  # of two environments that are made already
QUICK = OBJECT | {"num_envs": 2}


def key(i):
    return key_from_data(np.array([0, i], np.uint32))


# ---------------------------------------------------------------- form and size


def test_a_mask_has_an_entry_for_each_option_of_each_choice_leaf_after_leaf():
    assert choices_per_component(spaces.Discrete(3, start=7)) == [3]
    assert choices_per_component(spaces.MultiDiscrete([[2, 3], [1, 4]])) == [2, 3, 1, 4]
    assert choices_per_component(spaces.MultiBinary([2, 2])) == [2, 2, 2, 2]
    assert choices_per_component(BOX) == []
    for space in ACTIONS.values():
        good = spaces.Dict(x=BOX, action_mask=spaces.MultiBinary(sum(all_options(space))))
        check_mask(good, space)
        for size in (1, sum(all_options(space)) + 1):
            with pytest.raises(UsageError, match=rf"(?s)action_mask has {size} entries; the action space .* needs "):
                check_mask(spaces.Dict(x=BOX, action_mask=spaces.MultiBinary(size)), space)
    check_mask(BOX, spaces.Discrete(3))  # no mask, no fault
    with pytest.raises(UsageError, match=r"action_mask has 2 entries.* needs 0"):
        check_mask(spaces.Dict(x=BOX, action_mask=spaces.MultiBinary(2)), BOX)


def test_the_mask_is_an_entry_at_the_top_beside_others():
    assert has_mask(spaces.Dict(action_mask=BOX, x=BOX))
    assert not has_mask(spaces.Dict(action_mask=BOX))
    assert not has_mask(spaces.Tuple((BOX, spaces.Dict(action_mask=BOX, x=BOX))))
    assert not has_mask(BOX)
    space = with_mask(BOX, 5)
    assert has_mask(space)
    assert space["obs"] == BOX
    assert space["action_mask"].shape == (5,)


def test_masks_of_an_observation_are_flattened_leaf_after_leaf():
    flat = spaces.Dict(x=BOX, action_mask=spaces.Box(0, 1, (2, 3), np.int8))
    given = np.array([[[0, 1, 0], [1, 1, 0]]], np.int8)
    np.testing.assert_array_equal(mask_of(flat, {"x": None, "action_mask": given}), [[0, 1, 0, 1, 1, 0]])
    nested = spaces.Dict(
        [("x", BOX), ("action_mask", spaces.Dict([("b", spaces.MultiBinary(1)), ("a", spaces.MultiBinary([1, 2]))]))]
    )
    obs = {"action_mask": {"b": np.array([[1], [0]]), "a": np.array([[[0, 0]], [[1, 0]]])}}
    found = mask_of(nested, obs)
    np.testing.assert_array_equal(found, [[0, 0, 1], [1, 0, 0]])
    assert found.dtype == bool


def test_masks_of_info_are_flattened_whatever_gymnasium_made_of_them():
    deep = spaces.Tuple((spaces.Discrete(2), spaces.Dict(b=spaces.Discrete(1), a=spaces.Discrete(2))))
    assert flatten_mask(deep, [np.array([1, 0]), {"b": [0], "a": np.array([[1, 1]])}]).tolist() == [1, 0, 1, 1, 0]
    two = spaces.MultiDiscrete([2, 2])
    np.testing.assert_array_equal(flatten_masks(two, np.array([[[1, 0], [0, 1]]]), 1, "row"), [[1, 0, 0, 1]])
    ragged = np.full(3, None, dtype=object)
    ragged[0], ragged[2] = (np.array([1, 0]), np.array([0, 0, 1])), [[0, 1], [1, 1, 1]]
    found = flatten_masks(spaces.MultiDiscrete([2, 3]), ragged, 3, "row")
    np.testing.assert_array_equal(found, [[1, 0, 0, 0, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]])
    stacked = {"b": np.array([[1, 0]]), "_b": np.array([True]), "a": np.array([[0, 1, 1]]), "_a": np.array([True])}
    space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Discrete(2))
    np.testing.assert_array_equal(flatten_masks(space, stacked, 1, "row"), [[0, 1, 1, 1, 0]])


def test_a_choice_without_options_is_found_wherever_it_stands():
    space = spaces.Tuple((spaces.Discrete(2), BOX, spaces.MultiDiscrete([1, 3]), spaces.MultiBinary(1)))
    free = np.ones((7, 8), bool)
    free[1, :2] = free[2, 2] = free[3, 3:6] = free[4, 6:] = False
    free[5, [0, 3, 4, 7]] = False  # one option is left of each
    free[6] = False
    for allowed in (free, jnp.asarray(free)):
        np.testing.assert_array_equal(no_action_allowed(space, allowed), [0, 1, 1, 1, 1, 0, 1])


@pytest.mark.parametrize("name", ACTIONS)
def test_random_allowed_actions_are_allowed_and_of_the_space(name):
    space, rng = ACTIONS[name], np.random.default_rng(0)
    sizes = all_options(space)
    seen = set()
    for _ in range(100):
        mask = rng.random(sum(sizes)) < 0.4
        mask[np.cumsum([0, *sizes[:-1]])] |= ~np.array([part.any() for part in np.split(mask, np.cumsum(sizes)[:-1])])
        action = sample_allowed_action(space, mask, rng)
        assert space.contains(action)
        taken = [int(i) for i in picks(space, action)]
        assert all(part[i] for part, i in zip(np.split(mask, np.cumsum(sizes)[:-1]), taken))
        seen.add(tuple(taken))
    assert len(seen) >= min(np.prod(sizes), 8)


# ---------------------------------------------------------------- host environments

FORMS = {
    "discrete": [as_array, as_list],
    "multi_discrete": [as_array, as_list, as_tuple],
    "multi_binary": [as_array, as_tuple],
    "nested": [as_array, as_tree],
}
WAYS = [(name, "info", form) for name, forms in FORMS.items() for form in forms]
WAYS += [(name, "key", as_array) for name in FORMS]
MORE = (pytest.mark.slow, pytest.mark.exhaustive)
FIRST = [pytest.param(*way, marks=() if way[1] == "key" or way[2] is FORMS[way[0]][0] else MORE) for way in WAYS]


def lawful(name, masks, form, mode, log=None, num_envs=3):
    return GymnasiumEnv(vector(lambda: Lawful(ACTIONS[name], masks, form, name == "nested", log), num_envs, mode))


@pytest.fixture(scope="module")
def policies():
    """Of each space and place of the mask: (policy, parameters, compiled ``act`` of one seed)."""

    def make(name, env):
        where = name, str(env.observation_space)
        if where not in made:
            policy = make_policy(env.observation_space, env.action_space, TINY)
            params = policy.init(key(0))
            params["network"]["policy_head"]["w"] *= 300  # far from uniform, so that a forbidden action would be likely
            made[where] = policy, params, jax.jit(jax.vmap(partial(act, policy, params, None), in_axes=(0, 0, 0, None)))
        return made[where]

    made = {}
    return make


def play(env, policy, acting, steps, seed=0):
    """A rollout ``[T, 1, N]`` of random actions."""
    state = reset_host_envs(env, policy, [env_seeds(seed, env.num_envs)])
    one = lambda carry, obs, first, place: acting(carry, obs, first, key(1000 * seed + place[0]))  # noqa: E731
    buffers = host_buffers(steps, state, one(state.carry, state.obs, state.first, (0, 0)).action)
    return collect(env, one, state, buffers)[1]


@pytest.mark.trap(15)
@pytest.mark.parametrize(("name", "masks", "form"), FIRST)  # of every form below
def test_no_forbidden_action_in_300_steps_in_any_autoreset_mode(name, masks, form, policies):
    for mode in MODES:
        log = []
        env = lawful(name, masks, form, mode, log)
        policy, _, acting = policies(name, env)
        rollout = play(env, policy, acting, 300)  # raises where the law is broken
        assert len(log) == rollout.valid.sum() >= 600
        for choice, n in enumerate(all_options(ACTIONS[name])):
            assert {taken[choice] for _, taken in log} == set(range(n))


@pytest.mark.trap(4)
@pytest.mark.parametrize(("name", "masks", "form"), WAYS)
def test_every_autoreset_mode_gives_the_same_masks(name, masks, form):
    def first_allowed(env, obs):
        """The first allowed option of every choice: it depends on the mask alone."""
        space, sizes = env.action_space, all_options(env.action_space)
        rows = np.split(obs["action_mask"], np.cumsum(sizes)[:-1], axis=-1)
        index = [row.argmax(axis=-1) for row in rows]
        sent = []
        for _, leaf in places(space):
            mine = [index.pop(0) for _ in choices_per_component(leaf)]
            x = (
                np.stack(mine, axis=-1).reshape(-1, *leaf.shape)
                if mine
                else np.tile(leaf.low, (len(obs["action_mask"]), 1))
            )
            sent.append((x + getattr(leaf, "start", 0)).astype(leaf.dtype))
        return proximax.spaces.unflatten(space, iter(sent))

    found = []
    for mode in MODES:
        log = []
        env = lawful(name, masks, form, mode, log, num_envs=2)
        obs, mine = env.reset([7, 8]), [[], []]
        for _ in range(60):
            given = obs["action_mask"].copy()
            s = env.step(first_allowed(env, obs))
            for i in np.flatnonzero(s.valid):
                mine[i].append(given[i].astype(bool).tolist())
            obs = s.obs
        # What the environment itself had in mind, with its actions, in the order of its steps.
        assert sorted(map(str, mine[0] + mine[1])) == sorted(str(np.concatenate(mask).tolist()) for mask, _ in log)
        assert all(mask[i] for masks, taken in log for mask, i in zip(masks, taken))
        found.append(mine)
    for i in range(2):
        shortest = min(len(rows[i]) for rows in found)
        assert shortest > 40
        assert found[0][i][:shortest] == found[1][i][:shortest] == found[2][i][:shortest]


@pytest.mark.parametrize("mode", MODES)
def test_an_environment_that_gives_no_mask_at_an_end_is_free_there(mode):
    class Silent(Lawful):
        def _info(self):
            return super()._info() if self.t < self.length else {}

    made = [lambda: Silent(ACTIONS["discrete"], "info"), lambda: Lawful(ACTIONS["discrete"], "info")]
    env = GymnasiumEnv(gymnasium.vector.SyncVectorEnv(made, autoreset_mode=mode))
    obs = env.reset([1, 2])
    for _ in range(60):
        s = env.step(5 + obs["action_mask"].argmax(axis=-1))
        if mode is NEXT_STEP and (s.terminated | s.truncated)[0]:
            np.testing.assert_array_equal(s.obs["action_mask"][0], np.ones(3))
        obs = s.obs


@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_no_mask_at_an_end_that_all_environments_reach_at_once_is_no_fault(mode, num_envs):
    env = GymnasiumEnv(vector(lambda: Given(spaces.Discrete(2), lambda t: ONE if t < 3 else ...), num_envs, mode))
    env.reset(list(range(num_envs)))
    ends = 0
    for _ in range(12):
        s = env.step(np.ones(num_envs, int))
        last = s.terminated | s.truncated
        ends += last[0]
        np.testing.assert_array_equal(
            s.obs["action_mask"][~last | s.first], ONE[None].repeat(num_envs, 0)[~last | s.first]
        )
        if mode is not SAME_STEP:
            np.testing.assert_array_equal(s.final_obs["action_mask"][last], 1)
    assert ends >= 3


@pytest.mark.parametrize("mode", MODES)
def test_no_mask_after_a_reset_is_a_fault(mode):
    class Once(Given):
        resets = 0

        def reset(self, **how):
            self.resets += 1
            obs, info = super().reset(**how)
            return obs, info if self.resets <= 2 else {}

    env = GymnasiumEnv(vector(lambda: Once(spaces.Discrete(2), lambda t: ONE if t < 3 else ...), 1, mode))
    env.reset([0])

    def play():
        for _ in range(4):
            env.step(np.ones(1, int))

    with pytest.raises(EnvError, match=r"info of step \d has no 'action_mask', which the first reset's had"):
        play()


@pytest.mark.trap(15)
def test_of_a_mask_in_info_and_observation_neither_is_an_input():
    class Both(Given):
        observation_space = spaces.Dict(action_mask=spaces.MultiBinary(2), x=BOX)

        def _both(self):
            obs, info = super()._both()
            return {"x": obs, "action_mask": ONE}, info

    for mask in (ONE, ONE[::-1]):  # that of the observation counts
        make = partial(Both, spaces.Discrete(2), lambda t, mask=mask: mask, lambda action: action == 1)
        for env in (vectorise(make, 2), GymnasiumEnv(vector(make, 2, SAME_STEP))):
            assert env.observation_space == Both.observation_space
            assert proximax.policy.observations.network_input_space(env.observation_space) == BOX
            np.testing.assert_array_equal(env.reset([1, 2])["action_mask"], [ONE] * 2)
            np.testing.assert_array_equal(env.step(np.ones(2, int)).obs["action_mask"], [ONE] * 2)


def test_masks_of_groups_and_of_slow_environments_arrive(policies):
    space = ACTIONS["discrete"]
    both = EnvGroups([lawful("discrete", "info", as_list, SAME_STEP, num_envs=2) for _ in range(2)])
    policy, _, acting = policies("discrete", both)
    rollout = play(both, policy, acting, 40)
    assert rollout.obs["action_mask"].shape == (40, 1, 4, 3)
    made = vectorise(partial(Lawful, space, "info", as_tuple), 3)
    assert has_mask(made.observation_space)
    play(made, policy, acting, 40)


def test_a_mask_that_is_gone_is_an_error_that_says_so():
    class Gone(Lawful):
        def _info(self):
            return super()._info() if self.t < 2 else {}

    env = GymnasiumEnv(vector(lambda: Gone(ACTIONS["discrete"], "info"), 1, SAME_STEP))
    obs = env.reset([3])

    def play(obs):
        for _ in range(20):
            obs = env.step(5 + obs["action_mask"].argmax(axis=-1)).obs

    with pytest.raises(EnvError, match=r"info of step \d+ has no 'action_mask', which the first reset's had"):
        play(obs)


def test_a_mask_of_the_wrong_size_is_refused_by_name():
    class Short(Lawful):
        def _info(self):
            return {"action_mask": np.ones(2, np.int8)}

    make = partial(Short, ACTIONS["discrete"])
    for env, settings in ((make, QUICK), (vector(make, 2, SAME_STEP), OBJECT)):
        with pytest.raises(
            UsageError, match=r"action_mask.* has 2 entries; the action space Discrete\(3, start=5\) needs"
        ):
            proximax.train(env, **settings)
    jax_env = lawful_jax(ACTIONS["discrete"], masked=True)._replace(action_space=spaces.Discrete(4))
    with pytest.raises(UsageError, match=r"action_mask has 3 entries; the action space Discrete\(4\) needs 4"):
        proximax.train(jax_env, **QUICK)


class Given(gymnasium.Env):
    """Three steps of mask ``given(t)``; raises for an action outside ``lawful``."""

    observation_space = BOX

    def __init__(self, action_space, given, lawful=lambda action: True):
        self.action_space, self.given, self.lawful = action_space, given, lawful

    def _both(self):
        mask = self.given(self.t)
        return np.zeros(2, np.float32), {} if mask is ... else {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._both()

    def step(self, action):
        assert self.lawful(action), action
        self.t += 1
        obs, info = self._both()
        return obs, 1.0, self.t >= 3, False, info


BIT, ONE = spaces.MultiBinary(1), np.array([0, 1], np.int8)  # the second of two
PARTS = [
    # Gymnasium's own form has None for a Box, and for what is free.
    (spaces.Dict(b=BOX, d=spaces.Discrete(2)), {"b": None, "d": ONE}, [0, 1]),
    (spaces.Dict(b=BOX, d=spaces.Discrete(2), e=BIT), {"b": None, "d": ONE, "e": None}, [0, 1, 1, 1]),
    (spaces.Tuple((BOX, spaces.Discrete(2))), (None, ONE), [0, 1]),
    (spaces.Dict(t=spaces.Tuple((spaces.Discrete(2), BOX))), {"t": (ONE, None)}, [0, 1]),
    (spaces.Tuple((spaces.Dict(b=BOX, d=spaces.Discrete(2)), BIT)), ({"b": None, "d": ONE}, None), [0, 1, 1, 1]),
    # Any key may begin with _, or be nothing.
    (spaces.Dict({"_d": spaces.Discrete(2), "d2": BIT}), {"_d": ONE, "d2": ONE}, [0, 1, 0, 1]),
    (spaces.Dict({"": spaces.Discrete(2), "_a": BIT}), {"": ONE, "_a": np.ones(2, np.int8)}, [0, 1, 1, 1]),
    (spaces.Dict({"_o": spaces.Dict({"_": spaces.Discrete(2), "b": BOX})}), {"_o": {"_": ONE}}, [0, 1]),
    # A vector as long as there are parts is a vector.
    (spaces.Tuple((spaces.Discrete(2), BOX)), (0, 1), [0, 1]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("space", "mask", "vector_"), PARTS)
def test_masks_of_info_have_the_form_of_the_action_space(space, mask, vector_):
    np.testing.assert_array_equal(flatten_mask(space, mask), vector_)
    lawful = lambda action: all(vector_[2 * i + int(x)] for i, x in enumerate(picks(space, action)))  # noqa: E731
    for mode in MODES:
        env = GymnasiumEnv(vector(lambda: Given(space, lambda t: mask), 2, mode))
        np.testing.assert_array_equal(env.reset([1, 2])["action_mask"], [vector_] * 2)
    made = vectorise(lambda: Given(space, lambda t: mask, lawful), 2)
    np.testing.assert_array_equal(made.reset([1, 2])["action_mask"], [vector_] * 2)


def test_a_part_that_only_one_environment_has_a_mask_of_is_free_in_the_others():
    space = spaces.Dict(d=spaces.Discrete(2), e=BIT)
    masks = [{"d": None, "e": (0, 1)}, {"d": [1, 0], "e": None}, {"d": ONE, "e": ONE}]
    made = [lambda mask=mask: Given(space, lambda t: mask) for mask in masks]
    env = GymnasiumEnv(gymnasium.vector.SyncVectorEnv(made, autoreset_mode=DISABLED))
    found = env.reset([1, 2, 3])["action_mask"]
    np.testing.assert_array_equal(found, [[1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1]])
    stacked = {"d": np.array([[0, 1], [0, 0]]), "_d": np.array([True, False]), "e": np.ones((2, 2))}
    np.testing.assert_array_equal(flatten_masks(space, stacked, 2, "row"), [[0, 1, 1, 1], [1, 1, 1, 1]])


def test_masks_of_another_form_than_the_action_space_are_refused_with_their_place():
    space = spaces.Dict(d=spaces.Discrete(3), e=spaces.Tuple((spaces.Discrete(2), BOX)))
    three = np.ones(3, np.int8)
    for wrong, text in (
        ({"d": three, "f": three}, r"action_mask has the keys \['d', 'f'\], which are not those of the action space"),
        ({"e": [ONE, None]}, r"has the keys \['e'\], which are not"),
        ({"d": ONE, "e": (three, None)}, r"action_mask\['d'\] has 2 entries; the part of the action space, .* needs 3"),
        ({"d": three, "e": (three, None)}, r"action_mask\['e'\]\[0\] has 3 entries"),
    ):
        with pytest.raises(UsageError, match=text):
            flatten_mask(space, wrong)
    rows = np.array([(ONE, None), ([1, 1, 1], None), None], dtype=object)
    with pytest.raises(UsageError, match=r"action_mask\['e'\]\[0\] of environment 1 has 3 entries"):
        flatten_masks(space, {"d": np.ones((3, 3)), "e": rows}, 3, "environment")
    with pytest.raises(UsageError, match="action_mask has 2 rows; it must have 3, one for each environment"):
        flatten_masks(space, np.ones((2, 5)), 3, "environment")
    with pytest.raises(UsageError, match=r"keys \['a'\], which are not those of the action space Discrete"):
        flatten_mask(spaces.Discrete(3), {"a": three})


def test_keys_whose_masks_gymnasium_would_overwrite_are_refused():
    space = spaces.Dict({"a": spaces.Discrete(2), "_a": spaces.Discrete(2)})
    with pytest.raises(UsageError, match=r"cannot stack the action_mask .* keys 'a' and '_a'.* as one vector"):
        vectorise(lambda: Given(space, lambda t: {"a": ONE, "_a": ONE}), 2)
    made = vectorise(lambda: Given(space, lambda t: np.array([0, 1, 1, 0])), 2)
    np.testing.assert_array_equal(made.reset([1, 2])["action_mask"], [[0, 1, 1, 0]] * 2)


def test_a_mask_of_a_space_without_choices_is_none():
    env = vectorise(lambda: Given(spaces.Dict(b=BOX), lambda t: {"b": None}), 2)
    assert env.observation_space == BOX


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_whose_size_changes_is_a_fault_that_names_environment_and_step(mode):
    def play(make):
        env = GymnasiumEnv(vector(make, 2, mode))
        env.reset([1, 2])
        for _ in range(3):
            env.step(np.zeros(2, int))

    for lengthen in (np.ones, lambda n: np.ones(n).tolist()):
        with pytest.raises(
            EnvError, match=r"at step 2 the action_mask of e\w+ \w+ has 4 entries; .*Discrete\(3\) needs 3"
        ):
            play(lambda f=lengthen: Given(spaces.Discrete(3), lambda t: f(4 if t == 2 else 3)))
    made = [lambda n=n: Given(spaces.Discrete(3), lambda t: [1] * (n if t else 3)) for n in (3, 4)]
    env = GymnasiumEnv(gymnasium.vector.SyncVectorEnv(made, autoreset_mode=mode))
    env.reset([1, 2])
    with pytest.raises(EnvError, match="at step 1 the action_mask of environment 1 has 4 entries"):
        env.step(np.zeros(2, int))


# ---------------------------------------------------------------- what a mask does to the policy

BOTH = spaces.Tuple((spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), BOUNDED))
ALLOWED = np.array(
    [
        [1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1],
        [0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 1],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ],
    np.int8,
)


@pytest.fixture(scope="module")
def both():
    """(policy, parameters, observations): a Discrete, a MultiDiscrete, a MultiBinary and a Box under masks."""
    space = spaces.Dict(action_mask=spaces.MultiBinary(12), x=BOX)
    policy = make_policy(space, BOTH, PPOConfig(hidden=(4,)))
    params = policy.init(key(0))
    params["network"]["policy_head"]["w"] *= 100
    x = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    return policy, params, {"action_mask": ALLOWED, "x": x}


@pytest.mark.slow
@pytest.mark.trap(15)
def test_what_is_forbidden_has_probability_exactly_0(both):
    policy, params, obs = both
    dist, *_ = policy.apply(params, (), policy.encode(None, obs), np.ones(3, bool))
    one, many, bits, _ = dist.parts
    np.testing.assert_array_equal(np.asarray(jax.nn.softmax(one.logits) > 0), ALLOWED[:, :3])
    for choice, (begin, n) in enumerate(((3, 2), (5, 3))):
        for option in range(n):
            other = np.zeros((3, 2), np.int32)
            other[:, 1 - choice] = np.split(ALLOWED[:, 3:8], [2], axis=1)[1 - choice].argmax(axis=1)
            other[:, choice] = option
            p = np.exp(many.log_prob(jnp.asarray(other)))
            np.testing.assert_array_equal(p > 0, ALLOWED[:, begin + option])
            assert (p[ALLOWED[:, begin + option] == 0] == 0).all()
    pairs = ALLOWED[:, 8:].reshape(3, 2, 2)
    for bit in range(2):
        for value in range(2):
            taken = np.where(np.arange(2) == bit, value, pairs.argmax(axis=2)).astype(np.int32)
            p = np.exp(bits.log_prob(jnp.asarray(taken)))
            np.testing.assert_array_equal(p > 0, pairs[:, bit, value])
            assert (p[pairs[:, bit, value] == 0] == 0).all()
    drawn = jax.vmap(dist.sample)(jax.random.split(key(1), 500))
    columns = [drawn[0][..., None], drawn[1], drawn[2]]
    begin = 0
    for column, n in zip(np.concatenate(columns, axis=-1).transpose(2, 1, 0), (3, 2, 3, 2, 2)):
        for row in range(3):
            assert set(column[row].tolist()) <= set(np.flatnonzero(ALLOWED[row, begin : begin + n]).tolist())
        begin += n
    mode = dist.mode()
    assert all(ALLOWED[row, int(mode[0][row])] for row in range(3))


@pytest.mark.trap(15)
def test_the_entropy_counts_only_what_is_allowed(both):
    policy, params, obs = both
    params = {**params, "network": jax.tree.map(np.zeros_like, params["network"])}  # uniform over what is allowed
    dist, *_ = policy.apply(params, (), policy.encode(None, obs), np.ones(3, bool))
    counts = [ALLOWED[:, a:b].sum(axis=1) for a, b in ((0, 3), (3, 5), (5, 8), (8, 10), (10, 12))]
    gaussian = 2 * 0.5 * (1 + np.log(2 * np.pi))
    np.testing.assert_allclose(dist.entropy(), np.log(counts).sum(axis=0) + gaussian, rtol=1e-6)
    assert isinstance(dist.parts[1], MultiCategorical)
    np.testing.assert_allclose(dist.parts[1].entropy(), np.log(counts[1]) + np.log(counts[2]), rtol=1e-5, atol=1e-6)


@pytest.mark.trap(15)
def test_gradients_are_finite_and_forbidden_logits_have_none(both):
    policy, params, obs = both
    action = jax.tree.map(np.asarray, policy.apply(params, (), policy.encode(None, obs), np.ones(3, bool))[0].mode())

    def total(params, obs, action):
        dist, value, _ = policy.apply(params, (), policy.encode(None, obs), np.ones(3, bool))
        other = jax.lax.stop_gradient(dist)
        return jnp.sum(dist.log_prob(action) + 3 * dist.entropy() + dist.kl(other) + other.kl(dist) + value)

    learn = jax.jit(jax.value_and_grad(total))
    value, gradient = learn(params, obs, action)
    assert np.isfinite(value)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
    only = {**obs, "action_mask": np.tile(ALLOWED[:1], (3, 1))}
    action = jax.tree.map(lambda x: np.broadcast_to(x[:1], x.shape), action)
    bias = learn(params, only, action)[1]["network"]["policy_head"]["b"]
    # Options: 3 of the Discrete, 2 + 3 of the MultiDiscrete; then two bits, the first of which may only be 1.
    forbidden = np.flatnonzero(ALLOWED[0, :8] == 0)
    np.testing.assert_array_equal(bias[forbidden], np.zeros(len(forbidden)))
    assert (ALLOWED[0, 8:10] == [1, 0]).all()
    assert bias[8] == 0
    assert (np.abs(bias[np.array([0, 2, 5, 6, 9])]) > 0).all()


def test_an_invalid_row_with_nothing_allowed_does_not_spoil_the_gradients(both):
    policy, params, obs = both
    obs = {**obs, "action_mask": np.zeros((3, 12), np.int8)}
    dist, *_ = policy.apply(params, (), policy.encode(None, obs), np.ones(3, bool))
    assert np.isfinite(dist.entropy()).all()
    assert np.isfinite(dist.log_prob(dist.sample(key(2)))).all()
    np.testing.assert_array_equal(policy.diagnostics.all_masked(obs), [True] * 3)


# ---------------------------------------------------------------- nothing allowed


class Stuck(Lawful):
    """Allows nothing at step 3 of the first episode of the environment that was seeded second."""

    made = 0

    def __init__(self, space=ACTIONS["multi_discrete"], masks="info", **how):
        super().__init__(space, masks, **how)
        type(self).made += 1
        self.number = type(self).made

    def _obs(self):
        if self.t == 0:
            self.length = 6
        obs = super()._obs()
        if self.t == 3 and self.number == 2:
            self.mask[1] = np.zeros_like(self.mask[1])  # of one choice among three
            if self.masks == "key":
                obs["action_mask"] = as_array(self.action_space, self.mask)
        return obs

    def step(self, action):
        self.mask = [x | ~x.any() for x in self.mask]  # whatever comes, it does not complain itself
        return super().step(action)


@pytest.mark.slow
@pytest.mark.trap(15)
@pytest.mark.parametrize(("mode", "masks"), [*((mode, "info") for mode in MODES), (NEXT_STEP, "key")])
def test_a_mask_that_allows_nothing_is_an_error_that_names_environment_and_step(mode, masks):
    Stuck.made = 0
    env = vector(partial(Stuck, masks=masks), 2, mode)
    with pytest.raises(
        EnvError, match=r"mask of environment 1 allowed nothing at step 3 of the rollout of update 1 of seed 4"
    ):
        proximax.train(env, seed=4, **OBJECT)


@pytest.mark.slow
@pytest.mark.trap(15)
def test_a_mask_that_allows_nothing_in_a_later_update_or_seed_is_named_with_it():
    class Later(Stuck):
        def _obs(self):
            self.number = 0
            obs = super()._obs()
            if self.episode == 2 and self.t == 2:  # steps 12 + 2: the second rollout's 6
                self.mask = [np.zeros_like(x) for x in self.mask]
            return obs

    calm = partial(Lawful, ACTIONS["multi_discrete"], "info")
    env = gymnasium.vector.SyncVectorEnv([calm, calm, Later, calm], autoreset_mode=SAME_STEP)
    with pytest.raises(EnvError, match=r"environment 0 allowed nothing at step 6 .* update 2 of seed 1"):
        proximax.train(env, seeds=2, **OBJECT | {"steps": 48})


@pytest.mark.slow
@pytest.mark.trap(15)
def test_a_jax_environment_whose_mask_allows_nothing_is_named_too():
    env = lawful_jax(ACTIONS["nested"], masked=True)  # which test_matrix.py trains as it is

    def step(key, state, action):
        state, s = env.step(key, state, action)
        stuck = s.obs["script"][1] == 2
        blocked = s.obs["action_mask"].at[-1].set(0).at[-2].set(0).at[-3].set(0).at[-4].set(0)  # the last leaf's four
        return state, s._replace(obs={**s.obs, "action_mask": jnp.where(stuck, blocked, s.obs["action_mask"])})

    with pytest.raises(EnvError, match=r"action mask of environment \d allowed nothing at step \d of the roll"):
        proximax.train(env._replace(step=step), **QUICK)


@pytest.mark.slow
@pytest.mark.trap(3)
@pytest.mark.parametrize(
    ("mode", "masks"), [(NEXT_STEP, "info"), (NEXT_STEP, "key"), (SAME_STEP, "key"), (DISABLED, "info")]
)
def test_a_terminal_observation_that_allows_nothing_is_no_error(mode, masks):
    env = vector(partial(Lawful, ACTIONS["discrete"], masks), 2, mode)
    learner, state, _ = host_learner(env, TINY, steps=48)
    ended, invalid = 0, 0
    for _ in range(3):
        state, metrics = learner.step(state)
        assert (metrics["fully_masked_index"][0], metrics["finite"][0]) == (-1, 1)
        assert metrics["first_ratio_error"][0] <= 1e-6
        ended += metrics["episodes"][0]
        invalid += 16 - metrics["steps"][0]
    assert ended > 5
    assert (invalid > 0) == (mode is NEXT_STEP)


@pytest.mark.slow
def test_the_taxis_own_masks_come_through():
    assert "Taxi-v4" in gymnasium.registry
    result = proximax.train("Taxi-v4", **QUICK)
    assert result.steps == 16
    assert result.history[0]["finite"] == 1
    assert result.history[0]["first_ratio_error"] <= 1e-6
    assert result.agent.observation_space["action_mask"].shape == (6,)
    one = gymnasium.make("Taxi-v4")
    for seed in range(20):
        obs, info = one.reset(seed=seed)
        for _ in range(10):
            action = result.agent.act(obs, action_mask=info["action_mask"], sample=True)
            assert info["action_mask"][action] == 1
            obs, *_, info = one.step(action)


# ---------------------------------------------------------------- JAX environments


@pytest.mark.trap(15)
@pytest.mark.parametrize("name", ACTIONS)
def test_no_forbidden_action_in_300_steps_of_a_jax_environment(name):
    env = lawful_jax(ACTIONS[name], masked=True)
    policy = make_policy(env.observation_space, env.action_space, TINY)
    params = policy.init(key(0))
    params["network"]["policy_head"]["w"] *= 300

    @jax.jit
    def roll(key):
        state = start_jax(env, policy, key, 4)
        _, rollout, _ = unroll(env, policy, params, None, state, jax.random.split(key, 300))
        return rollout

    rollout = roll(key(1))
    np.testing.assert_array_equal(rollout.reward, np.ones((300, 4)))  # -100 for a breach
    last = rollout.terminated | rollout.truncated
    assert last.sum() > 100
    np.testing.assert_array_equal(rollout.final_obs["action_mask"][last], 0)
    assert no_action_allowed(env.action_space, np.asarray(rollout.obs["action_mask"]).reshape(1200, -1) > 0).sum() == 0
