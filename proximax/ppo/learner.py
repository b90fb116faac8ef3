"""The core training loop. Read this first, then rollout, values, maths.advantages, maths.objectives, update, losses.

    repeat:  collect T steps of N environments with the current policy      rollout.unroll | host_rollout.collect
             value every state the rollout passed, scale rewards            values.add_values, maths.scale_reward
             advantages, minibatches, ascent on the objective               update.update, losses, algorithms
             only then let the observation normaliser see the new samples   learn_from_rollout

The normaliser is frozen from acting to the end of the update, so the first minibatch's ratio is 1, to rounding.
"""

from functools import partial

import jax
import jax.numpy as jnp

from proximax.config import RunConfig, refuse, type_problem
from proximax.envs import HostEnv, JaxEnv
from proximax.errors import UsageError
from proximax.maths import adapt_to_kl, init_moments, scale_reward
from proximax.policy import Policy, init_obs_moments, policy_parameters, update_obs_moments
from proximax.ppo.algorithms import find_algorithm
from proximax.ppo.diagnostics import diagnose, diagnose_memory
from proximax.ppo.records import Algorithm, Episodes
from proximax.ppo.reward_hooks import change_rewards
from proximax.ppo.rollout import reset_envs, unroll
from proximax.ppo.shards import least_over_shards, moments_of_all, sum_over_shards
from proximax.ppo.update import init_optimiser, scheduled_values, update
from proximax.ppo.values import add_values
from proximax.runtime import compilation, split_on_host
from proximax.types import Key, Learner, Metrics, RewardScale, RolloutState, TrainState, Transition


def make_learner(env: JaxEnv, policy: Policy, config: RunConfig, custom_algorithm: Algorithm | None = None) -> Learner:
    """``config.algo`` on an environment inside the program, for one seed: ``jit`` and ``vmap`` the step as you like.

    ``init`` draws weights with NumPy: call it once per seed and stack (``stack_seeds``), do not vmap it. With several
    shards ``step`` takes one shard's part of the state (``shards.state_specs``), inside ``shard_map`` over ``shards``.
    ``policy``: of ``make_policy``. ``config``: of the run. ``custom_algorithm``: the algorithm, if not built in.
    """
    kinds = ("env", env, JaxEnv), ("policy", policy, Policy), ("config", config, RunConfig)
    refuse([type_problem(name, value, kind, f"a {kind.__name__}") for name, value, kind in kinds])
    algorithm = find_algorithm(config.algo, custom_algorithm)
    compiled_reset = compilation.jit(partial(reset_envs, env, policy, num_envs=config.num_envs), fast_compile=True)

    def init(key: Key) -> TrainState:
        key, key_params, key_env = split_on_host(key, 3)
        return initial_train_state(algorithm, env, policy, config, key, key_params, compiled_reset(key_env))

    def step(state: TrainState) -> tuple[TrainState, Metrics]:
        state, transitions, episodes, key_update = next_rollout(env, policy, config, state)
        state, metrics = learn_from_rollout(algorithm, policy, config, state, transitions, key_update)
        return state, metrics | sum_over_shards(episodes, config.shards)

    return Learner(init, step)


def next_rollout(
    env: JaxEnv, policy: Policy, config: RunConfig, state: TrainState
) -> tuple[TrainState, Transition, Episodes, Key]:
    """The rollout that a learner's step at ``state`` learns from: (state after acting, rollout, episodes, its key)."""
    key, key_act, key_update = jax.random.split(state.key, 3)
    keys = jax.random.split(key_act, config.ppo.num_steps)
    inputs = state.params, state.obs_moments, state.rollout, keys
    rollout, transitions, episodes = unroll(env, policy, *inputs, config.shards)
    return state._replace(key=key, rollout=rollout), transitions, episodes, key_update


