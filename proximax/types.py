"""The records that travel between the modules, and the words they use.

``terminated``  the environment reached a terminal state: nothing after this step has value.
``truncated``   a time limit cut the episode: the future still has value.
``last``        ``terminated | truncated``.
``first``       this observation opens an episode (a recurrent carry is reset here).
``final_obs``   the observation the action really led to, before any reset.
``valid``       1, or 0 for a reset step of next-step autoreset, which is not a transition.

Axes: ``T`` time steps, ``N`` environments, ``S`` seeds, ``A`` action dimensions. Arrays are time-major, [T, N, ...].
The shapes are documentation: nothing checks them at run time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

Array = jax.Array | np.ndarray  # inside compiled code always the first
PyTree = Any
Key = jax.Array
Params = PyTree
Metrics = dict[str, Any]


class Moments(NamedTuple):
    """Count, mean and summed squared deviation M2 of everything seen; the variance is M2 / count."""

    count: Float[jax.Array, ""]  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    mean: Float[jax.Array, "*shape"]  # of what was seen
    m2: Float[jax.Array, "*shape"]  # M2 = Σ (x - mean)²


class Step(NamedTuple):
    """What every environment gives back for one action, whatever its own API. Arrays are ``[N, ...]``."""

    obs: PyTree  # the observation to act on next: the first one of a new episode after a reset
    final_obs: PyTree  # the observation this action led to; equals ``obs`` unless the episode ended
    reward: Float[Array, "*N"]
    terminated: Bool[Array, "*N"]
    truncated: Bool[Array, "*N"]
    first: Bool[Array, "*N"]  # ``obs`` opens an episode
    valid: Float[Array, "*N"]  # this step was a transition (see the module's docstring)
    unclipped_reward: Float[Array, "*N"] | None = None  # where ``reward`` is not the environment's own
    episode_over: Bool[Array, "*N"] | None = None  # the game ended, where ``terminated`` also means a lost life

    @property
    def raw_reward(self) -> Array:
        """The reward that counts for an episode's return."""
        return self.reward if self.unclipped_reward is None else self.unclipped_reward

    @property
    def ended(self) -> Array:
        """Where an episode ended whose return counts."""
        return (self.terminated | self.truncated) if self.episode_over is None else self.episode_over


class Transition(NamedTuple):
    """A rollout: ``T`` steps of ``N`` environments, every field ``[T, N, ...]``; of several seeds ``[T, S, N, ...]``.

    Two value arrays and no "last value": ``next_value[t] = V(final_obs[t])`` is the value of the state that step ``t``
    really reached, so a time limit in the middle of a rollout and the end of the rollout are the same case. Outside
    compiled code (``host_rollout``) the arrays are NumPy's.

    ``obs``: the observation acted on; ``final_obs``: the one that the step reached, before any reset. ``first``: if
    ``obs`` begins an episode. ``action``: as sampled, before clipping to the action space; ``log_prob``: log π(action |
    obs) at the moment of acting. ``reward``: that is learned from. ``terminated``, ``truncated``: how the episode ended
    with this step, if it did. ``valid``: 1; 0 for a step that only resets an environment, which is not a transition.
    ``value``: V(obs); ``next_value``: V(final_obs). ``dist``: π(. | obs) of the policy that acted, a distribution.
    ``carry``: of a policy with memory, before each step; until ``add_values`` before step 0 alone, ``[1, N, ...]``.
    """

    obs: PyTree  # a leaf may be ``frame_stack.Stacked``, which holds ``final_obs`` too
    final_obs: PyTree  # None beside a ``frame_stack.Stacked``
    first: Bool[jax.Array, "T *N"]
    action: PyTree  # as sampled, before clipping to the action space
    log_prob: Float[jax.Array, "T *N"]  # log π(action | obs) at the moment of acting
    reward: Float[jax.Array, "T *N"]
    terminated: Bool[jax.Array, "T *N"]
    truncated: Bool[jax.Array, "T *N"]
    valid: Float[jax.Array, "T *N"]
    value: Float[jax.Array, "T *N"] | None = None  # V(obs); this and what follows is filled by ``values.add_values``
    next_value: Float[jax.Array, "T *N"] | None = None  # V(final_obs)
    dist: PyTree = None  # π(. | obs) of the policy that acted, a ``maths.Distribution``
    carry: PyTree = ()  # of a policy with memory, before each step; until ``add_values`` before step 0, ``[1, N, ...]``


class RolloutState(NamedTuple):
    """The environments and the policy between two rollouts. Arrays are ``[N, ...]``."""

    env_state: PyTree  # of a JAX environment; () for environments that live outside the program
    obs: PyTree
    first: Bool[jax.Array, "*N"]
    carry: PyTree  # of the policy; () for feed-forward networks
    episode_return: Float[jax.Array, "*N"]  # raw reward since the episode's start
    episode_length: Float[jax.Array, "*N"]


class RewardScale(NamedTuple):
    """State of the return-based reward scaling (``maths.running.scale_reward``)."""

    discounted_return: Float[jax.Array, "*N"]
    moments: Moments  # of the discounted return


class TrainState(NamedTuple):
    """Everything that decides the future of a run."""

    params: Params
    opt_state: PyTree
    obs_moments: PyTree  # ``Moments`` of each leaf that is normalised; None: of none
    reward_scale: RewardScale
    rollout: RolloutState
    beta: jax.Array  # the penalty's weight
    learning_rate: jax.Array  # before annealing
    hyperparameters: dict[str, jax.Array]  # the other numbers of the settings: ``RunConfig.numbers``
    key: Key
    update: jax.Array  # updates done so far: the schedules' position
    reward_hook: PyTree = ()  # the state of the algorithm's ``RewardHook``


class RewardHook(NamedTuple):
    """What is learned from instead of the environment's reward: shaping, curiosity. Reported returns do not change.

    ``init(key, observation_space, action_space)`` gives the hook's state before the first update, any tree of arrays,
    one per seed. ``apply(state, rollout)`` is called once per update, inside the compiled program, before rewards are
    scaled and advantages made: it gives (rewards ``[T, N]``, its next state, metrics, numbers that are logged as
    ``NAME_METRIC``). Steps with ``rollout.valid`` 0 are not transitions. The state is saved with the run.
    ``name`` is in config.json and before the metrics' names.
    """

    name: str
    init: Callable[[Key, Any, Any], PyTree]  # (key, observation space, action space) -> the first state
    # (state, rollout) -> (rewards, the next state, metrics)
    apply: Callable[[PyTree, Transition], tuple[Float[jax.Array, "T *N"], PyTree, Metrics]]


class Acted(NamedTuple):
    """What the policy did in one step; arrays are ``[N, ...]``."""

    action: PyTree  # as sampled
    log_prob: Float[jax.Array, "*N"]
    env_action: PyTree  # what the environment is sent
    carry: PyTree


# (carry, obs, first, (t, number of the first environment)) -> what the policy does; arrays are ``[S, n, ...]``
ActFn = Callable[[PyTree, Any, Any, tuple[int, int]], Acted]


class Learner(NamedTuple):
    """An algorithm on environments inside the program, for one seed: pure functions, ``step`` to ``jit`` and ``vmap``.

    Environments outside the program have a ``HostLearner``, which is not pure and is of all seeds at once.
    """

    init: Callable[[Key], TrainState]
    step: Callable[[TrainState], tuple[TrainState, Metrics]]  # one update
