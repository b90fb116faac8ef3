"""Observations to try a policy on."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.exporting.observations import batches, random_observations
from tests.support.exported_agents import BOX, IMAGE, MASKED, NESTED_OBS, agent

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("space", [BOX, IMAGE, NESTED_OBS, spaces.Box(-np.inf, np.inf, (2,)), spaces.MultiBinary(3)])
def test_they_are_in_the_space(space):
    obs = random_observations(agent(space, network="mlp"), 20, RNG)
    for i in range(20):
        row = {"eye": obs["eye"][i], "clock": tuple(x[i] for x in obs["clock"])} if isinstance(obs, dict) else obs[i]
        if space is NESTED_OBS:
            row["clock"] = (row["clock"][0], row["clock"][1].astype(np.int64))
        assert space.contains(row)


def test_they_are_about_the_moments():
    made = agent(spaces.Box(-np.inf, np.inf, (2,)))
    obs = random_observations(made, 4000, RNG)
    np.testing.assert_allclose(obs.mean(0), made.obs_moments.mean, atol=0.2)


def test_masks_allow_something_in_every_component():
    obs = random_observations(agent(MASKED, spaces.MultiDiscrete([2, 3])), 200, RNG)
    mask = obs["action_mask"]
    assert mask[:, :2].any(1).all()
    assert mask[:, 2:].any(1).all()
    assert not mask.all(1).all()


def test_batches_have_one_size_and_as_many_rows_as_asked_or_more():
    sizes = [len(obs) for obs in batches(agent(), 2500, RNG)]
    assert sizes == [1000, 1000, 1000]
