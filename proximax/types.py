"""The records that travel between the modules, and the words they use.

``terminated``  the world ended: nothing after this step has value.
``truncated``   only the clock ended: the future still has value.
``last``        ``terminated | truncated``.
``first``       this observation opens an episode (a recurrent carry is reset here).
``final_obs``   the observation the action really led to, before any reset.
``valid``       0 marks a row that is no transition: the reset step of next-step autoreset.

Axes: ``T`` time steps, ``N`` environments, ``S`` seeds, ``A`` action dimensions. Arrays are time-major, [T, N, ...].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Float

Array = jax.Array  # or, outside compiled code, a NumPy array
PyTree = Any
Key = jax.Array
Params = PyTree
Metrics = dict[str, Any]


class Moments(NamedTuple):
    """Count, mean and summed squared deviation M2 of everything seen; the variance is M2 / count."""

    count: Float[Array, ""]  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    mean: Float[Array, "*shape"]
    m2: Float[Array, "*shape"]


class Step(NamedTuple):
    """What every environment gives back for one action, whatever its own API. Arrays are ``[N, ...]``."""

    obs: PyTree  # the observation to act on next: the first one of a new episode after a reset
    final_obs: PyTree  # the observation this action led to; equals ``obs`` unless the episode ended
    reward: Array
    terminated: Array
    truncated: Array
    first: Array  # ``obs`` opens an episode
    valid: Array  # this step was a transition (see the module's docstring)
    score: Array | None = None  # the raw reward, where ``reward`` is not
    over: Array | None = None  # the game ended, where ``terminated`` also says that a life was lost

    @property
    def raw_reward(self) -> Array:
        """What counts for an episode's return."""
        return self.reward if self.score is None else self.score

    @property
    def ended(self) -> Array:
        """What counts as an episode's end."""
        return (self.terminated | self.truncated) if self.over is None else self.over


class Transition(NamedTuple):
    """A rollout: ``T`` steps of ``N`` environments, every field ``[T, N, ...]``.

    Two value arrays and no "last value": ``next_value[t] = V(final_obs[t])`` is the value of the state that step ``t``
    really reached, so a time limit in the middle of a rollout and the cut at its end are the same case.
    """

    obs: PyTree  # a leaf may be ``frame_stack.Stacked``, which holds ``final_obs`` too
    final_obs: PyTree  # None beside a ``frame_stack.Stacked``
    first: Array
    action: PyTree  # as sampled, before clipping to the action space
    log_prob: Array  # log π(action | obs) at the moment of acting
    reward: Array
    terminated: Array
    truncated: Array
    valid: Array
    value: Array | None = None  # V(obs); this and what follows is filled by ``values.add_values``
    next_value: Array | None = None  # V(final_obs)
    dist: PyTree = None  # π(. | obs) of the policy that acted


class RolloutState(NamedTuple):
    """Where acting stands between two rollouts. Arrays are ``[N, ...]``."""

    env_state: PyTree  # of a JAX environment; () for environments that live outside the program
    obs: PyTree
    first: Array
    carry: PyTree  # of the policy; () for feed-forward networks
    episode_return: Array  # raw reward since the episode's start
    episode_length: Array


class RewardScale(NamedTuple):
    """State of the return-based reward scaling (``maths.running.scale_reward``)."""

    discounted_return: Array  # [N]
    moments: Moments  # of the discounted return


class TrainState(NamedTuple):
    """Everything that decides the future of a run."""

    params: Params
    opt_state: PyTree
    obs_moments: PyTree  # ``Moments`` of each leaf that is normalised; None: of none
    reward_scale: RewardScale
    rollout: RolloutState
    beta: Array  # the penalty's weight
    learning_rate: Array  # before annealing
    key: Key
    update: Array  # updates done so far: the schedules' position


class Acted(NamedTuple):
    """What the policy did in one step; arrays are ``[N, ...]``."""

    action: PyTree  # as sampled
    log_prob: jax.Array
    env_action: PyTree  # the environment's action
    carry: PyTree


# (carry, obs, first, (t, number of the first environment)) -> what the policy does; arrays are ``[S, n, ...]``
ActFn = Callable[[PyTree, Any, Any, tuple[int, int]], Acted]


class Learner(NamedTuple):
    """An algorithm on environments inside the program, for one seed: pure functions, ``step`` to ``jit`` and ``vmap``.

    Environments outside the program have a ``HostLearner``, which is not pure and is of all seeds at once.
    """

    init: Callable[[Key], TrainState]
    step: Callable[[TrainState], tuple[TrainState, Metrics]]  # one update
