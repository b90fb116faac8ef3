"""Learning from one rollout: advantages -> epochs -> minibatches -> parameters. Never sees an environment.

The one place where elementwise objectives and losses become weighted means: a row counts by its ``valid``.
What differs from one algorithm to the next stands in ``proximax.ppo.algorithms``.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from proximax import maths
from proximax.config import PPOConfig
from proximax.policy import Policy
from proximax.ppo.losses import critic_loss, forward, joint_loss, weighted_mean
from proximax.ppo.records import Algorithm, Batch, Loss, OptimizerProgress, ScheduledValues, StepStats, UpdateContext
from proximax.ppo.values import add_values
from proximax.runtime import as_threefry2x32
from proximax.types import Key, Metrics, Params, PyTree, TrainState, Transition

RATIO_EDGES = np.linspace(0.5, 1.5, 21)  # of the logged histogram, which has one more bin at either end


def optimiser(config: PPOConfig) -> optax.GradientTransformation:
    """Global-norm clipping, then Adam's direction, for the flat gradient; ``gradient_step`` scales it by the rate."""
    adam = optax.scale_by_adam(eps=config.adam_epsilon)
    return adam if config.max_grad_norm is None else optax.chain(optax.clip_by_global_norm(config.max_grad_norm), adam)


def init_optimiser(algorithm: Algorithm, config: PPOConfig, params: Params) -> PyTree:
    """Adam's state before the first step: one for all parameters, or one for the policy and one for the critic."""
    adam = optimiser(config).init(np.zeros(sum(np.size(x) for x in jax.tree.leaves(params)), np.float32))
    return adam if algorithm.policy_step is None else (adam, adam)


def scheduled_values(config: PPOConfig, state: TrainState, updates: int) -> ScheduledValues:
    """The rates of update ``state.update`` (from 0): factor min(1, (1 - update / updates) / (1 - anneal_start))."""
    left = 1.0 - state.update / updates
    factor = jnp.minimum(1.0, left / (1.0 - config.anneal_start))
    rate, width = (factor if config.anneal in (name, "both") else 1.0 for name in ("learning_rate", "epsilon"))
    return ScheduledValues(state.learning_rate * rate, jnp.asarray(config.epsilon * width), state.beta)


def update(
    algorithm: Algorithm,
    policy: Policy,
    config: PPOConfig,
    state: TrainState,
    rollout: Transition,
    rates: ScheduledValues,
    key: Key,
) -> tuple[Params, PyTree, Metrics]:
    """Learn from one rollout with values and scaled rewards (``[T, N]``): (parameters, optimiser's state, metrics).

    Source: Schulman et al. 2017 (arXiv 1707.06347), algorithm 1.
    """
    batch = make_batch(config, rollout)
    flat, unravel = ravel_pytree(state.params)
    task = UpdateContext(algorithm.objective, policy, config, state.obs_moments, rollout, rates, unravel)
    if algorithm.policy_step is None:
        flat, opt_state, metrics = run_epochs(joint_loss, task, flat, state.opt_state, batch, key)
    else:
        policy_state, critic_state = state.opt_state
        flat, policy_state, stepped = algorithm.policy_step(task, flat, policy_state, batch)
        flat, critic_state, fitted = run_epochs(critic_loss, task, flat, critic_state, batch, key)
        opt_state = policy_state, critic_state
        metrics = fitted | stepped
        metrics["gradient_steps"] = stepped["gradient_steps"] + fitted["gradient_steps"]
        metrics["finite"] = stepped["finite"] * fitted["finite"]
    return unravel(flat), opt_state, metrics | update_metrics(task, flat, batch)


def make_batch(config: PPOConfig, rollout: Transition) -> Batch:
    """Advantages and value targets, flattened to ``[T * N]`` rows.

    Targets are A + V for GAE (un-normalised A, the V it was made from), else the return to go.
    """
    r = rollout
    assert r.value is not None
    assert r.next_value is not None
    if config.advantage == "gae":
        advantage = maths.gae(r.reward, r.value, r.next_value, r.terminated, r.truncated, config.gamma, config.lam)
        target = advantage + r.value
    else:
        target = maths.returns_to_go(r.reward, r.terminated, r.truncated, config.gamma, r.next_value)
        weight = target if config.advantage == "to-go" else maths.total_returns(target, r.first)
        advantage = weight - r.value if config.baseline else weight
    if config.standardise_across_envs:
        advantage = jax.vmap(maths.standardise)(advantage, r.valid)
    row = jnp.arange(r.reward.size).reshape(r.reward.shape)
    batch = Batch(row, r.action, r.log_prob, r.dist, r.value, advantage, target, r.valid)
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), batch)


