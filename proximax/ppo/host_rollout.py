"""Acting on environments outside the program: T steps, written to buffers that are allocated once."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import numpy as np

from proximax.envs import Group, HostEnv, pipeline_groups
from proximax.errors import EnvError, NumericalError
from proximax.policy import Policy
from proximax.ppo.records import Episodes
from proximax.spaces import DoesNotFit, FrameStore, Space, check_ranges, to_stored
from proximax.types import ActFn, PyTree, RolloutState, Transition


def collect(
    env: HostEnv, act_fn: ActFn, state: RolloutState, buffers: Any, shards: int = 1, first_seed: int = 0
) -> tuple[RolloutState, Transition, Episodes]:
    """Fill ``buffers`` ``[T, S, N, ...]``; ``act_fn`` is the compiled ``act`` of all seeds.

    One compiled call and one environment call per step and group. With several groups
    (``env_groups.DoubleBufferedEnvs``) the policy acts for one while the others step; the transitions are the same.
    Episodes are those of each of the ``shards``, ``[V, S]``, so that their sum does not depend on which process has it.
    ``first_seed``: of the run, for errors, which name a seed.
    """
    outcomes = EpisodeOutcomes(np.empty(buffers.reward.shape), np.empty(buffers.reward.shape, bool))
    groups = [GroupRollout(env_group, state, buffers, outcomes) for env_group in pipeline_groups(env)]
    for t in range(len(buffers.reward)):
        for group in groups:
            if t > 0:
                group.receive(t - 1)
            group.act(act_fn, t)
    for group in groups:
        group.receive(len(buffers.reward) - 1)
    rollout = finish_rollout(buffers, env.observation_space, outcomes.reward, first_seed)
    rollout = rollout._replace(carry=jax.tree.map(lambda x: x[None], state.carry))
    total, length = state.episode_return.copy(), state.episode_length.copy()
    inputs = outcomes, rollout.valid, rollout.truncated, total, length
    parts = (jax.tree.map(lambda x, i=i: np.split(x, shards, axis=-1)[i], inputs) for i in range(shards))
    ended = jax.tree.map(lambda *x: np.stack(x), *(count_episodes(*part) for part in parts))
    seeds = len(total)
    ends = [(*split_seeds((group.obs, group.first), seeds), group.carry) for group in groups]
    obs, first, carry = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *ends)
    return host_rollout_state(obs, first, carry, total, length), rollout, ended


class EpisodeOutcomes(NamedTuple):
    """What episode returns are made of, ``[T, S, N]``: unlike the learner's rewards exact, and of whole episodes."""

    reward: Any  # raw, in float64
    ended: Any


class GroupRollout:
    """One group of environments on its way through a rollout: the policy acts for it, then it steps by itself.

    What the environment returns is copied into the buffers at once, since its next step may overwrite it; everything
    else waits until the rollout is complete.
    """

    def __init__(self, group: Group, state: RolloutState, buffers: Any, outcomes: EpisodeOutcomes) -> None:
        self.env, self.columns = group
        columns = (slice(None), group.columns)
        # Observations and ``first`` as the environment has them, [S * n, ...]; the carry is the policy's, [S, n, ...].
        self.obs, self.first = jax.tree.map(lambda x: flatten_seeds(x[columns]), (state.obs, state.first))
        self.carry = jax.tree.map(lambda x: x[columns], state.carry)
        self.frames: FrameStore | None = buffers.obs if isinstance(buffers.obs, FrameStore) else None
        if self.frames is not None:
            self.frames.begin(group.columns, state.obs[columns])
            buffers = buffers._replace(obs=None)
        group_index = (slice(None), *columns)
        # Views ``[T, S, n]`` of the same memory.
        self.buffers, outcomes = jax.tree.map(lambda x: x[group_index], (buffers, outcomes))
        # As lists, looked up once: a step of all environments takes 200 us, in which a tree costs 5.
        actions, b = (self.buffers.action, self.buffers.log_prob), self.buffers
        self.obs_arrays, self.final_obs_arrays, self.action_arrays = map(jax.tree.leaves, (b.obs, b.final_obs, actions))
        self.outcome_arrays = [b.reward, b.terminated, b.truncated, b.valid, outcomes.reward, outcomes.ended]

    def act(self, act_fn: ActFn, t: int) -> None:
        """Choose the actions of step ``t`` and send them."""
        buffers = self.buffers
        first = buffers.first[t]
        first[...] = self.first.reshape(first.shape)
        if self.frames is None:
            write_observations(self.obs_arrays, t, self.obs, self.env.observation_space)
            obs = map_arrays(itemgetter(t), buffers.obs)
        else:
            obs = split_seeds(self.obs, len(first))
        acted = act_fn(self.carry, obs, first, (t, self.columns.start or 0))
        self.env.send(map_arrays(flatten_seeds, acted.env_action))
        # While the environments step.
        write_step(self.action_arrays, t, jax.tree.leaves((acted.action, acted.log_prob)))
        self.carry = acted.carry

    def receive(self, t: int) -> None:
        """Wait for what step ``t`` led to."""
        buffers, step = self.buffers, self.env.receive()
        if self.frames is None:
            write_observations(self.final_obs_arrays, t, step.final_obs, self.env.observation_space)
        else:
            shape = buffers.first.shape[1:]
            fresh: Any = step.ended | (step.valid == 0)  # in next-step mode: where the step was a reset
            reached, obs, fresh = (x.reshape(*shape, *x.shape[1:]) for x in (step.final_obs, step.obs, fresh))
            self.frames.add(t, self.columns, reached, obs, fresh)
        outcome = step.reward, step.terminated, step.truncated, step.valid, step.raw_reward, step.ended
        with np.errstate(over="ignore"):  # a reward beyond float32: ``check_rollout`` names it
            write_step(self.outcome_arrays, t, outcome)
        if t > 0 and step.episode_over is not None:
            # Where an environment crashed, the episode is truncated after the last step whose outcome is known.
            buffers.truncated[t - 1] |= (step.truncated & (np.asarray(step.valid) == 0)).reshape(
                buffers.truncated[t - 1].shape
            )
        self.obs, self.first = step.obs, step.first


