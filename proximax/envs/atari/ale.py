"""ALE's vector environment of Atari games. It does not expose its state, so that is restored by replaying the games.

A game is a function of its emulator's seed and of all actions since, also those of earlier games, which advanced the
emulator's random numbers. So every action is kept, one byte each; and where a game ends long after its emulator was
seeded, the emulator gets a new seed, which bounds what must be replayed.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from proximax.envs.base import host_state, read_host_state, restoring_errors
from proximax.envs.crash_recovery import new_seed
from proximax.envs.env_state import StateError, array, expect_keys
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.types import PyTree, Step

# Emulator frames after which the next game gets a new seed. Seeding loads the ROM, 0.1 s: at 200 frames a second and
# game that is 0.01 % of the time. Replaying 50,000 steps of four frames takes a minute.
FRAMES_PER_SEED = 200_000
COUNTERS = ("lives", "frame_number", "episode_frame_number")


class AleEnv(GymnasiumEnv):
    """``AtariVectorEnv`` in same-step mode, with a seed for each game, and a record of the actions."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, masked=False)
        self._seeds = np.zeros(self.num_envs, np.int64)
        self._actions = np.zeros((1024, self.num_envs), np.uint8)
        self._taken = 0  # steps recorded in ``_actions``
        self._since = np.zeros(self.num_envs, int)  # the recorded step at which each emulator was seeded
        self._was_reset = False

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New games, each with its own seed."""
        self._seeds, self._was_reset = np.array(seeds, np.int64), True
        self._taken = 0
        self._since[:] = 0
        return self._reset(seed=self._seeds)

    def send(self, action: PyTree) -> None:
        """Start a step."""
        if self._taken == len(self._actions):
            self._grow()
        self._actions[self._taken] = action
        self._taken += 1
        super().send(action)

    def _grow(self) -> None:
        """Drop the actions before all seeds, or double the room."""
        kept = self._actions[self._since.min() : self._taken]
        self._actions = np.zeros((max(1024, 2 * len(kept)), self.num_envs), np.uint8)
        self._actions[: len(kept)] = kept
        self._since, self._taken = self._since - self._since.min(), len(kept)

    def receive(self) -> Step:
        """Finish the step; games that start and are due get a new seed."""
        s = super().receive()
        if not s.first.any():
            return s
        due: Any = s.first & (np.asarray(self.info["frame_number"]) >= FRAMES_PER_SEED)
        return self._reseed(s, due) if due.any() else s

    def _reseed(self, s: Step, due: np.ndarray) -> Step:
        """Restart the games that are ``due`` with new seeds."""
        numbers = np.flatnonzero(due)
        self._seeds[numbers] = [new_seed(int(seed), 1) for seed in self._seeds[numbers]]
        self._since[numbers] = self._taken
        obs = self._reset_games(due)
        return s._replace(obs=np.where(due.reshape(-1, *[1] * (obs.ndim - 1)), obs, s.obs))

    def _reset_games(self, which: np.ndarray) -> Any:
        """New, seeded games where ``which``; returns the observations of all games."""
        env: Any = self.env
        obs, self.info = env.reset(seed=self._seeds[which], options={"reset_mask": which})
        return obs

    def get_state(self) -> PyTree | None:
        """Seeds and actions; and, to check a replay, counters and a checksum of the frames now."""
        if not self._was_reset:
            return None
        fingerprints = self._fingerprints()
        envs = [
            {
                "seed": int(self._seeds[i]),
                "actions": self._actions[self._since[i] : self._taken, i].copy(),
                **fingerprints[i],
            }
            for i in range(self.num_envs)
        ]
        return host_state(self._steps, np.zeros(self.num_envs, bool), [], envs)

    def set_state(self, state: PyTree) -> None:
        """Restore the games by replaying them."""
        with restoring_errors():
            self._steps, _, vector, envs = read_host_state(state, self.num_envs)
            if vector or len(envs) != self.num_envs:
                raise StateError(f"it is not of {self.num_envs} games")
            games = [self._checked(i, game) for i, game in enumerate(envs)]
            self._replay([game["seed"] for game in games], [game["actions"] for game in games])
            for i, (game, fingerprint) in enumerate(zip(games, self._fingerprints())):
                if wrong := [name for name, value in fingerprint.items() if game[name] != value]:
                    raise StateError(
                        f"game {i} was replayed and came out differently ({', '.join(wrong)}): another game or "
                        "version of ALE, other settings, or a damaged file"
                    )

    def _checked(self, i: int, game: object) -> dict[str, Any]:
        """The state of game ``i``, checked: ALE would wait forever on an unknown action."""
        game = expect_keys(game, ("seed", "actions", "observation", *COUNTERS), f"game {i}")
        actions = game["actions"]
        array(actions, (np.size(actions),), ("uint8",), f"actions of game {i}")
        num_actions = int(getattr(self.action_space, "n", 0))
        if actions.size and int(actions.max()) >= num_actions:
            raise StateError(f"actions of game {i} has {actions.max()}; there are {num_actions} actions")
        if type(game["seed"]) is not int or not 0 <= game["seed"] < 2**31:
            raise StateError(f"the seed of game {i} is {game['seed']!r}")
        return game

    def _replay(self, seeds: list[int], actions: list[np.ndarray]) -> None:
        """Start each game at such a step that all reach their last action together."""
        num_steps = max(len(game) for game in actions)
        self._seeds, self._was_reset = np.array(seeds, np.int64), True
        self._since = np.array([num_steps - len(game) for game in actions])
        self._taken, self._actions = num_steps, np.zeros((max(1024, 2 * num_steps), self.num_envs), np.uint8)
        for i, game in enumerate(actions):
            self._actions[self._since[i] : num_steps, i] = game
        self._reset(seed=self._seeds)
        for t in range(num_steps):
            starting = self._since == t
            if t > 0 and starting.any():
                self._reset_games(starting)
            self.env.step(self._actions[t].astype(np.int32))
        starting = self._since == num_steps  # seeded just before the state was saved
        if num_steps > 0 and starting.any():
            self._reset_games(starting)

    def _fingerprints(self) -> list[dict[str, int]]:
        """Counters and a checksum of each game's observation, which a reset of no game gives without a step."""
        obs, self.info = self.env.reset(options={"reset_mask": np.zeros(self.num_envs, bool)})
        counts = {name: np.asarray(self.info[name]).tolist() for name in COUNTERS}
        checksums = [zlib.crc32(frames.tobytes()) for frames in obs]
        return [
            {"observation": checksums[i], **{name: counts[name][i] for name in COUNTERS}} for i in range(self.num_envs)
        ]
