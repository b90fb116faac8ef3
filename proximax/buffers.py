"""A rollout from outside the program: arrays made once, filled group by group, then checked and counted."""

from operator import itemgetter
from typing import Any

import jax
import numpy as np

from proximax.envs.groups import Group
from proximax.errors import NumericalError
from proximax.types import ActOnce, PyTree, RolloutState, Transition

Episodes = dict[str, Any]  # of the episodes that ended in a rollout: how many, their summed return and length


class Turn:
    """One group of environments on its way through a rollout: the policy acts for it, then it steps by itself.

    Whatever the environment hands out is copied into the buffers at once, since it may be overwritten at its next step;
    everything else waits until the rollout is there.
    """

    def __init__(self, group: Group, state: RolloutState, buffers: Any, rewards: np.ndarray) -> None:
        columns = (slice(None), group.columns)
        self.env = group.env
        self.begin = group.columns.start or 0  # the number of its first environment
        # Observations and ``first`` as the environment has them, [S * n, ...]; the carry is the policy's, [S, n, ...].
        self.obs, self.first = jax.tree.map(lambda x: joined(x[columns]), (state.obs, state.first))
        self.carry = jax.tree.map(lambda x: x[columns], state.carry)
        mine = (slice(None), *columns)
        self.buffers = jax.tree.map(lambda x: x[mine], buffers)  # [T, S, n, ...], the same memory
        self.rewards = rewards[mine]

    def act(self, act_once: ActOnce, t: int) -> None:
        """Choose the actions of step ``t`` and send them."""
        rows = self.buffers
        put((rows.obs, rows.first), t, (self.obs, self.first))
        acted = act_once(self.carry, jax.tree.map(itemgetter(t), rows.obs), rows.first[t], (t, self.begin))
        self.env.send(jax.tree.map(joined, acted.sent))
        put((rows.action, rows.log_prob), t, (acted.action, acted.log_prob))  # while the environments step
        self.carry = acted.carry

    def receive(self, t: int) -> None:
        """Wait for what step ``t`` led to."""
        rows, s = self.buffers, self.env.receive()
        put(rows.final_obs, t, s.final_obs)
        flags = rows.terminated, rows.truncated, rows.valid, self.rewards
        put(flags, t, (s.terminated, s.truncated, s.valid, s.reward))
        self.obs, self.first = s.obs, s.first


def host_buffers(num_steps: int, state: RolloutState, action: PyTree) -> Transition:
    """Uninitialised arrays for a rollout ``[T, S, N, ...]``; ``action`` is an example ``[S, N, ...]``."""

    def empty(like: PyTree, dtype: type | None = None) -> Any:
        return jax.tree.map(lambda x: np.empty((num_steps, *x.shape), dtype or x.dtype), like)

    return Transition(
        obs=empty(state.obs),
        final_obs=empty(state.obs),
        first=empty(state.first),
        action=empty(action),
        log_prob=empty(state.first, np.float32),
        reward=empty(state.first, np.float32),
        terminated=empty(state.first),
        truncated=empty(state.first),
        valid=empty(state.first, np.float32),
    )


def count_episodes(rewards: np.ndarray, rollout: Any, total: Any, length: Any) -> Episodes:
    """The episodes of each seed that ended, ``[S]``, from ``rewards`` ``[T, S, N]`` in float64.

    ``total`` and ``length`` ``[S, N]``: of the episodes still running, before the rollout and then after it.
    """
    lasts = rollout.terminated | rollout.truncated
    ended: Episodes = {name: np.zeros(len(total)) for name in ("episodes", "return_sum", "length_sum")}
    stops, begin = lasts.any(axis=(1, 2)), 0
    stops[-1] = True
    for t in np.flatnonzero(stops).tolist():
        total += rewards[begin : t + 1].sum(axis=0)
        length += rollout.valid[begin : t + 1].sum(axis=0)
        last, begin = lasts[t], t + 1
        for name, amount in (("episodes", 1.0), ("return_sum", total), ("length_sum", length)):
            ended[name] += np.where(last, amount, 0.0).sum(axis=-1)
        total[last] = length[last] = 0.0
    return ended


def check_rollout(rollout: Any) -> None:
    """Refuse observations and rewards that are not finite, before anything is learned from them."""
    for name in ("obs", "final_obs", "reward"):
        for path, array in jax.tree_util.tree_flatten_with_path(getattr(rollout, name))[0]:
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                t, seed, n, *_ = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
                what = "reward" if name == "reward" else f"observation{jax.tree_util.keystr(path)}"
                place = f"environment {n} of seed number {seed}, step {t} of this rollout"
                raise NumericalError(f"the {what} is not finite: {array[t, seed, n]} in {place}. Mend the environment")


def host_state(obs: Any, first: Any, carry: PyTree, total: Any, length: Any) -> RolloutState:
    """A ``RolloutState`` of NumPy arrays; the environments' own state is theirs."""
    return RolloutState((), obs, first, carry, total, length)


def grouped(tree: PyTree, seeds: int) -> PyTree:
    """``[S * N, ...]`` -> ``[S, N, ...]``."""
    return jax.tree.map(lambda x: np.asarray(x).reshape(seeds, -1, *x.shape[1:]), tree)


def joined(x: Any) -> Any:
    """A copy ``[S * N, ...]`` of ``[S, N, ...]``, which an environment may write to."""
    return np.array(x).reshape(-1, *x.shape[2:])


def put(buffers: PyTree, t: int, values: PyTree) -> None:
    """Copy ``values``, ``[S, n, ...]`` or ``[S * n, ...]``, to row ``t`` of the buffers ``[T, S, n, ...]``."""
    for buffer, value in zip(jax.tree.leaves(buffers), jax.tree.leaves(values), strict=True):
        buffer[t] = np.asarray(value).reshape(buffer.shape[1:])
