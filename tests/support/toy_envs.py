"""Small environments with known answers, and short ways to make a learner, for the tests."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs import HostEnv, JaxEnv, auto_reset
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.policy.policy import make_policy
from proximax.ppo.host_learner import make_host_learner
from proximax.ppo.host_rollout import collect, host_buffers, host_rollout_state
from proximax.runtime.prng import seed_key
from proximax.types import Acted, Step
from tests.support.toy_gym import NESTED_OBS, Script, all_options, at, picks, places, view


def vector(make: Callable[[], gymnasium.Env], num_envs: int, mode: AutoresetMode) -> VectorEnv:
    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)


def host_learner(
    env: Any,
    ppo: PPOConfig,
    steps: int | None = None,
    seeds: int = 1,
    seed: int = 0,
    algo: str = "clip",
    network: Any = "auto",
) -> Any:
    """(learner, state, config) on a ``VectorEnv`` of seeds x num_envs environments, or a ``HostEnv``."""
    made = GymnasiumEnv(env) if isinstance(env, VectorEnv) else env
    num_envs = made.num_envs // seeds
    config = RunConfig(
        "test", algo=algo, steps=steps or ppo.num_steps * num_envs, seeds=seeds, seed=seed, num_envs=num_envs, ppo=ppo
    )
    policy = make_policy(made.observation_space, made.action_space, ppo, network)
    learner = make_host_learner(made, policy, config)
    return learner, learner.init([seed_key(seed + i) for i in range(seeds)]), config


def roll(env: Any, num_steps: int, state: Any = None, seeds: Any = None) -> tuple[Any, Any, Any]:
    """``collect`` with action 0; returns (state, a copy of the buffers, episodes)."""
    n = env.num_envs
    if state is None:
        obs = env.reset(seeds or list(range(n)))
        state = host_rollout_state(obs[None], np.ones((1, n), bool), (), np.zeros((1, n)), np.zeros((1, n)))
    zeros = np.zeros((1, n, *env.action_space.shape), env.action_space.dtype)
    buffers = host_buffers(num_steps, state, zeros)
    acted = Acted(zeros, np.zeros((1, n), np.float32), zeros, ())
    state, filled, episodes = collect(env, lambda *_: acted, state, buffers)
    episodes = {name: x[0] for name, x in episodes.items()}  # of the only shard
    return state, type(filled)(*(x.copy() if isinstance(x, np.ndarray) else x for x in filled)), episodes


def valid_rows(transitions: Any, env: int) -> list[tuple[Any, ...]]:
    """The transitions of environment ``env`` (seed 0) of a ``[T, S, N]`` rollout, without the rows that are none."""
    names = ("obs", "final_obs", "first", "reward", "terminated", "truncated")
    keep = transitions.valid[:, 0, env] > 0
    columns = [getattr(transitions, name)[keep, 0, env] for name in names]
    return [tuple(np.asarray(x).tolist() for x in row) for row in zip(*columns)]


class Screens(HostEnv):
    """Stacks of ``depth`` noisy 4 x 3 frames, whatever the actions; games of drawn lengths, which end or are cut; and a
    life lost now and then. ``next_step``: a game that ended takes a step to begin anew, else none.
    """

    stacked = True
    action_space = spaces.Discrete(3)

    def __init__(self, num_envs: int, next_step: bool, depth: int = 3, lengths: tuple[int, int] = (1, 9)) -> None:
        self.num_envs, self.next_step, self.lengths, self.notes = num_envs, next_step, lengths, []
        self.observation_space = spaces.Box(0, 255, (depth, 4, 3), np.uint8)

    def _begin(self, i: int) -> None:
        self.obs[i] = 0  # what there was before a game
        self.obs[i, -1] = self.rngs[i].integers(0, 256, (4, 3))
        self.left[i] = self.rngs[i].integers(*self.lengths, endpoint=True)

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        self.obs = np.zeros((self.num_envs, *self.observation_space.shape), np.uint8)
        self.left, self.over = np.zeros(self.num_envs, int), np.zeros(self.num_envs, bool)
        for i in range(self.num_envs):
            self._begin(i)
        return self.obs.copy()

    def send(self, action: Any) -> None:
        pass

    def receive(self) -> Step:
        valid, n = ~self.over, self.num_envs
        reward, terminated, truncated, lost = np.zeros(n), *np.zeros((3, n), bool)
        for i in range(n):
            if not valid[i]:
                self._begin(i)
                continue
            self.obs[i] = np.roll(self.obs[i], -1, axis=0)
            self.obs[i, -1] = self.rngs[i].integers(0, 256, (4, 3))
            self.left[i] -= 1
            draw = self.rngs[i].random(2)
            reward[i], lost[i] = draw[0], draw[1] < 0.1
            terminated[i], truncated[i] = self.left[i] == 0 and draw[0] < 0.6, self.left[i] == 0 and draw[0] > 0.4
        over, final_obs = terminated | truncated, self.obs.copy()
        self.over = over if self.next_step else np.zeros(n, bool)
        for i in np.flatnonzero(over & ~self.over):
            self._begin(i)
        first = (~valid if self.next_step else over) | lost
        return Step(self.obs.copy(), final_obs, reward, terminated | lost, truncated, first, valid, reward, over)


class Games(HostEnv):
    """Games of three steps that score 1, 2, 4; one learns from the sign alone, and a life is lost at the second step.

    obs = [100 x game + step], whatever the action.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.notes = num_envs, []

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        self.place = np.zeros(self.num_envs, np.float32)
        return self.place[:, None].copy()

    def send(self, action: Any) -> None:
        pass

    def receive(self) -> Step:
        final_obs = self.place[:, None] + 1
        t = self.place % 100
        over, lost, score = t == 2, t == 1, 2.0**t
        self.place = np.where(over, self.place + 98, self.place + 1)
        flags = over | lost, np.zeros_like(over), over | lost
        return Step(self.place[:, None].copy(), final_obs, np.sign(score), *flags, np.ones_like(over), score, over)


