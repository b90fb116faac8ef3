"""A policy on its own: acting on one observation and on many, under masks, and on which spaces. Fault 18, trap 15."""

import copy

import jax
import numpy as np
import pytest
from gymnasium import spaces
from scipy.stats import beta, norm

from proximax.config.ppo_config import PPOConfig
from proximax.errors import CheckpointError, UsageError
from proximax.policy.agent import Agent, split_agents
from proximax.policy.policy import make_policy
from proximax.spaces.masks import with_mask
from tests.support.saved_runs import BOX, OBS, ROWS, arrays, filled
from tests.support.toy_gym import ACTIONS, NESTED_OBS, all_options, at, picks, places, view


@pytest.mark.trap(28)
def test_acting_on_one_observation_or_on_a_batch_is_the_same():
    agent = split_agents(*arrays(), OBS, BOX)[0]
    batch = agent.act(ROWS)
    assert (batch.shape, batch.dtype) == ((6, 2), np.float32)
    assert all(BOX.contains(action) for action in batch)
    np.testing.assert_allclose(agent.act(ROWS[2]), batch[2], atol=1e-6)
    np.testing.assert_allclose(agent.act(list(ROWS[2].astype(float))), batch[2], atol=1e-6)
    np.testing.assert_array_equal(agent.act(ROWS), batch)  # the mode, every time
    drawn = [agent.act(ROWS, sample=True) for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    assert np.abs(Agent(agent.policy, agent.params, None, OBS, BOX).act(ROWS) - batch).max() > 1e-3  # normaliser counts


def test_a_discrete_action_is_an_int_of_the_space():
    space = spaces.Discrete(4, start=10)
    policy, params, moments = arrays(space)
    params["network"]["policy_head"]["b"][0] = [0, 0, 99, 0]
    agent = split_agents(policy, params, moments, OBS, space)[0]
    assert repr(agent.act(ROWS[0])) == "12"  # an int, no array
    np.testing.assert_array_equal(agent.act(ROWS[:2]), [12, 12])
    assert agent.act(ROWS[:2]).dtype == space.dtype


@pytest.mark.fault(18)
def test_observations_and_environments_of_other_spaces_are_refused():
    agent = split_agents(*arrays(), OBS, BOX)[0]
    for shape in ((4,), (2, 4), (2, 2, 3), ()):
        with pytest.raises(ValueError, match=r"observation of shape .*; the policy was trained on \(3,\)") as caught:
            agent.act(np.zeros(shape))
        assert f"shape {shape};" in str(caught.value)
    agent.check_spaces(OBS, BOX)
    with pytest.raises(CheckpointError, match=r"policy's observation space is Box.*\(3,\).*environment's.*\(8,\)"):
        agent.check_spaces(spaces.Box(-1.0, 1.0, (8,)), BOX)
    for other in (spaces.Discrete(2), spaces.MultiDiscrete([2, 2])):
        with pytest.raises(CheckpointError, match=r"policy's action space is Box.*environment's is .*Discrete"):
            agent.check_spaces(OBS, other)
    bytes_, floats = (spaces.Box(0, 255, (3,), dtype) for dtype in (np.uint8, np.float32))
    with pytest.raises(CheckpointError, match="observation space"):  # inputs would be 255 times off
        Agent(agent.policy, agent.params, None, floats, BOX).check_spaces(bytes_, BOX)
    with pytest.raises(CheckpointError, match="action space"):
        Agent(agent.policy, agent.params, None, OBS, spaces.Discrete(2)).check_spaces(OBS, spaces.Discrete(2, start=1))


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    ("space", "wrong", "text"),
    [
        (OBS, [0.0, np.nan, 0.0], r"the observation is not finite: nan at \[1\]"),
        (OBS, [[0.0, 0.0, 0.0], [np.inf, 0.0, 0.0]], r"of row 1 is not finite: inf at \[0\]"),
        (OBS, [0.0, 1e300, 0.0], r"observation at \[1\] is 1e\+300, which float32 cannot hold"),
        (OBS, [[0.0, 1e300, 0.0]] * 2, r"observation of row 0 at \[1\] is 1e\+300, which float32 cannot hold"),
        (spaces.Discrete(5), 7, r"observation is 7, which is not in Discrete\(5\)\. Give"),
        (spaces.Discrete(5), [1, 7], r"observation is 7, which is not in Discrete\(5\) in row 1"),
        (spaces.Box(0, 255, (2,), np.uint8), [300, 0], r"observation at \[0\] is 300, which uint8"),
        (spaces.Box(0, 255, (2,), np.uint8), [0.5, 0], r"is 0.5, which uint8 cannot hold"),
        (spaces.Dict(a=OBS), {"a": ROWS[0], "b": 1}, "has the entry 'b', which its space lacks"),
    ],
)
def test_an_observation_that_is_none_is_not_acted_on(space, wrong, text):
    agent = split_agents(*filled(space, BOX, PPOConfig(hidden=(4,))), space, BOX)[0]
    for method in (agent.act, agent.value, agent.distribution):
        with pytest.raises(UsageError, match=text):
            method(wrong)


