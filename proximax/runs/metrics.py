"""The metrics that are logged after each update, one row per seed, and what each number means."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from proximax.errors import CheckpointError
from proximax.types import Metrics

# The rows of metrics.jsonl; docs/reference/metrics.md is made from this table.
METRICS: dict[str, str] = {
    "update": "Updates done, this one included.",
    "seed": "The seed this row belongs to.",
    "steps": "Environment steps of this seed so far; steps that were only a reset do not count.",
    "time_s": "Wall-clock seconds since training started, compilation included; interpolated within a compiled call.",
    "episodes": "Episodes that ended in this rollout.",
    "episode_return": "Mean return of those episodes: raw rewards, actions sampled. null if none ended.",
    "episode_length": "Their mean length in steps. null if none ended.",
    "return_last_100": "Mean return of the latest 100 episodes or so. null before the first episode ended.",
    "policy_objective": "Mean of the algorithm's objective over the gradient steps taken, each before it was taken.",
    "value_loss": "Mean of the value loss, with its factor ½, in units of scaled rewards.",
    "entropy": "Mean entropy of the policy, in nats (differential entropy for Box actions without bins).",
    "kl": "Mean KL(old, new) of the whole update: exact, over all transitions; beta and learning_rate follow it.",
    "ratio_histogram": "Samples by their ratio after the update: below 0.5, in steps of 0.05 from there to 1.5, above.",
    "kl_k1": "Mean of -log r: estimates KL(old, new), unbiased, noisy. Only where there are epochs.",
    "kl_k3": "Mean of r - 1 - log r: the same, never negative. What target_kl stops at. Only where there are epochs.",
    "clip_fraction": "Share of samples with |r - 1| > ε (above 1: epsilon_high). Only where there are epochs.",
    "global_grad_norm": "Joint norm of all gradients before clipping; of the policy's where it steps apart.",
    "first_ratio_error": "Largest |r - 1| in the first minibatch. Not near 0: acting and learning differ.",
    "explained_variance": "1 - Var(target - V) / Var(target), V of the rollout. 1 is perfect, 0 a constant.",
    "advantage_std": "Standard deviation of the advantages before they are standardised, in units of scaled rewards.",
    "gradient_steps": "Steps taken: epochs x minibatches, one more where the policy steps apart, fewer after a stop.",
    "line_search_fraction": "trpo: the share of the natural gradient step that the line search took; 0: none would do.",
    "truncations": "Episodes of this rollout that a time limit cut, and nothing else ended.",
    "obs_abs_max_mean": "Largest mean |x| of an entry of the observations, not normalised. Only where they are floats.",
    "action_std": "Mean σ of Gaussian Box actions, before any squashing; 1 is half the range of a bounded one.",
    "actions_at_bounds": "Share of the Box actions' bounded numbers that the environment got at a bound (to 0.1 %).",
    "memory_abs_max": "Largest |x| in the memories of this rollout. Only with memory, as the next one.",
    "memory_kl": "Mean KL of π(. | s) from that with the memory of another step: 0 where memory plays no part.",
    "fully_masked_index": "With action masks: step x environments + environment of the first empty mask; -1.",
    "finite": "1; 0 if a loss, gradient or normaliser was not finite, which ends training.",
    "learning_rate": "Adam's step size in this update.",
    "epsilon": "The clip's half-width in this update.",
    "entropy_coef": "Weight of the entropy bonus in this update.",
    "beta": "The penalty's weight in this update.",
}
# Names in the runs of version 0.1.
RENAMED_METRICS = {
    "stuck_row": "fully_masked_index",
    "saturated_actions": "actions_at_bounds",
    "step_share": "line_search_fraction",
    "recent_return": "return_last_100",
    "obs_scale": "obs_abs_max_mean",
}
RECENT_EPISODES = 100
RECENT_ROLLOUTS = 1000  # at most, where one of the seeds ends no episodes


class History:
    """Turns each update's arrays ``[S]`` into rows, and keeps the running totals."""

    def __init__(self, first_seed: int, seeds: int) -> None:
        self.seeds = range(first_seed, first_seed + seeds)
        self.steps = np.zeros(seeds, np.int64)
        self.update = 0
        self._recent: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self._sums, self._counts = np.zeros(seeds), np.zeros(seeds)  # over ``_recent``

    def add(self, metrics: Metrics, time_s: float) -> list[dict[str, Any]]:
        """The rows of one update, one per seed."""
        values = {name: np.asarray(x) for name, x in metrics.items()}
        counts, sums, lengths = (np.asarray(values.pop(x), float) for x in ("episodes", "return_sum", "length_sum"))
        self.steps += values.pop("steps").astype(np.int64)
        self.update += 1
        self._remember(sums, counts)
        seeds = len(self.seeds)
        columns: dict[str, Sequence[Any]] = {
            "update": [self.update] * seeds,
            "seed": self.seeds,
            "steps": self.steps.tolist(),
            "time_s": [round(time_s, 4)] * seeds,
            "episodes": counts.astype(np.int64).tolist(),
            "episode_return": _numbers(_means(sums, counts)),
            "episode_length": _numbers(_means(lengths, counts)),
            "return_last_100": _numbers(self.return_last_100),
        }
        columns |= {name: _numbers(x) if x.ndim == 1 else x.astype(np.int64).tolist() for name, x in values.items()}
        # By columns: with hundreds of seeds a row that is put together value by value takes as long as training.
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def to_tree(self) -> dict[str, Any]:
        """The part that a checkpoint keeps."""
        recent = np.array(self._recent).reshape(-1, 2, len(self.seeds))
        return {"update": self.update, "steps": self.steps.copy(), "recent": recent, "sums": self._sums.copy()}

    def restore(self, tree: dict[str, Any]) -> None:
        """Continue from what ``to_tree`` gave."""
        shapes = {
            "steps": self.steps.shape,
            "sums": self._sums.shape,
            "recent": (len(tree["recent"]), 2, len(self.seeds)),
        }
        for name, shape in shapes.items():
            if tree[name].shape != shape:
                raise CheckpointError(f"the checkpoint's history has {name} of shape {tree[name].shape}, not {shape}")
        self.update, self.steps, self._sums = int(tree["update"]), tree["steps"].astype(np.int64), tree["sums"]
        self._recent = deque((sums, counts) for sums, counts in tree["recent"])
        self._counts = tree["recent"][:, 1].sum(axis=0)

    def _remember(self, sums: np.ndarray, counts: np.ndarray) -> None:
        if not counts.any():
            return
        self._recent.append((sums, counts))
        self._sums, self._counts = self._sums + sums, self._counts + counts
        while len(self._recent) > 1:
            rest = self._counts - self._recent[0][1]
            if not (rest >= RECENT_EPISODES).all() and len(self._recent) <= RECENT_ROLLOUTS:
                break
            self._sums, self._counts = self._sums - self._recent.popleft()[0], rest

    @property
    def return_last_100(self) -> np.ndarray:
        """``[S]``: mean return of the latest episodes, at least 100 where there were as many; NaN before the first."""
        return _means(self._sums, self._counts)


def _means(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``[S]``; NaN where nothing was counted."""
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _numbers(x: np.ndarray) -> Sequence[float | None]:
    """``[S]`` as plain numbers, None where they are not finite."""
    numbers: list[float] = np.asarray(x, np.float64).tolist()
    if np.isfinite(x).all():
        return numbers
    return [number if math.isfinite(number) else None for number in numbers]


def current_metrics(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metrics.jsonl under the names of this version."""
    return {RENAMED_METRICS.get(name, name): value for name, value in row.items()}
