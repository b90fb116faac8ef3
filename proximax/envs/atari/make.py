"""Atari games: ALE's own vector environment and EnvPool's, as a ``HostEnv``.

Both run the emulator in C++ threads and give stacks of small gray frames. They play whole games with raw rewards;
episodes that end with a lost life, and rewards clipped to their sign, are added on top.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from proximax.config import AtariConfig
from proximax.envs.atari.ale import AleEnv
from proximax.envs.atari.games import Game, rom_of
from proximax.envs.base import HostEnv
from proximax.envs.env_groups import make_double_buffered
from proximax.envs.envpool_env import EnvPoolEnv
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.ids import EnvId
from proximax.errors import DependencyError, EnvError, UsageError
from proximax.types import PyTree, Step


class AtariEnv(HostEnv):
    """Whole games with raw rewards as training episodes; ``Step`` keeps the raw ones too."""

    stacked = True

    def __init__(self, env: GymnasiumEnv, config: AtariConfig) -> None:
        self.env, self.config = env, config
        self.num_envs, self.notes = env.num_envs, env.notes
        self.observation_space = env.observation_space
        num_actions = int(getattr(env.action_space, "n", 0))
        numbers = config.actions or tuple(range(num_actions))
        if max(numbers) >= num_actions:
            raise UsageError(f"atari.actions = {config.actions}: this game has the actions 0 to {num_actions - 1}")
        self._actions = np.array(numbers, np.int32)
        self.action_space: spaces.Space[Any] = spaces.Discrete(len(numbers))
        self._lives = np.zeros(self.num_envs, int)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New games."""
        obs = self.env.reset(seeds)
        self._lives[:] = self.env.info["lives"]
        return obs

    def send(self, action: PyTree) -> None:
        """Start a step. ALE would wait forever on an unknown action, so they are checked."""
        numbers = np.asarray(action)
        if numbers.shape != (self.num_envs,) or not np.isin(numbers, range(len(self._actions))).all():
            raise EnvError(
                f"actions {numbers.tolist()}: give {self.num_envs} integers from 0 to {len(self._actions) - 1}"
            )
        self.env.send(self._actions[numbers.astype(int)])

    def receive(self) -> Step:
        """Finish the step; a lost life ends the training episode if ``config.episodic_life``."""
        s = self.env.receive()
        over, lives = s.ended, np.asarray(self.env.info["lives"])
        lost = (lives < self._lives) & ~over & (s.valid != 0)
        self._lives = lives.copy()
        reward: Any = np.sign(s.reward) if self.config.clip_reward else s.reward
        s = s._replace(reward=reward, unclipped_reward=s.reward, episode_over=over)
        return s._replace(terminated=s.terminated | lost, first=s.first | lost) if self.config.episodic_life else s

    def get_state(self) -> PyTree | None:
        """The games' state, of ``AleEnv``; None of EnvPool. Lives are known again once the games are replayed."""
        return self.env.get_state()

    def set_state(self, state: PyTree) -> None:
        """Restore the games."""
        self.env.set_state(state)
        self._lives[:] = self.env.info["lives"]

    def close(self) -> None:
        """End the emulators' threads."""
        self.env.close()


def make_atari(game: Game, num_envs: int, groups: int, env_groups: int) -> HostEnv:
    """``num_envs`` games for each seed, by ALE or by EnvPool."""
    if problems := game.config.problems():
        raise UsageError("; ".join(problems))
    make = _pool(game) if EnvId.parse(game.id).source == "envpool" else _ale(game)
    return make_double_buffered(lambda size: AtariEnv(make(size), game.config), num_envs, groups, env_groups)


def _ale(game: Game) -> Callable[[int], GymnasiumEnv]:
    """A factory of ALE's vector environment of ``size`` games."""
    try:
        from ale_py.vector_env import AtariVectorEnv
    except ImportError as error:
        raise DependencyError(f'{game.id} needs {error.name}: pip install "proximax[atari]"') from error
    rom, c = rom_of(game), game.config

    def vector(size: int) -> GymnasiumEnv:
        env: VectorEnv[Any, Any, Any] = AtariVectorEnv(
            rom,
            size,
            frameskip=c.frame_skip,
            maxpool=c.max_of_two,
            grayscale=c.grayscale,
            img_height=c.height,
            img_width=c.width,
            stack_num=c.stack,
            noop_max=c.noop_max,
            use_fire_reset=c.fire_on_reset,
            repeat_action_probability=c.sticky_actions,
            full_action_space=c.full_action_space,
            max_num_frames_per_episode=c.frame_cap,
            reward_clipping=False,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        return AleEnv(env)

    return vector


def make_screen(game: Game) -> AtariEnv:
    """One game by ALE as a person sees it: every frame, in colour, in the size of the original screen."""
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)
    emulator, path = ALEInterface(), roms.get_rom_path(rom_of(game))
    assert path is not None
    emulator.loadROM(path)
    rows, columns = emulator.getScreenDims()  # 210 x 160 for most games
    full_size = replace(game.config, grayscale=False, height=rows, width=columns, episodic_life=False)
    config = replace(full_size, frame_skip=1, max_of_two=False, stack=1)
    return AtariEnv(_ale(game._replace(config=config))(1), config)


class ColourPool(EnvPoolEnv):
    """EnvPool's games in colour: it stacks frames and colours on one axis, which is split here."""

    def __init__(self, make: Callable[..., VectorEnv[Any, Any, Any]], num_envs: int) -> None:
        super().__init__(make, num_envs)
        planes, height, width = self._space.shape or ()
        self.observation_space = spaces.Box(0, 255, (planes // 3, height, width, 3), np.uint8)

    def _observed(self, obs: object, info: dict[str, Any], terminal: bool = False) -> PyTree:
        planes = super()._observed(obs, info, terminal)
        frames = planes.reshape(len(planes), -1, 3, *planes.shape[2:])
        return np.moveaxis(frames, 2, -1)


def _pool(game: Game) -> Callable[[int], GymnasiumEnv]:
    """A factory of a pool of ``size`` of EnvPool's games."""
    try:
        import envpool
    except ImportError as error:
        raise DependencyError(f'{game.id} needs {error.name}: pip install "proximax[envpool]"') from error
    name, c = EnvId.parse(game.id).name, game.config
    if c.frame_skip > 1 and not c.max_of_two:
        raise UsageError("atari.max_of_two = False: EnvPool always takes the maximum of two frames; set it True")
    settings = {
        "frame_skip": c.frame_skip,
        "gray_scale": c.grayscale,
        "img_height": c.height,
        "img_width": c.width,
        "stack_num": c.stack,
        "noop_max": max(c.noop_max, 1),
        "use_fire_reset": c.fire_on_reset,
        "repeat_action_probability": c.sticky_actions,
        "full_action_space": c.full_action_space,
        "max_episode_steps": -(-c.frame_cap // c.frame_skip),  # the first step to reach it, as in ALE
        "reward_clip": False,
        "episodic_life": False,
    }

    def pool(size: int) -> GymnasiumEnv:
        pool_class = EnvPoolEnv if c.grayscale else ColourPool
        return pool_class(partial(envpool.make, name, env_type="gymnasium", num_envs=size, **settings), size)

    return pool
