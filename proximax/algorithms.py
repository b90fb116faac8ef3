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
import jax.numpy as jnp

from proximax import maths
from proximax.config import OWN, PPOConfig
from proximax.errors import UsageError
from proximax.types import Metrics, PyTree
from proximax.update import (
    Algorithm,
    Batch,
    Progress,
    Rates,
    Signals,
    Stats,
    Task,
    forward,
    gradient_step,
    mean,
    policy_loss,
)


def reinforce(signals: Signals, rates: Rates) -> jax.Array:
    """Log π A."""
    return maths.reinforce_objective(signals.log_prob, signals.advantage)


def surrogate(signals: Signals, rates: Rates) -> jax.Array:
    """The ratio times A."""
    return maths.surrogate_objective(signals.log_ratio, signals.advantage)


def penalty(signals: Signals, rates: Rates) -> jax.Array:
    """The ratio times A, less β KL(π_old, π)."""
    return maths.penalty_objective(signals.log_ratio, signals.advantage, signals.kl, rates.beta)


def clip(signals: Signals, rates: Rates) -> jax.Array:
    """The ratio times A, flat where the ratio has left the band in the direction A asks for."""
    return maths.clip_objective(signals.log_ratio, signals.advantage, rates.epsilon)


def ascend(task: Task, params: jax.Array, opt_state: PyTree, batch: Batch) -> tuple[jax.Array, PyTree, Metrics]:
    """One step of Adam on the whole rollout."""
    begin = Progress(params, opt_state, jnp.zeros((), bool))
    progress, stats = gradient_step(policy_loss, task, begin, batch)
    return progress.params, progress.opt_state, step_metrics(stats)


def natural(task: Task, params: jax.Array, opt_state: PyTree, batch: Batch) -> tuple[jax.Array, PyTree, Metrics]:
    """The whole natural gradient step, of KL about δ.

    Source: Kakade 2001, "A natural policy gradient".
    """
    step, metrics = natural_step(task, params, batch)
    return params + step, opt_state, metrics


def trust_region(task: Task, params: jax.Array, opt_state: PyTree, batch: Batch) -> tuple[jax.Array, PyTree, Metrics]:
    """The natural gradient step, halved until the objective rises and the mean KL is at most δ; or none.

    Source: Schulman et al. 2015 (arXiv 1502.05477), appendix C.
    """

    def evaluate(p: jax.Array) -> tuple[jax.Array, jax.Array]:
        return -policy_loss(p, task, batch)[0], mean_kl(p, task, batch)

    step, metrics = natural_step(task, params, batch)
    config = task.config
    params, share, _ = maths.line_search(evaluate, params, step, config.delta, config.backtracks)
    return params, opt_state, metrics | {"step_share": share, "gradient_steps": (share > 0).astype(share.dtype)}


def natural_step(task: Task, params: jax.Array, batch: Batch) -> tuple[jax.Array, Metrics]:
    """sqrt(2 δ / gᵀ F⁻¹ g) F⁻¹ g for the flat parameters, by conjugate gradient; 0 where it is not finite."""
    (total, stats), descent = jax.value_and_grad(policy_loss, has_aux=True)(params, task, batch)
    config = task.config
    product = maths.fisher_vector_product(lambda p: mean_kl(p, task, batch), params, config.damping)
    step = maths.natural_gradient_step(-descent, product, config.delta, config.conjugate_gradient_steps)
    finite = jnp.isfinite(total) & jnp.all(jnp.isfinite(step))
    norm = jnp.sqrt(jnp.sum(jnp.square(descent)))
    stats |= {"global_grad_norm": norm, "taken": finite, "finite": finite}
    return jnp.where(finite, step, 0.0), step_metrics(stats)


def mean_kl(params: jax.Array, task: Task, batch: Batch) -> jax.Array:
    """E[KL(π_old, π)] over the rollout, for flat parameters of π."""
    dist, _ = forward(params, task, batch)
    return mean(batch.dist.kl(dist), batch.valid)


def step_metrics(stats: Stats) -> Metrics:
    """What a single step of the policy has to report; before it, every estimate of the KL is 0."""
    kept = {name: stats[name] for name in ("policy_objective", "entropy", "global_grad_norm")}
    taken, finite = (stats[name].astype(jnp.float32) for name in ("taken", "finite"))
    return kept | {"first_ratio_error": stats["ratio_error"], "gradient_steps": taken, "finite": finite}


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("reinforce", reinforce, ascend),
        Algorithm("a2c", reinforce),
        Algorithm("npg", surrogate, natural),
        Algorithm("trpo", surrogate, trust_region),
        Algorithm("surrogate", surrogate),
        Algorithm("penalty", penalty),
        Algorithm("clip", clip),
    )
}


def find_algorithm(name: str, own: Algorithm | None) -> Algorithm:
    """The algorithm that a config names: a built-in one, or ``own`` for ``own:NAME``."""
    if own is None and not name.startswith(OWN):
        return ALGORITHMS[name]
    if own is None or name != OWN + own.name:
        given = "none was passed" if own is None else f"the Algorithm that was passed is called {own.name!r}"
        raise UsageError(f"algo = {name}, but {given}")
    return own


def adapted(config: PPOConfig, beta: jax.Array, learning_rate: jax.Array, metrics: Metrics) -> tuple[jax.Array, ...]:
    """(β, learning rate) of the next update, by the KL(π_old, π) that this one reached."""
    if config.target_kl is not None and config.kl_control == "beta":
        beta = maths.adapt_beta(beta, metrics["kl"], config.target_kl)
    if config.target_kl is not None and config.kl_control == "learning_rate":
        learning_rate = maths.adapt_learning_rate(learning_rate, metrics["kl"], config.target_kl)
    return beta, learning_rate
