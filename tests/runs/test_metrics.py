"""Rows of metrics.jsonl: the table that explains them, counters, recent returns. Traps 27, 33."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs.probe import choice, constant
from proximax.errors import CheckpointError
from proximax.policy.policy import make_policy
from proximax.ppo import RATIO_EDGES
from proximax.ppo.algorithms import ALGORITHMS
from proximax.ppo.learner import make_learner
from proximax.runs.metrics import METRICS, RECENT_EPISODES, History
from proximax.runtime.prng import seed_key


def add(history, episodes=0.0, return_sum=0.0, length_sum=0.0, steps=64.0, time_s=1.0, **more):
    """One update's rows; a number stands for all seeds."""
    values = {"episodes": episodes, "return_sum": return_sum, "length_sum": length_sum, "steps": steps, **more}
    each = {k: np.asarray(v, np.float32) for k, v in values.items()}
    return history.add({k: v if v.ndim else np.full(len(history.seeds), v) for k, v in each.items()}, time_s)


OF_MEMORY = {"memory_kl", "memory_abs_max"}


def logged(algo, env, network="auto"):
    """What a learner logs: one row, found without compiling the update."""
    config = RunConfig("probe", num_envs=2, algo=algo, ppo=PPOConfig(num_steps=4, minibatch_size=4, epochs=1))
    learner = make_learner(env, make_policy(env.observation_space, env.action_space, config.ppo, network), config)
    _, metrics = jax.eval_shape(learner.step, learner.init(seed_key(0)))
    shapes = {name: x.shape for name, x in metrics.items()}
    assert shapes.pop("ratio_histogram") == (len(RATIO_EDGES) + 1,)
    assert set(shapes.values()) == {()}
    (row,) = History(0, 1).add({name: np.zeros((1, *x.shape), x.dtype) for name, x in metrics.items()}, 0.5)
    json.dumps(row, allow_nan=False)
    assert list(row)[:3] == ["update", "seed", "steps"]
    return row


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_table_explains_exactly_what_a_learner_logs(algo):
    missing = {"fully_masked_index", "action_std", "actions_at_bounds"} | OF_MEMORY
    missing |= {"line_search_fraction"} if algo != "trpo" else set()
    if algo in ("reinforce", "npg", "trpo"):  # one step on the whole rollout: no KL before it
        missing |= {"kl_k1", "kl_k3", "clip_fraction"}
    assert set(logged(algo, constant())) == set(METRICS) - missing


@pytest.mark.slow
def test_an_action_mask_adds_a_row_and_nothing_else_is_ever_logged():
    env = constant()
    masked = lambda obs: {"obs": obs, "action_mask": jnp.ones(2, jnp.int8)}  # noqa: E731

    def reset(key):
        state, obs = env.reset(key)
        return state, masked(obs)

    def step(key, state, action):
        state, s = env.step(key, state, action)
        return state, s._replace(obs=masked(s.obs), final_obs=masked(s.final_obs))

    space = spaces.Dict({"obs": env.observation_space, "action_mask": spaces.MultiBinary(2)})
    row = logged("trpo", env._replace(reset=reset, step=step, observation_space=space))
    of_boxes = {"action_std", "actions_at_bounds"}
    assert set(row) | {"kl_k1", "kl_k3", "clip_fraction"} | of_boxes | OF_MEMORY == set(METRICS)
    assert of_boxes < set(logged("clip", choice(continuous=True)))
    assert all(text.endswith(".") for text in METRICS.values())


@pytest.mark.slow
def test_memory_adds_two_numbers():
    assert set(logged("clip", constant(), "mingru")) == set(logged("clip", constant())) | OF_MEMORY


