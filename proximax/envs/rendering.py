"""Environments to record: a single copy, stepped as in evaluations, with colour frames of each step."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from proximax.envs.base import HostEnv
from proximax.envs.env_checker import gives_masks
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.in_process import InProcessEnvs
from proximax.envs.registry import missing_dependency
from proximax.envs.time_limit import CallLimit
from proximax.errors import ENV_ERRORS, DependencyError, EnvError, ProximaxError, UsageError, describe
from proximax.types import PyTree, Step

CANNOT_RENDER = "cannot be recorded: it does not render frames"


class RenderedEnv(HostEnv):
    """One environment, and frames ``[height, width, 3]`` of bytes that show it."""

    num_envs = 1
    env: HostEnv  # what the policy plays
    fps: float  # frames per second of play
    frames_per_step = 1  # of a step that does not end the episode
    first_frame: np.ndarray  # of the current episode
    frames: list[np.ndarray]  # of the latest step, in order

    def use_env(self, env: HostEnv) -> None:
        """Let the policy play ``env``."""
        self.env, self.notes = env, env.notes
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class FrameRecorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Renders a frame after each reset and step. ``taken``: that of the latest step, and of a reset after it."""

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        super().__init__(env)
        self.taken: list[np.ndarray] = []
        self._name = name

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and render it."""
        start = self.env.reset(**options)
        self.taken.append(self._render())
        return start

    def step(self, action: object) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and render it."""
        outcome = self.env.step(action)
        self.taken = [self._render()]
        return outcome

    def _render(self) -> np.ndarray:
        try:
            frame: Any = self.env.render()
        except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
            raise missing_dependency(self._name, error) from error
        except ENV_ERRORS as error:
            raise render_error(self._name, error) from error
        shape, dtype = np.shape(frame), getattr(frame, "dtype", None)
        if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or (self.taken and shape != self.taken[-1].shape):
            raise EnvError(
                f"render() of {self._name} gave {dtype or type(frame).__name__} of shape {shape}; a video needs "
                "uint8 frames [height, width, 3], all of one size"
            )
        return np.array(frame)


class RenderedGymnasiumEnv(RenderedEnv):
    """A Gymnasium environment with ``render_mode="rgb_array"``."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], name: str) -> None:
        prepare_rendering()
        try:
            env = CallLimit().run("its constructor", make)
        except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
            raise missing_dependency(name, error) from error
        except ProximaxError:
            raise
        except ENV_ERRORS as error:
            raise render_error(name, error) from error
        if env.render_mode != "rgb_array":
            raise UsageError(
                f"{name} {CANNOT_RENDER}: its render_mode is {env.render_mode!r}; make it with 'rgb_array'"
            )
        self._camera = FrameRecorder(env, name)
        self._camera.reset(seed=0)  # an environment that cannot be rendered raises here
        self.use_env(GymnasiumEnv(InProcessEnvs([lambda: self._camera], reads_masks=gives_masks(self._camera))))
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
        """Take a step; at an episode's end the frame is of the state that it reached, not of the next start."""
        s = self.env.receive()
        self.frames, self.first_frame = self._camera.taken[:1], self._camera.taken[-1]
        return s


def prepare_rendering() -> None:
    """Let rendering libraries work without display and sound, silently; variables that are set take precedence."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not screen:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("MUJOCO_GL", "egl")  # else Gymnasium tries to open a window, and fails


def render_error(name: str, error: BaseException) -> ProximaxError:
    """The error for an environment that cannot be rendered."""
    text = f"{name} cannot be recorded here ({describe(error)}). "
    if not any("mujoco" in entry.filename for entry in traceback.extract_tb(error.__traceback__)):
        return UsageError(text + "It must accept render_mode='rgb_array'")
    return DependencyError(
        text + "MuJoCo renders with OpenGL; without a display set MUJOCO_GL=egl (needs libEGL, of a GPU's driver or of "
        f"Mesa) or MUJOCO_GL=osmesa (needs libOSMesa). It is {os.environ.get('MUJOCO_GL') or 'not set'}"
    )
