"""Environments to watch: a single copy, stepped as in evaluations, with colour pictures of what happened."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from proximax.envs.base import HostEnv
from proximax.envs.env_checker import ENV_ERRORS
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.registry import missing_dependency
from proximax.errors import DependencyError, EnvError, ProximaxError, UsageError
from proximax.types import PyTree, Step

CANNOT_RENDER = "cannot be filmed: it draws no pictures"


class RenderedEnv(HostEnv):
    """One environment, and pictures ``[rows, columns, 3]`` of bytes of what it does."""

    num_envs = 1
    env: HostEnv  # what the policy plays
    fps: float  # pictures in a second of play
    frames_per_step = 1  # pictures that a whole step has
    first_frame: np.ndarray  # the start of the episode that the last reset, or the end of another, began
    frames: list[np.ndarray]  # what the last step showed, in order

    def _show(self, env: HostEnv) -> None:
        self.env, self.notes = env, env.notes
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class FrameRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Takes a picture after each reset and step. ``taken``: of the last step, and of a reset after it."""

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        super().__init__(env)
        self.taken: list[np.ndarray] = []
        self._name = name

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        """As the environment's own."""
        begun = self.env.reset(**how)
        self.taken.append(self._picture())
        return begun

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's own."""
        outcome = self.env.step(action)
        self.taken = [self._picture()]
        return outcome

    def _picture(self) -> np.ndarray:
        try:
            picture: Any = self.env.render()
        except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
            raise missing_dependency(self._name, error) from error
        except ENV_ERRORS as error:
            raise cannot_draw(self._name, error) from error
        shape, dtype = np.shape(picture), getattr(picture, "dtype", None)
        if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or (self.taken and shape != self.taken[-1].shape):
            raise EnvError(
                f"render() of {self._name} gave {dtype or type(picture).__name__} of shape {shape}; a video needs "
                "uint8 pictures [rows, columns, 3], all of one size"
            )
        return np.array(picture)


class RenderedGymnasiumEnv(RenderedEnv):
    """A Gymnasium environment that draws itself."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], name: str) -> None:
        prepare_drawing()
        try:
            env = make()
        except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
            raise missing_dependency(name, error) from error
        except ProximaxError:
            raise
        except ENV_ERRORS as error:
            raise cannot_draw(name, error) from error
        if env.render_mode != "rgb_array":
            raise UsageError(
                f"{name} {CANNOT_RENDER}: its render_mode is {env.render_mode!r}; make it with 'rgb_array'"
            )
        self._camera = FrameRecorder(env, name)
        self._camera.reset(seed=0)  # what cannot be drawn is found out here
        vector = SyncVectorEnv([lambda: self._camera], autoreset_mode=AutoresetMode.DISABLED)
        self._show(GymnasiumEnv(vector))
        self.fps = float(env.metadata.get("render_fps") or 30)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """A new episode."""
        obs = self.env.reset(seeds)
        self.frames, self.first_frame = [], self._camera.taken[-1]
        return obs

    def send(self, action: PyTree) -> None:
        """Start a step."""
        self.env.send(action)

    def receive(self) -> Step:
        """Take a step; an episode's end shows the state that it reached, not the next start."""
        s = self.env.receive()
        self.frames, self.first_frame = self._camera.taken[:1], self._camera.taken[-1]
        return s


def prepare_drawing() -> None:
    """Let the libraries that draw work without screen, loudspeakers and greetings; what is set already goes first."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not screen:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("MUJOCO_GL", "egl")  # by itself Gymnasium tries a window, and fails


def cannot_draw(name: str, error: BaseException) -> ProximaxError:
    """The fault for an environment whose pictures could not be made."""
    what = f"{name} cannot be filmed here ({type(error).__name__}: {error}). "
    if not any("mujoco" in place.filename for place in traceback.extract_tb(error.__traceback__)):
        return UsageError(what + "It must be one that can be made with render_mode='rgb_array'")
    return DependencyError(
        what + "MuJoCo draws with OpenGL; without a screen set MUJOCO_GL=egl (needs libEGL, of a GPU's driver or of "
        f"Mesa) or MUJOCO_GL=osmesa (needs libOSMesa). It is {os.environ.get('MUJOCO_GL') or 'not set'}"
    )
