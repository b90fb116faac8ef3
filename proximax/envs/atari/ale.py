"""ALE's vector environment of Atari games, which gives no state: it is had by playing the games again.

A game is a function of its emulator's seed and of all actions since: also of those of earlier games, which moved the
emulator's random numbers. So every action is kept, a byte each; and where a game ends long after its emulator was
seeded, that gets a new seed, so that there is never very much to play again.
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

# Emulator frames after which the next game gets a seed of its own. Seeding loads the game from its file, 0.1 s: at 200
# frames a second of each game that is 0.01 % of the time. 50,000 steps of four frames take a minute to play again.
FRAMES_PER_SEED = 200_000
COUNTERS = ("lives", "frame_number", "episode_frame_number")


class AleEnv(GymnasiumEnv):
    """``AtariVectorEnv`` in same-step mode, with a seed for each game, and a record of the actions."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, masked=False)
        self._seeds = np.zeros(self.num_envs, np.int64)
        self._actions = np.zeros((1024, self.num_envs), np.uint8)
        self._taken = 0  # rows of them
        self._since = np.zeros(self.num_envs, int)  # the row at which each emulator was seeded
        self._begun = False

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New games, each with its own seed."""
        self._seeds, self._begun = np.array(seeds, np.int64), True
        self._taken = 0
        self._since[:] = 0
        return self._reset(seed=self._seeds)

    def send(self, action: PyTree) -> None:
        """Start a step."""
        if self._taken == len(self._actions):
            self._make_room()
        self._actions[self._taken] = action
        self._taken += 1
        super().send(action)

    def _make_room(self) -> None:
        """Forget the actions before all seeds, or make twice the room."""
        kept = self._actions[self._since.min() : self._taken]
        self._actions = np.zeros((max(1024, 2 * len(kept)), self.num_envs), np.uint8)
        self._actions[: len(kept)] = kept
        self._since, self._taken = self._since - self._since.min(), len(kept)

    def receive(self) -> Step:
        """The end of a step."""
        s = super().receive()
        if not s.first.any():
            return s
        due: Any = s.first & (np.asarray(self.info["frame_number"]) >= FRAMES_PER_SEED)
        return self._seeded(s, due) if due.any() else s

    def _seeded(self, s: Step, due: np.ndarray) -> Step:
        """The games that begin and are ``due`` begin once more, with seeds of their own."""
        numbers = np.flatnonzero(due)
        self._seeds[numbers] = [new_seed(int(seed), 1) for seed in self._seeds[numbers]]
        self._since[numbers] = self._taken
        obs = self._begin(due)
        return s._replace(obs=np.where(due.reshape(-1, *[1] * (obs.ndim - 1)), obs, s.obs))

    def _begin(self, which: np.ndarray) -> Any:
        """New games where ``which``, seeded; returns everyone's observations."""
        env: Any = self.env
        obs, self.info = env.reset(seed=self._seeds[which], options={"reset_mask": which})
        return obs

    def get_state(self) -> PyTree | None:
        """Seeds and actions; and, to be checked against, what the games look like now."""
        if not self._begun:
            return None
        seen = self._seen()
        envs = [
            {"seed": int(self._seeds[i]), "actions": self._actions[self._since[i] : self._taken, i].copy(), **seen[i]}
            for i in range(self.num_envs)
        ]
        return host_state(self._steps, np.zeros(self.num_envs, bool), [], envs)

    def set_state(self, state: PyTree) -> None:
        """Play the games again."""
        with restoring_errors():
            self._steps, _, vector, envs = read_host_state(state, self.num_envs)
            if vector or len(envs) != self.num_envs:
                raise StateError(f"it is not of {self.num_envs} games")
            games = [self._checked(i, game) for i, game in enumerate(envs)]
            self._play([game["seed"] for game in games], [game["actions"] for game in games])
            for i, (game, now) in enumerate(zip(games, self._seen())):
                if wrong := [name for name, value in now.items() if game[name] != value]:
                    raise StateError(
                        f"game {i} was played again and came out otherwise ({', '.join(wrong)}): another game or "
                        "version of ALE, other settings, or a damaged file"
                    )

    def _checked(self, i: int, game: Any) -> dict[str, Any]:
        """ALE would wait for ever on an action that it does not know."""
        game = expect_keys(game, ("seed", "actions", "observation", *COUNTERS), f"game {i}")
        actions = game["actions"]
        array(actions, (np.size(actions),), ("uint8",), f"actions of game {i}")
        most = int(getattr(self.action_space, "n", 0))
        if actions.size and int(actions.max()) >= most:
            raise StateError(f"actions of game {i} has {actions.max()}; there are {most} actions")
        if type(game["seed"]) is not int or not 0 <= game["seed"] < 2**31:
            raise StateError(f"the seed of game {i} is {game['seed']!r}")
        return game

    def _play(self, seeds: list[int], actions: list[np.ndarray]) -> None:
        """Begin every game with its seed so late that all come to their last actions together."""
        most = max(len(each) for each in actions)
        self._seeds, self._begun = np.array(seeds, np.int64), True
        self._since = np.array([most - len(each) for each in actions])
        self._taken, self._actions = most, np.zeros((max(1024, 2 * most), self.num_envs), np.uint8)
        for i, each in enumerate(actions):
            self._actions[self._since[i] : most, i] = each
        self._reset(seed=self._seeds)
        for t in range(most):
            late = self._since == t
            if t > 0 and late.any():
                self._begin(late)
            self.env.step(self._actions[t].astype(np.int32))
        late = self._since == most  # seeded just before the state was taken
        if most > 0 and late.any():
            self._begin(late)

    def _seen(self) -> list[dict[str, int]]:
        """Counters and a checksum of what each game shows; an empty reset gives it without a step."""
        obs, self.info = self.env.reset(options={"reset_mask": np.zeros(self.num_envs, bool)})
        counts = {name: np.asarray(self.info[name]).tolist() for name in COUNTERS}
        sums = [zlib.crc32(one.tobytes()) for one in obs]
        return [{"observation": sums[i], **{name: counts[name][i] for name in COUNTERS}} for i in range(self.num_envs)]