def test_samples_are_new_in_every_agent_and_repeatable_by_a_seed_or_a_generator():
    one, other = (split_agents(*arrays(), OBS, BOX)[0] for _ in range(2))
    assert np.abs(one.act(ROWS, sample=True) - other.act(ROWS, sample=True)).max() > 1e-3
    for options in ({"seed": 5}, {"seed": np.int64(5)}):
        np.testing.assert_array_equal(one.act(ROWS, sample=True, **options), other.act(ROWS, sample=True, seed=5))
    assert np.abs(one.act(ROWS, sample=True, seed=5) - one.act(ROWS, sample=True, seed=6)).max() > 1e-3
    rngs = [np.random.default_rng(1) for _ in range(2)]
    drawn = [[agent.act(ROWS, sample=True, rng=rng) for _ in range(2)] for agent, rng in zip((one, other), rngs)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0][0] - drawn[0][1]).max() > 1e-3  # a generator goes on
    for wrong, text in (
        ({"seed": 1}, "seed: only for sample=True"),
        ({"rng": 7, "sample": True}, "rng = 7: must be a numpy.random.Generator"),
        ({"seed": 0.5, "sample": True}, "seed = 0.5: must be an integer"),
        ({"seed": 1, "rng": rngs[0], "sample": True}, "give one of them"),
    ):
        with pytest.raises(UsageError, match=text):
            one.act(ROWS, **wrong)


@pytest.mark.slow
def test_the_numbers_behind_a_discrete_action():
    space = spaces.Discrete(3, start=10)
    policy, params, moments = arrays(space)
    agent = split_agents(policy, params, moments, OBS, space)[0]
    table = agent.probabilities(ROWS)
    assert table.shape == (6, 3)
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(agent.act(ROWS), 10 + table.argmax(axis=1))
    np.testing.assert_allclose(agent.probabilities(ROWS[2]), table[2], rtol=1e-5)
    actions = np.array([10, 11, 12, 10, 11, 12])
    np.testing.assert_allclose(agent.log_prob(ROWS, actions), np.log(table[np.arange(6), actions - 10]), rtol=1e-5)
    assert agent.log_prob(ROWS[1], 11) == pytest.approx(np.log(table[1, 1]), rel=1e-5)
    value = agent.value(ROWS)
    assert value.shape == (6,)
    assert agent.value(ROWS[3]) == pytest.approx(value[3], rel=1e-4)
    _, expected, _ = policy.apply(agent.params, (), policy.encode(agent.obs_moments, ROWS), np.ones(6, bool))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(agent.distribution(ROWS).entropy(), -(table * np.log(table)).sum(axis=1), rtol=1e-5)
    for wrong in (13, 9, 0.5, "a", [10, 11]):
        with pytest.raises(UsageError, match="action"):
            agent.log_prob(ROWS[0], wrong)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "squashed_gaussian", "beta"])
def test_the_density_of_a_bounded_action_integrates_to_its_probability(kind):
    space = spaces.Box(np.float32([-3.0]), np.float32([5.0]))
    agent = agent_of(OBS, space, box_distribution=kind)
    units = np.linspace(-0.9, 0.9, 2001, dtype=np.float32)  # of the way from the centre, 1, to a bound
    log_density = agent.log_prob(np.tile(ROWS[0], (len(units), 1)), 1 + 4 * units[:, None])
    mass = np.trapezoid(np.exp(log_density.astype(np.float64)), 1 + 4 * units)
    dist = agent.distribution(ROWS[0])
    ends = {"gaussian": [-0.9, 0.9], "squashed_gaussian": np.arctanh([-0.9, 0.9]), "beta": [0.05, 0.95]}[kind]
    exact = beta(dist.alpha, dist.beta) if kind == "beta" else norm(dist.mean, np.exp(dist.log_std))
    assert mass == pytest.approx(float(np.diff(np.ravel([exact.cdf(x) for x in ends]))[0]), rel=1e-3)
    action = agent.act(ROWS[0])
    assert isinstance(agent.log_prob(ROWS[0], action), float)
    with pytest.raises(UsageError, match=r"probabilities: Box.* has none"):
        agent.probabilities(ROWS[0])


