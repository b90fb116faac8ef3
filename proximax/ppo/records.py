"""The records that an update is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from proximax.config import PPOConfig
from proximax.maths import Distribution
from proximax.policy import Policy
from proximax.types import Metrics, Params, PyTree, Transition


class ObjectiveInputs(NamedTuple):
    """What an objective may be made of: one number per row ``[B]``, of the policy π that is being refined."""

    log_prob: jax.Array  # log π(a|s)
    log_ratio: jax.Array  # log r = log π(a|s) - log π_old(a|s)
    advantage: jax.Array  # A, standardised if so configured
    kl: jax.Array  # KL(π_old, π) at the row's state, exact


class ScheduledValues(NamedTuple):
    """The settings that change from update to update."""

    learning_rate: jax.Array
    epsilon: jax.Array
    beta: jax.Array


Objective = Callable[[ObjectiveInputs, ScheduledValues], jax.Array]


class Batch(NamedTuple):
    """Rows of a rollout, ``[B, ...]``. Their observations stay in the rollout, at ``row`` t N + n."""

    row: jax.Array
    action: PyTree
    log_prob: jax.Array
    dist: Distribution  # π_old(. | s)
    value: jax.Array
    advantage: jax.Array
    target: jax.Array
    valid: jax.Array


class OptimizerProgress(NamedTuple):
    """What gradient steps change. Parameters are one flat vector: one Adam instead of one per array compiles faster."""

    params: jax.Array
    opt_state: PyTree
    stopped: jax.Array


class UpdateContext(NamedTuple):
    """What stays the same during one update."""

    objective: Objective
    policy: Policy
    config: PPOConfig
    moments: PyTree
    rollout: Transition
    rates: ScheduledValues
    unravel: Callable[[jax.Array], Params]


StepStats = dict[str, jax.Array]  # of one gradient step, before it was taken; means over the minibatch's valid rows
Loss = Callable[[jax.Array, UpdateContext, Batch], tuple[jax.Array, StepStats]]  # of the flat parameters
# (task, flat parameters, state of the policy's optimiser, whole rollout) -> (parameters, that state, metrics)
PolicyStep = Callable[[UpdateContext, jax.Array, PyTree, Batch], tuple[jax.Array, PyTree, Metrics]]


class Algorithm(NamedTuple):
    """A point of the road: an elementwise objective to be maximised, and how to climb it.

    Without ``policy_step``: epochs of minibatch steps on objective, entropy and value loss together. With it: one step
    of the policy on the whole rollout, then epochs on the value loss for the parameters that the policy does not use.
    """

    name: str
    objective: Objective
    policy_step: PolicyStep | None = None


Episodes = dict[str, Any]  # of the episodes that ended in a rollout: how many, their summed return and length
