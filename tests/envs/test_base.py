"""What all environments share: resets inside a program, seeds, and the form of a saved state."""

import jax.numpy as jnp
import numpy as np
import pytest

from proximax.envs.base import HostEnv, auto_reset, env_seeds, host_state, read_host_state, restoring_errors
from proximax.envs.env_state import StateError
from proximax.errors import CheckpointError


def test_a_reset_takes_the_place_of_what_was_reached_only_where_the_episode_ended():
    fresh, reached = {"obs": jnp.zeros(2), "t": jnp.array(0)}, {"obs": jnp.ones(2), "t": jnp.array(7)}
    assert int(auto_reset(jnp.array(True), fresh, reached)["t"]) == 0
    stays = auto_reset(jnp.array(False), fresh, reached)
    assert int(stays["t"]) == 7
    np.testing.assert_array_equal(stays["obs"], [1, 1])


@pytest.mark.trap(34)
def test_seeds_of_neighbouring_runs_do_not_overlap():
    seeds = [env_seeds(seed, 8) for seed in range(5)]
    assert len({x for run in seeds for x in run}) == 5 * 8
    assert env_seeds(3, 8)[:4] == env_seeds(3, 4)
    assert all(0 <= x < 2**31 for run in seeds for x in run)


def test_a_saved_state_is_read_back_and_anything_else_is_refused_by_name():
    state = host_state(7, np.array([True, False]), ["layer"], ["a", "b"])
    steps, ended, vector, envs = read_host_state(state, 2)
    assert (steps, ended.tolist(), vector, envs) == (7, [True, False], ["layer"], ["a", "b"])
    for changed, text in (
        ({"steps": 1.5}, "steps is a float, not a int"),
        ({"envs": "ab"}, "envs is a str, not a list"),
        ({"ended": np.zeros(3, bool)}, "ended"),
    ):
        with pytest.raises(StateError, match=text):
            read_host_state({**state, **changed}, 2)
    with pytest.raises(StateError, match="the state"):
        read_host_state({"steps": 7}, 2)


def test_an_environment_without_a_state_says_so():
    class Stateless(HostEnv):
        pass

    assert Stateless.get_state(Stateless()) is None
    with pytest.raises(CheckpointError, match="Stateless has no state that can be restored: start new episodes"):
        Stateless().set_state({})


def test_a_state_that_does_not_fit_is_an_error_of_the_file():
    with pytest.raises(CheckpointError, match="the saved state does not fit the environments: odd"), restoring_errors():
        raise StateError("odd")
