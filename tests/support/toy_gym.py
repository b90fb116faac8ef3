"""Gymnasium environments with known answers. Imports no JAX: processes that step them start sooner so."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Script(gymnasium.Env):
    """Episodes of drawn lengths and rewards, whatever the action. obs = [episode, step, noise]; odd episodes terminate,
    even ones hit a time limit; every fifth ends in both ways at once.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, lengths: tuple[int, int] = (1, 6)) -> None:
        self.lengths = lengths
        self.episode = -1

    def _obs(self) -> np.ndarray:
        return np.array([self.episode, self.t, self.np_random.normal()], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode = 0 if seed is not None else self.episode + 1
        self.t = 0
        self.length = int(self.np_random.integers(*self.lengths, endpoint=True))
        return self._obs(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        last = self.t == self.length
        both = self.episode % 5 == 4
        terminated = last and (both or self.episode % 2 == 1)
        truncated = last and (both or self.episode % 2 == 0)
        return self._obs(), float(self.np_random.normal()), terminated, truncated, {}


class Fixed(Script):
    """Episodes of exactly three steps, reward 1."""

    def __init__(self) -> None:
        super().__init__((3, 3))

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, 1.0, terminated, truncated, info


class Drawn(Fixed):
    """Episodes of three steps. The picture's red says which step it is, its green which episode."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    render_mode = "rgb_array"

    def render(self) -> np.ndarray:
        return np.full((20, 31, 3), (50 * self.t, 40 * self.episode, 0), np.uint8)


# What the network is shown; keys are not in order here, nor are all leaves of one kind.
NESTED_OBS = spaces.Dict(
    [
        ("script", spaces.Box(-np.inf, np.inf, (3,), np.float64)),
        ("eye", spaces.Tuple((spaces.Box(0, 255, (2, 2, 1), np.uint8), spaces.Discrete(8, start=1)))),
        ("dial", spaces.MultiDiscrete([4, 9], start=[1, 0])),
        ("bits", spaces.MultiBinary(2)),
    ]
)
BOUNDED = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
UNBOUNDED = spaces.Box(np.array([-1, -np.inf, 0], np.float32), np.array([1, np.inf, np.inf], np.float32))
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3, start=5),
    "multi_discrete": spaces.MultiDiscrete([2, 4, 3], start=[1, -2, 0]),
    "multi_binary": spaces.MultiBinary(3),
    "nested": spaces.Dict(
        [
            ("turn", spaces.Discrete(4, start=-1)),
            ("arm", spaces.Tuple((BOUNDED, spaces.MultiBinary(2)))),
            ("aim", spaces.MultiDiscrete([[2], [3]], start=[[3], [1]])),
        ]
    ),
}


def view(script: Any, xp: Any = np) -> Any:
    """An observation of ``NESTED_OBS`` made of [episode, step, noise]."""
    episode, t = (xp.asarray(script[i], np.int32) for i in (0, 1))
    return {
        "script": script,
        "eye": (xp.full((2, 2, 1), 40 * t, np.uint8), t + 1),
        "dial": xp.stack([1 + episode % 4, t]),
        "bits": xp.stack([episode % 2, t % 2]).astype(np.int8),
    }


def places(space: spaces.Space[Any], path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], spaces.Space[Any]]]:
    """(where, leaf) of every leaf, keys in order."""
    if isinstance(space, spaces.Dict):
        parts: Any = sorted(space.spaces.items())
    elif isinstance(space, spaces.Tuple):
        parts = enumerate(space.spaces)
    else:
        return [(path, space)]
    return [found for key, part in parts for found in places(part, (*path, key))]


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def options(leaf: spaces.Space[Any]) -> list[int]:
    """How many options each choice of a leaf has: those a mask has entries for."""
    if isinstance(leaf, spaces.Discrete):
        return [int(leaf.n)]
    if isinstance(leaf, spaces.MultiDiscrete):
        return leaf.nvec.ravel().tolist()
    return [2] * int(np.prod(leaf.shape)) if isinstance(leaf, spaces.MultiBinary) else []


def all_options(space: spaces.Space[Any]) -> list[int]:
    return [n for _, leaf in places(space) for n in options(leaf)]


def picks(space: spaces.Space[Any], action: Any, xp: Any = np) -> list[Any]:
    """Which option an action takes of every choice, counted from 0."""
    found: list[Any] = []
    for path, leaf in places(space):
        if n := len(options(leaf)):
            start = np.broadcast_to(getattr(leaf, "start", 0), leaf.shape).ravel()
            index = xp.asarray(at(action, path)).reshape(-1)
            found += [index[i] - int(start[i]) for i in range(n)]
    return found


def as_array(space: spaces.Space[Any], mask: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(mask).astype(np.int8)


def as_list(space: spaces.Space[Any], mask: list[np.ndarray]) -> list[bool]:
    return [bool(x) for x in np.concatenate(mask)]


def as_tuple(space: spaces.Space[Any], mask: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """One array for each choice, as Gymnasium's ``MultiDiscrete.sample`` takes it."""
    return tuple(np.asarray(x, np.int8) for x in mask)


def as_tree(space: spaces.Space[Any], mask: list[np.ndarray]) -> Any:
    """One vector for each leaf, nested as the actions are; nothing for a Box, which is left out of a dict."""
    left = list(mask)

    def build(part: spaces.Space[Any]) -> Any:
        if isinstance(part, spaces.Dict):
            each = {key: build(part.spaces[key]) for key in sorted(part.spaces)}
            return {key: x for key, x in reversed(each.items()) if len(x)}
        if isinstance(part, spaces.Tuple):
            return tuple(build(x) for x in part.spaces)
        taken = [left.pop(0) for _ in options(part)]
        return np.concatenate([np.zeros(0), *taken]).astype(np.int8)

    return build(space)


class Lawful(Script):
    """``Script``, but it raises for an action that its mask forbids, or that is not of its space and exact types.

    ``masks``: "info", "key" (of the observation) or "" for none; ``form`` is how it is handed out. Each option is
    allowed or not by chance, one at least; at an episode's end nothing is. ``log`` gets (mask, what was taken).
    """

    def __init__(
        self,
        action_space: spaces.Space[Any],
        masks: str = "",
        form: Callable[..., Any] = as_array,
        nested: bool = False,
        log: list[Any] | None = None,
    ) -> None:
        super().__init__()
        self.action_space, self.masks, self.form, self.nested, self.log = action_space, masks, form, nested, log
        self.observation_space = NESTED_OBS if nested else Script.observation_space
        if masks == "key":
            mask = spaces.MultiBinary(sum(all_options(action_space)))
            self.observation_space = spaces.Dict(script=self.observation_space, action_mask=mask)

    def _obs(self) -> Any:
        script = super()._obs()
        self.mask = [self._draw(n) for n in all_options(self.action_space)]
        obs = view(script.astype(np.float64)) if self.nested else script
        return {"script": obs, "action_mask": as_array(self.action_space, self.mask)} if self.masks == "key" else obs

    def _draw(self, n: int) -> np.ndarray:
        allowed = self.np_random.random(n) < 0.4
        allowed[self.np_random.integers(n)] = True
        return allowed & (self.t < self.length)

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.form(self.action_space, self.mask)} if self.masks == "info" else {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        obs, _ = super().reset(seed=seed)
        return obs, self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is not of {self.action_space}")
        for path, leaf in places(self.action_space):
            if np.asarray(at(action, path)).dtype != leaf.dtype:
                raise TypeError(f"{at(action, path)!r} is not of {leaf.dtype}")
        taken = [int(i) for i in picks(self.action_space, action)]
        if self.masks and not all(allowed[i] for allowed, i in zip(self.mask, taken)):
            raise ValueError(f"{taken} is forbidden: {self.mask}")
        if self.log is not None:
            self.log.append((self.mask, taken))
        obs, _, terminated, truncated, _ = super().step(action)
        return obs, 1.0, terminated, truncated, self._info()