def games_jax() -> JaxEnv:
    """``Games`` as a ``JaxEnv``."""

    def reset(key: Any) -> tuple[Any, Any]:
        return jnp.zeros(()), jnp.zeros(1)

    def step(key: Any, place: Any, action: Any) -> tuple[Any, Step]:
        t = place % 100
        over, lost, score = t == 2, t == 1, 2.0**t
        after = jnp.where(over, place + 98, place + 1)
        flags = over | lost, jnp.zeros((), bool), over | lost
        return after, Step(after[None], place[None] + 1, jnp.sign(score), *flags, jnp.ones(()), score, over)

    return JaxEnv(reset, step, Games.observation_space, Games.action_space)


def collected(
    env: Any, seeds: Any, actions: Any, stacked: bool, rollouts: int = 1
) -> list[tuple[Any, dict[str, Any], Any]]:
    """(rollout, episodes, state after it) of each of ``rollouts`` through the same buffers, copied; scripted actions
    ``[T]`` or ``[T, S, N]`` and ``seeds`` ``[S, N]``. Closes ``env``.
    """
    shape, found = np.shape(seeds), []
    obs = env.reset(np.ravel(seeds).tolist())
    state = host_rollout_state(
        obs.reshape(*shape, *obs.shape[1:]), np.ones(shape, bool), (), np.zeros(shape), np.zeros(shape)
    )

    def act(carry: Any, obs: Any, first: Any, place: tuple[int, int]) -> Acted:
        columns = slice(place[1], place[1] + first.shape[1])
        taken = np.broadcast_to(actions[place[0]], shape)[:, columns]
        return Acted(taken, np.zeros(taken.shape, np.float32), taken, ())

    buffers = host_buffers(len(actions), state, np.zeros(shape, np.int64), stacked)
    for _ in range(rollouts):
        state, rollout, episodes = collect(env, act, state, buffers)
        episodes = {name: x[0] for name, x in episodes.items()}  # of the only shard
        found.append(jax.tree.map(np.array, (rollout, episodes, state)))
    env.close()
    return found


def lawful_jax(action_space: spaces.Space[Any], masked: bool = False, nested: bool = False) -> JaxEnv:
    """``Lawful`` as a ``JaxEnv``, which cannot raise: a step pays 1, one with an action against the law -100."""
    sizes = all_options(action_space)
    inner = NESTED_OBS if nested else Script.observation_space
    space = spaces.Dict(script=inner, action_mask=spaces.MultiBinary(sum(sizes))) if masked else inner

    def look(script: jax.Array, mask: jax.Array) -> Any:
        seen = view(script, jnp) if nested else script
        return {"script": seen, "action_mask": mask.astype(np.int8)} if masked else seen

    def draw(u: jax.Array) -> jax.Array:
        """A mask from uniform numbers; of each choice the option with the least of them is sure to be allowed."""
        each = jnp.split(u, np.cumsum(sizes)[:-1]) if sizes else []
        return jnp.concatenate([jnp.zeros(0, bool), *((x < 0.4) | (x == x.min()) for x in each)])

    def reset(key: Any) -> tuple[Any, Any]:
        u = jax.random.uniform(key, (3 + sum(sizes),))
        script, mask = jnp.stack([jnp.floor(5 * u[0]), 0, u[1]]), draw(u[3:])
        return (script, mask, 1 + jnp.floor(6 * u[2])), look(script, mask)

    def lawful(action: Any, mask: jax.Array) -> jax.Array:
        good = jnp.ones((), bool)
        for path, leaf in places(action_space):
            x = at(action, path)
            assert (x.shape, np.issubdtype(x.dtype, np.integer)) == (leaf.shape, not isinstance(leaf, spaces.Box))
            if isinstance(leaf, spaces.Box):
                good &= jnp.all((x >= leaf.low.astype(np.float32)) & (x <= leaf.high.astype(np.float32)))
        begin = 0
        for n, i in zip(sizes, picks(action_space, action, jnp)):
            allowed = mask[begin : begin + n] if masked else jnp.ones(n, bool)
            good &= (i >= 0) & (i < n) & allowed[i]
            begin += n
        return good

    def step(key: Any, state: Any, action: Any) -> tuple[Any, Step]:
        script, mask, length = state
        key, key_reset = jax.random.split(key)
        u = jax.random.uniform(key, (1 + sum(sizes),))
        moved = jnp.stack([script[0], script[1] + 1, u[0]])
        last = moved[1] >= length
        next_mask = draw(u[1:]) & ~last
        here = look(moved, next_mask)
        state, obs = auto_reset(last, reset(key_reset), ((moved, next_mask, length), here))
        terminated = last & (moved[0] % 2 == 1)
        pay = jnp.where(lawful(action, mask), 1.0, -100.0)
        return state, Step(obs, here, pay, terminated, last & ~terminated, last, jnp.ones(()))

    return JaxEnv(reset, step, space, action_space)
