"""Games in colour: the emulator that is seen plays the game that is played."""

import numpy as np
import pytest

from proximax.config.atari_config import AtariConfig
from proximax.envs import Game, make_rendered_env
from proximax.errors import EnvError


@pytest.mark.parametrize("sticky", [0.0, 0.25])
def test_what_is_seen_is_what_is_played(sticky):
    """In the size of the screen, what is played is the maximum of the last two frames seen, pixel by pixel."""
    pytest.importorskip("ale_py")
    config = AtariConfig(sticky_actions=sticky, grayscale=False, height=210, width=160, stack=1, actions=(0, 2, 5))
    env = make_rendered_env(Game("ALE/Pong-v5", config))
    rng, seen = np.random.default_rng(0), 0
    obs = env.reset([5])
    np.testing.assert_array_equal(obs[0, 0], env.first_frame)
    for _ in range(300):
        s = env.step(rng.integers(3, size=1))
        assert len(env.frames) == 4
        np.testing.assert_array_equal(s.final_obs[0, 0], np.maximum(*env.frames[-2:]))
        seen += float(s.raw_reward[0])
    assert seen < 0
    env.close()


def test_a_second_game_is_the_same_too_and_a_game_that_differs_is_refused():
    pytest.importorskip("ale_py")
    config = AtariConfig(sticky_actions=0.25, grayscale=False, height=210, width=160, stack=1, frame_cap=100)
    env = make_rendered_env(Game("ALE/Breakout-v5", config))
    env.reset([1])
    ends = 0
    for _ in range(60):
        s = env.step(np.ones(1, int))
        ends += bool(s.ended[0])
        if s.ended[0]:
            np.testing.assert_array_equal(s.obs[0, 0], env.first_frame)
    assert ends == 2
    env._screen.step(np.ones(1, int))  # one step ahead
    with pytest.raises(EnvError, match=r"differ at step 61: .*frame_number"):
        env.step(np.ones(1, int))
    env.close()


def test_a_game_of_envpool_is_shown_by_ale():
    pytest.importorskip("ale_py")
    pytest.importorskip("envpool")
    env = make_rendered_env(Game("envpool:Pong-v5", AtariConfig()))
    obs = env.reset([0])
    assert obs.shape == (1, 4, 84, 84)
    assert env.first_frame.shape == (210, 160, 3)
    env.close()
