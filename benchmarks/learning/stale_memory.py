"""How far the memories that sequences begin with are off at the end of an update: they were computed before it.

python benchmarks/learning/stale_memory.py

gymnax's CartPole-v1 without velocities, a GRU, settings of memory.py but sequences of 16 steps. After every update: the
mean KL between the new policy with memories of its own and the same with those that acted, and with those of a burn-in;
beside it the KL of the whole update. Prints the means of every 20 updates (a minute).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import PPOConfig, RunConfig
from proximax.envs import JaxEnv, make_env
from proximax.policy import Policy, make_policy
from proximax.ppo import make_learner
from proximax.ppo.algorithms import ALGORITHMS
from proximax.ppo.learner import learn_from_rollout, next_rollout
from proximax.ppo.values import add_values, unroll_sequences
from proximax.runtime import seed_key
from proximax.types import TrainState

LENGTH, BURN_INS, UPDATES, EVERY = 16, (4, 16), 40, 20
PPO = PPOConfig(num_steps=128, minibatch_size=256, epochs=10, learning_rate=1e-3, sequence_length=LENGTH, anneal="none")


def update(env: JaxEnv, policy: Policy, config: RunConfig, state: TrainState) -> tuple[TrainState, Any]:
    """(the state after an update, the KLs in its wake)."""
    acted, rollout, episodes, key = next_rollout(env, policy, config, state)
    after, metrics = learn_from_rollout(ALGORITHMS["clip"], policy, config, acted, rollout, key)
    before, fresh = (add_values(policy, s.params, acted.obs_moments, rollout) for s in (acted, after))
    starts = jnp.arange(0, PPO.num_steps, LENGTH)[:, None] * config.num_envs + jnp.arange(config.num_envs)[None]
    steps = starts.reshape(1, -1) + jnp.arange(LENGTH)[:, None] * config.num_envs
    unrolled = partial(unroll_sequences, policy, after.params, acted.obs_moments)
    expected = unrolled(fresh, steps)[0]
    kls = [jnp.mean(expected.kl(unrolled(before, steps, burn_in)[0])) for burn_in in (0, *BURN_INS)]
    return after, jnp.stack([metrics["kl"], *kls, episodes["return_sum"] / jnp.maximum(episodes["episodes"], 1)])


def main() -> None:
    """Train, and print a line now and then."""
    env = make_env("gymnax:CartPole-v1", hide_velocities=True)
    assert isinstance(env, JaxEnv)
    config = RunConfig("gymnax:CartPole-v1", steps=UPDATES * 1024, num_envs=8, ppo=PPO)
    policy = make_policy(env.observation_space, env.action_space, PPO, "gru")
    state = make_learner(env, policy, config).init(seed_key(0))
    step, rows = jax.jit(partial(update, env, policy, config)), []
    for i in range(UPDATES):
        state, row = step(state)
        rows.append(np.asarray(row))
        if (i + 1) % EVERY == 0:
            kl, stale, *burnt, score = np.mean(rows[-EVERY:], axis=0)
            text = ", ".join(f"burn-in {n}: {x:.1e}" for n, x in zip(BURN_INS, burnt))
            print(f"to {i + 1}: return {score:.0f}; KL of the update {kl:.1e}, of stale memories {stale:.1e}, {text}")


if __name__ == "__main__":
    main()
