"""The algorithm family from REINFORCE to PPO: the objective and the kind of step. The loop around them is the same.

reinforce   log π A                                 one step of Adam, then the critic
npg         r A                                     one natural gradient step, then the critic
trpo        r A                                     the same along a line search under KL <= δ, then the critic
a2c         log π A                                 one step of actor and critic together
surrogate   r A                                     epochs of minibatch steps, without a trust region
penalty     r A - β KL(π_old, π)                    epochs; β follows the KL
clip        min(r A, clip(r, 1 - ε, 1 + ε) A)       epochs; with ε_high and c the variants of maths.wide_clip_objective
spo         r A - |A| (r - 1)² / (2 ε)              epochs
"""

import jax

from proximax import maths
from proximax.config import custom_name, is_custom, refuse, type_problem
from proximax.errors import UsageError
from proximax.ppo.policy_steps import gradient_policy_step, natural_gradient_policy_step, trpo_policy_step
from proximax.ppo.records import Algorithm, ObjectiveInputs, ScheduledValues


def reinforce(inputs: ObjectiveInputs, scheduled: ScheduledValues) -> jax.Array:
    """log π A."""
    return maths.reinforce_objective(inputs.log_prob, inputs.advantage)


def surrogate(inputs: ObjectiveInputs, scheduled: ScheduledValues) -> jax.Array:
    """r A."""
    return maths.surrogate_objective(inputs.log_ratio, inputs.advantage)


def penalty(inputs: ObjectiveInputs, scheduled: ScheduledValues) -> jax.Array:
    """r A - β KL(π_old, π)."""
    return maths.penalty_objective(inputs.log_ratio, inputs.advantage, inputs.kl, scheduled.beta)


def clip(inputs: ObjectiveInputs, scheduled: ScheduledValues) -> jax.Array:
    """The smaller of r A and r A with r clipped to [1 - ε, 1 + ε], or to another band where the settings say so."""
    band = scheduled.epsilon, scheduled.epsilon_high, scheduled.dual_clip
    return maths.wide_clip_objective(inputs.log_ratio, inputs.advantage, *band)


def spo(inputs: ObjectiveInputs, scheduled: ScheduledValues) -> jax.Array:
    """r A - |A| (r - 1)² / (2 ε)."""
    return maths.spo_objective(inputs.log_ratio, inputs.advantage, scheduled.epsilon)


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("reinforce", reinforce, gradient_policy_step),
        Algorithm("a2c", reinforce),
        Algorithm("npg", surrogate, natural_gradient_policy_step),
        Algorithm("trpo", surrogate, trpo_policy_step),
        Algorithm("surrogate", surrogate),
        Algorithm("penalty", penalty),
        Algorithm("clip", clip),
        Algorithm("spo", spo),
    )
}


def find_algorithm(name: str, custom: Algorithm | None = None) -> Algorithm:
    """The algorithm that a config names: a built-in one, or ``custom`` for ``custom:NAME``."""
    refuse([type_problem("custom_algorithm", custom, (Algorithm, type(None)), "an Algorithm or None")])
    if custom is not None and not callable(custom.objective):
        raise UsageError(f"the objective of the algorithm {custom.name!r} is {custom.objective!r}, not a function")
    if custom is None and not is_custom(name):
        return ALGORITHMS[name]
    if custom is None or name != custom_name(custom.name):
        passed = "none was passed" if custom is None else f"the Algorithm that was passed is called {custom.name!r}"
        raise UsageError(f"algo = {name}, but {passed}")
    return custom
