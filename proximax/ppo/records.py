"""The records of an update."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from proximax.config import PPOConfig
from proximax.maths import Distribution
from proximax.policy import Policy
from proximax.types import Metrics, Moments, Params, PyTree, RewardHook, Transition


class ObjectiveInputs(NamedTuple):
    """Per sample ``[B]``: ``log_prob`` log π(a|s), ``log_ratio`` log π/π_old, ``advantage``, ``kl`` KL(π_old, π)."""

    log_prob: jax.Array  # log π(a|s)
    log_ratio: jax.Array  # log r = log π(a|s) - log π_old(a|s)
    advantage: jax.Array  # A, standardised if so configured
    kl: jax.Array  # KL(π_old, π) at the sample's state, exact


class ScheduledValues(NamedTuple):
    """What changes from update to update: ``learning_rate``, ``epsilon`` (clip), ``entropy_coef``, ``beta`` (KL).

    And of the clip ``epsilon_high`` and ``dual_clip``, None where they are not set.
    """

    learning_rate: jax.Array  # of Adam
    epsilon: jax.Array  # ε, the half width of the clip band
    entropy_coef: jax.Array  # weight of the entropy
    beta: jax.Array  # β, weight of the KL penalty
    epsilon_high: jax.Array | None = None  # the half width above 1
    dual_clip: jax.Array | None = None  # c, the bound of a bad action's ratio

    def logged(self) -> Metrics:
        """What is logged of it: what every algorithm has."""
        return dict(zip(self._fields[:4], self))


Objective = Callable[[ObjectiveInputs, ScheduledValues], jax.Array]


class Batch(NamedTuple):
    """Samples: transitions of a rollout, ``[B, ...]``. Observations stay in the rollout; ``position`` says where."""

    position: (
        jax.Array
    )  # t N + n, ``[L, B / L]``: successive steps of an environment in each column; L = 1: single ones
    action: PyTree
    log_prob: jax.Array  # log π_old(action | s)
    dist: Distribution  # π_old(. | s)
    value: jax.Array  # V_old(s)
    advantage: jax.Array
    target: jax.Array  # of the value function
    valid: jax.Array  # the sample's weight: 1, or 0 for a reset step
    of_all: Moments | None = None  # of the advantages of all shards' samples; None: there is one shard


class OptimizerProgress(NamedTuple):
    """What gradient steps change. Parameters are one flat vector: one Adam instead of one per array compiles faster."""

    params: jax.Array
    opt_state: PyTree
    stopped: jax.Array  # no further step in this update


class UpdateContext(NamedTuple):
    """What stays the same during one update."""

    objective: Objective
    policy: Policy
    config: PPOConfig  # whose numbers may be arrays (``PPOConfig.with_numbers``)
    moments: PyTree  # of the observation normaliser
    rollout: Transition
    scheduled: ScheduledValues
    unravel: Callable[[jax.Array], Params]
    shards: int = 1
    value_unit: jax.Array | None = None  # of the value loss: σ of all targets, where values are normalised


StepStats = dict[str, jax.Array]  # of one gradient step, before it is taken; means over the minibatch's valid samples
Loss = Callable[[jax.Array, UpdateContext, Batch], tuple[jax.Array, StepStats]]  # of the flat parameters
# (context, flat parameters, state of the policy's optimiser, whole rollout) -> (parameters, that state, metrics)
PolicyStep = Callable[[UpdateContext, jax.Array, PyTree, Batch], tuple[jax.Array, PyTree, Metrics]]


class Algorithm(NamedTuple):
    """A policy-gradient algorithm: an elementwise objective to be maximised, and how to take the policy's step.

    It has a ``name``, and a ``reward_hook`` if it learns from other rewards than the environment's.
    Without ``policy_step``: epochs of minibatch steps on objective, entropy and value loss together. With it: one step
    of the policy on the whole rollout, then epochs on the value loss for the parameters that the policy does not use.
    """

    name: str  # in config.json
    objective: Objective  # (samples, scheduled values) -> what each of them adds to the objective, ``[B]``
    policy_step: PolicyStep | None = None  # how the policy moves, where not by epochs of minibatch steps
    reward_hook: RewardHook | None = None  # what is learned from instead of the environment's reward


Episodes = dict[str, Any]  # of the episodes that ended in a rollout: how many, their summed return and length
