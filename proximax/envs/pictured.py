"""Environments to watch: a single copy, stepped as in evaluations, with colour pictures of what happened."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from proximax.envs.atari import AtariEnv, Game, ale_id, atari_id, make_atari, make_screen
from proximax.envs.base import HostEnv, JaxEnv
from proximax.envs.host import GymnasiumEnv
from proximax.envs.make import EnvLike, env_name, find_spec, missing_dependency, split_id
from proximax.errors import DependencyError, EnvironmentFault, ProximaxError, UsageError
from proximax.types import PyTree, Step
from proximax.xla import run_inline

ATARI_FPS = 60  # of the console on an American television
COUNTERS = ("lives", "frame_number", "episode_frame_number")  # what ALE tells after every step
UNSEEN = "cannot be filmed: it draws no pictures"


class Pictured(HostEnv):
    """One environment, and pictures ``[rows, columns, 3]`` of bytes of what it does."""

    num_envs = 1
    env: HostEnv  # what the policy plays
    fps: float  # pictures in a second of play
    each = 1  # pictures that a whole step has
    opening: np.ndarray  # the start of the episode that the last reset, or the end of another, began
    pictures: list[np.ndarray]  # what the last step showed, in order

    def _show(self, env: HostEnv) -> None:
        self.env, self.notes = env, env.notes
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class PicturedGame(Pictured):
    """An Atari game. The policy plays ALE's small gray frames, as in training; a second emulator is what is seen.

    That one gets the same seed and the same actions but skips no frame, in colour and full size. Even sticky actions
    and the no-ops of a start are the same, since both draw the same random numbers. Every step is checked.
    """

    def __init__(self, game: Game) -> None:
        game = game._replace(id=ale_id(game.id))  # EnvPool has no second emulator to offer
        self._show(make_atari(game, 1, 1, 1))
        self._screen = make_screen(game)
        self.fps, self.each = ATARI_FPS, game.config.frame_skip
        self._steps, self._action = 0, np.zeros(1, int)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """A new game on both emulators."""
        obs = self.env.reset(seeds)
        self._steps, self.pictures = 0, []
        self.opening = np.array(self._screen.reset(seeds)[0, -1])
        self._compare({})
        return obs

    def send(self, action: PyTree) -> None:
        """Start a step of what is played."""
        self._action = np.array(action)
        self.env.send(action)

    def receive(self) -> Step:
        """The end of that step, and the same step on the screen, frame by frame."""
        s = self.env.receive()
        self._steps, self.pictures, score, over = self._steps + 1, [], 0.0, False
        while len(self.pictures) < self.each and not over:
            frame = self._screen.step(self._action)
            score, over = score + float(frame.raw_reward[0]), bool(frame.ended[0])
            self.pictures.append(np.array(frame.final_obs[0, -1]))
            if over:
                self.opening = np.array(frame.obs[0, -1])
        self._compare({"reward": (float(s.raw_reward[0]), score), "end": (bool(s.ended[0]), over)})
        return s

    def _compare(self, outcome: dict[str, tuple[Any, Any]]) -> None:
        """Refuse to show another game than the one that is played."""
        played, seen = (env.env.info for env in (self.env, self._screen) if isinstance(env, AtariEnv))
        outcome = outcome | {name: (int(played[name][0]), int(seen[name][0])) for name in COUNTERS}
        for name, (mine, other) in outcome.items():
            if mine != other:
                raise EnvironmentFault(
                    f"what is played and what is seen differ at step {self._steps}: {name} {mine} and {other}. "
                    "The emulator does not repeat a game with the same seed and actions, so it cannot be filmed"
                )

    def close(self) -> None:
        """Close both emulators."""
        super().close()
        self._screen.close()


class Camera(gymnasium.Wrapper[Any, Any, Any, Any]):
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
        except Exception as error:
            raise cannot_draw(self._name, error) from error
        shape, dtype = np.shape(picture), getattr(picture, "dtype", None)
        if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or (self.taken and shape != self.taken[-1].shape):
            raise EnvironmentFault(
                f"render() of {self._name} gave {dtype or type(picture).__name__} of shape {shape}; a video needs "
                "uint8 pictures [rows, columns, 3], all of one size"
            )
        return np.array(picture)


class PicturedEnv(Pictured):
    """A Gymnasium environment that draws itself."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], name: str) -> None:
        prepare_drawing()
        try:
            env = make()
        except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
            raise missing_dependency(name, error) from error
        except ProximaxError:
            raise
        except Exception as error:
            raise cannot_draw(name, error) from error
        if env.render_mode != "rgb_array":
            raise UsageError(f"{name} {UNSEEN}: its render_mode is {env.render_mode!r}; make it with 'rgb_array'")
        self._camera = Camera(env, name)
        self._camera.reset(seed=0)  # what cannot be drawn is found out here
        vector = SyncVectorEnv([lambda: self._camera], autoreset_mode=AutoresetMode.DISABLED)
        self._show(GymnasiumEnv(vector))
        self.fps = float(env.metadata.get("render_fps") or 30)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """A new episode."""
        obs = self.env.reset(seeds)
        self.pictures, self.opening = [], self._camera.taken[-1]
        return obs

    def send(self, action: PyTree) -> None:
        """Start a step."""
        self.env.send(action)

    def receive(self) -> Step:
        """Take a step; an episode's end shows the state that it reached, not the next start."""
        s = self.env.receive()
        self.pictures, self.opening = self._camera.taken[:1], self._camera.taken[-1]
        return s


def prepare_drawing() -> None:
    """Let the libraries that draw work without screen, loudspeakers and greetings; what is set already goes first."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not screen:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("MUJOCO_GL", "egl")  # by itself Gymnasium tries a window, and fails


def cannot_draw(name: str, error: Exception) -> ProximaxError:
    """The fault for an environment whose pictures could not be made."""
    what = f"{name} cannot be filmed here ({type(error).__name__}: {error}). "
    if not any("mujoco" in place.filename for place in traceback.extract_tb(error.__traceback__)):
        return UsageError(what + "It must be one that can be made with render_mode='rgb_array'")
    return DependencyError(
        what + "MuJoCo draws with OpenGL; without a screen set MUJOCO_GL=egl (needs libEGL, of a GPU's driver or of "
        f"Mesa) or MUJOCO_GL=osmesa (needs libOSMesa). It is {os.environ.get('MUJOCO_GL') or 'not set'}"
    )


def pictured(env: EnvLike) -> Pictured:
    """One environment to watch: an Atari game (by ALE), a Gymnasium id, or a callable that makes a Gymnasium one."""
    run_inline()
    if isinstance(env, Game) or (isinstance(env, str) and atari_id(env)):
        return PicturedGame(env if isinstance(env, Game) else Game(env))
    if not isinstance(env, str):
        if isinstance(env, (VectorEnv, JaxEnv)) or not callable(env):
            raise UsageError(
                f"{env_name(env)} {UNSEEN}. Give an id, or a callable that makes one Gymnasium environment"
            )
        return PicturedEnv(env, env_name(env))
    source, name = split_id(env)
    if source in ("gymnax", "probe"):
        raise UsageError(f"{env} {UNSEEN}. Gymnasium's environments and Atari games can be")
    if source == "envpool" and name not in gymnasium.registry:
        raise UsageError(f"{env} {UNSEEN}, and Gymnasium has no {name} to play instead")
    return PicturedEnv(partial(gymnasium.make, find_spec(name), render_mode="rgb_array"), name)
