"""The road from REINFORCE to PPO: what each algorithm climbs, and how. The loop around it is the same for all.

reinforce   log π A                                 one step of Adam, then the critic
npg         r A                                     one natural gradient step, then the critic
trpo        r A                                     the same along a line search under KL <= δ, then the critic
a2c         log π A                                 one step of actor and critic together
surrogate   r A                                     epochs of minibatch steps, nothing holds it back
penalty     r A - β KL(π_old, π)                    epochs; β follows the KL
clip        min(r A, clip(r, 1 - ε, 1 + ε) A)       epochs
"""

import jax

from proximax import maths
from proximax.config import PPOConfig, custom_name, is_custom
from proximax.errors import UsageError
from proximax.ppo.policy_steps import gradient_policy_step, natural_gradient_policy_step, trpo_policy_step
from proximax.ppo.records import Algorithm, ObjectiveInputs, ScheduledValues
from proximax.types import Metrics


def reinforce(signals: ObjectiveInputs, rates: ScheduledValues) -> jax.Array:
    """Log π A."""
    return maths.reinforce_objective(signals.log_prob, signals.advantage)


def surrogate(signals: ObjectiveInputs, rates: ScheduledValues) -> jax.Array:
    """The ratio times A."""
    return maths.surrogate_objective(signals.log_ratio, signals.advantage)


def penalty(signals: ObjectiveInputs, rates: ScheduledValues) -> jax.Array:
    """The ratio times A, less β KL(π_old, π)."""
    return maths.penalty_objective(signals.log_ratio, signals.advantage, signals.kl, rates.beta)


def clip(signals: ObjectiveInputs, rates: ScheduledValues) -> jax.Array:
    """The ratio times A, flat where the ratio has left the band in the direction A asks for."""
    return maths.clip_objective(signals.log_ratio, signals.advantage, rates.epsilon)


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
    )
}


def find_algorithm(name: str, own: Algorithm | None) -> Algorithm:
    """The algorithm that a config names: a built-in one, or ``own`` for ``own:NAME``."""
    if own is None and not is_custom(name):
        return ALGORITHMS[name]
    if own is None or name != custom_name(own.name):
        given = "none was passed" if own is None else f"the Algorithm that was passed is called {own.name!r}"
        raise UsageError(f"algo = {name}, but {given}")
    return own


def adapt_after_update(
    config: PPOConfig, beta: jax.Array, learning_rate: jax.Array, metrics: Metrics
) -> tuple[jax.Array, ...]:
    """(β, learning rate) of the next update, by the KL(π_old, π) that this one reached."""
    if config.target_kl is not None and config.kl_control == "beta":
        beta = maths.adapt_beta(beta, metrics["kl"], config.target_kl)
    if config.target_kl is not None and config.kl_control == "learning_rate":
        learning_rate = maths.adapt_learning_rate(learning_rate, metrics["kl"], config.target_kl)
    return beta, learning_rate
