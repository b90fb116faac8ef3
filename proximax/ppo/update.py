"""Learning from one rollout: advantages -> epochs -> minibatches -> parameters. Never sees an environment.

A *sample* is a transition of the rollout; it counts by its weight ``valid``. ``losses`` has what is minimised,
``algorithms`` what differs from one algorithm to the next.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from proximax import maths
from proximax.config import PPOConfig
from proximax.policy import Policy, learn_value_scale
from proximax.ppo.diagnostics import update_metrics
from proximax.ppo.losses import critic_loss, joint_loss, standardise, weighted_mean
from proximax.ppo.records import Algorithm, Batch, Loss, OptimizerProgress, ScheduledValues, StepStats, UpdateContext
from proximax.ppo.shards import moments_of_all, moments_of_minibatches, sum_over_shards
from proximax.ppo.values import add_values
from proximax.runtime import as_threefry2x32, shard_key
from proximax.types import Key, Metrics, Moments, Params, PyTree, TrainState, Transition


def optimiser(config: PPOConfig) -> optax.GradientTransformation:
    """Global-norm clipping, then Adam's direction, for the flat gradient; the learning rate is applied afterwards."""
    adam = optax.scale_by_adam(eps=config.adam_epsilon)
    return adam if config.max_grad_norm is None else optax.chain(optax.clip_by_global_norm(config.max_grad_norm), adam)


def init_optimiser(algorithm: Algorithm, config: PPOConfig, params: Params) -> PyTree:
    """Adam's state before the first step: one for all parameters, or one for the policy and one for the critic."""
    adam = optimiser(config).init(np.zeros(sum(np.size(x) for x in jax.tree.leaves(params)), np.float32))
    return adam if algorithm.policy_step is None and not config.value_epochs else (adam, adam)


def scheduled_values(config: PPOConfig, state: TrainState, updates: int | jax.Array) -> ScheduledValues:
    """The values at update ``state.update`` (from 0); those of ``config.anneal`` are multiplied by the factor.

    e + (1 - e) min(1, (1 - update / updates) / (1 - s)),   s = anneal_start, e = anneal_end
    ``anneal_reaches_end``: the same with update + 1.
    """
    left = 1.0 - (state.update + int(config.anneal_reaches_end)) / updates
    factor = config.anneal_end + (1.0 - config.anneal_end) * jnp.minimum(1.0, left / (1.0 - config.anneal_start))
    factors = dict.fromkeys(config.anneal, factor)
    high, dual = config.epsilon_high, config.dual_clip
    return ScheduledValues(
        learning_rate=state.learning_rate * factors.get("learning_rate", 1.0),
        epsilon=jnp.asarray(config.epsilon * factors.get("epsilon", 1.0)),
        entropy_coef=jnp.asarray(config.entropy_coef * factors.get("entropy_coef", 1.0)),
        beta=state.beta,
        epsilon_high=None if high is None else jnp.asarray(high * factors.get("epsilon", 1.0)),
        dual_clip=None if dual is None else jnp.asarray(dual),
    )


def update(
    algorithm: Algorithm,
    policy: Policy,
    config: PPOConfig,
    state: TrainState,
    rollout: Transition,
    scheduled: ScheduledValues,
    key: Key,
    shards: int = 1,
) -> tuple[Params, PyTree, Metrics]:
    """Learn from one rollout with values and scaled rewards (``[T, N]``): (parameters, optimiser's state, metrics).

    Of several ``shards`` each has its part of the rollout; what is returned is the same on all of them.
    Source: Schulman et al. 2017 (arXiv 1707.06347), algorithm 1.
    """
    batch = make_batch(config, rollout, shards)
    params, old_value, unit = state.params, batch.value, None
    if config.normalise_values:
        of_all = partial(moments_of_all, shards=shards)
        params, old_value, unit = learn_value_scale(params, batch.value, batch.target, batch.valid, of_all)
    flat, unravel = ravel_pytree(params)
    context = UpdateContext(
        algorithm.objective, policy, config, state.obs_moments, rollout, scheduled, unravel, shards, unit
    )
    samples = batch._replace(value=old_value)
    if algorithm.policy_step is None and not config.value_epochs:
        flat, opt_state, metrics = run_epochs(joint_loss, context, flat, state.opt_state, samples, key)
    else:
        policy_state, critic_state = state.opt_state
        if algorithm.policy_step is None:
            flat, policy_state, policy_metrics = run_epochs(joint_loss, context, flat, policy_state, samples, key)
            more = replace(config, epochs=config.value_epochs)
            context, key = context._replace(config=more), jax.random.fold_in(key, 1)
        else:
            flat, policy_state, policy_metrics = algorithm.policy_step(context, flat, policy_state, batch)
        flat, critic_state, critic_metrics = run_epochs(critic_loss, context, flat, critic_state, samples, key)
        opt_state = policy_state, critic_state
        metrics = critic_metrics | policy_metrics
        metrics["gradient_steps"] = policy_metrics["gradient_steps"] + critic_metrics["gradient_steps"]
        metrics["finite"] = policy_metrics["finite"] * critic_metrics["finite"]
    return unravel(flat), opt_state, metrics | update_metrics(context, flat, batch)


