"""Atari games with frames in colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from proximax.envs.atari.games import Game
from proximax.envs.atari.make import AtariEnv, make_atari, make_screen
from proximax.envs.ids import EnvId
from proximax.envs.rendering import RenderedEnv
from proximax.errors import EnvError
from proximax.types import PyTree, Step

ATARI_FPS = 60  # of the console with NTSC
COUNTERS = ("lives", "frame_number", "episode_frame_number")  # in ALE's info after every step


class RenderedAtariEnv(RenderedEnv):
    """An Atari game. The policy plays on ALE's small gray frames, as in training; a second emulator is recorded.

    It gets the same seed and actions, but shows every frame in colour and full size. Sticky actions and the no-ops at
    the start are the same too, since both draw the same random numbers. Every step is compared.
    """

    def __init__(self, game: Game) -> None:
        game = game._replace(id=str(EnvId.parse(game.id).in_ale))  # EnvPool has no second emulator to offer
        self.use_env(make_atari(game, 1, 1, 1))
        self._screen = make_screen(game)
        self.fps, self.frames_per_step = ATARI_FPS, game.config.frame_skip
        self._steps, self._action = 0, np.zeros(1, int)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """A new game on both emulators."""
        obs = self.env.reset(seeds)
        self._steps, self.frames = 0, []
        self.first_frame = np.array(self._screen.reset(seeds)[0, -1])
        self._compare({})
        return obs

    def send(self, action: PyTree) -> None:
        """Start a step of the game that the policy plays."""
        self._action = np.array(action)
        self.env.send(action)

    def receive(self) -> Step:
        """Finish that step, and take the same step on the second emulator, frame by frame."""
        s = self.env.receive()
        self._steps, self.frames, score, over = self._steps + 1, [], 0.0, False
        while len(self.frames) < self.frames_per_step and not over:
            frame = self._screen.step(self._action)
            score, over = score + float(frame.raw_reward[0]), bool(frame.ended[0])
            self.frames.append(np.array(frame.final_obs[0, -1]))
            if over:
                self.first_frame = np.array(frame.obs[0, -1])
        self._compare({"reward": (float(s.raw_reward[0]), score), "end": (bool(s.ended[0]), over)})
        return s

    def _compare(self, outcome: dict[str, tuple[Any, Any]]) -> None:
        """Raise an error where the two emulators differ."""
        played, shown = (env.env.info for env in (self.env, self._screen) if isinstance(env, AtariEnv))
        outcome = outcome | {name: (int(played[name][0]), int(shown[name][0])) for name in COUNTERS}
        for name, (mine, other) in outcome.items():
            if mine != other:
                raise EnvError(
                    f"the played and the recorded game differ at step {self._steps}: {name} {mine} and {other}. "
                    "The emulator does not repeat a game with the same seed and actions, so it cannot be recorded"
                )

    def close(self) -> None:
        """Close both emulators."""
        super().close()
        self._screen.close()
