"""A rollout from outside the program: arrays made once, filled by ``rollout.collect``, then checked and counted."""

from typing import Any

import jax
import numpy as np

from proximax.errors import NumericalError
from proximax.types import PyTree, RolloutState, Transition

Episodes = dict[str, Any]  # of the episodes that ended in a rollout: how many, their summed return and length


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
