"""Behaviour cloning, then PPO: imitate a simple controller's actions, and let PPO improve on what was cloned.

``agent.params`` may come from anywhere: here from maximising log π(a|s) of recorded actions.
"""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax

import proximax
from proximax.policy import init_obs_moments, update_obs_moments


def record(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Observations ``[B, 4]`` and actions ``[B]`` of a controller that pushes towards where the pole falls."""
    env = gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=0)
    pairs = []
    for _ in range(steps):
        action = int(obs[2] + 0.1 * obs[3] > 0)
        pairs.append((obs, action))
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            obs, _ = env.reset()
    observations, actions = zip(*pairs)
    return np.stack(observations), np.array(actions)


def clone(ppo: proximax.PPOConfig, obs: jax.Array, actions: jax.Array, steps: int = 300) -> proximax.Agent:
    """The policy that makes the recorded actions most likely."""
    env = proximax.make_env("CartPole-v1", 1)
    policy = proximax.make_policy(env.observation_space, env.action_space, ppo)
    moments = update_obs_moments(init_obs_moments(env.observation_space, ppo), obs, jnp.ones(len(obs)))
    encoded, first = policy.encode(moments, obs), np.zeros(len(obs), bool)
    optimiser = optax.adam(3e-3)

    def loss(params):
        dist, _, _ = policy.apply(params, (), encoded, first)
        return -dist.log_prob(actions).mean()

    @jax.jit
    def step(params, opt_state):
        change, opt_state = optimiser.update(jax.grad(loss)(params), opt_state)
        return optax.apply_updates(params, change), opt_state

    params = policy.init(jax.random.key(0))
    opt_state = optimiser.init(params)
    for _ in range(steps):
        params, opt_state = step(params, opt_state)
    env.close()
    return proximax.Agent(policy, params, moments, env.observation_space, env.action_space)


def main(steps: int = 50_000, recorded: int = 2_000) -> None:
    settings = {"num_steps": 32, "minibatch_size": 256, "epochs": 10}
    agent = clone(proximax.PPOConfig(**settings), *map(jnp.asarray, record(recorded)))
    for name, start in (("random weights", None), ("cloned weights", agent)):
        for budget in (512, steps):
            result = proximax.train("CartPole-v1", steps=budget, init_from=start, preset="none", quiet=True, **settings)
            print(f"{name}, {budget:,} steps: mean return {result.summary.mean:.0f}")


if __name__ == "__main__":
    main()