def test_rows_are_plain_numbers_one_per_seed():
    history = History(7, 2)
    rows = add(history, [2, 4], [10, -6], [8, 24], [64, 60], 1.23456, entropy=[0.5, 0.25])
    assert rows[0] == {
        "update": 1,
        "seed": 7,
        "steps": 64,
        "time_s": 1.2346,
        "episodes": 2,
        "episode_return": 5.0,
        "episode_length": 4.0,
        "return_last_100": 5.0,
        "entropy": 0.5,
    }
    assert (rows[1]["seed"], rows[1]["steps"], rows[1]["episode_return"]) == (8, 60, -1.5)
    again = add(history, steps=[64, 60])
    assert [(row["update"], row["steps"]) for row in again] == [(2, 128), (2, 120)]
    assert all(type(x) in (int, float) for x in rows[0].values())
    counts = add(history, ratio_histogram=[[0, 3, 61], [1, 2, 57]])  # not a number but counts
    assert [row["ratio_histogram"] for row in counts] == [[0, 3, 61], [1, 2, 57]]
    assert {type(x) for row in counts for x in row["ratio_histogram"]} == {int}


def test_without_an_episode_and_without_a_finite_number_there_is_none_and_no_nan():
    history = History(0, 2)
    assert np.isnan(history.return_last_100).all()
    first, second = add(history, [0, 1], [0, 3], [0, 5], value_loss=[np.nan, np.inf])
    for name in ("episode_return", "episode_length", "return_last_100", "value_loss"):
        assert first[name] is None
    assert second["episode_return"] == 3.0
    assert second["value_loss"] is None
    later = add(history)  # nothing ended now: the recent return stays
    assert [row["return_last_100"] for row in later] == [None, 3.0]
    assert [row["episode_return"] for row in later] == [None, None]


@pytest.mark.trap(27)
def test_steps_survive_2_to_the_31():
    history = History(0, 1)
    for _ in range(5):
        (row,) = add(history, steps=2.0**30)
    assert row["steps"] == 5 * 2**30  # 5 368 709 120
    assert type(row["steps"]) is int
    (row,) = add(history, steps=1.0)  # float32 would not see this one
    assert row["steps"] == 5 * 2**30 + 1


def test_the_recent_return_is_of_the_latest_updates_with_at_least_100_episodes():
    history = History(0, 1)
    for update in range(30):
        (row,) = add(history, 7, 7 * update)  # 7 episodes of return `update` each
    assert RECENT_EPISODES == 100
    # 15 updates hold 105 episodes, 14 only 98: the latest 15, returns 15 to 29
    assert row["return_last_100"] == np.mean(np.arange(15, 30))
    (row,) = add(history, 1000, 5000)
    assert row["return_last_100"] == 5.0  # one update with enough episodes stands alone


def test_the_recent_return_covers_100_episodes_of_the_slowest_seed_too():
    history = History(0, 2)
    for update in range(20):
        rows = add(history, [50, 5], [50 * update, 5 * update])
    assert rows[1]["return_last_100"] == np.mean(np.arange(20))  # all of its 100 episodes
    rows = add(history, [50, 5], [50 * 20, 5 * 20])
    assert rows[1]["return_last_100"] == np.mean(np.arange(1, 21))


def test_the_recent_return_weighs_episodes_and_not_updates():
    history = History(0, 1)
    add(history, 1, 100)
    (row,) = add(history, 9, 0)
    assert row["return_last_100"] == 10.0


def test_a_history_restored_goes_on_to_the_same_rows():
    rng = np.random.default_rng(0)
    updates = [(rng.integers(0, 40, 2), rng.normal(size=2) * 1e3, rng.integers(60, 64, 2)) for _ in range(30)]
    whole, rows = History(4, 2), []
    for episodes, sums, steps in updates:
        rows.append(add(whole, episodes, sums * episodes, episodes * 3, steps))
    for cut in (0, 1, 17):
        first, again = History(4, 2), History(4, 2)
        for episodes, sums, steps in updates[:cut]:
            add(first, episodes, sums * episodes, episodes * 3, steps)
        tree = first.to_tree()
        kept = jax.tree.map(np.array, tree)
        add(first, 9.0, 9.0)  # goes on without touching what was saved
        jax.tree.map(np.testing.assert_array_equal, tree, kept)
        again.restore(jax.tree.map(lambda x: x, tree))
        for i, (episodes, sums, steps) in enumerate(updates[cut:]):
            assert add(again, episodes, sums * episodes, episodes * 3, steps) == rows[cut + i]
    with pytest.raises(CheckpointError, match=r"history has steps of shape \(2,\), not \(3,\)"):
        History(4, 3).restore(tree)