def test_actions_in_bins_have_probabilities_and_a_log_prob_that_is_theirs():
    agent = agent_of(OBS, spaces.Box(-1.0, 1.0, (2,)), box_distribution="ordinal", bins=3)
    tables = agent.probabilities(ROWS)
    assert [x.shape for x in tables] == [(6, 3), (6, 3)]
    actions = np.float32([[-1, 1], [0, 0], [1, -1], [0.4, 1], [-0.6, 0], [1, 1]])
    places = np.array([[0, 2], [1, 1], [2, 0], [1, 2], [0, 1], [2, 2]])  # of the nearest bins
    expected = [np.log(tables[0][i, a] * tables[1][i, b]) for i, (a, b) in enumerate(places)]
    np.testing.assert_allclose(agent.log_prob(ROWS, actions), expected, rtol=1e-4)
    likeliest = np.stack([table.argmax(axis=1) for table in tables], axis=1)
    np.testing.assert_allclose(agent.act(ROWS), likeliest - 1.0, atol=1e-6)
    assert len(agent.probabilities(ROWS[0])) == 2


@pytest.mark.slow
def test_probabilities_have_the_form_of_the_action_space_and_keep_to_the_mask():
    space = spaces.Dict(b=spaces.MultiBinary(2), d=spaces.MultiDiscrete([2, 3]), x=spaces.Discrete(2))
    agent = agent_of(with_mask(OBS, 11), space)
    mask = [1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1]
    one, rows = agent.probabilities(ROWS[0], action_mask=mask), agent.probabilities(ROWS, action_mask=[mask] * 6)
    assert one["b"].shape == (2,)
    assert one["b"][0] == 0  # the first bit may only be 0
    assert [x.shape for x in one["d"]] == [(2,), (3,)]
    assert one["d"][1][0] == 0
    assert one["x"].tolist() == [0, 1]
    assert rows["x"].tolist() == [[0, 1]] * 6
    assert [x.shape for x in rows["d"]] == [(6, 2), (6, 3)]
    action = agent.act(ROWS[0], sample=True, seed=3, action_mask=mask)
    expected = np.log(one["x"][1]) + sum(np.log(one["d"][i][action["d"][i]]) for i in range(2))
    expected += np.log(np.where(action["b"] == 1, one["b"], 1 - one["b"])).sum()
    assert agent.log_prob(ROWS[0], action, action_mask=mask) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(UsageError, match="a batch of actions for another number of observations"):
        agent.log_prob(ROWS[0], agent.act(ROWS, action_mask=[mask] * 6), action_mask=mask)


def test_a_box_beside_choices_has_no_probabilities():
    choices = spaces.Dict(d=spaces.MultiDiscrete([2, 3]), move=BOX, x=spaces.Discrete(2))
    agent = agent_of(OBS, choices)
    for obs, shape in ((ROWS[0], ()), (ROWS, (6,))):
        table = agent.probabilities(obs)
        assert table["move"] is None
        assert table["x"].shape == (*shape, 2)
        assert [part.shape for part in table["d"]] == [(*shape, 2), (*shape, 3)]
    for space in (BOX, spaces.Dict(a=BOX, b=BOX)):
        with pytest.raises(UsageError, match=r"probabilities: Box.* has none"):
            agent_of(OBS, space).probabilities(ROWS[0])


def test_names_of_other_libraries_are_answered():
    mine = split_agents(*arrays(), OBS, BOX)[0]
    with pytest.raises(AttributeError, match=r"an Agent has no attribute 'predict': act\(obs\) gives the action"):
        mine.predict(np.zeros(3))
    with pytest.raises(AttributeError, match=r"an Agent has no attribute 'prams'$"):
        mine.prams  # noqa: B018
    assert copy.copy(mine).params is mine.params


def test_an_agent_says_what_it_is():
    text = repr(split_agents(*arrays(), OBS, BOX)[0])
    assert text.startswith("Agent(observations Box(")
    assert "\n" not in text
    assert "normalised; actions Box(" in text
    assert text.endswith(" parameters)")


# ---------------------------------------------------------------- nested spaces