def host_buffers(num_steps: int, state: RolloutState, action: PyTree, stacked: bool = False) -> Transition:
    """Uninitialised arrays for a rollout ``[T, S, N, ...]``; ``action`` is an example ``[S, N, ...]``.

    ``stacked``: observations are an environment's last frames, for which ``obs`` is a ``FrameStore``.
    """

    def empty(like: PyTree, dtype: type | None = None) -> Any:
        return jax.tree.map(lambda x: np.empty((num_steps, *x.shape), dtype or x.dtype), like)

    return Transition(
        obs=FrameStore(num_steps, state.obs) if stacked else empty(state.obs),
        final_obs=None if stacked else empty(state.obs),
        first=empty(state.first),
        action=empty(action),
        log_prob=empty(state.first, np.float32),
        reward=empty(state.first, np.float32),
        terminated=empty(state.first),
        truncated=empty(state.first),
        valid=empty(state.first, np.float32),
    )


def finish_rollout(buffers: Any, space: Space | None = None, raw_reward: Any = None, first_seed: int = 0) -> Transition:
    """The rollout in the buffers, without a copy; raises if a number is not finite, or is none of the space's."""
    rollout = buffers._replace(obs=buffers.obs.stacked()) if isinstance(buffers.obs, FrameStore) else buffers
    check_rollout(rollout, raw_reward, first_seed)
    if space is not None and not isinstance(buffers.obs, FrameStore):  # of images, whose bytes have no range
        check_values(space, rollout, first_seed)
    return rollout


def count_episodes(outcomes: EpisodeOutcomes, valid: Any, truncated: Any, total: Any, length: Any) -> Episodes:
    """The episodes of each seed that ended, ``[S]``, in a rollout with this ``valid`` ``[T, S, N]``.

    One that a crash interrupted, at a step ``truncated`` and not valid, does not count: its return is not known.
    ``total`` and ``length`` ``[S, N]``: of the episodes still running, before the rollout and then after it.
    """
    ended: Episodes = {name: np.zeros(len(total)) for name in ("episodes", "return_sum", "length_sum")}
    over = outcomes.ended | (truncated & (valid == 0))
    stops, begin = np.append(over.any(axis=(1, 2))[:-1], True), 0
    for t in np.flatnonzero(stops).tolist():
        total += outcomes.reward[begin : t + 1].sum(axis=0)
        length += valid[begin : t + 1].sum(axis=0)
        last: Any = outcomes.ended[t]
        begin = t + 1
        for name, amount in (("episodes", 1.0), ("return_sum", total), ("length_sum", length)):
            ended[name] += np.where(last, amount, 0.0).sum(axis=-1)
        total[over[t]] = length[over[t]] = 0.0
    return ended