def learn_from_rollout(
    algorithm: Algorithm, policy: Policy, config: RunConfig, state: TrainState, transitions: Transition, key: Key
) -> tuple[TrainState, Metrics]:
    """Everything after the rollout: scale rewards, value states, update the parameters, then the normaliser."""
    ppo, shards = config.ppo.with_numbers(state.hyperparameters), config.shards
    of_all = partial(moments_of_all, shards=shards)
    transitions, hook_state, hook_metrics = change_rewards(algorithm.reward_hook, state.reward_hook, transitions)
    transitions = add_values(policy, state.params, state.obs_moments, transitions)
    reward_scale = state.reward_scale
    if ppo.scale_reward:
        last = transitions.terminated | transitions.truncated
        valid = transitions.valid
        reward, carried, moments = scale_reward(*reward_scale, transitions.reward, last, valid, ppo.gamma, of_all)
        reward = reward if ppo.reward_clip is None else jnp.clip(reward, -ppo.reward_clip, ppo.reward_clip)
        transitions, reward_scale = transitions._replace(reward=reward), RewardScale(carried, moments)
    scheduled = scheduled_values(ppo, state, state.hyperparameters["updates"])
    params, opt_state, metrics = update(algorithm, policy, ppo, state, transitions, scheduled, key, shards)
    obs_moments = update_obs_moments(state.obs_moments, transitions.obs, transitions.valid, of_all)
    for leaf in jax.tree.leaves((obs_moments, reward_scale)):  # squares of huge observations overflow
        metrics["finite"] = metrics["finite"] * jnp.all(jnp.isfinite(leaf))
    metrics["finite"] = least_over_shards(metrics["finite"], shards)
    metrics |= diagnose(policy, transitions, shards) | hook_metrics
    metrics |= diagnose_memory(policy, state.params, state.obs_moments, transitions, shards)
    adapted, bounds = (state.beta, state.learning_rate), (ppo.kl_band, ppo.learning_rate_min, ppo.learning_rate_max)
    beta, learning_rate = adapt_to_kl(ppo.kl_control, ppo.target_kl, *adapted, metrics["kl"], *bounds)
    learned = state._replace(
        params=params,
        opt_state=opt_state,
        obs_moments=obs_moments,
        reward_scale=reward_scale,
        beta=beta,
        learning_rate=learning_rate,
        update=state.update + 1,
        reward_hook=hook_state,
    )
    # An update that went wrong ends the run: what was learned before it is what is saved.
    return jax.tree.map(partial(jnp.where, update_succeeded(metrics)), learned, state), metrics | scheduled.logged()


def update_succeeded(metrics: Metrics) -> jax.Array:
    """Whether an update was finite and every row's mask allowed something."""
    return (metrics["finite"] == 1) & (metrics.get("fully_masked_index", -1) < 0)


def initial_train_state(
    algorithm: Algorithm,
    env: JaxEnv | HostEnv,
    policy: Policy,
    config: RunConfig,
    key: Key,
    key_params: Key,
    rollout: RolloutState,
) -> TrainState:
    """The state before the first update."""
    params = policy.init(key_params)
    moments = init_obs_moments(env.observation_space, config.ppo)
    hook, more = algorithm.reward_hook, config.ppo.value_epochs
    hook_state = hook.init(jax.random.fold_in(key_params, 1), env.observation_space, env.action_space) if hook else ()
    apart = f"algo = {config.algo}" if algorithm.policy_step else f"value_epochs = {more}" if more else ""
    if apart and all(policy_parameters(policy, params, moments, rollout.obs, rollout.first)):
        raise UsageError(
            f"{apart} fits the critic apart from the policy, but every parameter of this network is the policy's too. "
            "Give the value a head of its own, or choose a2c, surrogate, penalty, clip or spo, without value_epochs"
        )
    return TrainState(
        params=params,
        opt_state=init_optimiser(algorithm, config.ppo, params),
        obs_moments=moments,
        reward_scale=RewardScale(jnp.zeros(rollout.first.shape), init_moments(())),
        rollout=rollout,
        beta=jnp.asarray(config.ppo.beta, jnp.float32),
        learning_rate=jnp.asarray(config.ppo.learning_rate, jnp.float32),
        hyperparameters={name: jnp.asarray(x, jnp.float32) for name, x in config.numbers().items()},
        key=key,
        update=jnp.zeros((), jnp.int32),
        reward_hook=hook_state,
    )