SCRIPTS = [[0, 1, 0.3], [2, 4, -0.7], [1, 6, 0.1], [3, 0, 2.0], [1, 1, -1.5]]
ALONE = [view(np.array(script)) for script in SCRIPTS]
BATCH = jax.tree.map(lambda *x: np.stack(x), *ALONE)


def agent_of(observation_space, action_space, **settings):
    policy, params, moments = filled(observation_space, action_space, PPOConfig(hidden=(4,), **settings))
    return split_agents(policy, params, moments, observation_space, action_space)[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTIONS)
def test_acting_on_one_nested_observation_or_on_a_batch_is_the_same(name):
    space = ACTIONS[name]
    agent = agent_of(NESTED_OBS, space)
    batch = agent.act(BATCH)
    for path, leaf in places(space):
        together = at(batch, path)
        assert type(together) is np.ndarray
        assert (together.shape, together.dtype) == ((5, *leaf.shape), leaf.dtype)
        for i, obs in enumerate(ALONE):
            one = at(agent.act(obs), path)
            assert leaf.contains(one)
            np.testing.assert_allclose(one, together[i], atol=1e-5)
            assert type(one) is int if isinstance(leaf, spaces.Discrete) else one.dtype == leaf.dtype
    assert all(space.contains(agent.act(obs, sample=True)) for obs in ALONE)
    rng = np.random.default_rng(0)
    first, *others = (jax.tree.leaves(agent.act(BATCH, sample=True, rng=rng)) for _ in range(4))
    assert any(np.any(a != b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.slow
def test_actions_come_in_the_spaces_own_types():
    narrow = spaces.Dict(
        a=spaces.Discrete(3, start=2, dtype=np.int32),
        b=spaces.Tuple((spaces.Box(-1.0, 1.0, (2,), np.float64), spaces.Box(0.0, 1.0, ()))),
        c=spaces.MultiDiscrete([[2, 3]], start=[[1, 0]], dtype=np.int16),
        d=spaces.MultiBinary([2, 2]),
    )
    agent = agent_of(OBS, narrow)
    assert narrow.contains(agent.act(ROWS[0], sample=True))
    batch = agent.act(ROWS, sample=True)
    for path, leaf in places(narrow):
        assert at(batch, path).dtype == leaf.dtype


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["squashed_gaussian", "beta", "ordinal"])
def test_the_mode_of_bounded_distributions_lies_within_the_bounds(kind):
    agent = agent_of(OBS, BOX, box_distribution=kind)
    batch = agent.act(ROWS)
    assert (batch.shape, batch.dtype) == ((6, 2), np.float32)
    assert all(BOX.contains(x) for x in np.concatenate([batch, agent.act(ROWS, sample=True)]))
    np.testing.assert_allclose(agent.act(ROWS[4]), batch[4], atol=1e-5)


def test_a_nested_observation_of_another_form_is_refused():
    agent = agent_of(NESTED_OBS, BOX)
    for wrong in ({k: v for k, v in ALONE[0].items() if k != "bits"}, {**ALONE[0], "eye": ()}, ROWS[0]):
        with pytest.raises(ValueError, match="the observation does not have the structure of"):
            agent.act(wrong)
    with pytest.raises(ValueError, match=r"observation\['bits'\] of shape \(4,\); the policy was trained on \(2,\)"):
        agent.act({**ALONE[0], "bits": np.zeros(4)})
    other = spaces.Dict({key: part for key, part in NESTED_OBS.spaces.items() if key != "bits"})
    with pytest.raises(CheckpointError, match="the policy's observation space is Dict"):
        agent.check_spaces(other, BOX)
    agent.check_spaces(spaces.Dict(dict(NESTED_OBS.spaces)), BOX)  # sorted keys


# ---------------------------------------------------------------- masks


def masks_of(space, seed=0, rows=5):
    """Random masks ``[rows, choices]`` with one option of each choice at least."""
    rng, sizes = np.random.default_rng(seed), all_options(space)
    each = [rng.random((rows, n)) < 0.3 for n in sizes]
    for part, n in zip(each, sizes):
        part[np.arange(rows), rng.integers(n, size=rows)] = True
    return np.concatenate(each, axis=1).astype(np.int8)


@pytest.mark.slow
@pytest.mark.trap(15)
@pytest.mark.parametrize("name", ACTIONS)
def test_a_mask_is_kept_whether_it_comes_apart_or_in_the_observation(name):
    space, sizes = ACTIONS[name], all_options(ACTIONS[name])
    given = masks_of(space)
    apart = agent_of(with_mask(NESTED_OBS, sum(sizes)), space)  # as an environment with masks in info makes it
    inside = agent_of(spaces.Dict(action_mask=spaces.MultiBinary(sum(sizes)), see=NESTED_OBS), space)
    for sample in (False, True, True, True):
        batches = [
            apart.act(BATCH, action_mask=given, sample=sample),
            apart.act({"obs": BATCH, "action_mask": given}, sample=sample),
            inside.act({"see": BATCH, "action_mask": given}, sample=sample),
        ]
        for batch in batches:
            for i in range(5):
                one = jax.tree.map(lambda x, i=i: x[i], batch)
                begin = 0
                for n, taken in zip(sizes, picks(space, one)):
                    assert given[i, begin + int(taken)]
                    begin += n
    for i in range(5):
        alone = apart.act(ALONE[i], action_mask=given[i])
        assert space.contains(alone)
        for x, y in zip(jax.tree.leaves(alone), jax.tree.leaves(apart.act(BATCH, action_mask=given))):
            np.testing.assert_allclose(x, y[i], atol=1e-5)


@pytest.mark.trap(15)
def test_a_mask_that_allows_nothing_is_refused_with_its_row():
    space = ACTIONS["nested"]
    agent = agent_of(with_mask(OBS, 13), space)
    given = np.ones((6, 13), np.int8)
    given[4, 5:7] = 0  # neither value of a bit
    with pytest.raises(ValueError, match="the action mask of row 4 allows no action"):
        agent.act(ROWS, action_mask=given)
    with pytest.raises(ValueError, match=r"^the action mask allows no action"):
        agent.act(ROWS[0], action_mask=np.zeros(13))
    agent.act(ROWS[0], action_mask=[True] * 13)


def test_a_mask_that_is_missing_or_of_the_wrong_size_is_refused():
    agent = agent_of(with_mask(OBS, 3), spaces.Discrete(3))
    for method in (agent.act, agent.value):
        with pytest.raises(UsageError, match=r"this policy was trained with action masks: pass action_mask=\.\.\."):
            method(ROWS[0])
    inside = agent_of(spaces.Dict(action_mask=spaces.MultiBinary(3), see=OBS), spaces.Discrete(3))
    with pytest.raises(UsageError, match="with action masks: pass it as the observation's entry 'action_mask'"):
        inside.act({"see": ROWS[0]})
    with pytest.raises(ValueError, match=r"action_mask has 2 entries; the action space Discrete\(3\) needs 3"):
        agent.act(ROWS[0], action_mask=[1, 1])
    with pytest.raises(ValueError, match=r"action_mask of every observation has 2 entries"):
        agent.act(ROWS, action_mask=np.ones((6, 2)))
    with pytest.raises(ValueError, match="action_mask has 5 rows; it must have 6, one for each observation"):
        agent.act(ROWS, action_mask=np.ones((5, 3)))


def test_a_mask_has_the_form_of_the_action_space_too():
    space = spaces.Dict(b=BOX, c=spaces.Tuple((spaces.Discrete(3), spaces.MultiDiscrete([2, 2]))), d=spaces.Discrete(2))
    agent = agent_of(with_mask(OBS, 9), space)
    vector = [0, 1, 1, 1, 0, 0, 1, 1, 1]
    for tree in (
        {"b": None, "c": ([0, 1, 1], [[1, 0], [0, 1]]), "d": None},
        {"c": [np.array([0, 1, 1]), (np.array([1, 0]), np.array([0, 1]))], "d": [1, 1]},
    ):
        one, same = (agent.act(ROWS[0], action_mask=mask) for mask in (tree, vector))
        jax.tree.map(np.testing.assert_array_equal, one, same)
        assert one["c"][0] > 0
        assert one["c"][1].tolist() == [0, 1]
        rows = agent.act(ROWS, action_mask=[tree] * 6)  # one for each observation
        jax.tree.map(np.testing.assert_array_equal, rows, agent.act(ROWS, action_mask=[vector] * 6))
    pick, dial = np.tile([0, 1, 1], (6, 1)), np.tile([[1, 0], [0, 1]], (6, 1, 1))
    pick[3] = [1, 0, 0]
    batch = agent.act(ROWS, action_mask={"c": (pick, dial), "d": None})
    assert batch["c"][0][3] == 0
    assert (np.delete(batch["c"][0], 3) > 0).all()
    assert batch["c"][1].tolist() == [[0, 1]] * 6


def test_a_mask_for_a_policy_that_takes_none_is_refused():
    agent = split_agents(*arrays(), OBS, BOX)[0]
    with pytest.raises(ValueError, match=r"the policy was trained without masks, on Box.*: leave it out"):
        agent.act(ROWS[0], action_mask=[1, 1])
    inside = agent_of(spaces.Dict(action_mask=spaces.MultiBinary(3), see=OBS), spaces.Discrete(3))
    with pytest.raises(ValueError, match=r"trained with masks in the observation, on Dict.*: put it there"):
        inside.act(ROWS[0], action_mask=[1, 1, 1])


def test_an_observation_that_is_no_batch_of_numbers_is_refused():
    agent = agent_of(NESTED_OBS, BOX)
    with pytest.raises(ValueError, match=r"batches of \[4, 5, 5, 5, 5\]; B must be the same"):
        agent.act({**BATCH, "bits": BATCH["bits"][:4]})
    with pytest.raises(ValueError, match=r"observation\['eye'\]\[1\] of shape \(\); the policy was trained on \(\)"):
        agent.act({**BATCH, "eye": (BATCH["eye"][0], 1)})
    for wrong in ({"obs": ROWS[0]}, "text", [[1, 2], [3]]):
        with pytest.raises(ValueError, match="the observation does not have the structure of"):
            split_agents(*arrays(), OBS, BOX)[0].act(wrong)


def memory_agent():
    """An agent with memory, away from the near-zero heads of a fresh policy."""
    ppo = PPOConfig(hidden=(4,), recurrent_units=3, normalise_obs=False)
    policy = make_policy(OBS, spaces.Discrete(3), ppo, "gru")
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + rng.standard_normal(x.shape).astype(np.float32), policy.init(jax.random.key(0)))
    return Agent(policy, params, None, OBS, spaces.Discrete(3))