def check_values(space: Space, rollout: Any, first_seed: int = 0) -> None:
    """Raise EnvError if an observation has a value that its space has not, as 7 in Discrete(5)."""
    for obs in (rollout.final_obs, rollout.obs):
        try:
            check_ranges(space, obs, lambda at: place(at, first_seed))
        except DoesNotFit as error:
            raise EnvError(str(error)) from error


def place(index: Sequence[int], first_seed: int) -> str:
    """Where in a rollout ``[T, S, N, ...]`` the number with this index is."""
    t, seed, n = index[:3]
    return f"environment {n} of seed {first_seed + seed}, step {t} of this rollout"


def check_rollout(rollout: Any, raw_reward: Any = None, first_seed: int = 0) -> None:
    """Raise NumericalError if an observation or reward is not finite, before anything is learned from it.

    ``raw_reward``: the rewards ``[T, S, N]`` in float64, which may be finite where those of float32 are not.
    """
    for name in ("final_obs", "obs", "reward"):  # ``final_obs`` first: its t is that of the step that led to it
        for path, array in jax.tree_util.tree_flatten_with_path(getattr(rollout, name))[0]:
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                quantity = "reward" if name == "reward" else f"observation{jax.tree_util.keystr(path)}"
                if name == "reward" and raw_reward is not None and np.isfinite(raw_reward[at]):
                    raise NumericalError(
                        f"the reward is {raw_reward[at]:g} in {place(at, first_seed)}, which does not fit float32 (at "
                        "most 3.4e+38). Scale it in a wrapper of the environment"
                    )
                raise NumericalError(
                    f"the {quantity} is not finite: {array[at]} in {place(at, first_seed)}. Fix the environment"
                )


def reset_host_envs(env: HostEnv, policy: Policy, seeds: list[list[int]]) -> RolloutState:
    """Reset S x N host environments, seed ``s``'s with ``seeds[s]``; arrays are ``[S, N, ...]``."""
    shape = len(seeds), len(seeds[0])
    first, zeros = (np.full(shape, x) for x in (True, 0.0))
    obs = env.reset([seed for group in seeds for seed in group])
    obs = as_stored(env.observation_space, obs, "reset")
    carry = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (shape[0], *x.shape)), policy.initial_carry(shape[1]))
    return host_rollout_state(split_seeds(obs, shape[0]), first, carry, zeros, zeros.copy())


def host_rollout_state(obs: Any, first: Any, carry: PyTree, total: Any, length: Any) -> RolloutState:
    """A ``RolloutState`` of NumPy arrays; the environments' own state is theirs."""
    return RolloutState((), obs, first, carry, total, length)


def split_seeds(tree: PyTree, seeds: int) -> PyTree:
    """``[S * N, ...]`` -> ``[S, N, ...]``."""
    return jax.tree.map(lambda x: np.asarray(x).reshape(seeds, -1, *x.shape[1:]), tree)


def flatten_seeds(x: Any) -> Any:
    """A copy ``[S * N, ...]`` of ``[S, N, ...]``, which an environment may write to."""
    return np.array(x).reshape(-1, *x.shape[2:])


def map_arrays(function: Callable[[Any], Any], tree: PyTree) -> PyTree:
    """``jax.tree.map``, which takes longer where the tree is one array."""
    return function(tree) if isinstance(tree, (np.ndarray, jax.Array)) else jax.tree.map(function, tree)


def write_step(buffers: Sequence[Any], t: int, values: Sequence[Any]) -> None:
    """Copy ``values``, ``[S, n, ...]`` or ``[S * n, ...]``, to step ``t`` of the buffers ``[T, S, n, ...]``."""
    for buffer, value in zip(buffers, values, strict=True):
        buffer[t] = np.asarray(value).reshape(buffer.shape[1:])


def write_observations(buffers: Sequence[Any], t: int, obs: PyTree, space: Space) -> None:
    """Copy observations to step ``t`` of the buffers of their leaves; raises EnvError where a value would change."""
    values = [np.asarray(x) for x in jax.tree.leaves(obs)]
    if [x.dtype for x in values] != [buffer.dtype for buffer in buffers]:
        values = jax.tree.leaves(as_stored(space, obs, f"step {t} of this rollout"))
    write_step(buffers, t, values)


def as_stored(space: Space, obs: PyTree, when: str) -> PyTree:
    """Observations ``[S * n, ...]`` in the dtypes of the buffers; raises EnvError where a value would change."""
    try:
        return to_stored(space, obs)
    except DoesNotFit as error:
        raise EnvError(f"in {when}: {error}") from error