def run_epochs(
    loss: Loss, task: UpdateContext, params: jax.Array, opt_state: PyTree, batch: Batch, key: Key
) -> tuple[jax.Array, PyTree, Metrics]:
    """K epochs of minibatch steps down ``loss``."""

    def epoch(progress: OptimizerProgress, key: Key) -> tuple[OptimizerProgress, StepStats]:
        rows = batch
        if task.config.recompute_advantage and loss is joint_loss:
            now = add_values(task.policy, task.unravel(progress.params), task.moments, task.rollout)
            rows = make_batch(task.config, now._replace(dist=task.rollout.dist))
        step = lambda now, i: gradient_step(loss, task, now, jax.tree.map(lambda x: x[i], rows))  # noqa: E731
        return jax.lax.scan(step, progress, minibatches(len(batch.valid), task.config.minibatch_size, key))

    progress = OptimizerProgress(params, opt_state, jnp.zeros((), bool))
    progress, stats = jax.lax.scan(epoch, progress, jax.random.split(as_threefry2x32(key), task.config.epochs))
    return progress.params, progress.opt_state, summarise(stats)


def minibatches(rows: int, minibatch_size: int | None, key: Key) -> jax.Array:
    """The index of every row once, in random order, ``[rows / minibatch_size, minibatch_size]``."""
    return maths.permutation(key, rows).reshape(-1, minibatch_size or rows)


def gradient_step(
    loss: Loss, task: UpdateContext, progress: OptimizerProgress, minibatch: Batch
) -> tuple[OptimizerProgress, StepStats]:
    """One step of Adam on one minibatch, unless it must not be taken.

    A KL above 1.5 target, or a loss or gradient that is not finite, is found before the step; it is not taken, and
    neither is any later one of this update.
    """
    (total, stats), gradient = jax.value_and_grad(loss, has_aux=True)(progress.params, task, minibatch)
    norm = jnp.sqrt(jnp.sum(jnp.square(gradient)))
    finite = jnp.isfinite(total) & jnp.isfinite(norm)
    stopped = progress.stopped | ~finite
    if task.config.kl_control == "stop" and task.config.target_kl is not None and "kl_k3" in stats:
        stopped = stopped | (stats["kl_k3"] > 1.5 * task.config.target_kl)
    # A minibatch without a valid row has gradient 0, but Adam's momentum would still move.
    take = ~stopped & (jnp.sum(minibatch.valid) > 0)
    direction, opt_state = optimiser(task.config).update(gradient, progress.opt_state)
    params, opt_state = jax.tree.map(
        lambda new, old: jnp.where(take, new, old),
        (progress.params - task.rates.learning_rate * direction, opt_state),
        (progress.params, progress.opt_state),
    )
    stats |= {"global_grad_norm": norm, "taken": take, "finite": finite | progress.stopped}
    return OptimizerProgress(params, opt_state, stopped), stats


def summarise(stats: StepStats) -> Metrics:
    """Means over the steps taken, of stats ``[epochs, minibatches]``; the first ratio's error; if all was finite."""
    taken = stats.pop("taken").astype(jnp.float32)
    finite = jnp.min(stats.pop("finite").astype(jnp.float32))
    metrics = {"first_ratio_error": stats.pop("ratio_error")[0, 0]} if "ratio_error" in stats else {}
    metrics |= {name: weighted_mean(x, taken) for name, x in stats.items()}
    return metrics | {"gradient_steps": jnp.sum(taken), "finite": finite}


def update_metrics(task: UpdateContext, params: jax.Array, batch: Batch) -> Metrics:
    """What the whole update did, over all valid rows; and how good the values were that it began with."""
    dist, _ = forward(params, task, batch)
    log_ratio = jnp.where(batch.valid > 0, dist.log_prob(batch.action) - batch.log_prob, 0.0)
    below = jnp.exp(log_ratio)[:, None] < jnp.asarray(RATIO_EDGES, log_ratio.dtype)[None]
    total = jnp.sum(batch.valid)
    counted = jnp.concatenate([jnp.zeros(1), batch.valid @ below.astype(batch.valid.dtype), total[None]])
    residual = batch.target - batch.value
    spread = weighted_mean(jnp.square(batch.target - weighted_mean(batch.target, batch.valid)), batch.valid)
    unexplained = weighted_mean(jnp.square(residual - weighted_mean(residual, batch.valid)), batch.valid)
    advantage_variance = weighted_mean(
        jnp.square(batch.advantage - weighted_mean(batch.advantage, batch.valid)), batch.valid
    )
    return {
        "kl": weighted_mean(batch.dist.kl(dist), batch.valid),
        "ratio_histogram": jnp.diff(counted),
        "explained_variance": 1.0 - unexplained / jnp.maximum(spread, 1e-8),
        "advantage_std": jnp.sqrt(advantage_variance),
        "steps": total,
    }