@pytest.mark.trap(31)
def test_an_agent_with_memory_goes_on_where_it_was_until_it_is_reset():
    agent, episode = memory_agent(), np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)
    carry = agent.policy.initial_carry(1)
    for t, obs in enumerate(episode):
        dist, value, carry = agent.policy.apply(agent.params, carry, obs[None], np.array([t == 0]))
        assert agent.value(obs) == pytest.approx(float(value[0]), abs=1e-6)
        assert agent.value(obs) == agent.value(obs)  # asking moves nothing
        np.testing.assert_allclose(agent.distribution(obs).logits, dist.logits, atol=1e-6)
        agent.act(obs)
    remembered = agent.value(episode[0])
    agent.reset()
    assert agent.value(episode[0]) != remembered
    fresh = memory_agent()
    assert agent.value(episode[0]) == fresh.value(episode[0])
    agent.act(episode[0])
    agent.act(episode[1], first=True)  # the same as reset, then act
    fresh.act(episode[1])
    assert agent.value(episode[2]) == fresh.value(episode[2])


@pytest.mark.trap(31)
def test_each_row_of_a_batch_has_its_own_memory_and_opens_its_own_episodes():
    agent, rows = memory_agent(), np.random.default_rng(2).standard_normal((4, 2, 3)).astype(np.float32)
    firsts = [None, np.array([False, True]), None]
    for obs, first in zip(rows, firsts):
        agent.act(obs, first=first)
    for row, begin in ((0, 0), (1, 1)):
        alone = memory_agent()
        for obs in rows[begin:3, row]:
            alone.act(obs)
        assert agent.value(rows[3])[row] == pytest.approx(alone.value(rows[3, row]), abs=1e-6)
    with pytest.raises(UsageError, match=r"3 observations, but the policy remembers 2 episodes: call reset\(\)"):
        agent.act(np.zeros((3, 3), np.float32))
    agent.act(np.zeros((3, 3), np.float32), first=True)
    with pytest.raises(UsageError, match="first = 1: must be True or False, or 3 of these"):
        agent.act(np.zeros((3, 3), np.float32), first=1)


def test_a_policy_with_memory_is_saved_and_loaded(tmp_path):
    agent, obs = memory_agent(), np.ones(3, np.float32)
    loaded = Agent.from_file(agent.save(tmp_path / "agent.safetensors"))
    for _ in range(2):
        assert loaded.value(obs) == agent.value(obs)
        assert loaded.act(obs) == agent.act(obs)


def test_without_memory_episodes_need_not_be_said():
    agent = agent_of(OBS, spaces.Discrete(3))
    obs = np.ones(3, np.float32)
    assert agent.act(obs, first=True) == agent.act(obs) == agent.act(obs, first=False)
    agent.act(np.ones((4, 3), np.float32))
    agent.reset()
