"""Environments to record: a frame of every state, none of another, and what cannot be recorded is refused."""

import gymnasium
import numpy as np
import pytest

from proximax.envs import make_rendered_env
from proximax.errors import DependencyError, EnvError, UsageError
from tests.support.toy_gym import Drawn, Fixed


def colours(frames):
    """(step, episode) that the pictures of ``Drawn`` say."""
    return [(int(frame[0, 0, 0]) // 50, int(frame[0, 0, 1]) // 40) for frame in frames]


def test_an_episodes_last_frame_is_of_the_state_that_it_reached_and_the_next_begins_with_its_own():
    env = make_rendered_env(Drawn)
    assert (env.fps, env.num_envs, env.frames_per_step) == (10.0, 1, 1)
    env.reset([7])
    assert (env.frames, colours([env.first_frame])) == ([], [(0, 0)])
    steps, begins = [], []
    for _ in range(6):  # two episodes of three steps
        env.step(np.zeros(1, int))
        steps += colours(env.frames)
        begins += colours([env.first_frame])
    assert steps == [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)]
    assert begins[2] == (0, 1)
    assert begins[5] == (0, 2)
    env.close()


class Flat(Drawn):
    def render(self):
        return np.zeros((20, 30), np.uint8)


class Broken(Drawn):
    def render(self):
        raise RuntimeError("no screen")


@pytest.mark.parametrize(
    ("env", "fault", "message"),
    [
        ("gymnax:CartPole-v1", UsageError, "does not render frames"),
        ("envpool:NoSuchTask-v1", UsageError, "Gymnasium has no NoSuchTask-v1"),
        ("ALE/Pnog-v5", UsageError, "Did you mean ALE/Pong-v5"),
        (Flat, EnvError, r"gave uint8 of shape \(20, 30\)"),
        (Broken, UsageError, r"cannot be recorded here \(RuntimeError: no screen\)"),
        (gymnasium.make_vec("CartPole-v1", 1), UsageError, "Give an id, or a callable"),
    ],
)
def test_what_has_no_pictures_is_refused(env, fault, message):
    if isinstance(env, str) and env.startswith("ALE"):
        pytest.importorskip("ale_py")
    with pytest.raises(fault, match=message):
        make_rendered_env(env)


def test_an_environment_without_a_render_mode_is_refused():
    gymnasium.register("Sightless-v0", entry_point=Fixed)
    refused = pytest.raises(UsageError, match=r"Sightless-v0 cannot be recorded here.*render_mode")
    with refused, pytest.warns(UserWarning, match="render_mode"):
        make_rendered_env("Sightless-v0")


@pytest.mark.filterwarnings("ignore:.*GLFW", "ignore::pytest.PytestUnraisableExceptionWarning")  # of half a renderer
@pytest.mark.parametrize("way", ["glfw", "none"])
def test_mujoco_without_opengl_says_what_to_set(way, monkeypatch):
    pytest.importorskip("mujoco")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUJOCO_GL", way)
    with pytest.raises(DependencyError, match=f"MUJOCO_GL=egl .* MUJOCO_GL=osmesa .* It is {way}"):
        make_rendered_env("InvertedPendulum-v5")