def make_batch(config: PPOConfig, rollout: Transition, shards: int = 1) -> Batch:
    """Advantages and value targets, flattened to ``[T * N]`` samples.

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
        estimate = target if config.advantage == "to-go" else maths.total_returns(target, r.first)
        advantage = estimate - r.value if config.baseline else estimate
    if config.standardise_across_envs:
        of_all = moments_of_minibatches(advantage, r.valid, shards)
        advantage = jax.vmap(partial(standardise, config))(advantage, r.valid, of_all)
    position = jnp.arange(r.reward.size).reshape(r.reward.shape)
    batch = Batch(position, r.action, r.log_prob, r.dist, r.value, advantage, target, r.valid)
    batch = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), batch)._replace(position=position)
    if shards == 1:
        return batch
    return batch._replace(of_all=moments_of_all(maths.batch_moments(batch.advantage, (), batch.valid), shards))


def run_epochs(
    loss: Loss, context: UpdateContext, params: jax.Array, opt_state: PyTree, batch: Batch, key: Key
) -> tuple[jax.Array, PyTree, Metrics]:
    """K epochs of minibatch steps down ``loss``."""
    progress = OptimizerProgress(params, opt_state, jnp.zeros((), bool))
    keys = jax.random.split(shard_key(as_threefry2x32(key), context.shards), context.config.epochs)
    progress, stats = jax.lax.scan(partial(run_epoch, loss, context, batch), progress, keys)
    return progress.params, progress.opt_state, summarise(stats)


def run_epoch(
    loss: Loss, context: UpdateContext, batch: Batch, progress: OptimizerProgress, key: Key
) -> tuple[OptimizerProgress, StepStats]:
    """One gradient step on each minibatch, in random order."""
    config, has_memory = context.config, context.policy.unroll is not None
    recompute, refresh = config.recompute_advantage and loss is joint_loss, config.refresh_carry and has_memory
    if recompute or refresh:
        valued = add_values(context.policy, context.unravel(progress.params), context.moments, context.rollout)
        if recompute:
            batch = make_batch(config, valued._replace(dist=context.rollout.dist), context.shards)
        if refresh:
            context = context._replace(rollout=context.rollout._replace(carry=valued.carry))

    def step(
        progress: OptimizerProgress, part: tuple[jax.Array, Moments | None]
    ) -> tuple[OptimizerProgress, StepStats]:
        samples, of_all = part
        flat = samples.reshape(-1)
        minibatch = jax.tree.map(lambda x: x[flat], batch._replace(position=flat, of_all=None))
        return gradient_step(loss, context, progress, minibatch._replace(position=samples, of_all=of_all))

    length = config.sequence_length if has_memory else 1
    size = config.minibatch_size and config.minibatch_size // context.shards
    samples = maths.minibatches(key, context.rollout.reward.shape, size, length)
    rows = samples.reshape(len(samples), -1)
    of_all = moments_of_minibatches(batch.advantage[rows], batch.valid[rows], context.shards)
    return jax.lax.scan(step, progress, (samples, of_all))


def gradient_step(
    loss: Loss, context: UpdateContext, progress: OptimizerProgress, minibatch: Batch
) -> tuple[OptimizerProgress, StepStats]:
    """One step of Adam on one minibatch, unless it must not be taken.

    A KL above 1.5 target, or a loss or gradient that is not finite, is noticed before the step: then neither it nor any
    later one of this update is taken.
    """
    parts = jax.value_and_grad(loss, has_aux=True)(progress.params, context, minibatch)
    (loss_value, stats), gradient = sum_over_shards(parts, context.shards)
    norm = jnp.sqrt(jnp.sum(jnp.square(gradient)))
    finite = jnp.isfinite(loss_value) & jnp.isfinite(norm)
    stopped = progress.stopped | ~finite
    if context.config.kl_control == "stop" and context.config.target_kl is not None and "kl_k3" in stats:
        stopped = stopped | (stats["kl_k3"] > 1.5 * context.config.target_kl)
    # A minibatch without a valid sample has gradient 0, but Adam's momentum would still move the parameters.
    num_valid = jnp.sum(minibatch.valid) if minibatch.of_all is None else minibatch.of_all.count
    take = ~stopped & (num_valid > 0)
    direction, opt_state = optimiser(context.config).update(gradient, progress.opt_state)
    params, opt_state = jax.tree.map(
        lambda new, old: jnp.where(take, new, old),
        (progress.params - context.scheduled.learning_rate * direction, opt_state),
        (progress.params, progress.opt_state),
    )
    stats |= {"global_grad_norm": norm, "taken": take, "finite": finite | progress.stopped}
    return OptimizerProgress(params, opt_state, stopped), stats


def summarise(stats: StepStats) -> Metrics:
    """Means of stats ``[epochs, minibatches]`` over the steps taken; the first ratio's error; if all was finite."""
    taken = stats.pop("taken").astype(jnp.float32)
    finite = jnp.min(stats.pop("finite").astype(jnp.float32))
    metrics = {"first_ratio_error": stats.pop("ratio_error")[0, 0]} if "ratio_error" in stats else {}
    metrics |= {name: weighted_mean(x, taken) for name, x in stats.items()}
    return metrics | {"gradient_steps": jnp.sum(taken), "finite": finite}
