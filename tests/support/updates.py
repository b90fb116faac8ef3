"""One update on a random rollout of a small policy."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config.ppo_config import NUMBERS, PPOConfig
from proximax.policy.policy import make_policy
from proximax.ppo.algorithms import ALGORITHMS
from proximax.ppo.update import init_optimiser, scheduled_values, update
from proximax.ppo.values import add_values
from proximax.types import Moments, TrainState, Transition

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = {"discrete": spaces.Discrete(4), "continuous": spaces.Box(-1.0, 1.0, (2,), np.float32)}
MOMENTS = Moments(jnp.array(50.0), jnp.array([1.0, -2.0, 0.5]), 50.0 * jnp.array([4.0, 0.25, 1.0]))


def rollout(policy, params, moments=None, shape=(16, 4), seed=0):
    """Random observations and rewards, with actions that the policy really sampled."""
    keys = jax.random.split(jax.random.key(seed), 6)
    obs, final_obs = (3.0 * jax.random.normal(key, (*shape, 3)) for key in keys[:2])
    rows = obs.reshape(-1, 3)
    dist, _, _ = policy.apply(params, (), policy.encode(moments, rows), jnp.zeros(len(rows), bool))
    action = dist.sample(keys[2])
    transitions = Transition(
        obs=obs,
        final_obs=final_obs,
        first=jnp.zeros(shape, bool),
        action=action.reshape(*shape, *action.shape[1:]),
        log_prob=dist.log_prob(action).reshape(shape),
        reward=jax.random.normal(keys[3], shape),
        terminated=jax.random.bernoulli(keys[4], 0.1, shape),
        truncated=jax.random.bernoulli(keys[5], 0.1, shape),
        valid=jnp.ones(shape),
    )
    return add_values(policy, params, moments, transitions)


def find(algo):
    """A built-in algorithm by its name, or one of one's own as it is."""
    return ALGORITHMS[algo] if isinstance(algo, str) else algo


def state_of(ppo, params, moments=None, algo="clip", number=0):
    """What an update reads of a state: the one before update ``number`` (from 0)."""
    nothing = dict.fromkeys(("reward_scale", "rollout", "key"))
    return TrainState(
        params=params,
        opt_state=init_optimiser(find(algo), ppo, params),
        obs_moments=moments,
        beta=jnp.asarray(ppo.beta, jnp.float32),
        learning_rate=jnp.asarray(ppo.learning_rate, jnp.float32),
        hyperparameters={},
        update=jnp.asarray(number),
        **nothing,
    )


def one_update(ppo, transitions, policy, params, moments=None, seed=1, algo="clip", state=None):
    """(parameters, optimiser's state, metrics) after one update, from ``state`` or from a fresh one."""
    state = state or state_of(ppo, params, moments, algo)
    rates = scheduled_values(ppo, state, 10)
    form = replace(ppo, **dict.fromkeys(ppo.numbers(), 0.5), learning_rate=1.0, beta=1.0)
    return learn(find(algo), policy, form, ppo.numbers(), state, transitions, rates, jax.random.key(seed))


@partial(jax.jit, static_argnums=(0, 1, 2))
def learn(algorithm, policy, form, numbers, *data):
    """An update with numbers that are data, as in a learner: of the settings, the program has the ``form`` alone."""
    return update(algorithm, policy, form.with_numbers(numbers), *data)


# What a policy does not read: policies that differ in nothing else are one, whose updates are one program.
OF_UPDATES = {*NUMBERS, "minibatch_size", "epochs", "learning_rate", "anneal", "advantage", "baseline", "beta"}
OF_UPDATES |= {"standardise_advantage", "standardise_across_envs", "recompute_advantage", "kl_control"}


@cache
def policy_of(kind, settings):
    """(policy, parameters) for these settings ((name, value), ...), away from the near-zero head of a fresh policy."""
    policy = make_policy(OBS, ACTIONS[kind], PPOConfig(**dict(settings)))
    rng = np.random.default_rng
    params = policy.init(jax.random.key(3))
    params = jax.tree.map(lambda x: x + 0.3 * rng(0).standard_normal(x.shape).astype(np.float32), params)
    moments = {"value_moments": Moments(*map(jnp.float32, (8.0, 1.0, 32.0)))} if "value_moments" in params else {}
    return policy, params | moments


def setup(kind="discrete", moments=None, **settings):
    ppo = PPOConfig(**{"minibatch_size": 16, "epochs": 2, "anneal": "none", **settings})
    own = {name: value for name, value in vars(ppo).items() if name not in OF_UPDATES}
    policy, params = policy_of(kind, tuple(own.items()))
    return ppo, policy, params, rollout(policy, params, moments)
