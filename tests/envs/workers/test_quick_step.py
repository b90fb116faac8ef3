"""MuJoCo's environments without what surrounds the physics: the same bits as Gymnasium's own step."""

import gymnasium
import numpy as np
import pytest

from proximax.envs.env_state import get_state
from proximax.envs.in_process import InProcessEnvs
from proximax.envs.workers.quick_step import STEPS, quick_step

pytest.importorskip("mujoco")
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

CASES = {
    "HalfCheetah-v5": {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 0.3},
    "Swimmer-v5": {"exclude_current_positions_from_observation": False, "forward_reward_weight": 2.0},
    "Hopper-v5": {"exclude_current_positions_from_observation": False, "healthy_state_range": (-5.0, 5.0)},
    "Walker2d-v5": {"terminate_when_unhealthy": False, "frame_skip": 2},
    "Ant-v5": {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.01, "main_body": "aux_1"},
}


def outcome(step):
    """What counts of a step, as bytes."""
    obs, reward, terminated, truncated = step[:4]
    return np.asarray(obs).tobytes(), np.float64(reward).tobytes(), bool(terminated), bool(truncated)


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_number_of_every_step_is_that_of_gymnasium(name, changed):
    kwargs = (CASES[name] if changed else {}) | {"max_episode_steps": 15}
    usual, other = (gymnasium.make(name, **kwargs) for _ in range(2))
    space, rng = usual.action_space, np.random.default_rng(0)
    quick, ends, out = None, set(), np.empty(usual.observation_space.shape)
    usual.reset(seed=3)
    other.reset(seed=3)
    for t in range(300):
        action = (rng.uniform(-1.2, 1.2, space.shape) * space.high).astype(np.float32)
        if t % 100 == 0:  # back to the whole step, and again to the quick one
            observed = other.step(action.copy())
        else:
            quick = quick or quick_step(other)
            observed = out, *quick(action.copy(), out)
        expected = usual.step(action)
        assert outcome(observed) == outcome(expected), t
        if expected[2] or expected[3]:
            ends.add(expected[2])
            first, same = usual.reset()[0], other.reset()[0]
            assert first.tobytes() == same.tobytes()
    assert False in ends  # the time limit
    if name in ("Hopper-v5", "Walker2d-v5") and not changed:
        assert True in ends
    states = [get_state(env) for env in (usual, other)]
    assert str(states[0]) == str(states[1])


def test_known_environments_are_those_of_the_cases():
    assert len(STEPS) == len(CASES)


class Heavier(HalfCheetahEnv):
    """A class of the user's own."""


def instance_with(name):
    env = gymnasium.make("HalfCheetah-v5")
    setattr(env.unwrapped, name, getattr(env.unwrapped, name))
    return env


@pytest.mark.parametrize(
    "make",
    [
        lambda: Heavier(),
        lambda: gymnasium.make("CartPole-v1"),
        lambda: gymnasium.make("HalfCheetah-v4"),
        lambda: gymnasium.make("Humanoid-v5"),
        lambda: gymnasium.wrappers.RescaleAction(gymnasium.make("HalfCheetah-v5"), -0.5, 0.5),
        lambda: gymnasium.wrappers.TransformReward(gymnasium.make("HalfCheetah-v5"), lambda r: 2 * r),
        lambda: instance_with("step"),
        lambda: instance_with("_get_obs"),
    ],
)
def test_what_is_not_exactly_gymnasiums_keeps_its_own_step(make):
    assert quick_step(make()) is None


def test_environments_in_this_process_step_alike():
    make = lambda: gymnasium.make("HalfCheetah-v5", max_episode_steps=5)  # noqa: E731
    vector, alone = InProcessEnvs([make, make]), [make(), make()]
    vector.reset(seed=[1, 2])
    for env, seed in zip(alone, (1, 2)):
        env.reset(seed=seed)
    actions = np.random.default_rng(0).uniform(-1, 1, (5, 2, 6)).astype(np.float32)
    for row in actions:
        obs, reward, terminated, truncated, _ = vector.step(row)
        expected = [outcome(env.step(action)) for env, action in zip(alone, row)]
        assert [outcome(step) for step in zip(obs, reward, terminated, truncated)] == expected
    assert truncated.all()
